//! Reopening of a broken database, and distinction between a damaged one and one whose writes failed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use handoffd_engine::ports::store::StoreError;
use sled::Db;

use super::database::{OpenDatabase, OpenFailure, open_database};
use super::errors::{catch_panic, unreadable, unwritten};
use super::options::{CorruptionPolicy, SledOptions};
use super::quarantine::{LET_GO, Quarantined, set_aside};

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

/// Reopened database.
pub(super) enum Reopened {
    /// The same database.
    Same(OpenDatabase),
    /// New database; the damaged one was set aside.
    New(OpenDatabase, Quarantined),
}

impl Reopener {
    /// Uses the options that the store was opened with.
    pub(super) fn new(options: &SledOptions) -> Self {
        Self { options: SledOptions { lock_wait: LET_GO, ..options.clone() }, set_aside: Mutex::default() }
    }

    /// Reopens the database. Sets a damaged one aside and opens a new one if the options allow it.
    pub(super) fn reopen(&self, trust: ReopenTrust) -> Result<Reopened, StoreError> {
        let path = &self.options.path;
        let opened = open_database(&self.options)
            .and_then(|db| if trust == ReopenTrust::Content { Ok(db) } else { verify_rows(db) });
        let opened = match opened {
            Err(OpenFailure::Damaged(problem)) if self.options.on_corruption == CorruptionPolicy::Stop => {
                return Err(StoreError::Damaged { path: path.display().to_string(), problem });
            }
            Err(OpenFailure::Damaged(problem)) => {
                let quarantined = set_aside(&self.options, problem).map_err(|error| unwritten(error.to_string()))?;
                self.moved().get_or_insert(quarantined);
                open_database(&self.options)
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

/// Reads every row. sled verifies the checksum of a page when it reads the page, not when it opens the file.
fn verify_rows(db: Db) -> Result<Db, OpenFailure> {
    let read = catch_panic(|| db.iter().try_for_each(|row| row.map(drop)));
    let problem = match read {
        Ok(Ok(())) => return Ok(db),
        Ok(Err(error)) => OpenFailure::of(unreadable("all rows", error)),
        Err(panic) => OpenFailure::Damaged(panic.to_string()),
    };
    // Dropping it may panic for the same reason.
    _ = catch_panic(|| drop(db));
    Err(problem)
}
