//! Implementation of the store port. Reading and writing one event takes microseconds and runs in place; longer work
//! runs on a blocking thread.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use handoffd_engine::event::{ContactId, EventKey, OrganizationId, SessionId};
use handoffd_engine::ports::store::operators::{EndedSession, OperatorAction, OperatorStore};
use handoffd_engine::ports::store::portable::{PortableEntry, PortableStore};
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::ports::store::{
    Change, Cursor, OutcomeFilter, OutcomePage, SavedOrganization, Store, StoreError, Swept,
};
use handoffd_engine::ports::store::{EventScan, ScannedEvents};
use handoffd_engine::workflow::{Learned, Milestone, Record, SessionEntry, discarded};
use jiff::Timestamp;
use sled::Db;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use super::acceptance::{self, Unaccepted};
use super::batch_builder::BatchBuilder;
use super::commit::Committer;
use super::errors::{is_damage, unreadable, unwritten};
use super::listing::{self, OutcomeWalk};
use super::pending::{PendingCall, PendingWrites};
use super::quarantine::Quarantined;
use super::scan_turns::ScanTurns;
use super::state::Shared;
use super::sweep::{self, Sweep};
use super::transfer::ExportWalk;
use super::view::StoreView;
use super::{SweepStep, folder, operators, read, scanning, transfer};

/// Name of the data read before a change, in errors.
const CHANGE: &str = "the values to be replaced";
/// Discards recorded at once, while other writers wait.
const DISCARDS: usize = 64;

/// Open store in a folder. Dropping it without `close` makes everything durable on a thread of its own.
pub struct SledStore {
    shared: Arc<Shared>,
    committer: Arc<Committer>,
    pub(super) turns: ScanTurns,
}

impl SledStore {
    pub(super) fn new(shared: Arc<Shared>, committer: Committer) -> Self {
        Self { shared, committer: Arc::new(committer), turns: ScanTurns::default() }
    }

    /// Subscribes to the reason why nothing can be written; `None` while the store is healthy. The store repairs
    /// itself.
    pub fn health(&self) -> watch::Receiver<Option<StoreError>> {
        self.shared.health.subscribe()
    }

    /// Subscribes to the damaged store that was last set aside since this one was opened.
    pub fn quarantined(&self) -> watch::Receiver<Option<Quarantined>> {
        self.shared.quarantined.subscribe()
    }

    /// Subscribes to the new store that an operator has not accepted yet. Until then no record can be read, so no event
    /// begins. Everything else works: organizations can be saved and paused.
    pub fn unaccepted(&self) -> watch::Receiver<Option<Unaccepted>> {
        self.shared.unaccepted.subscribe()
    }

    /// Accepts the new store durably. Returns the accepted store, if there was one.
    ///
    /// # Errors
    /// Fails if the store is unhealthy or the marker can't be removed.
    pub async fn accept(&self) -> Result<Option<Unaccepted>, StoreError> {
        if let Some(problem) = self.shared.health.borrow().clone() {
            return Err(problem);
        }
        let Some(unaccepted) = self.shared.unaccepted.borrow().clone() else {
            return Ok(None);
        };
        let path = self.shared.path.clone();
        run_blocking("the marker", move || acceptance::accept(&path).map_err(unwritten)).await?;
        self.shared.unaccepted.send_replace(None);
        Ok(Some(unaccepted))
    }

    /// Runs a read, or prepares a change.
    fn view<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut StoreView<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.examined(self.shared.view(what, work))
    }

    /// Has the store examined if the result is an error of damage.
    fn examined<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(problem) = &result
            && is_damage(problem)
        {
            // A store that was closed meanwhile needs no examination.
            _ = self.committer.report_damage(problem.clone());
        }
        result
    }

    /// Scans events, in turn. Like a listing, a scan reads only the disk.
    async fn scanned<T: Send + 'static>(
        &self,
        scan: impl FnOnce(&Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = self.turns.next().await;
        let _disk_fails = self.committer.wait_all_durable().await;
        let shared = Arc::clone(&self.shared);
        let scanned = run_blocking(scanning::EVENTS, move || {
            let _turn = turn;
            shared.on_disk(scanning::EVENTS, scan)
        });
        self.examined(scanned.await)
    }

    /// Prepares writes from what is stored, and makes them durable.
    async fn persist_prepared(
        &self,
        prepare: impl FnOnce(&StoreView<'_>) -> Result<PendingCall, StoreError> + Send,
    ) -> Result<(), StoreError> {
        let call = self.view(CHANGE, |view| {
            let writes = prepare(view)?;
            Ok(view.pending().persist(writes))
        })?;
        self.committer.wait_durable(call).await
    }

    /// Applies all changes in memory, where every reader sees them, and adds them to the pending ones by `add`.
    fn apply<T>(
        &self,
        changes: &[Change],
        add: impl FnOnce(&mut PendingWrites, PendingCall) -> T,
    ) -> Result<T, StoreError> {
        self.view(CHANGE, |view| {
            let mut draft = BatchBuilder::new(view);
            for change in changes {
                draft.change(change)?;
            }
            let call = draft.into_call();
            self.shared.forget_learned(changes);
            Ok(add(view.pending(), call))
        })
    }
}

