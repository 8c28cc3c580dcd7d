//! A single attempt to open sled, and the meaning of its failures.

use std::any::Any;
use std::io;
use std::path::Path;
use std::thread;

use sled::Db;

/// Interval of sled's own flush, in milliseconds: sled's default. Without that flush old segments are never freed. At
/// most half of the interval is spent on cleaning. No call waits for this flush; the commit thread runs its own.
const FLUSH_EVERY_MS: u64 = 500;

/// Reason why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenRefused {
    /// Another process, or another store in this process, has it open.
    #[error("the database is locked")]
    Locked,
    /// Its content is invalid.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The disk is full; the database is intact.
    #[error("{0}")]
    Full(String),
    /// A permission is missing or the disk fails; the database may be intact.
    #[error("{0}")]
    Failed(String),
}

/// Opens the database in this folder, on a thread of its own because sled panics on some damage (sled issue 1533).
pub(super) fn connect(path: &Path, cache_bytes: u64) -> Result<Db, OpenRefused> {
    let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(Some(FLUSH_EVERY_MS));
    let opening = thread::Builder::new()
        .name("store-open".to_owned())
        .spawn(move || config.open())
        .map_err(|error| OpenRefused::Failed(format!("cannot start the thread that opens it: {error}")))?;
    match opening.join() {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(error)) => Err(meaning(&error)),
        Err(panic) => Err(OpenRefused::Damaged(panic_text(panic.as_ref()))),
    }
}

/// Returns the message of a panic.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("sled panicked: {}", text.unwrap_or("without a message"))
}

/// Classifies an error of sled.
pub(super) fn meaning(error: &sled::Error) -> OpenRefused {
    match error {
        // The kind is `Other`; only the text identifies this error (sled 0.34.7, config.rs, `try_lock`).
        sled::Error::Io(cause) if cause.to_string().contains("could not acquire lock") => OpenRefused::Locked,
        sled::Error::Io(cause) if is_content(cause) => OpenRefused::Damaged(error.to_string()),
        sled::Error::Io(cause) if is_out_of_space(cause) => OpenRefused::Full(error.to_string()),
        sled::Error::Io(_) => OpenRefused::Failed(error.to_string()),
        sled::Error::Corruption { .. }
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::CollectionNotFound(_) => OpenRefused::Damaged(error.to_string()),
    }
}

/// Reports whether the disk, a quota or a limit of the process left no room.
pub(super) fn is_out_of_space(cause: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(cause.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn is_content(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
