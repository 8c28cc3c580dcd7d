//! Open database with its pending changes, and the states that replace it when it is broken or closed.

use std::collections::HashMap;
use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::store::{Change, StoreError};
use handoffd_engine::workflow::Learned;
use sled::{Batch, Db};
use tokio::sync::watch;
use uuid::Uuid;

use super::acceptance::Unaccepted;
use super::database::{Disk, OpenDatabase};
use super::errors::{catch_panic, is_damage, unreadable, unwritten};
use super::pending::PendingWrites;
use super::quarantine::Quarantined;
use super::reopen::{ReopenTrust, Reopened, Reopener};
use super::unfinished_index::UnfinishedIndex;
use super::unfinished_index::Writes;
use super::view::StoreView;
use super::{keys, outcome_index};

/// State shared by the store and its commit thread.
pub(super) struct Shared {
    /// Folder of the store.
    pub path: PathBuf,
    reopener: Reopener,
    state: RwLock<StoreState>,
    pending: Mutex<PendingWrites>,
    /// Cache of the environments' learned requirements: every event reads them, and they hardly ever change.
    learned: Mutex<HashMap<OrganizationId, Learned>>,
    /// Reason why nothing can be written; `None` while the store is healthy.
    pub health: watch::Sender<Option<StoreError>>,
    /// Store that was last set aside while this one was open.
    pub quarantined: watch::Sender<Option<Quarantined>>,
    /// New store that is not yet accepted; no event begins meanwhile.
    pub unaccepted: watch::Sender<Option<Unaccepted>>,
}

/// Result of repairing a broken database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reopening {
    /// The database kept its content, and pending changes are kept.
    Same,
    /// A new database replaced it. All calls up to this one are lost unless they were durable before.
    New(u64),
}

enum StoreState {
    Live(OpenDatabase),
    /// State after one failed write, for example on a full disk. sled then refuses all others until it is reopened.
    Broken(StoreError),
    Closed,
}

impl Shared {
    /// Takes over an open database with these unfinished events.
    pub(super) fn new(
        path: PathBuf,
        (live, unended): (OpenDatabase, UnfinishedIndex),
        reopener: Reopener,
        unaccepted: Option<Unaccepted>,
    ) -> Self {
        let shared = Self::without(path, StoreError::Closed, reopener, unaccepted);
        *shared.pending() = PendingWrites::with_unfinished(unended);
        shared.replace(StoreState::Live(live));
        shared.is_well();
        shared
    }

    /// Starts without a database, for this reason. The unfinished events remain unknown until the next start, so the
    /// disk is read each time.
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
            state: RwLock::new(StoreState::Broken(problem)),
            pending: Mutex::default(),
            learned: Mutex::default(),
            quarantined: watch::Sender::default(),
            unaccepted: watch::Sender::new(unaccepted),
        }
    }

    /// Runs a read, or prepares a change; `what` names the data in the error. Admits one caller at a time, so the
    /// values that a change replaces stay as they were read.
    pub(super) fn view<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut StoreView<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let state = self.state();
        let live = state.live()?;
        let mut pending = self.pending();
        let mut view = StoreView::new(&live.db, &mut pending);
        catch_panic(|| work(&mut view)).unwrap_or_else(|panic| Err(unreadable(what, panic)))
    }

    /// Runs a read of the disk, concurrently with writers.
    pub(super) fn on_disk<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let state = self.state();
        let live = state.live()?;
        catch_panic(|| work(&live.db)).unwrap_or_else(|panic| Err(unreadable(what, panic)))
    }

    /// Locks the pending changes.
    pub(super) fn pending(&self) -> MutexGuard<'_, PendingWrites> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes from the cache what these changes replace.
    pub(super) fn forget_learned(&self, changes: &[Change]) {
        for change in changes {
            if let Change::Learned(organization, _) = change {
                self.learned().remove(organization);
            }
        }
    }

    /// Locks the cache of learned requirements.
    pub(super) fn learned(&self) -> MutexGuard<'_, HashMap<OrganizationId, Learned>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes writes to sled. A crash keeps all of them or none.
    pub(super) fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        let state = self.state();
        let live = state.live()?;
        let mut batch = Batch::default();
        let (listed, rows): (Vec<_>, Vec<_>) = writes.iter().partition(|(key, _)| key.starts_with(keys::LISTED));
        for (newest, row) in outcome_index::pack(listed.into_iter().filter_map(|(_, entry)| entry.as_deref())) {
            batch.insert(keys::journal(newest, Uuid::new_v4()), row);
        }
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        catch_panic(|| live.db.apply_batch(batch)).map_err(unwritten)?.map_err(unwritten)
    }

    /// Records a failure. Nothing is read or written until the database is reopened. Reported damage remains a reason
    /// to examine the database, even if another failure follows.
    pub(super) fn mark_broken(&self, problem: StoreError) {
        let problem = if is_damage(&problem) { StoreError::Suspect { source: Arc::new(problem) } } else { problem };
        let suspect = matches!(&*self.state(), StoreState::Broken(StoreError::Suspect { .. }));
        if !suspect || matches!(problem, StoreError::Damaged { .. }) {
            self.replace(StoreState::Broken(problem.clone()));
        }
        self.health.send_replace(Some(problem));
    }

    /// Records that everything written is durable.
    pub(super) fn is_well(&self) {
        self.health.send_if_modified(|problem| problem.take().is_some());
    }

    /// Reopens a broken database, or opens a new one if it is damaged.
    pub(super) fn reopen(&self) -> Result<Reopening, StoreError> {
        let trust = match &*self.state() {
            StoreState::Live(_) | StoreState::Closed => return Ok(Reopening::Same),
            StoreState::Broken(problem @ StoreError::Damaged { .. }) => return Err(problem.clone()),
            StoreState::Broken(StoreError::Suspect { .. }) => ReopenTrust::Nothing,
            StoreState::Broken(_) => ReopenTrust::Content,
        };
        Ok(match self.reopener.reopen(trust)? {
            Reopened::Same(live) => {
                self.replace(StoreState::Live(live));
                Reopening::Same
            }
            Reopened::New(live, quarantined) => self.replace_database(live, quarantined),
        })
    }

    /// Releases the database permanently.
    pub(super) fn close(&self) {
        self.replace(StoreState::Closed);
    }

    /// Discards everything in memory of the damaged database, then takes over the new one.
    fn replace_database(&self, live: OpenDatabase, quarantined: Quarantined) -> Reopening {
        let lost = self.pending().begin_anew();
        self.learned().clear();
        if self.reopener.requires_acceptance() {
            self.unaccepted.send_replace(Some(Unaccepted { set_aside: quarantined.path.clone() }));
        }
        self.quarantined.send_replace(Some(quarantined));
        self.replace(StoreState::Live(live));
        Reopening::New(lost)
    }

    fn replace(&self, state: StoreState) {
        let mut place = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut *place, state);
        drop(place);
        // A damaged database may panic once more when it is dropped.
        _ = catch_panic(|| drop(before));
    }

    fn state(&self) -> RwLockReadGuard<'_, StoreState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoreState {
    fn live(&self) -> Result<&OpenDatabase, StoreError> {
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
        catch_panic(|| live.db.flush()).map_err(unwritten)?.map_err(unwritten)?;
        live.file.sync_all().map_err(unwritten)
    }
}
