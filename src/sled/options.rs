//! Options for opening a store.

use std::path::PathBuf;
use std::time::Duration;

/// Location of a store, and options for opening it.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// Folder of the store; created with its parents if it does not exist.
    pub path: PathBuf,
    /// Size of sled's cache, in bytes. sled's own default is 1 GiB.
    pub cache_bytes: u64,
    /// Reaction to a damaged store.
    pub on_corruption: CorruptionPolicy,
    /// Longest wait for another process to release the lock.
    pub lock_wait: Duration,
}

/// Reaction to a store whose content is invalid, at start or later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CorruptionPolicy {
    /// Rename its folder to `<path>.corrupt-<UTC time>` and start a new one.
    Quarantine,
    /// As `Quarantine`, but the new one is [`Unaccepted`](super::Unaccepted) until an operator accepts it.
    QuarantineUntilAccepted,
    /// Return an error.
    Stop,
}

impl SledOptions {
    /// Returns the defaults for this path: 64 MiB of cache, quarantine, 10 s for the lock.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: 64 << 20,
            on_corruption: CorruptionPolicy::Quarantine,
            lock_wait: Duration::from_secs(10),
        }
    }
}
