//! The open database with what is on its way into it, and what takes its place when it is broken or closed.

use std::collections::HashMap;
use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::store::StoreError;
use handoffd_engine::workflow::Learned;
use sled::{Batch, Db};
use tokio::sync::watch;
use uuid::Uuid;

use super::acceptance::Unaccepted;
use super::commit::Disk;
use super::errors::{calmly, is_damage, unreadable, unwritten};
use super::open::Quarantined;
use super::pending::{Pending, Writes};
use super::reopen::{Live, Reopened, Reopener, Trust};
use super::unended::Unended;
use super::view::View;
use super::{journal, keys};

/// What the store and its committer share.
pub(super) struct Shared {
    /// The store's folder.
    pub path: PathBuf,
    reopener: Reopener,
    state: RwLock<State>,
    pending: Mutex<Pending>,
    /// What environments want, as asked for or written last: every event asks, and it hardly ever changes.
    learned: Mutex<HashMap<OrganizationId, Learned>>,
    /// Why nothing can be written; none while all is well.
    pub health: watch::Sender<Option<StoreError>>,
    /// The store that was set aside last, while this one was open.
    pub quarantined: watch::Sender<Option<Quarantined>>,
    /// No event begins while this is not accepted.
    pub unaccepted: watch::Sender<Option<Unaccepted>>,
}

/// What a broken database turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mended {
    /// It holds what it held, and what is pending is still there.
    Same,
    /// A new one took its place. All calls up to this one are lost, unless they were durable before.
    New(u64),
}

enum State {
    Live(Live),
    /// After one failed write (a full disk, for one) sled refuses all others, until it is opened again.
    Broken(StoreError),
    Closed,
}

impl Shared {
    /// Takes over an open database, which has these events that have not ended.
    pub(super) fn new(
        path: PathBuf,
        (live, unended): (Live, Unended),
        reopener: Reopener,
        unaccepted: Option<Unaccepted>,
    ) -> Self {
        let shared = Self::without(path, StoreError::Closed, reopener, unaccepted);
        *shared.pending() = Pending::over(unended);
        shared.replace(State::Live(live));
        shared.is_well();
        shared
    }

    /// There is none yet, for this reason. Which events have not ended is not known until the next start: the disk is
    /// asked each time.
    pub(super) fn without(
        path: PathBuf,
        problem: StoreError,
        reopener: Reopener,
        unaccepted: Option<Unaccepted>,
    ) -> Self {
        Self {
            path,
            reopener,
            health: watch::Sender::new(Some(problem.clone())),
            state: RwLock::new(State::Broken(problem)),
            pending: Mutex::default(),
            learned: Mutex::default(),
            quarantined: watch::Sender::default(),
            unaccepted: watch::Sender::new(unaccepted),
        }
    }

    /// Reads something, or prepares a change; `what` names it in the error. One caller at a time, so what a change
    /// replaces stays as it was read.
    pub(super) fn view<T>(
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
    pub(super) fn on_disk<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let state = self.state();
        let live = state.live()?;
        calmly(|| work(&live.db)).unwrap_or_else(|panic| Err(unreadable(what, panic)))
    }

    /// What is not durable yet.
    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What environments want, as far as it was asked for.
    pub(super) fn learned(&self) -> MutexGuard<'_, HashMap<OrganizationId, Learned>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives writes to sled; a crash leaves all of them or none.
    pub(super) fn write(&self, writes: &Writes) -> Result<(), StoreError> {
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

    /// Remembers that it failed: nothing is read or written until the database is opened again. Damage that was reported
    /// stays a reason to examine it, whatever else fails meanwhile.
    pub(super) fn broke(&self, problem: StoreError) {
        let problem = if is_damage(&problem) { StoreError::Suspect { source: Arc::new(problem) } } else { problem };
        let suspect = matches!(&*self.state(), State::Broken(StoreError::Suspect { .. }));
        if !suspect || matches!(problem, StoreError::Damaged { .. }) {
            self.replace(State::Broken(problem.clone()));
        }
        self.health.send_replace(Some(problem));
    }

    /// All that was written is durable.
    pub(super) fn is_well(&self) {
        self.health.send_if_modified(|problem| problem.take().is_some());
    }

    /// Opens a broken database again, or a new one where it is damaged.
    pub(super) fn mend(&self) -> Result<Mended, StoreError> {
        let trust = match &*self.state() {
            State::Live(_) | State::Closed => return Ok(Mended::Same),
            State::Broken(problem @ StoreError::Damaged { .. }) => return Err(problem.clone()),
            State::Broken(StoreError::Suspect { .. }) => Trust::Nothing,
            State::Broken(_) => Trust::Content,
        };
        Ok(match self.reopener.reopen(trust)? {
            Reopened::Same(live) => {
                self.replace(State::Live(live));
                Mended::Same
            }
            Reopened::New(live, quarantined) => self.begin_anew(live, quarantined),
        })
    }

    /// Lets go of the database for good.
    pub(super) fn close(&self) {
        self.replace(State::Closed);
    }

    /// Forgets all that is in memory of the damaged database, then takes over the new one.
    fn begin_anew(&self, live: Live, quarantined: Quarantined) -> Mended {
        let lost = self.pending().begin_anew();
        self.learned().clear();
        if self.reopener.asks() {
            self.unaccepted.send_replace(Some(Unaccepted { set_aside: quarantined.path.clone() }));
        }
        self.quarantined.send_replace(Some(quarantined));
        self.replace(State::Live(live));
        Mended::New(lost)
    }

    fn replace(&self, state: State) {
        let mut place = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut *place, state);
        drop(place);
        // A damaged database may panic once more when it is dropped.
        _ = calmly(|| drop(before));
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
