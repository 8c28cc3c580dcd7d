//! Reopening of a broken database, and distinction between a damaged one and one whose writes failed.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handoffd_engine::ports::store::StoreError;
use jiff::Timestamp;
use sled::Db;

use super::errors::{catch_panic, unreadable, unwritten};
use super::open::{CorruptionPolicy, OpenTrouble, Quarantined, SledOptions, attempt, failed};
use super::{acceptance, folder};

/// Longest time that the threads of a dropped database may hold its lock.
pub(super) const LET_GO: Duration = Duration::from_secs(1);

/// Reopens the database of one store, as often as necessary.
pub(super) struct Reopener {
    options: SledOptions,
    /// Damaged store, from its move until the new one is open.
    set_aside: Mutex<Option<Quarantined>>,
}

/// Trust in the content of a reopened database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ReopenTrust {
    /// A write failed; the content is trusted.
    Content,
    /// Damage was reported; every row is read first.
    Nothing,
}

/// Open database.
pub(super) struct OpenDatabase {
    pub db: Db,
    /// Handle for `fsync`, since sled's own flush does not reach the disk on Linux.
    pub file: File,
}

/// Reopened database.
pub(super) enum Reopened {
    /// The same database.
    Same(OpenDatabase),
    /// New database; the damaged one was set aside.
    New(OpenDatabase, Quarantined),
}

impl OpenDatabase {
    /// Wraps the database in this folder.
    pub(super) fn of(path: &Path, db: Db) -> Result<Self, StoreError> {
        let file = File::open(path.join("db")).map_err(unwritten)?;
        Ok(Self { db, file })
    }
}

impl Reopener {
    /// Uses the options that the store was opened with.
    pub(super) fn new(options: &SledOptions) -> Self {
        Self { options: SledOptions { lock_wait: LET_GO, ..options.clone() }, set_aside: Mutex::default() }
    }

    /// Reopens the database. Sets a damaged one aside and opens a new one if the options allow it.
    pub(super) fn reopen(&self, trust: ReopenTrust) -> Result<Reopened, StoreError> {
        let path = &self.options.path;
        let opened =
            attempt(&self.options).and_then(|db| if trust == ReopenTrust::Content { Ok(db) } else { verify_rows(db) });
        let opened = match opened {
            Err(OpenTrouble::Damaged(problem)) if self.options.on_corruption == CorruptionPolicy::Stop => {
                return Err(StoreError::Damaged { path: path.display().to_string(), problem });
            }
            Err(OpenTrouble::Damaged(problem)) => {
                let quarantined = set_aside(&self.options, problem).map_err(|error| unwritten(error.to_string()))?;
                self.moved().get_or_insert(quarantined);
                attempt(&self.options)
            }
            opened => opened,
        };
        let db = opened.map_err(|trouble| unwritten(trouble.into_error(path).to_string()))?;
        let live = OpenDatabase::of(path, db)?;
        Ok(match self.moved().take() {
            None => Reopened::Same(live),
            Some(quarantined) => Reopened::New(live, quarantined),
        })
    }

    /// Reports whether an operator has to accept the replacement of a damaged store.
    pub(super) fn requires_acceptance(&self) -> bool {
        self.options.on_corruption == CorruptionPolicy::QuarantineUntilAccepted
    }

    fn moved(&self) -> MutexGuard<'_, Option<Quarantined>> {
        self.set_aside.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

/// Reads every row. sled verifies the checksum of a page when it reads the page, not when it opens the file.
fn verify_rows(db: Db) -> Result<Db, OpenTrouble> {
    let read = catch_panic(|| db.iter().try_for_each(|row| row.map(drop)));
    let problem = match read {
        Ok(Ok(())) => return Ok(db),
        Ok(Err(error)) => OpenTrouble::of(unreadable("all rows", error)),
        Err(panic) => OpenTrouble::Damaged(panic.to_string()),
    };
    // Dropping it may panic for the same reason.
    _ = catch_panic(|| drop(db));
    Err(problem)
}
