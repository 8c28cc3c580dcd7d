//! Opening: waiting for the lock, setting a damaged store aside, checking the version.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sled::Db;

use super::commit::{Committer, Disk};
use super::connect::{Refused, connect, is_room};
use super::errors::{is_for_want_of_room, unwritten};
use super::schema::{self, Before, Schema};
use super::state::Shared;
use super::store::SledStore;
use super::{folder, owner};
use crate::store::StoreError;
use crate::watch::Watch;

/// How long the threads of a database that was let go may hold its lock.
const LET_GO: Duration = Duration::from_secs(1);

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

/// What to do with a store that can't be opened because its content makes no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnCorruption {
    /// Rename its folder to `<path>.corrupt-<UTC time>` and start a new one.
    Quarantine,
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
pub fn open(options: &Options, watch: Arc<dyn Watch>) -> Result<Opened, StoreError> {
    open_with(options, watch, |disk| disk)
}

/// The same, with something between the committer and the disk.
#[doc(hidden)]
pub fn open_with(
    options: &Options,
    watch: Arc<dyn Watch>,
    between: impl FnOnce(Box<dyn Disk>) -> Box<dyn Disk>,
) -> Result<Opened, StoreError> {
    let path = &options.path;
    let mut quarantined = None;
    let first = match attempt(options) {
        Err(Trouble::Damaged(problem)) if options.on_corruption == OnCorruption::Quarantine => {
            let aside = folder::set_aside(path, Timestamp::now())
                .map_err(|error| failed(path, &format!("{problem}; cannot set it aside: {error}")))?;
            quarantined = Some(Quarantined { path: aside, problem });
            attempt(options)
        }
        first => first,
    };
    let again = Options { lock_wait: LET_GO, ..options.clone() };
    let again = move || attempt(&again).map_err(|trouble| unwritten(trouble.into_error(&again.path).to_string()));
    let shared = Arc::new(match first {
        Ok(db) => Shared::new(path.clone(), db, Box::new(again))?,
        Err(Trouble::Full(problem)) => Shared::without(path.clone(), unwritten(problem), Box::new(again)),
        Err(trouble) => return Err(trouble.into_error(path)),
    });
    let disk = between(Box::new(Arc::clone(&shared)));
    let committer = Committer::start(Arc::clone(&shared), disk, watch)
        .map_err(|error| failed(path, &format!("no thread to commit on: {error}")))?;
    Ok(Opened { store: SledStore::new(shared, committer), quarantined })
}

enum Trouble {
    Damaged(String),
    Full(String),
    Other(StoreError),
}

fn attempt(options: &Options) -> Result<Db, Trouble> {
    let path = &options.path;
    let other = |error: std::io::Error| match error.to_string() {
        problem if is_room(&error) => Trouble::Full(problem),
        problem => Trouble::Other(failed(path, &problem)),
    };
    folder::create(path).map_err(other)?;
    folder::tidy(path).map_err(other)?;
    let before = if path.join(COMPLETE).exists() { Before::Store } else { Before::Nothing };
    let db = unlocked(options)?;
    match schema::check(&db, before).map_err(Trouble::of)? {
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
    fn of(error: StoreError) -> Self {
        if is_for_want_of_room(&error) { Self::Full(error.to_string()) } else { Self::Other(error) }
    }

    fn into_error(self, path: &Path) -> StoreError {
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

fn failed(path: &Path, problem: &str) -> StoreError {
    StoreError::Open { path: path.display().to_string(), problem: problem.to_owned() }
}
