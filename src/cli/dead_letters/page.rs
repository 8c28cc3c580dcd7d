//! Prints entries on standard output as they arrive.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use handoffd_engine::dead_letters::{Action, DeadLetterEntry, Observer, Operation};
use handoffd_engine::text::visible_json;
use serde_json::Value;

use super::progress::ProgressReport;
use super::table;
use crate::cli::shell::print;

/// Output format: text for a person, or JSON for a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OutputFormat {
    Text,
    Json,
}

/// Observer that prints what it is given.
pub(super) trait Printer: Observer {
    /// Waits until everything is written.
    fn end(self: Box<Self>);
}

/// Printer of entries.
///
/// A separate thread writes, so that a slow reader (`| less`) does not prolong the scan, which holds the dead letters
/// and so keeps others from them.
pub(super) struct EntryPrinter {
    form: OutputFormat,
    listing: bool,
    lines: u64,
    /// Lines that were not given to the writer yet.
    pending: String,
    progress: ProgressReport,
    sender: Sender<String>,
    writer: JoinHandle<()>,
}

impl EntryPrinter {
    pub(super) fn begin(form: OutputFormat, order: &Operation) -> Self {
        let progress = ProgressReport::begin();
        let (sender, receiver) = channel::<String>();
        let bar = progress.bar();
        let writer = std::thread::spawn(move || receiver.into_iter().for_each(|text| bar.suspend(|| print(&text))));
        Self {
            form,
            listing: matches!(order.action, Action::List),
            lines: 0,
            pending: String::new(),
            progress,
            sender,
            writer,
        }
    }

    fn object(&mut self, value: &impl serde::Serialize) {
        let before = if self.lines == 0 { "[\n  " } else { ",\n  " };
        // Strings, numbers and nulls always serialize.
        let text = serde_json::to_string(value).unwrap_or_default();
        self.put(&format!("{before}{}", visible_json(&text)));
        self.lines += 1;
    }

    fn story(&mut self, entry: &DeadLetterEntry) {
        let Ok(Value::Object(whole)) = serde_json::to_value(entry) else { return };
        let gap = if self.lines == 0 { "" } else { "\n" };
        self.lines += 1;
        self.put(&format!("{gap}{}", table::story(&whole)));
    }

    /// Prints the text; that of a list together with the rest of its window.
    fn put(&mut self, text: &str) {
        self.pending.push_str(text);
        if !self.listing {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            // The receiver lives as long as `self`.
            _ = self.sender.send(std::mem::take(&mut self.pending));
        }
    }
}

impl Printer for EntryPrinter {
    fn end(mut self: Box<Self>) {
        self.progress.end();
        if self.form == OutputFormat::Json {
            self.put(if self.lines == 0 { "[]\n" } else { "\n]\n" });
        }
        self.flush();
        drop(self.sender);
        // The thread ends when its sender is dropped, and does not panic.
        _ = self.writer.join();
    }
}

impl Observer for EntryPrinter {
    fn looked_at(&mut self, count: u64, total: u64) {
        self.flush();
        self.progress.at(count, total);
    }

    fn entry(&mut self, entry: DeadLetterEntry) {
        if self.form == OutputFormat::Json {
            return self.object(&entry);
        }
        if entry.message.is_some() {
            return self.story(&entry);
        }
        if self.lines == 0 {
            self.put(&table::head(self.listing));
        }
        self.lines += 1;
        self.put(&table::row(&entry));
    }
}
