//! Opening of the store: waits for the lock, sets a damaged store aside and checks the schema version.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use handoffd_engine::ports::metrics::Metrics;
use handoffd_engine::ports::store::StoreError;
use sled::Db;

use super::acceptance::unaccepted;
use super::commit::{Committer, Disk};
use super::connect::{OpenRefused, connect, is_out_of_space};
use super::errors::{catch_panic, is_damage, is_disk_full, unreadable, unwritten};
use super::reopen::{OpenDatabase, Reopener, set_aside};
use super::schema::{self, Before, StoredSchema};
use super::state::Shared;
use super::store::SledStore;
use super::unfinished_index::UnfinishedIndex;
use super::{folder, owner};

/// Interval between attempts to lock the store. After a kill the lock can outlive its process for a moment.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// Name of the empty file beside sled's that marks a completely created store.
const COMPLETE: &str = "complete";

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

/// Open store, and the damaged one that it replaced.
#[derive(Debug)]
pub struct Opened {
    /// Open store.
    pub store: SledStore,
    /// Damaged store that was set aside; the caller logs it as an error.
    pub quarantined: Option<Quarantined>,
}

/// Damaged store that was set aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    /// Current path.
    pub path: PathBuf,
    /// Description of the damage.
    pub problem: String,
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

/// Opens the store. Blocks for `lock_wait`, and longer with a large store, so it must not run in an async task. On a
/// full disk the store opens, but every operation fails until there is room ([`SledStore::health`] reports it).
///
/// # Errors
/// `InUse` if another process holds it, `StoredSchema` if a newer version wrote it, `Open` for every other failure.
pub fn open(options: &SledOptions, watch: Arc<dyn Metrics>) -> Result<Opened, StoreError> {
    open_with(options, watch, |disk| disk)
}

/// Opens the store with a wrapper between the commit thread and the disk.
#[doc(hidden)]
pub fn open_with(
    options: &SledOptions,
    watch: Arc<dyn Metrics>,
    between: impl FnOnce(Box<dyn Disk>) -> Box<dyn Disk>,
) -> Result<Opened, StoreError> {
    let path = &options.path;
    let mut quarantined = None;
    let found = match open_database(options) {
        Err(OpenTrouble::Damaged(problem)) if options.on_corruption != CorruptionPolicy::Stop => {
            quarantined = Some(set_aside(options, problem)?);
            open_database(options)
        }
        found => found,
    };
    let unaccepted = unaccepted(path).map_err(|error| failed(path, &error.to_string()))?;
    let reopener = Reopener::new(options);
    let shared = Arc::new(match found {
        Ok((db, unended)) => Shared::new(path.clone(), (OpenDatabase::of(path, db)?, unended), reopener, unaccepted),
        Err(OpenTrouble::Full(problem)) => Shared::without(path.clone(), unwritten(problem), reopener, unaccepted),
        Err(trouble) => return Err(trouble.into_error(path)),
    });
    let disk = between(Box::new(Arc::clone(&shared)));
    let committer = Committer::start(Arc::clone(&shared), disk, watch)
        .map_err(|error| failed(path, &format!("cannot start the commit thread: {error}")))?;
    Ok(Opened { store: SledStore::new(shared, committer), quarantined })
}

/// Reason why a database was not opened.
pub(super) enum OpenTrouble {
    Damaged(String),
    Full(String),
    Other(StoreError),
}

/// Opens the database and reads its unfinished events.
fn open_database(options: &SledOptions) -> Result<(Db, UnfinishedIndex), OpenTrouble> {
    let db = attempt(options)?;
    match catch_panic(|| UnfinishedIndex::of(&db)) {
        Ok(Ok(unended)) => Ok((db, unended)),
        Ok(Err(error)) => Err(OpenTrouble::of(unreadable("unfinished events", error))),
        Err(panic) => Err(OpenTrouble::Damaged(panic.to_string())),
    }
}

/// Makes a single attempt to open the database.
pub(super) fn attempt(options: &SledOptions) -> Result<Db, OpenTrouble> {
    let path = &options.path;
    let other = |error| OpenTrouble::io(path, &error);
    folder::create(path).map_err(other)?;
    let before = if path.join(COMPLETE).exists() { Before::Store } else { Before::Nothing };
    let db = open_when_unlocked(options)?;
    let schema = catch_panic(|| schema::check(&db, before)).map_err(|panic| OpenTrouble::Damaged(panic.to_string()))?;
    match schema.map_err(OpenTrouble::of)? {
        StoredSchema::Known => {}
        StoredSchema::Newer(found) => {
            return Err(OpenTrouble::Other(StoreError::Schema {
                path: path.display().to_string(),
                found,
                known: schema::KNOWN,
            }));
        }
        StoredSchema::Unknown => {
            let problem = "its schema version is missing or unknown";
            return Err(OpenTrouble::Damaged(problem.to_owned()));
        }
    }
    if before == Before::Nothing {
        fs::write(path.join(COMPLETE), "").map_err(other)?;
        folder::sync_all(path).map_err(other)?;
    }
    Ok(db)
}

/// Opens the database once its lock is free.
fn open_when_unlocked(options: &SledOptions) -> Result<Db, OpenTrouble> {
    let path = &options.path;
    let started = Instant::now();
    loop {
        // Repeated before each attempt: the current holder of the lock may leave unfinished files.
        folder::tidy(path).map_err(|error| OpenTrouble::io(path, &error))?;
        match connect(path, options.cache_bytes) {
            Ok(db) => return Ok(db),
            Err(OpenRefused::Damaged(problem)) => return Err(OpenTrouble::Damaged(problem)),
            Err(OpenRefused::Full(problem)) => return Err(OpenTrouble::Full(problem)),
            Err(OpenRefused::Failed(problem)) => return Err(OpenTrouble::Other(failed(path, &problem))),
            Err(OpenRefused::Locked) if started.elapsed() < options.lock_wait => {
                thread::sleep(LOCK_RETRY);
            }
            Err(OpenRefused::Locked) => {
                return Err(OpenTrouble::Other(StoreError::InUse {
                    path: path.display().to_string(),
                    holder: owner::owner(path),
                    waited: options.lock_wait,
                }));
            }
        }
    }
}

impl OpenTrouble {
    /// Classifies a failure of an open database as one of opening it.
    pub(super) fn of(error: StoreError) -> Self {
        match error.to_string() {
            problem if is_disk_full(&error) => Self::Full(problem),
            problem if is_damage(&error) => Self::Damaged(problem),
            _ => Self::Other(error),
        }
    }

    fn io(path: &Path, error: &std::io::Error) -> Self {
        match error.to_string() {
            problem if is_out_of_space(error) => Self::Full(problem),
            problem => Self::Other(failed(path, &problem)),
        }
    }

    pub(super) fn into_error(self, path: &Path) -> StoreError {
        match self {
            Self::Other(error) => error,
            Self::Full(problem) => failed(path, &problem),
            Self::Damaged(problem) => failed(
                path,
                &format!("it is damaged ({problem}); move the folder away or set store.on_corruption = \"quarantine\""),
            ),
        }
    }
}

pub(super) fn failed(path: &Path, problem: &str) -> StoreError {
    StoreError::Open { path: path.display().to_string(), problem: problem.to_owned() }
}
