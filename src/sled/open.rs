//! Opening: waiting for the lock, setting a damaged store aside, checking the version.

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
use super::connect::{Refused, connect, is_room};
use super::errors::{calmly, is_damage, is_for_want_of_room, unreadable, unwritten};
use super::reopen::{Live, Reopener, set_aside};
use super::schema::{self, Before, Schema};
use super::state::Shared;
use super::store::SledStore;
use super::unended::Unended;
use super::{folder, owner};

/// After a kill the lock can outlive its process for a moment.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// An empty file beside sled's: the store was made completely.
const COMPLETE: &str = "complete";

/// Where a store is and how to open it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The store's folder; made, with those above it, when it is not there.
    pub path: PathBuf,
    /// What sled may keep in memory, in bytes. Its own default is 1 GiB.
    pub cache_bytes: u64,
    /// What to do when it is damaged.
    pub on_corruption: OnCorruption,
    /// How long to wait for another process to let go of it.
    pub lock_wait: Duration,
}

/// What to do with a store whose content makes no sense, found at the start or later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnCorruption {
    /// Rename its folder to `<path>.corrupt-<UTC time>` and start a new one.
    Quarantine,
    /// The same; the new one is [`Unaccepted`](super::Unaccepted) until an operator accepts it.
    QuarantineUntilAccepted,
    /// Fail.
    Stop,
}

/// An open store.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: SledStore,
    /// Where the damaged one was put; the caller says so, loudly.
    pub quarantined: Option<Quarantined>,
}

/// A damaged store that was set aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    /// Where it is now.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl Options {
    /// With the defaults: 64 MiB of cache, quarantine, 10 s for the lock.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache_bytes: 64 << 20,
            on_corruption: OnCorruption::Quarantine,
            lock_wait: Duration::from_secs(10),
        }
    }
}

/// Opens the store. Blocks, for `lock_wait` and longer with a large store: not for an async task. Where the disk is full,
/// all that is asked of the store fails until there is room ([`SledStore::health`] tells).
///
/// # Errors
/// `InUse` when another process keeps it, `Schema` when a newer program wrote it, `Open` for everything else.
pub fn open(options: &Options, watch: Arc<dyn Metrics>) -> Result<Opened, StoreError> {
    open_with(options, watch, |disk| disk)
}

/// The same, with something between the committer and the disk.
#[doc(hidden)]
pub fn open_with(
    options: &Options,
    watch: Arc<dyn Metrics>,
    between: impl FnOnce(Box<dyn Disk>) -> Box<dyn Disk>,
) -> Result<Opened, StoreError> {
    let path = &options.path;
    let mut quarantined = None;
    let found = match first(options) {
        Err(Trouble::Damaged(problem)) if options.on_corruption != OnCorruption::Stop => {
            quarantined = Some(set_aside(options, problem)?);
            first(options)
        }
        found => found,
    };
    let unaccepted = unaccepted(path).map_err(|error| failed(path, &error.to_string()))?;
    let reopener = Reopener::new(options);
    let shared = Arc::new(match found {
        Ok((db, unended)) => Shared::new(path.clone(), (Live::of(path, db)?, unended), reopener, unaccepted),
        Err(Trouble::Full(problem)) => Shared::without(path.clone(), unwritten(problem), reopener, unaccepted),
        Err(trouble) => return Err(trouble.into_error(path)),
    });
    let disk = between(Box::new(Arc::clone(&shared)));
    let committer = Committer::start(Arc::clone(&shared), disk, watch)
        .map_err(|error| failed(path, &format!("no thread to commit on: {error}")))?;
    Ok(Opened { store: SledStore::new(shared, committer), quarantined })
}

/// Why a database was not opened.
pub(super) enum Trouble {
    Damaged(String),
    Full(String),
    Other(StoreError),
}

/// Opens the database, and reads which events in it have not ended.
fn first(options: &Options) -> Result<(Db, Unended), Trouble> {
    let db = attempt(options)?;
    match calmly(|| Unended::of(&db)) {
        Ok(Ok(unended)) => Ok((db, unended)),
        Ok(Err(error)) => Err(Trouble::of(unreadable("events that have not ended", error))),
        Err(panic) => Err(Trouble::Damaged(panic.to_string())),
    }
}

/// One attempt at opening the database.
pub(super) fn attempt(options: &Options) -> Result<Db, Trouble> {
    let path = &options.path;
    let other = |error| Trouble::io(path, &error);
    folder::create(path).map_err(other)?;
    let before = if path.join(COMPLETE).exists() { Before::Store } else { Before::Nothing };
    let db = unlocked(options)?;
    let schema = calmly(|| schema::check(&db, before)).map_err(|panic| Trouble::Damaged(panic.to_string()))?;
    match schema.map_err(Trouble::of)? {
        Schema::Known => {}
        Schema::Newer(found) => {
            return Err(Trouble::Other(StoreError::Schema {
                path: path.display().to_string(),
                found,
                known: schema::KNOWN,
            }));
        }
        Schema::Unknown => {
            let problem = "its schema version is missing or was never written by this program";
            return Err(Trouble::Damaged(problem.to_owned()));
        }
    }
    if before == Before::Nothing {
        fs::write(path.join(COMPLETE), "").map_err(other)?;
        folder::sync_all(path).map_err(other)?;
    }
    Ok(db)
}

/// Waits for the lock.
fn unlocked(options: &Options) -> Result<Db, Trouble> {
    let path = &options.path;
    let started = Instant::now();
    loop {
        // Each time: what holds the lock now may leave something unfinished.
        folder::tidy(path).map_err(|error| Trouble::io(path, &error))?;
        match connect(path, options.cache_bytes) {
            Ok(db) => return Ok(db),
            Err(Refused::Damaged(problem)) => return Err(Trouble::Damaged(problem)),
            Err(Refused::Full(problem)) => return Err(Trouble::Full(problem)),
            Err(Refused::Failed(problem)) => return Err(Trouble::Other(failed(path, &problem))),
            Err(Refused::Locked) if started.elapsed() < options.lock_wait => {
                thread::sleep(LOCK_RETRY);
            }
            Err(Refused::Locked) => {
                return Err(Trouble::Other(StoreError::InUse {
                    path: path.display().to_string(),
                    holder: owner::owner(path),
                    waited: options.lock_wait,
                }));
            }
        }
    }
}

impl Trouble {
    /// What a failure of an open database means for opening it.
    pub(super) fn of(error: StoreError) -> Self {
        match error.to_string() {
            problem if is_for_want_of_room(&error) => Self::Full(problem),
            problem if is_damage(&error) => Self::Damaged(problem),
            _ => Self::Other(error),
        }
    }

    fn io(path: &Path, error: &std::io::Error) -> Self {
        match error.to_string() {
            problem if is_room(error) => Self::Full(problem),
            problem => Self::Other(failed(path, &problem)),
        }
    }

    pub(super) fn into_error(self, path: &Path) -> StoreError {
        match self {
            Self::Other(error) => error,
            Self::Full(problem) => failed(path, &problem),
            Self::Damaged(problem) => failed(
                path,
                &format!(
                    "it is damaged ({problem}): move the folder away, or set store.on_corruption = \"quarantine\""
                ),
            ),
        }
    }
}

pub(super) fn failed(path: &Path, problem: &str) -> StoreError {
    StoreError::Open { path: path.display().to_string(), problem: problem.to_owned() }
}
