//! The open database with what is on its way into it, and what takes its place when it is broken or closed.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use sled::{Batch, Db};
use tokio::sync::watch;
use uuid::Uuid;

use super::commit::Disk;
use super::connect::panic_text;
use super::errors::{unreadable, unwritten};
use super::pending::{Pending, Writes};
use super::unended::Unended;
use super::view::View;
use super::{journal, keys};
use crate::store::StoreError;

/// Opens the database again.
pub(super) type Again = Box<dyn Fn() -> Result<Db, StoreError> + Send + Sync>;

/// What the store and its committer share.
pub(super) struct Shared {
    /// The store's folder.
    pub path: PathBuf,
    again: Again,
    state: RwLock<State>,
    pending: Mutex<Pending>,
    /// Why nothing can be written; none while all is well.
    pub health: watch::Sender<Option<StoreError>>,
}

enum State {
    Live(Live),
    /// After one failed write (a full disk, for one) sled refuses all others, until it is opened again.
    Broken(StoreError),
    Closed,
}

struct Live {
    db: Db,
    /// sled's own flush does not reach the disk on Linux: this handle is for the `fsync` that does.
    file: File,
}

impl Shared {
    /// Takes over an open database.
    pub fn new(path: PathBuf, db: Db, again: Again) -> Result<Self, StoreError> {
        let unended = calmly(|| Unended::of(&db)).map_err(|panic| unreadable("events that have not ended", panic))?;
        let unended = unended.map_err(|error| unreadable("events that have not ended", error))?;
        let shared = Self {
            path,
            again,
            state: RwLock::new(State::Closed),
            pending: Mutex::new(Pending::over(unended)),
            health: watch::Sender::default(),
        };
        shared.install(db)?;
        Ok(shared)
    }

    /// There is none yet, for this reason. Which events have not ended is not known until the next start: the disk is
    /// asked each time.
    pub fn without(path: PathBuf, problem: StoreError, again: Again) -> Self {
        Self {
            path,
            again,
            health: watch::Sender::new(Some(problem.clone())),
            state: RwLock::new(State::Broken(problem)),
            pending: Mutex::default(),
        }
    }

    /// Reads something, or prepares a change; `what` names it in the error. One caller at a time, so what a change
    /// replaces stays as it was read.
    pub fn view<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut View<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let state = self.state();
        let live = state.live()?;
        let mut pending = self.pending();
        let mut view = View::new(&live.db, &mut pending);
        calmly(|| work(&mut view)).unwrap_or_else(|panic| Err(unreadable(what, panic)))
    }

    /// Reads what is on disk, beside the writers.
    pub fn on_disk<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let state = self.state();
        let live = state.live()?;
        calmly(|| work(&live.db)).unwrap_or_else(|panic| Err(unreadable(what, panic)))
    }

    /// What is not durable yet.
    pub fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives writes to sled; a crash leaves all of them or none.
    pub fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        let state = self.state();
        let live = state.live()?;
        let mut batch = Batch::default();
        let (listed, rows): (Vec<_>, Vec<_>) = writes.iter().partition(|(key, _)| key.starts_with(keys::LISTED));
        for (newest, row) in journal::pack(listed.into_iter().filter_map(|(_, entry)| entry.as_deref())) {
            batch.insert(keys::journal(newest, Uuid::new_v4()), row);
        }
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        calmly(|| live.db.apply_batch(batch)).map_err(unwritten)?.map_err(unwritten)
    }

    /// Remembers that writing failed: nothing is written until the database is opened again.
    pub fn broke(&self, problem: StoreError) {
        self.replace(State::Broken(problem.clone()));
        self.health.send_replace(Some(problem));
    }

    /// All that was written is durable.
    pub fn is_well(&self) {
        self.health.send_if_modified(|problem| problem.take().is_some());
    }

    /// Opens a broken database again; what is pending is still there.
    pub fn mend(&self) -> Result<(), StoreError> {
        if !matches!(&*self.state(), State::Broken(_)) {
            return Ok(());
        }
        (self.again)().and_then(|db| self.install(db))
    }

    /// Lets go of the database for good.
    pub fn close(&self) {
        self.replace(State::Closed);
    }

    fn install(&self, db: Db) -> Result<(), StoreError> {
        let file = File::open(self.path.join("db")).map_err(unwritten)?;
        self.replace(State::Live(Live { db, file }));
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
            Self::Broken(problem) => Err(problem.clone()),
            Self::Closed => Err(StoreError::Closed),
        }
    }
}

impl Disk for Arc<Shared> {
    fn sync(&self) -> Result<(), StoreError> {
        let state = self.state();
        let live = state.live()?;
        calmly(|| live.db.flush()).map_err(unwritten)?.map_err(unwritten)?;
        live.file.sync_all().map_err(unwritten)
    }
}

/// Turns a panic inside sled into an error: damage that opening did not find must not take the worker down.
fn calmly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_text(panic.as_ref()))
}
