//! Entries on standard output, as they come.

use std::io::Write;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use handoffd_engine::dead_letters::{Action, Entry, Observer, Order, whole};
use indicatif::ProgressBar;
use serde_json::Value;

use super::progress::Progress;
use super::table;

/// Text for a person, or JSON for a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Text,
    Json,
}

/// What is printed.
///
/// A thread of its own writes: a reader that takes its time (`| less`) keeps nobody from the dead letters, which are
/// held as long as they are gone through.
pub(super) struct Page {
    form: Form,
    listing: bool,
    lines: u64,
    progress: Progress,
    sender: Sender<String>,
    writer: JoinHandle<()>,
}

impl Page {
    pub(super) fn begin(form: Form, order: &Order) -> Self {
        let progress = Progress::begin();
        let (sender, receiver) = channel::<String>();
        let bar = progress.bar();
        let writer = std::thread::spawn(move || receiver.into_iter().for_each(|text| write(&bar, &text)));
        Self { form, listing: matches!(order.action, Action::List), lines: 0, progress, sender, writer }
    }

    /// Returns when everything is written.
    pub(super) fn end(mut self) {
        self.progress.end();
        if self.form == Form::Json {
            self.put(if self.lines == 0 { "[]\n".to_owned() } else { "\n]\n".to_owned() });
        }
        drop(self.sender);
        // It ends when its sender is gone, and does not panic.
        _ = self.writer.join();
    }

    fn object(&mut self, value: &impl serde::Serialize) {
        let before = if self.lines == 0 { "[\n  " } else { ",\n  " };
        // Strings, numbers, nulls: it can be serialized.
        let text = serde_json::to_string(value).unwrap_or_default();
        self.put(format!("{before}{text}"));
        self.lines += 1;
    }

    fn put(&mut self, text: String) {
        // Its receiver lives as long as this.
        _ = self.sender.send(text);
    }
}

impl Observer for Page {
    fn looked_at(&mut self, count: u64, total: u64) {
        self.progress.at(count, total);
    }

    fn entry(&mut self, entry: Entry) {
        if self.form == Form::Json {
            return self.object(&entry);
        }
        if self.lines == 0 {
            self.put(table::head(self.listing));
        }
        self.lines += 1;
        self.put(table::row(&entry));
    }

    fn shown(&mut self, entry: Entry, details: Value, body: &Bytes) {
        let whole = whole(&entry, details, body);
        if self.form == Form::Json {
            return self.object(&whole);
        }
        let gap = if self.lines == 0 { "" } else { "\n" };
        self.lines += 1;
        self.put(format!("{gap}{}", table::story(&whole)));
    }
}

/// A reader that has gone (`| head`) is no error of ours.
fn write(bar: &ProgressBar, text: &str) {
    bar.suspend(|| _ = std::io::stdout().lock().write_all(text.as_bytes()));
}
