//! Opening of the store, with the start of its commit thread. A damaged store is set aside.

use std::sync::Arc;

use handoffd_engine::ports::metrics::Metrics;
use handoffd_engine::ports::store::StoreError;
use sled::Db;

use super::acceptance::unaccepted;
use super::commit::Committer;
use super::database::{Disk, OpenDatabase, OpenFailure, open_database};
use super::errors::{catch_panic, failed, unreadable, unwritten};
use super::options::{CorruptionPolicy, SledOptions};
use super::quarantine::{Quarantined, set_aside};
use super::reopen::Reopener;
use super::state::Shared;
use super::store::SledStore;
use super::unfinished_index::UnfinishedIndex;

/// Open store, and the damaged one that it replaced.
#[derive(Debug)]
pub struct Opened {
    /// Open store.
    pub store: SledStore,
    /// Damaged store that was set aside; the caller logs it as an error.
    pub quarantined: Option<Quarantined>,
}

/// Opens the store. Blocks for `lock_wait`, and longer with a large store, so it must not run in an async task. On a
/// full disk the store opens, but every operation fails until there is room ([`SledStore::health`] reports it).
///
/// # Errors
/// `InUse` if another process holds it, `StoredSchema` if a newer version wrote it, `Open` for every other failure.
pub fn open(options: &SledOptions, metrics: Arc<dyn Metrics>) -> Result<Opened, StoreError> {
    open_with(options, metrics, |disk| disk)
}

/// Opens the store with a wrapper between the commit thread and the disk.
#[doc(hidden)]
pub fn open_with(
    options: &SledOptions,
    metrics: Arc<dyn Metrics>,
    between: impl FnOnce(Box<dyn Disk>) -> Box<dyn Disk>,
) -> Result<Opened, StoreError> {
    let path = &options.path;
    let mut quarantined = None;
    let found = match open_indexed(options) {
        Err(OpenFailure::Damaged(problem)) if options.on_corruption != CorruptionPolicy::Stop => {
            quarantined = Some(set_aside(options, problem)?);
            open_indexed(options)
        }
        found => found,
    };
    let unaccepted = unaccepted(path).map_err(|error| failed(path, &error.to_string()))?;
    let reopener = Reopener::new(options);
    let shared = Arc::new(match found {
        Ok((db, unended)) => Shared::new(path.clone(), (OpenDatabase::of(path, db)?, unended), reopener, unaccepted),
        Err(OpenFailure::Full(problem)) => Shared::without(path.clone(), unwritten(problem), reopener, unaccepted),
        Err(trouble) => return Err(trouble.into_error(path)),
    });
    let disk = between(Box::new(Arc::clone(&shared)));
    let committer = Committer::start(Arc::clone(&shared), disk, metrics)
        .map_err(|error| failed(path, &format!("cannot start the commit thread: {error}")))?;
    Ok(Opened { store: SledStore::new(shared, committer), quarantined })
}

/// Opens the database and reads its unfinished events.
fn open_indexed(options: &SledOptions) -> Result<(Db, UnfinishedIndex), OpenFailure> {
    let db = open_database(options)?;
    match catch_panic(|| UnfinishedIndex::of(&db)) {
        Ok(Ok(unended)) => Ok((db, unended)),
        Ok(Err(error)) => Err(OpenFailure::of(unreadable("unfinished events", error))),
        Err(panic) => Err(OpenFailure::Damaged(panic.to_string())),
    }
}
