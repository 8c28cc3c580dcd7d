//! Move of a damaged store out of the way of a new one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use handoffd_engine::ports::store::StoreError;
use jiff::Timestamp;

use super::errors::failed;
use super::options::{CorruptionPolicy, SledOptions};
use super::{acceptance, folder};

/// Longest time that the threads of a dropped database may hold its lock.
pub(super) const LET_GO: Duration = Duration::from_secs(1);

/// Damaged store that was set aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    /// Current path.
    pub path: PathBuf,
    /// Description of the damage.
    pub problem: String,
}

/// Moves a damaged store aside. If an operator has to accept the new one, the marker is written first.
pub(super) fn set_aside(options: &SledOptions, problem: String) -> Result<Quarantined, StoreError> {
    let path: &Path = &options.path;
    // Threads of a database that is still closing would write into the new folder.
    folder::wait_until_free(path, LET_GO);
    let aside = folder::set_aside_path(path, Timestamp::now());
    let marked = match options.on_corruption {
        CorruptionPolicy::QuarantineUntilAccepted => acceptance::require(path, &aside),
        CorruptionPolicy::Quarantine | CorruptionPolicy::Stop => Ok(()),
    };
    match marked.and_then(|()| folder::set_aside(path, &aside)) {
        Ok(()) => Ok(Quarantined { path: aside, problem }),
        Err(error) => Err(failed(path, &format!("{problem}; cannot move it aside: {error}"))),
    }
}
