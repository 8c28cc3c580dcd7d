//! Reopening of a broken database, and distinction between a damaged one and one whose writes failed.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handoffd_engine::ports::store::StoreError;
use jiff::Timestamp;
use sled::Db;

use super::errors::{calmly, unreadable, unwritten};
use super::open::{OnCorruption, Options, Quarantined, Trouble, attempt, failed};
use super::{acceptance, folder};

/// Longest time that the threads of a dropped database may hold its lock.
pub(super) const LET_GO: Duration = Duration::from_secs(1);

/// Reopens the database of one store, as often as necessary.
pub(super) struct Reopener {
    options: Options,
    /// Damaged store, from its move until the new one is open.
    set_aside: Mutex<Option<Quarantined>>,
}

/// Trust in the content of a reopened database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trust {
    /// A write failed; the content is trusted.
    Content,
    /// Damage was reported; every row is read first.
    Nothing,
}

/// Open database.
pub(super) struct Live {
    pub db: Db,
    /// Handle for `fsync`, since sled's own flush does not reach the disk on Linux.
    pub file: File,
}

/// Reopened database.
pub(super) enum Reopened {
    /// The same database.
    Same(Live),
    /// New database; the damaged one was set aside.
    New(Live, Quarantined),
}

impl Live {
    /// Wraps the database in this folder.
    pub(super) fn of(path: &Path, db: Db) -> Result<Self, StoreError> {
        let file = File::open(path.join("db")).map_err(unwritten)?;
        Ok(Self { db, file })
    }
}

impl Reopener {
    /// Uses the options that the store was opened with.
    pub(super) fn new(options: &Options) -> Self {
        Self { options: Options { lock_wait: LET_GO, ..options.clone() }, set_aside: Mutex::default() }
    }

    /// Reopens the database. Sets a damaged one aside and opens a new one if the options allow it.
    pub(super) fn reopen(&self, trust: Trust) -> Result<Reopened, StoreError> {
        let path = &self.options.path;
        let opened = attempt(&self.options).and_then(|db| if trust == Trust::Content { Ok(db) } else { examined(db) });
        let opened = match opened {
            Err(Trouble::Damaged(problem)) if self.options.on_corruption == OnCorruption::Stop => {
                return Err(StoreError::Damaged { path: path.display().to_string(), problem });
            }
            Err(Trouble::Damaged(problem)) => {
                let quarantined = set_aside(&self.options, problem).map_err(|error| unwritten(error.to_string()))?;
                self.moved().get_or_insert(quarantined);
                attempt(&self.options)
            }
            opened => opened,
        };
        let db = opened.map_err(|trouble| unwritten(trouble.into_error(path).to_string()))?;
        let live = Live::of(path, db)?;
        Ok(match self.moved().take() {
            None => Reopened::Same(live),
            Some(quarantined) => Reopened::New(live, quarantined),
        })
    }

    /// Reports whether an operator has to accept the replacement of a damaged store.
    pub(super) fn asks(&self) -> bool {
        self.options.on_corruption == OnCorruption::QuarantineUntilAccepted
    }

    fn moved(&self) -> MutexGuard<'_, Option<Quarantined>> {
        self.set_aside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves a damaged store aside. If an operator has to accept the new one, the marker is written first.
pub(super) fn set_aside(options: &Options, problem: String) -> Result<Quarantined, StoreError> {
    let path: &Path = &options.path;
    // Threads of a database that is still closing would write into the new folder.
    folder::wait_until_free(path, LET_GO);
    let aside = folder::aside(path, Timestamp::now());
    let marked = match options.on_corruption {
        OnCorruption::QuarantineUntilAccepted => acceptance::require(path, &aside),
        OnCorruption::Quarantine | OnCorruption::Stop => Ok(()),
    };
    match marked.and_then(|()| folder::set_aside(path, &aside)) {
        Ok(()) => Ok(Quarantined { path: aside, problem }),
        Err(error) => Err(failed(path, &format!("{problem}; cannot move it aside: {error}"))),
    }
}

/// Reads every row. sled verifies the checksum of a page when it reads the page, not when it opens the file.
fn examined(db: Db) -> Result<Db, Trouble> {
    let read = calmly(|| db.iter().try_for_each(|row| row.map(drop)));
    let problem = match read {
        Ok(Ok(())) => return Ok(db),
        Ok(Err(error)) => Trouble::of(unreadable("all rows", error)),
        Err(panic) => Trouble::Damaged(panic.to_string()),
    };
    // Dropping it may panic for the same reason.
    _ = calmly(|| drop(db));
    Err(problem)
}
