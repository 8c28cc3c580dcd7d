//! `store import`: an exported file into the store, batch by batch.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use handoffd_engine::ports::store::portable::{ExportLine, PAGE, PortableEntry, PortableStore, parse_line};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::audit::report;
use super::shell::print;
use super::table::table;
use crate::admin::audit::AuditAction;
use crate::app::{Transfer, portable_store};
use crate::config::Config;

/// Longest line, in bytes; more than the longest entry.
const LONGEST: u64 = 1 << 20;
/// Number of batches between the file and the store.
const AHEAD: usize = 2;

/// Entries from the file, or the reason why the rest of it can't be read.
type ReadBatch = Result<Vec<PortableEntry>>;

/// Imports a file and prints the number of entries of each kind, also if it fails.
pub(super) async fn import(config: &Config, file: &Path) -> Result<()> {
    let reader: Box<dyn Read + Send> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).with_context(|| format!("can't read {}", file.display()))?)
    };
    let store = portable_store(config, Transfer::Import).await?;
    let (sender, batches) = mpsc::channel(AHEAD);
    spawn_blocking(move || read(BufReader::new(reader), &sender));
    let mut counts = ImportCounts::default();
    let imported = import_all(&*store, batches, &mut counts).await;
    let closed = store.finish().await;
    print(&counts.summary());
    report(config, AuditAction::ImportStore, &file.display().to_string(), counts.written()).await;
    imported.with_context(|| format!("the import of {} is incomplete", file.display()))?;
    Ok(closed?)
}

async fn import_all(
    store: &dyn PortableStore,
    mut batches: mpsc::Receiver<ReadBatch>,
    counts: &mut ImportCounts,
) -> Result<()> {
    while let Some(batch) = batches.recv().await {
        let entries = batch?;
        let written = store.import(&entries).await?;
        counts.add(&entries, &written);
    }
    Ok(())
}

/// Reads a file to its end, or to its first unreadable line. Sends what precedes that line first.
fn read(mut reader: impl BufRead, batches: &mpsc::Sender<ReadBatch>) {
    let mut batch = Vec::with_capacity(PAGE);
    let mut lines = ExportReader::default();
    let end = loop {
        match lines.next(&mut reader) {
            Ok(NextLine::Entry(entry)) => batch.push(entry),
            Ok(NextLine::Other) => {}
            Ok(NextLine::EndOfFile) => break None,
            Err(problem) => break Some(problem),
        }
        if batch.len() >= PAGE {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(PAGE));
            if batches.blocking_send(Ok(full)).is_err() {
                return; // the store failed
            }
        }
    };
    let rest = Some(batch).filter(|batch| !batch.is_empty());
    for last in rest.map(Ok).into_iter().chain(end.map(Err)) {
        _ = batches.blocking_send(last); // fails if the store did
    }
}

/// Line of a file.
enum NextLine {
    Entry(PortableEntry),
    /// Header, end or empty line.
    Other,
    EndOfFile,
}

/// Position in a file.
#[derive(Default)]
struct ExportReader {
    line: u64,
    has_header: bool,
    has_end: bool,
    text: Vec<u8>,
}

impl ExportReader {
    /// Reads the next line.
    fn next(&mut self, reader: &mut impl BufRead) -> Result<NextLine> {
        self.text.clear();
        let length = reader.take(LONGEST).read_until(b'\n', &mut self.text).context("can't read the file")?;
        self.line += 1;
        let line = self.line;
        if length == 0 {
            anyhow::ensure!(
                self.has_end,
                "the file ends before line {line} without the line of kind \"end\", so its export was cut off; export \
                 again and import that file"
            );
            return Ok(NextLine::EndOfFile);
        }
        if self.text.iter().all(u8::is_ascii_whitespace) {
            return Ok(NextLine::Other);
        }
        let parsed = parse_line(&self.text).with_context(|| format!("can't read line {line}"))?;
        match parsed {
            ExportLine::Header(_) => {
                (self.has_header, self.has_end) = (true, false);
                Ok(NextLine::Other)
            }
            _ if !self.has_header => anyhow::bail!(
                "can't read line {line}: expected the first line of a file that `handoffd store export` has written"
            ),
            ExportLine::Entry(entry) => {
                self.has_end = false;
                Ok(NextLine::Entry(entry))
            }
            ExportLine::End(_) => {
                self.has_end = true;
                Ok(NextLine::Other)
            }
        }
    }
}

/// Numbers of entries of each kind.
#[derive(Default)]
struct ImportCounts([KindCount; PortableEntry::KINDS.len()]);

#[derive(Clone, Copy, Default)]
struct KindCount {
    read: u64,
    written: u64,
}

impl ImportCounts {
    fn add(&mut self, entries: &[PortableEntry], written: &[bool]) {
        for (entry, written) in entries.iter().zip(written) {
            let count = &mut self.0[entry.kind()];
            count.read += 1;
            count.written += u64::from(*written);
        }
    }

    fn written(&self) -> u64 {
        self.0.iter().map(|count| count.written).sum()
    }

    fn summary(&self) -> String {
        let mut rows = vec![["kind", "read", "written", "kept"].map(str::to_owned)];
        rows.extend(PortableEntry::KINDS.iter().zip(&self.0).map(|(kind, KindCount { read, written })| {
            [(*kind).to_owned(), read.to_string(), written.to_string(), (read - written).to_string()]
        }));
        table(&rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        r#"{"kind":"handoffd_store","format":1,"version":"0.1.0","store":"sled","exported_at":"2026-11-29T00:00:00Z"}"#;
    const PAUSE: &str = r#"{"kind":"pause","organization_id":"o","since":"2026-11-29T00:00:00Z"}"#;
    const END: &str = r#"{"kind":"end","entries":1}"#;

    /// Number of entries, and the problem after them.
    fn all(lines: &[&str]) -> (usize, String) {
        let (sender, mut batches) = mpsc::channel(8);
        read(lines.join("\n").as_bytes(), &sender);
        let (mut count, mut problem) = (0, String::new());
        while let Ok(batch) = batches.try_recv() {
            match batch {
                Ok(entries) => count += entries.len(),
                Err(error) => problem = format!("{error:#}"),
            }
        }
        (count, problem)
    }

    #[test]
    fn a_complete_file_is_read_and_so_are_two_in_a_row() {
        assert_eq!(all(&[HEADER, PAUSE, "", END]), (1, String::new()));
        assert_eq!(all(&[HEADER, PAUSE, END, HEADER, PAUSE, END]), (2, String::new()));
    }

    #[test]
    fn what_precedes_an_unreadable_line_is_read_and_the_line_is_named() {
        for (lines, count, problem) in [
            (&[HEADER, PAUSE, "Ann", PAUSE, END][..], 1, "line 3: expected a JSON object"),
            (&[HEADER, PAUSE, END, "Ann"], 1, "line 4"),
            (&[HEADER, PAUSE], 1, "before line 3"),
            (&[PAUSE, END], 0, "line 1: expected the first line"),
            (&["Ann"], 0, "line 1"),
            (&[], 0, "before line 1"),
        ] {
            let (read, found) = all(lines);
            assert!(read == count && found.contains(problem) && !found.contains("Ann"), "{lines:?}: {read} {found}");
        }
    }
}
