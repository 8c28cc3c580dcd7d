//! The open database, and what takes its place when it is broken or closed.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use sled::{Db, Tree};

use super::commit::Disk;
use super::connect::{Refused, connect, panic_text};
use super::errors::{unreadable, unwritten};
use crate::store::StoreError;

/// How long a broken store is left alone before it is live again, and how long that may take.
const MEND_EVERY: Duration = Duration::from_secs(1);

/// What the store and its committer share.
pub(super) struct Shared {
    /// The store's folder.
    pub path: PathBuf,
    /// What sled may keep in memory.
    pub cache_bytes: u64,
    state: RwLock<State>,
    /// Held from reading what a change replaces until the change is applied.
    writing: Mutex<()>,
}

enum State {
    Live(Live),
    Broken(Broken),
    Closed,
}

struct Live {
    db: Db,
    /// sled's own flush does not reach the disk on Linux: this handle is for the `fsync` that does.
    file: File,
    /// Counts openings: what was written to one is not made durable by a flush of the next.
    generation: u64,
}

/// After one failed write (a full disk, for one) sled refuses all others, until it is live again.
struct Broken {
    problem: StoreError,
    since: Instant,
    generation: u64,
}

impl Shared {
    /// Takes over an open database.
    pub fn new(path: PathBuf, cache_bytes: u64, db: Db) -> Result<Self, StoreError> {
        let shared = Self { path, cache_bytes, state: RwLock::new(State::Closed), writing: Mutex::new(()) };
        shared.install(db, 0)?;
        Ok(shared)
    }

    /// Reads something; `what` names it in the error.
    pub fn read<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Tree) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let state = self.state();
        let live = state.live()?;
        match catch_unwind(AssertUnwindSafe(|| work(&live.db))) {
            Ok(done) => done,
            Err(panic) => Err(unreadable(what, panic_text(panic.as_ref()))),
        }
    }

    /// Reads and writes, one caller at a time. Also returns the generation that has to be synced.
    pub fn write<T>(&self, work: impl FnOnce(&Tree) -> Result<T, StoreError>) -> Result<(T, u64), StoreError> {
        let state = self.state();
        let live = state.live()?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        match catch_unwind(AssertUnwindSafe(|| work(&live.db))) {
            Ok(done) => Ok((done?, live.generation)),
            Err(panic) => Err(unwritten(panic_text(panic.as_ref()))),
        }
    }

    /// Lets go of the database for good.
    pub fn close(&self) {
        self.replace(State::Closed);
    }

    fn flush(&self) -> Result<u64, StoreError> {
        let state = self.state();
        let live = state.live()?;
        match catch_unwind(AssertUnwindSafe(|| live.db.flush())) {
            Ok(flushed) => flushed.map_err(unwritten)?,
            Err(panic) => return Err(unwritten(panic_text(panic.as_ref()))),
        };
        live.file.sync_all().map_err(unwritten)?;
        Ok(live.generation)
    }

    /// Opens a broken database again. What was not durable is gone, as after a crash.
    fn mend(&self, problem: StoreError) {
        let generation = match &*self.state() {
            State::Live(live) => live.generation,
            State::Broken(broken) if broken.since.elapsed() < MEND_EVERY => return,
            State::Broken(broken) => broken.generation,
            State::Closed => return,
        };
        self.replace(State::Broken(Broken { problem, since: Instant::now(), generation }));
        let deadline = Instant::now() + MEND_EVERY;
        loop {
            match connect(&self.path, self.cache_bytes) {
                Ok(db) => {
                    let _still_broken = self.install(db, generation + 1);
                    return;
                }
                // The threads of the one that was let go may hold the lock a little longer.
                Err(Refused::Locked) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(_) => return,
            }
        }
    }

    fn install(&self, db: Db, generation: u64) -> Result<(), StoreError> {
        let file = File::open(self.path.join("db")).map_err(unwritten)?;
        self.replace(State::Live(Live { db, file, generation }));
        Ok(())
    }

    fn replace(&self, state: State) {
        let mut place = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *place = state;
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn live(&self) -> Result<&Live, StoreError> {
        match self {
            Self::Live(live) => Ok(live),
            Self::Broken(broken) => Err(broken.problem.clone()),
            Self::Closed => Err(StoreError::Closed),
        }
    }
}

impl Disk for std::sync::Arc<Shared> {
    fn sync(&self) -> Result<u64, StoreError> {
        self.flush().inspect_err(|problem| self.mend(problem.clone()))
    }
}
