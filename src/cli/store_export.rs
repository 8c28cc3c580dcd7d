//! `store export`: the content of the store as JSON Lines, with an end, so that an incomplete file is recognized.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use handoffd_engine::ports::store::portable::{ExportEnd, ExportHeader, ExportLine, PortableEntry, write_line};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::shell::{print, print_status, standard_output};
use super::table::table;
use crate::app::{Transfer, portable_store};
use crate::config::{Config, StoreKind};
use crate::private_files;

/// Number of pages between the store and the file.
const AHEAD: usize = 2;

/// Exports the store and prints the number of entries of each kind.
pub(super) async fn export(config: &Config, file: Option<PathBuf>, force: bool) -> Result<()> {
    let file = file.filter(|file| file.as_os_str() != "-");
    if let Some(file) = &file {
        check_free(file, force)?;
    }
    let store = portable_store(config, Transfer::Export).await?;
    let kind = match config.store.kind {
        StoreKind::Sled => "sled",
        StoreKind::Postgres => "postgres",
    };
    let header = ExportHeader::new(env!("CARGO_PKG_VERSION"), kind, Timestamp::now());
    let (sender, pages) = mpsc::channel(AHEAD);
    let target = file.clone();
    let writer = spawn_blocking(move || write(target, force, header, pages));
    let read = store.export(sender).await;
    let written = writer.await?;
    let closed = store.finish().await;
    // If both failed, the writer gave up and the store followed.
    let (counts, output) = written?;
    read?;
    closed?;
    spawn_blocking(move || output.complete(counts.iter().sum())).await??;
    let text = summary(&counts);
    match file {
        Some(file) => print(&format!("exported the store to {}\n{text}", file.display())),
        None => print_status(text.trim_end()),
    }
    Ok(())
}

/// Fails if the file exists and is not to be replaced, or can't be.
fn check_free(file: &Path, force: bool) -> Result<()> {
    match fs::symlink_metadata(file) {
        Ok(_) if !force => bail!("{} exists; name a new file, or pass --force to replace it", file.display()),
        Ok(found) if !found.is_file() => {
            bail!("{} is not a regular file; name a new file, or `-` for standard output", file.display())
        }
        _ => Ok(()),
    }
}

type ExportCounts = [u64; PortableEntry::KINDS.len()];

/// Writes all pages. The end is written later, once the store has sent everything.
fn write(
    file: Option<PathBuf>,
    force: bool,
    header: ExportHeader,
    mut pages: mpsc::Receiver<Vec<PortableEntry>>,
) -> Result<(ExportCounts, ExportOutput)> {
    let mut output = ExportOutput::new(file, force)?;
    let mut counts = ExportCounts::default();
    let mut text = Vec::new();
    write_line(&mut text, &ExportLine::Header(header));
    output.write(&text)?;
    while let Some(page) = pages.blocking_recv() {
        text.clear();
        for entry in page {
            counts[entry.kind()] += 1;
            write_line(&mut text, &ExportLine::Entry(entry));
        }
        output.write(&text)?;
    }
    Ok((counts, output))
}

fn summary(counts: &ExportCounts) -> String {
    let mut rows = vec![["kind".to_owned(), "exported".to_owned()]];
    rows.extend(PortableEntry::KINDS.iter().zip(counts).map(|(kind, count)| [(*kind).to_owned(), count.to_string()]));
    table(&rows)
}

/// File that is being written, or standard output. An incomplete file is removed when dropped.
struct ExportOutput {
    file: Option<ExportFile>,
}

struct ExportFile {
    /// Name of the complete file.
    path: PathBuf,
    /// Name while it is written: another one if a file is replaced, which stays until then.
    partial: PathBuf,
    open: File,
    is_complete: bool,
}

impl ExportOutput {
    fn new(path: Option<PathBuf>, force: bool) -> Result<Self> {
        let Some(path) = path else { return Ok(Self { file: None }) };
        let mut partial = path.as_os_str().to_owned();
        if force {
            partial.push(format!(".{}.partial", std::process::id()));
        }
        let partial = PathBuf::from(partial);
        let open =
            private_files::create_file(&partial).with_context(|| format!("can't create {}", partial.display()))?;
        Ok(Self { file: Some(ExportFile { path, partial, open, is_complete: false }) })
    }

    fn write(&mut self, text: &[u8]) -> Result<()> {
        match &mut self.file {
            Some(file) => file.open.write_all(text).with_context(|| format!("can't write {}", file.partial.display())),
            None => standard_output().lock().write_all(text).context("can't write to standard output"),
        }
    }

    /// Writes the end, makes the file durable and gives it its name.
    fn complete(mut self, entries: u64) -> Result<()> {
        let mut text = Vec::new();
        write_line(&mut text, &ExportLine::End(ExportEnd { entries }));
        self.write(&text)?;
        let Some(file) = &mut self.file else {
            return standard_output().flush().context("can't write to standard output");
        };
        let failed = || format!("can't complete {}", file.path.display());
        file.open.sync_all().with_context(failed)?;
        if file.partial != file.path {
            fs::rename(&file.partial, &file.path).with_context(failed)?;
        }
        file.is_complete = true;
        Ok(())
    }
}

impl Drop for ExportOutput {
    fn drop(&mut self) {
        if let Some(file) = self.file.as_ref().filter(|file| !file.is_complete) {
            _ = fs::remove_file(&file.partial); // there is nobody to report it to, and the file shows that it is incomplete
        }
    }
}
