//! The store in memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;

use super::tables::Tables;
use crate::event::{ContactId, EventKey, OrganizationId, SessionId};
use crate::machine::{Learned, Record, SessionEntry};
use crate::store::{Change, Cursor, Filter, Page, Store, StoreError, Swept};

/// A store in memory.
#[derive(Default, Debug)]
pub struct MemoryStore {
    memory: Mutex<Memory>,
}

#[derive(Default, Debug)]
struct Memory {
    now: Tables,
    /// What a crash goes back to.
    kept: Tables,
    /// What has to be done to `kept` to make it `now`.
    noted: Vec<Change>,
    closed: Closed,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Closed {
    #[default]
    No,
    Yes,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses what was noted and not kept since, as a crash may; opens it again if it was closed.
    pub fn crash(&self) {
        let mut memory = self.lock();
        memory.now = memory.kept.clone();
        memory.noted.clear();
        memory.closed = Closed::No;
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, Memory>, StoreError> {
        let memory = self.lock();
        match memory.closed {
            Closed::No => Ok(memory),
            Closed::Yes => Err(StoreError::Closed),
        }
    }
}

impl Memory {
    fn note(&mut self, changes: Vec<Change>) {
        for change in &changes {
            self.now.apply(change);
        }
        self.noted.extend(changes);
    }

    fn keep(&mut self) {
        for change in self.noted.drain(..) {
            self.kept.apply(&change);
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

    async fn note(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.open()?.note(changes);
        Ok(())
    }

    async fn keep(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut memory = self.open()?;
        memory.note(changes);
        memory.keep();
        Ok(())
    }

    async fn outcomes(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.open()?.now.outcomes(filter, after, limit)
    }

    async fn sweep(&self, finished_before: Timestamp) -> Result<Swept, StoreError> {
        let mut memory = self.open()?;
        memory.keep();
        memory.kept.sweep(finished_before);
        Ok(memory.now.sweep(finished_before))
    }

    /// Nothing is on disk: the number of things remembered, which grows and shrinks as a size would.
    async fn bytes(&self) -> Result<u64, StoreError> {
        Ok(self.open()?.now.len())
    }

    async fn close(&self) -> Result<(), StoreError> {
        let mut memory = self.open()?;
        memory.keep();
        memory.closed = Closed::Yes;
        Ok(())
    }
}
