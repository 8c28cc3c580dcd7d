//! Database of one store, and a single attempt to open it: waits for its lock and checks its schema version.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use handoffd_engine::ports::store::StoreError;
use sled::Db;

use super::connect::{OpenRefused, connect, is_out_of_space};
use super::errors::{catch_panic, failed, is_damage, is_disk_full, unwritten};
use super::options::SledOptions;
use super::schema::{self, Before, StoredSchema};
use super::{folder, owner};

/// Interval between attempts to lock the store. After a kill the lock can outlive its process for a moment.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// Name of the empty file beside sled's that marks a completely created store.
const COMPLETE: &str = "complete";

/// Disk that makes changes durable. Tests replace it to observe and to refuse a sync.
#[doc(hidden)]
pub trait Disk: Send + 'static {
    /// Returns once everything written so far would survive the loss of power. Only one thread calls it.
    fn sync(&self) -> Result<(), StoreError>;
}

/// Open database.
pub(super) struct OpenDatabase {
    pub db: Db,
    /// Handle for `fsync`, since sled's own flush does not reach the disk on Linux.
    pub file: File,
}

/// Reason why a database was not opened.
pub(super) enum OpenFailure {
    Damaged(String),
    Full(String),
    Other(StoreError),
}

impl OpenDatabase {
    /// Wraps the database in this folder.
    pub(super) fn of(path: &Path, db: Db) -> Result<Self, StoreError> {
        let file = File::open(path.join("db")).map_err(unwritten)?;
        Ok(Self { db, file })
    }
}

/// Makes a single attempt to open the database.
pub(super) fn open_database(options: &SledOptions) -> Result<Db, OpenFailure> {
    let path = &options.path;
    let other = |error| OpenFailure::io(path, &error);
    folder::create(path).map_err(other)?;
    let before = if path.join(COMPLETE).exists() { Before::Store } else { Before::Nothing };
    let db = open_when_unlocked(options)?;
    let schema = catch_panic(|| schema::check(&db, before)).map_err(|panic| OpenFailure::Damaged(panic.to_string()))?;
    match schema.map_err(OpenFailure::of)? {
        StoredSchema::Known => {}
        StoredSchema::Newer(found) => {
            return Err(OpenFailure::Other(StoreError::Schema {
                path: path.display().to_string(),
                found,
                known: schema::KNOWN,
            }));
        }
        StoredSchema::Unknown => {
            let problem = "its schema version is missing or unknown";
            return Err(OpenFailure::Damaged(problem.to_owned()));
        }
    }
    if before == Before::Nothing {
        fs::write(path.join(COMPLETE), "").map_err(other)?;
        folder::sync_all(path).map_err(other)?;
    }
    Ok(db)
}

/// Opens the database once its lock is free.
fn open_when_unlocked(options: &SledOptions) -> Result<Db, OpenFailure> {
    let path = &options.path;
    let started = Instant::now();
    loop {
        // Repeated before each attempt: the current holder of the lock may leave unfinished files.
        folder::tidy(path).map_err(|error| OpenFailure::io(path, &error))?;
        match connect(path, options.cache_bytes) {
            Ok(db) => return Ok(db),
            Err(OpenRefused::Damaged(problem)) => return Err(OpenFailure::Damaged(problem)),
            Err(OpenRefused::Full(problem)) => return Err(OpenFailure::Full(problem)),
            Err(OpenRefused::Failed(problem)) => return Err(OpenFailure::Other(failed(path, &problem))),
            Err(OpenRefused::Locked) if started.elapsed() < options.lock_wait => {
                thread::sleep(LOCK_RETRY);
            }
            Err(OpenRefused::Locked) => {
                return Err(OpenFailure::Other(StoreError::InUse {
                    path: path.display().to_string(),
                    holder: owner::owner(path),
                    waited: options.lock_wait,
                }));
            }
        }
    }
}

impl OpenFailure {
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