#[async_trait]
impl Store for SledStore {
    async fn record(&self, key: &EventKey) -> Result<Option<Record>, StoreError> {
        if self.shared.unaccepted.borrow().is_some() {
            return Err(StoreError::Unaccepted);
        }
        self.view(read::RECORD, |view| read::record(view, key))
    }

    async fn session(
        &self,
        organization: &OrganizationId,
        session: &SessionId,
    ) -> Result<Vec<SessionEntry>, StoreError> {
        self.view(read::SESSION, |view| read::session(view, organization, session))
    }

    async fn contact(
        &self,
        organization: &OrganizationId,
        email: &str,
        not_before: Timestamp,
    ) -> Result<Option<ContactId>, StoreError> {
        self.view(read::CONTACT, |view| read::contact(view, organization, email, not_before))
    }

    async fn learned(&self, organization: &OrganizationId) -> Result<Learned, StoreError> {
        if let Some(learned) = self.shared.learned().get(organization) {
            return Ok(*learned);
        }
        self.view(read::LEARNED, |view| {
            let learned = read::learned(view, organization)?;
            self.shared.learned().insert(organization.clone(), learned);
            Ok(learned)
        })
    }

    async fn organizations(&self) -> Result<Vec<SavedOrganization>, StoreError> {
        self.view(read::ORGANIZATIONS, |view| read::organizations(view))
    }

    async fn pauses(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
        self.view(read::PAUSES, |view| read::pauses(view))
    }

    async fn organization_queues(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
        self.view(read::QUEUES, |view| read::organization_queues(view))
    }

