//! Implementation of the store port.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use handoffd_engine::event::{ContactId, EventKey, OrganizationId, SessionId};
use handoffd_engine::ports::metrics::Metrics;
use handoffd_engine::ports::store::operators::{EndedSession, OperatorAction, OperatorStore};
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::ports::store::{
    Change, Cursor, EventQuery, KnownEvent, OutcomeFilter, OutcomePage, SavedOrganization, Store, StoreError, Swept,
};
use handoffd_engine::ports::store::{EventScan, ScannedEvents};
use handoffd_engine::workflow::{Learned, Memory, Milestone, Record, SessionEntry};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::commit::CommitCall;
use super::connect::Connector;
use super::errors::in_time;
use super::fleet::{FleetOptions, PostgresFleet};
use super::health::StoreHealth;
use super::link::{LinkRole, ServerLink};
use super::pending::PendingKeys;
use super::read::{EventReader, ReadQuery};
use super::schema::Migration;
use super::statement::Durability;
use super::sweep::SweptTo;
use super::{keys, listing, operators, read, scanning, sweep};

/// Store in PostgreSQL. Its connections open themselves again; while one is away every call fails.
pub struct PostgresStore {
    pub(super) health: Arc<StoreHealth>,
    pub(super) reader: EventReader,
    pub(super) pending: Arc<PendingKeys>,
    pub(super) calls: Mutex<Option<mpsc::UnboundedSender<CommitCall>>>,
    pub(super) lists: ServerLink,
    pub(super) swept_to: Arc<SweptTo>,
    pub(super) connector: Connector,
    pub(super) metrics: Arc<dyn Metrics>,
    pub(super) closing: CancellationToken,
    pub(super) _closed_when_dropped: DropGuard,
}

impl PostgresStore {
    /// Subscribes to the reason why the store can't be used; `None` while it is healthy. It comes back by itself.
    pub fn health(&self) -> watch::Receiver<Option<StoreError>> {
        self.health.subscribe()
    }

    /// Creates this worker's membership in the fleet. It has not joined yet. Needs a tokio runtime.
    pub fn fleet(&self, options: FleetOptions) -> Arc<PostgresFleet> {
        let role = LinkRole {
            name: "heartbeat",
            part: None,
            schema: Some(Migration::Check),
            longest_pause: options.lease / 10,
        };
        let link = ServerLink::start(self.connector.clone(), role, self.health.clone(), self.closing.clone());
        Arc::new(PostgresFleet::new(options, link, (self.health.clone(), self.metrics.clone())))
    }

    /// Passes a call to the task that commits.
    fn order(&self, changes: Vec<Change>, durability: Option<Durability>) -> Result<Answered, StoreError> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = calls.as_ref().ok_or(StoreError::Closed)?;
        self.health.check()?;
        let (sender, answer) = oneshot::channel();
        self.pending.add(&changes);
        let waiter = durability.map(|durability| (durability, sender));
        calls.send(CommitCall { changes, waiter, is_pending: true }).map_err(|_| StoreError::Closed)?;
        Ok(answer)
    }

    /// Waits until every call so far is committed.
    async fn settle(&self, durability: Durability) -> Result<(), StoreError> {
        let answer = self.order(Vec::new(), Some(durability))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Reads what the query asks for, uncommitted changes included.
    async fn read(&self, query: ReadQuery) -> Result<super::read::ReadAnswer, StoreError> {
        self.check()?;
        if self.pending.any(query.keys()) {
            self.settle(Durability::MayBeLost).await?;
        }
        self.reader.read(query).await
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.calls.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Err(StoreError::Closed);
        }
        self.health.check()
    }
}

type Answered = oneshot::Receiver<Result<(), StoreError>>;

#[async_trait]
impl Store for PostgresStore {
    async fn known(&self, query: &EventQuery) -> Result<KnownEvent, StoreError> {
        let organization = &query.key.organization_id;
        let read = ReadQuery {
            event: Some(keys::event(&query.key)),
            session: Some(keys::session(organization, &query.session)),
            contact: query.email.as_ref().map(|email| keys::contact(organization, email)),
            organization: Some(organization.clone()),
        };
        let mut found = self.read(read).await?;
        let session = found.session();
        let session = if query.needs_session(found.record.as_ref()) { session } else { Vec::new() };
        let contact = found.contact.filter(|(_, at)| *at >= query.contact_not_before).map(|(contact, _)| contact);
        Ok(KnownEvent {
            record: found.record,
            memory: Memory { contact, learned: found.learned, session, ..Memory::default() },
        })
    }

    async fn record(&self, key: &EventKey) -> Result<Option<Record>, StoreError> {
        let query = ReadQuery { event: Some(keys::event(key)), ..ReadQuery::default() };
        Ok(self.read(query).await?.record)
    }

    async fn session(
        &self,
        organization: &OrganizationId,
        session: &SessionId,
    ) -> Result<Vec<SessionEntry>, StoreError> {
        let query = ReadQuery { session: Some(keys::session(organization, session)), ..ReadQuery::default() };
        Ok(self.read(query).await?.session())
    }

