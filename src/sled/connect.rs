//! One attempt at opening sled, and what it means when it fails.

use std::any::Any;
use std::io;
use std::path::Path;
use std::thread;

use sled::Db;

/// How often sled's own thread tidies its file: without it old segments are never freed. Half of that time at most goes
/// into tidying. Nothing waits for this flush; the committer's is what counts. sled's default.
const FLUSH_EVERY_MS: u64 = 500;

/// Why it could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// Another process (or another store of this one) has it open.
    #[error("it is locked")]
    Locked,
    /// Its content makes no sense.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// There is no room on the disk: it is fine once there is.
    #[error("{0}")]
    Full(String),
    /// A permission is missing, the disk fails: it may be fine.
    #[error("{0}")]
    Failed(String),
}

/// Opens the database in this folder. sled panics on some damage (its issue 1533), so this happens on a thread of its own.
pub(super) fn connect(path: &Path, cache_bytes: u64) -> Result<Db, Refused> {
    let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(Some(FLUSH_EVERY_MS));
    let opening = thread::Builder::new()
        .name("store-open".to_owned())
        .spawn(move || config.open())
        .map_err(|error| Refused::Failed(format!("no thread to open it on: {error}")))?;
    match opening.join() {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(error)) => Err(meaning(&error)),
        Err(panic) => Err(Refused::Damaged(panic_text(panic.as_ref()))),
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("sled panicked: {}", text.unwrap_or("without a word"))
}

/// What an error of sled's means.
pub(super) fn meaning(error: &sled::Error) -> Refused {
    match error {
        // The kind is `Other`, the text is all that tells it (sled 0.34.7, config.rs, `try_lock`).
        sled::Error::Io(cause) if cause.to_string().contains("could not acquire lock") => Refused::Locked,
        sled::Error::Io(cause) if is_content(cause) => Refused::Damaged(error.to_string()),
        sled::Error::Io(cause) if is_room(cause) => Refused::Full(error.to_string()),
        sled::Error::Io(_) => Refused::Failed(error.to_string()),
        sled::Error::Corruption { .. }
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::CollectionNotFound(_) => Refused::Damaged(error.to_string()),
    }
}

/// Whether the disk, a quota or a limit of the process left no room.
pub(super) fn is_room(cause: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(cause.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn is_content(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