    async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let first = self.apply(&changes, |pending, call| {
            let first = pending.is_empty();
            pending.write(call);
            first
        })?;
        if first {
            self.committer.noted()?;
        }
        Ok(())
    }

    async fn persist(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let call = self.apply(&changes, PendingWrites::persist)?;
        self.committer.wait_durable(call).await
    }

    async fn outcomes(
        &self,
        filter: &OutcomeFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<OutcomePage, StoreError> {
        let mut turn = self.turns.next().await;
        // The listing reads only the disk, so nothing may be pending. A failing disk is listed as it is.
        let _disk_fails = self.committer.wait_all_durable().await;
        let mut listing = OutcomeWalk::new(filter.clone(), after, limit)?;
        loop {
            let shared = Arc::clone(&self.shared);
            let walked = run_blocking(listing::OUTCOMES, move || {
                let step = shared.on_disk(listing::OUTCOMES, |db| {
                    let mut nothing = PendingWrites::default();
                    listing.step(&StoreView::new(db, &mut nothing))
                })?;
                Ok((step, listing, turn))
            });
            let (step, rest, kept) = self.examined(walked.await)?;
            (listing, turn) = (rest, kept);
            if step == SweepStep::Done {
                return Ok(listing.page);
            }
        }
    }

    async fn queued(&self, limit: usize) -> Result<Vec<(EventKey, QueuedNote)>, StoreError> {
        self.scanned(move |db| scanning::queued(db, limit)).await
    }

    async fn scan(&self, scan: &EventScan) -> Result<ScannedEvents, StoreError> {
        let scan = scan.clone();
        self.scanned(|db| scanning::scan(db, scan)).await
    }

    async fn record_discards(&self, events: &[EventKey], discard: &Milestone) -> Result<u64, StoreError> {
        let (mut count, mut last) = (0, None);
        for some in events.chunks(DISCARDS) {
            let (recorded, call) = self.view(CHANGE, |view| {
                let mut draft = BatchBuilder::new(view);
                let mut recorded = 0;
                for key in some {
                    let record = read::record(view, key)?;
                    if let Some(record) = record.and_then(|record| discarded(&record, discard)) {
                        draft.change(&Change::Record(key.clone(), Box::new(record)))?;
                        recorded += 1;
                    }
                }
                let call = draft.into_call();
                Ok((recorded, (recorded > 0).then(|| view.pending().persist(call))))
            })?;
            count += recorded;
            last = call.or(last);
        }
        match last {
            Some(call) => self.committer.wait_durable(call).await.map(|()| count),
            None => Ok(count),
        }
    }

    async fn sweep(&self, finished_before: Timestamp) -> Result<Swept, StoreError> {
        let mut sweep = Sweep::new(finished_before);
        loop {
            self.committer.wait_all_durable().await?;
            let shared = Arc::clone(&self.shared);
            let walked = run_blocking(sweep::OLD, move || {
                let step = shared.view(sweep::OLD, |view| sweep.step(view))?;
                Ok((step, sweep))
            });
            let (step, rest) = self.examined(walked.await)?;
            sweep = rest;
            if step == SweepStep::Done {
                return Ok(sweep.swept);
            }
        }
    }

    async fn bytes(&self) -> Result<u64, StoreError> {
        let shared = Arc::clone(&self.shared);
        run_blocking("the store's size", move || {
            shared.on_disk("the store's size", |_| {
                folder::bytes(&shared.path).map_err(|error| unreadable("the store's size", error))
            })
        })
        .await
    }

    async fn close(&self) -> Result<(), StoreError> {
        let settled = match self.committer.wait_all_durable().await {
            Err(StoreError::Closed) => Ok(()), // already closed
            settled => settled,
        };
        let (shared, committer) = (Arc::clone(&self.shared), Arc::clone(&self.committer));
        run_blocking("the result of closing", move || {
            committer.stop();
            shared.close();
            Ok(())
        })
        .await?;
        settled
    }
}

#[async_trait]
impl OperatorStore for SledStore {
    async fn add_actions(&self, actions: &[OperatorAction]) -> Result<(), StoreError> {
        self.persist_prepared(|view| operators::add_actions(view, actions)).await
    }

    async fn actions(&self) -> Result<Vec<OperatorAction>, StoreError> {
        self.view(operators::OPERATORS, |view| operators::actions(view))
    }

    async fn end_sessions(&self, sessions: &[EndedSession], now: Timestamp) -> Result<(), StoreError> {
        self.persist_prepared(|view| operators::end_sessions(view, sessions, now)).await
    }

    async fn ended_sessions(&self) -> Result<Vec<EndedSession>, StoreError> {
        self.view(operators::SESSION_ENDS, |view| operators::ended_sessions(view))
    }
}

#[async_trait]
impl PortableStore for SledStore {
    async fn export(&self, pages: mpsc::Sender<Vec<PortableEntry>>) -> Result<(), StoreError> {
        if self.shared.unaccepted.borrow().is_some() {
            return Err(StoreError::Unaccepted);
        }
        self.committer.wait_all_durable().await?;
        let mut walk = ExportWalk::default();
        loop {
            let shared = Arc::clone(&self.shared);
            let read = run_blocking(transfer::ENTRIES, move || {
                let page = shared.on_disk(transfer::ENTRIES, |db| walk.page(db))?;
                Ok((page, walk))
            });
            let (page, rest) = self.examined(read.await)?;
            walk = rest;
            if page.is_empty() || pages.send(page).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn import(&self, entries: &[PortableEntry]) -> Result<Vec<bool>, StoreError> {
        let (written, call) = self.view(CHANGE, |view| {
            let (written, writes) = transfer::import(view, entries)?;
            self.shared.learned().clear();
            Ok((written, (!writes.is_empty()).then(|| view.pending().persist(writes))))
        })?;
        if let Some(call) = call {
            self.committer.wait_durable(call).await?;
        }
        Ok(written)
    }

    async fn finish(&self) -> Result<(), StoreError> {
        self.close().await
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

/// Runs longer work on a blocking thread.
async fn run_blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(unreadable(what, error)))
}
