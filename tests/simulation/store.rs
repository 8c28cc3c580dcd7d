//! Memory store as seen by one process: calls take time, fail, and end with the process.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use handoffd_engine::event::{ContactId, EventKey, OrganizationId, SessionId};
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::ports::store::{
    Change, Cursor, OutcomeFilter, OutcomePage, SavedOrganization, Store, StoreError, Swept,
};
use handoffd_engine::ports::store::{EventScan, ScannedEvents};
use handoffd_engine::workflow::{Learned, Milestone, Record, SessionEntry};
use jiff::Timestamp;

use super::flaw::Flaw;
use super::ledger::Ledger;
use super::scene::{ProcessLife, RunContext};

/// Probability that a call fails. A failed write may have taken effect.
const FAILS: f64 = 0.002;
/// Longest time of a commit.
const COMMIT: Duration = Duration::from_millis(12);

/// Store of a process.
pub struct FakeStore {
    pub scene: Arc<RunContext>,
    pub life: ProcessLife,
    pub memory: Arc<MemoryStore>,
    pub ledger: Arc<Ledger>,
    /// True for a store that several workers share: changes are visible once they are durable, all of them or none.
    pub is_shared: bool,
    pub flaw: Option<Flaw>,
}

impl FakeStore {
    fn read(&self, what: &'static str) -> Result<(), StoreError> {
        if self.scene.store_fails(FAILS) {
            self.scene.log(|| format!("STORE FAILED to read {what}"));
            return Err(StoreError::Read { what, source: problem() });
        }
        Ok(())
    }

    /// Returns the changes with their guard, unless that rule is broken on purpose.
    fn fenced(&self, mut changes: Vec<Change>) -> Vec<Change> {
        if self.flaw == Some(Flaw::NoFence) {
            changes.retain(|change| !matches!(change, Change::Guard(_)));
        }
        changes
    }

    fn write(&self) -> Result<(), StoreError> {
        if self.scene.store_fails(FAILS) {
            self.scene.log(|| "STORE FAILED to write".to_owned());
            return Err(StoreError::Write { source: problem() });
        }
        Ok(())
    }
}

fn records(changes: &[Change]) -> impl Iterator<Item = (&EventKey, &Record)> {
    changes.iter().filter_map(|change| match change {
        Change::Record(key, record) => Some((key, record.as_ref())),
        _ => None,
    })
}

fn problem() -> Arc<dyn std::error::Error + Send + Sync> {
    Arc::new(io::Error::other("simulated failure"))
}

#[async_trait]
impl Store for FakeStore {
    async fn record(&self, key: &EventKey) -> Result<Option<Record>, StoreError> {
        self.life.pass("reading a record").await;
        self.scene.may_panic(0.001);
        self.read("a record")?;
        self.memory.record(key).await
    }

    async fn session(
        &self,
        organization: &OrganizationId,
        session: &SessionId,
    ) -> Result<Vec<SessionEntry>, StoreError> {
        self.life.pass("reading a session").await;
        self.read("a session")?;
        self.memory.session(organization, session).await
    }

    async fn contact(
        &self,
        organization: &OrganizationId,
        email: &str,
        not_before: Timestamp,
    ) -> Result<Option<ContactId>, StoreError> {
        self.life.pass("reading a contact").await;
        self.read("a contact")?;
        self.memory.contact(organization, email, not_before).await
    }

    async fn learned(&self, organization: &OrganizationId) -> Result<Learned, StoreError> {
        self.life.pass("reading what was learned").await;
        self.read("what was learned")?;
        self.memory.learned(organization).await
    }

    async fn organizations(&self) -> Result<Vec<SavedOrganization>, StoreError> {
        self.memory.organizations().await
    }

    async fn pauses(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
        self.memory.pauses().await
    }

    async fn organization_queues(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
        self.memory.organization_queues().await
    }

    async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.life.pass("before a note").await;
        self.write()?;
        self.memory.write(self.fenced(changes)).await?;
        self.life.pass("after a note").await;
        Ok(())
    }

    async fn persist(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.life.pass("before keeping").await;
        self.write()?;
        let changes = self.fenced(changes);
        if !self.is_shared {
            // Visible immediately, durable later.
            self.memory.write(changes.clone()).await?;
            for (key, record) in records(&changes) {
                self.ledger.writes(key, record);
            }
        }
        self.scene.sleep_up_to(COMMIT).await;
        self.life.pass("while keeping").await;
        self.memory.persist(changes.clone()).await?;
        if self.is_shared {
            for (key, record) in records(&changes) {
                self.ledger.writes(key, record);
            }
        }
        for (key, record) in records(&changes) {
            self.ledger.keeps(key, record);
        }
        self.life.pass("after keeping").await;
        self.scene.may_panic(0.001);
        self.write()
    }

    async fn outcomes(
        &self,
        filter: &OutcomeFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<OutcomePage, StoreError> {
        self.memory.outcomes(filter, after, limit).await
    }

    async fn queued(&self, limit: usize) -> Result<Vec<(EventKey, QueuedNote)>, StoreError> {
        self.memory.queued(limit).await
    }

    async fn scan(&self, scan: &EventScan) -> Result<ScannedEvents, StoreError> {
        self.memory.scan(scan).await
    }

    async fn record_discards(&self, events: &[EventKey], discard: &Milestone) -> Result<u64, StoreError> {
        self.memory.record_discards(events, discard).await
    }

    async fn sweep(&self, finished_before: Timestamp) -> Result<Swept, StoreError> {
        self.memory.sweep(finished_before).await
    }

    async fn bytes(&self) -> Result<u64, StoreError> {
        self.memory.bytes().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.memory.close().await
    }
}
