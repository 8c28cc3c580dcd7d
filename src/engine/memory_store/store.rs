//! Implementation of the store in memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use super::tables::{OperatorTables, Tables};
use crate::event::{ContactId, EventKey, OrganizationId, SessionId};
use crate::ports::fleet::Claim;
use crate::ports::store::portable::PortableEntry;
use crate::ports::store::queued::QueuedNote;
use crate::ports::store::{Change, Cursor, OutcomeFilter, OutcomePage, SavedOrganization, Store, StoreError, Swept};
use crate::ports::store::{EventScan, ScannedEvents};
use crate::workflow::{Learned, Milestone, Record, SessionEntry};

/// Store in memory.
#[derive(Default, Debug)]
pub struct MemoryStore {
    memory: Mutex<Contents>,
    operators: Mutex<OperatorTables>,
}

#[derive(Default, Debug)]
struct Contents {
    now: Tables,
    /// State that a crash restores.
    kept: Tables,
    closed: Closed,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Closed {
    #[default]
    No,
    Yes,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Discards every change that was only noted, however long ago: the worst that a crash may do. Opens the store
    /// again if it was closed.
    pub fn crash(&self) {
        let mut memory = self.lock();
        memory.now = memory.kept.clone();
        memory.closed = Closed::No;
    }

    /// Makes a worker the owner of an organization: earlier claims are void.
    pub fn set_owner(&self, claim: Claim) {
        let mut memory = self.lock();
        memory.now.set_owner(claim.clone());
        memory.kept.set_owner(claim);
    }

    /// Returns a copy of the present content.
    pub(super) fn tables(&self) -> Result<Tables, StoreError> {
        Ok(self.open()?.now.clone())
    }

    /// Writes imported entries durably.
    pub(super) fn import_entries<'a>(
        &self,
        entries: impl Iterator<Item = &'a PortableEntry>,
    ) -> Result<(), StoreError> {
        let mut memory = self.open()?;
        for entry in entries {
            memory.now.import(entry);
            memory.kept.import(entry);
        }
        Ok(())
    }

    /// Locks what operators have done.
    pub(super) fn operators(&self) -> Result<MutexGuard<'_, OperatorTables>, StoreError> {
        drop(self.open()?);
        Ok(self.operators.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, Contents>, StoreError> {
        let memory = self.lock();
        match memory.closed {
            Closed::No => Ok(memory),
            Closed::Yes => Err(StoreError::Closed),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn record(&self, key: &EventKey) -> Result<Option<Record>, StoreError> {
        Ok(self.open()?.now.record(key))
    }

    async fn session(
        &self,
        organization: &OrganizationId,
        session: &SessionId,
    ) -> Result<Vec<SessionEntry>, StoreError> {
        Ok(self.open()?.now.session(organization, session))
    }

    async fn contact(
        &self,
        organization: &OrganizationId,
        email: &str,
        not_before: Timestamp,
    ) -> Result<Option<ContactId>, StoreError> {
        Ok(self.open()?.now.contact(organization, email, not_before))
    }

    async fn learned(&self, organization: &OrganizationId) -> Result<Learned, StoreError> {
        Ok(self.open()?.now.learned(organization))
    }

    async fn organizations(&self) -> Result<Vec<SavedOrganization>, StoreError> {
        Ok(self.open()?.now.organizations())
    }

    async fn pauses(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
        Ok(self.open()?.now.pauses())
    }

    async fn organization_queues(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
        Ok(self.open()?.now.organization_queues())
    }

    async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut memory = self.open()?;
        memory.now.check(&changes)?;
        memory.now.apply(&changes);
        Ok(())
    }

    async fn persist(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut memory = self.open()?;
        memory.now.check(&changes)?;
        memory.now.apply(&changes);
        memory.kept.apply(&changes);
        Ok(())
    }

    async fn outcomes(
        &self,
        filter: &OutcomeFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<OutcomePage, StoreError> {
        self.open()?.now.outcomes(filter, after, limit)
    }

    async fn queued(&self, limit: usize) -> Result<Vec<(EventKey, QueuedNote)>, StoreError> {
        Ok(self.open()?.now.queued(limit))
    }

    async fn scan(&self, scan: &EventScan) -> Result<ScannedEvents, StoreError> {
        self.open()?.now.scan(scan)
    }

    async fn record_discards(&self, events: &[EventKey], discard: &Milestone) -> Result<u64, StoreError> {
        let mut memory = self.open()?;
        memory.kept.record_discards(events, discard);
        Ok(memory.now.record_discards(events, discard))
    }

    async fn sweep(&self, finished_before: Timestamp) -> Result<Swept, StoreError> {
        let mut memory = self.open()?;
        memory.kept.sweep(finished_before);
        Ok(memory.now.sweep(finished_before))
    }

    /// Returns the number of stored entries, which grows and shrinks as a size on disk would.
    async fn bytes(&self) -> Result<u64, StoreError> {
        Ok(self.open()?.now.len())
    }

    async fn close(&self) -> Result<(), StoreError> {
        let mut memory = self.lock();
        memory.kept = memory.now.clone();
        memory.closed = Closed::Yes;
        Ok(())
    }
}