    async fn contact(
        &self,
        organization: &OrganizationId,
        email: &str,
        not_before: Timestamp,
    ) -> Result<Option<ContactId>, StoreError> {
        let query = ReadQuery { contact: Some(keys::contact(organization, email)), ..ReadQuery::default() };
        let found = self.read(query).await?.contact;
        Ok(found.filter(|(_, at)| *at >= not_before).map(|(contact, _)| contact))
    }

    async fn learned(&self, organization: &OrganizationId) -> Result<Learned, StoreError> {
        let query = ReadQuery { organization: Some(organization.clone()), ..ReadQuery::default() };
        Ok(self.read(query).await?.learned)
    }

    async fn organizations(&self) -> Result<Vec<SavedOrganization>, StoreError> {
        const TEXT: &str = "SELECT organization, document FROM handoffd_organizations ORDER BY organization";
        self.settle(Durability::MayBeLost).await?;
        let rows = read::by_organization(&self.lists, "saved organizations", TEXT, |row| row.try_get(1)).await?;
        Ok(rows.into_iter().map(|(id, document)| SavedOrganization { id, document }).collect())
    }

    async fn pauses(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
        const TEXT: &str = "SELECT organization, since FROM handoffd_pauses ORDER BY organization";
        self.settle(Durability::MayBeLost).await?;
        let time = |row: &tokio_postgres::Row| row.try_get(1).map(keys::timestamp);
        read::by_organization(&self.lists, "paused organizations", TEXT, time).await
    }

    async fn organization_queues(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
        const TEXT: &str = "SELECT organization, declared FROM handoffd_queues ORDER BY organization";
        self.settle(Durability::MayBeLost).await?;
        let time = |row: &tokio_postgres::Row| row.try_get(1).map(keys::timestamp);
        read::by_organization(&self.lists, "organizations' queues", TEXT, time).await
    }

    async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.order(changes, None).map(drop)
    }

    async fn persist(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let answer = self.order(changes, Some(Durability::Durable))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn outcomes(
        &self,
        filter: &OutcomeFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<OutcomePage, StoreError> {
        self.settle(Durability::MayBeLost).await?;
        listing::page(&self.lists, filter, after, limit).await
    }

    async fn queued(&self, limit: usize) -> Result<Vec<(EventKey, QueuedNote)>, StoreError> {
        self.settle(Durability::MayBeLost).await?;
        scanning::queued(&self.lists, limit).await
    }

    async fn scan(&self, scan: &EventScan) -> Result<ScannedEvents, StoreError> {
        self.settle(Durability::MayBeLost).await?;
        scanning::scan(&self.lists, scan).await
    }

    async fn record_discards(&self, events: &[EventKey], discard: &Milestone) -> Result<u64, StoreError> {
        self.settle(Durability::MayBeLost).await?;
        scanning::record_discards(&self.lists, events, discard).await
    }

    async fn sweep(&self, finished_before: Timestamp) -> Result<Swept, StoreError> {
        self.settle(Durability::MayBeLost).await?;
        sweep::sweep(&self.lists, finished_before, &self.swept_to).await
    }

    async fn bytes(&self) -> Result<u64, StoreError> {
        const SIZE: &str = "the store's size";
        const TEXT: &str = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::int8 FROM pg_class \
             WHERE relkind = 'r' AND relname LIKE 'handoffd\\_%' AND relnamespace = current_schema()::regnamespace";
        self.check()?;
        let client = self.lists.client().map_err(|failure| failure.reading(SIZE))?;
        let rows =
            in_time(read::LONGEST, client.query_typed(TEXT, &[])).await.map_err(|failure| failure.reading(SIZE))?;
        let bytes: i64 = rows.first().map_or(0, |row| row.get(0));
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    async fn close(&self) -> Result<(), StoreError> {
        let settled = match self.settle(Durability::Durable).await {
            Err(StoreError::Closed) => Ok(()), // already closed
            settled => settled,
        };
        drop(self.calls.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.closing.cancel();
        settled
    }
}

#[async_trait]
impl OperatorStore for PostgresStore {
    async fn add_actions(&self, actions: &[OperatorAction]) -> Result<(), StoreError> {
        self.check()?;
        operators::add_actions(&self.lists, actions).await
    }

    async fn actions(&self) -> Result<Vec<OperatorAction>, StoreError> {
        self.check()?;
        operators::actions(&self.lists).await
    }

    async fn end_sessions(&self, sessions: &[EndedSession], now: Timestamp) -> Result<(), StoreError> {
        self.check()?;
        operators::end_sessions(&self.lists, sessions, now).await
    }

    async fn ended_sessions(&self) -> Result<Vec<EndedSession>, StoreError> {
        self.check()?;
        operators::ended_sessions(&self.lists).await
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("place", &self.connector.place).finish_non_exhaustive()
    }
}
