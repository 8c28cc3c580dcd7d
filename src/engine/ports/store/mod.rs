//! In: changes to store, and queries.
//! Out: records, sessions, contacts, requirements of environments. `persist` returns once a change is durable.
//! Absent: decisions; and the source of truth, which is the broker and Dynamics, so that the store may be lost.

pub mod contact_key;
pub mod operators;
pub mod portable;
pub mod position;
pub mod queued;
pub mod scan;
pub mod terms;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::event::{ContactId, EventKey, IncidentId, OrganizationId, SessionId, WorkItemId};
use crate::ports::fleet::Claim;
use crate::workflow::{Learned, LearnedChange, Memory, Milestone, Record, SessionEntry, Status};
use queued::QueuedNote;

/// Store of the worker. Cheap to share; owned by one process.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Returns everything stored that affects an event. A store whose reads take a trip each answers in one.
    async fn known(&self, query: &EventQuery) -> Result<KnownEvent, StoreError> {
        let record = self.record(&query.key).await?;
        let session = if query.needs_session(record.as_ref()) {
            self.session(&query.key.organization_id, &query.session).await?
        } else {
            Vec::new()
        };
        let contact = match &query.email {
            Some(email) => self.contact(&query.key.organization_id, email, query.contact_not_before).await?,
            None => None,
        };
        let learned = self.learned(&query.key.organization_id).await?;
        Ok(KnownEvent { record, memory: Memory { contact, learned, session, ..Memory::default() } })
    }

    /// Returns the record of an event.
    async fn record(&self, key: &EventKey) -> Result<Option<Record>, StoreError>;

    /// Returns the entries of a session, oldest first.
    async fn session(
        &self,
        organization: &OrganizationId,
        session: &SessionId,
    ) -> Result<Vec<SessionEntry>, StoreError>;

    /// Returns the contact stored for an email (in any case) since `not_before`.
    async fn contact(
        &self,
        organization: &OrganizationId,
        email: &str,
        not_before: Timestamp,
    ) -> Result<Option<ContactId>, StoreError>;

    /// Returns the requirements learned about an organization's environment.
    async fn learned(&self, organization: &OrganizationId) -> Result<Learned, StoreError>;

    /// Returns all saved organizations, by id.
    async fn organizations(&self) -> Result<Vec<SavedOrganization>, StoreError>;

    /// Returns all paused organizations, by id, with the start of each pause.
    async fn pauses(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError>;

    /// Returns all organizations whose queue a worker has declared, by id, with the time of the last declaration.
    async fn organization_queues(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError>;

    /// Applies all of these changes or none, without waiting for the disk.
    async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// Applies all of these changes or none, and returns once they would survive a power loss. Earlier changes that
    /// were only written may still be lost, except where these replace them, so changes that belong together go into one
    /// call.
    async fn persist(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// Returns finished and dead-lettered events that match, newest first.
    async fn outcomes(
        &self,
        filter: &OutcomeFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<OutcomePage, StoreError>;

    /// Returns events that are noted as queued, at most so many.
    async fn queued(&self, limit: usize) -> Result<Vec<(EventKey, QueuedNote)>, StoreError>;

    /// Returns events that no index finds. Reads many or all of them, beside everything else.
    async fn scan(&self, scan: &EventScan) -> Result<ScannedEvents, StoreError>;

    /// Adds an operator's discard to the records of these events, durably, and returns how many there were. Skips events
    /// that are not dead, and those that died after the discard.
    async fn record_discards(&self, events: &[EventKey], discard: &Milestone) -> Result<u64, StoreError>;

    /// Deletes events that ended before `finished_before`, and sessions and contacts not touched since.
    async fn sweep(&self, finished_before: Timestamp) -> Result<Swept, StoreError>;

    /// Returns the size on disk, in bytes.
    async fn bytes(&self) -> Result<u64, StoreError>;

    /// Makes all changes durable and stops the store's threads. Must be the last call.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Query for everything stored that affects an event.
#[derive(Clone, PartialEq, Debug)]
pub struct EventQuery {
    /// Key of the event.
    pub key: EventKey,
    /// Session of the event.
    pub session: SessionId,
    /// True if the event depends on its session even without a record of its own. A handoff delivered for the first
    /// time does not.
    pub always_needs_session: bool,
    /// Email of the customer.
    pub email: Option<String>,
    /// Time since which a contact must have been stored.
    pub contact_not_before: Timestamp,
}

impl EventQuery {
    /// Returns true if the event depends on its session.
    pub fn needs_session(&self, record: Option<&Record>) -> bool {
        self.always_needs_session || record.is_some()
    }
}

/// Everything stored that affects an event.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct KnownEvent {
    /// Record of the event.
    pub record: Option<Record>,
    /// Session, contact and requirements of the environment.
    pub memory: Memory,
}

/// Change of the store.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Sets the record of an event, and removes its note as queued. A record with an outcome is listed by `outcomes`.
    Record(EventKey, Box<Record>),
    /// Notes that an event waits in its organization's queue and was not begun.
    Queued(EventKey, QueuedNote),
    /// Removes that note.
    ForgetQueued(EventKey),
    /// Sets the entry of an event in its session, replacing that event's previous entry.
    Session {
        /// Organization that owns the session.
        organization: OrganizationId,
        /// Id of the session.
        session: SessionId,
        /// Entry to set.
        entry: SessionEntry,
        /// Time of the change, for retention.
        at: Timestamp,
    },
    /// Sets the contact of an email (in any case).
    Contact {
        /// Organization that owns the contact.
        organization: OrganizationId,
        /// Email of the contact.
        email: String,
        /// Id of the contact.
        contact: ContactId,
        /// Time it was found in Dynamics.
        at: Timestamp,
    },
    /// Removes the contact of an email.
    ForgetContact {
        /// Organization that owns the contact.
        organization: OrganizationId,
        /// Email of the contact.
        email: String,
    },
    /// Changes what is learned about an environment.
    Learned(OrganizationId, LearnedChange),
    /// Saves an organization, replacing its previous settings.
    Organization(SavedOrganization),
    /// Removes a saved organization.
    ForgetOrganization(OrganizationId),
    /// Pauses an organization from this time on.
    Pause(OrganizationId, Timestamp),
    /// Ends the pause of an organization.
    Resume(OrganizationId),
    /// Sets the time at which a worker declared an organization's queue. Never expires.
    OrganizationQueue(OrganizationId, Timestamp),
    /// Removes an organization's queue.
    ForgetOrganizationQueue(OrganizationId),
    /// Makes the whole call fail with [`StoreError::Fenced`], and change nothing, unless this claim is the present one;
    /// with [`StoreError::Superseded`] if an event's record is to be changed that is finished.
    Guard(Claim),
}

/// Organization whose settings are saved in the store instead of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedOrganization {
    /// Id of the organization.
    pub id: OrganizationId,
    /// Settings as JSON, in the format of the caller, with no secret in clear text. At most
    /// [`SavedOrganization::LONGEST`] bytes.
    pub document: String,
}

impl SavedOrganization {
    /// Longest document, in bytes: enough for a certificate with its encrypted RSA key. The embedded store syncs pages of
    /// up to 128 KiB, which hold up to 17 values.
    pub const LONGEST: usize = 6500;
}

/// Filter of outcomes; every field that is set must match.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct OutcomeFilter {
    /// Organization of the event.
    pub organization: Option<OrganizationId>,
    /// Session of the event.
    pub session: Option<SessionId>,
    /// Id of the event.
    pub event_id: Option<String>,
    /// Incident that the event created or closed.
    pub incident: Option<IncidentId>,
    /// Ticket number of that incident.
    pub ticket_number: Option<String>,
    /// Live work item that the event created.
    pub work_item: Option<WorkItemId>,
    /// Status of the outcome.
    pub status: Option<Status>,
    /// Earliest time of the outcome, inclusive.
    pub after: Option<Timestamp>,
    /// Latest time of the outcome, exclusive.
    pub before: Option<Timestamp>,
}

/// Position at which a page ended. Opaque; survives a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor(pub String);

/// Event with its record.
#[derive(Clone, PartialEq, Debug)]
pub struct StoredEvent {
    /// Key of the event.
    pub key: EventKey,
    /// Record of the event.
    pub record: Record,
}

/// Page of matching outcomes.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct OutcomePage {
    /// Outcomes, newest first.
    pub found: Vec<StoredEvent>,
    /// Position of the next page, if there may be one.
    pub next: Option<Cursor>,
}

/// Scan of events, newest first: those without an outcome by the time a worker first received them, the others by the
/// time of their outcome.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct EventScan {
    /// Beginning of any id of the event, or all of it, in any case.
    pub id: Option<String>,
    /// Organization of the event.
    pub organization: Option<OrganizationId>,
    /// True for events without an outcome only, of which there are few.
    pub unfinished_only: bool,
    /// Position that a page ended at.
    pub after: Option<Cursor>,
    /// Most events to return.
    pub limit: usize,
}

/// Result of a scan.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct ScannedEvents {
    /// Events found, newest first.
    pub found: Vec<StoredEvent>,
    /// True if more events match.
    pub more: bool,
    /// True if the scan took too long and did not see all events.
    pub is_partial: bool,
}

/// Numbers of entries that a sweep deleted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Swept {
    /// Events.
    pub records: u64,
    /// Session entries.
    pub sessions: u64,
    /// Remembered contacts.
    pub contacts: u64,
}

/// Failure of a store operation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The store can't be opened.
    #[error("can't open the store at {path}: {problem}")]
    Open {
        /// Path of the store.
        path: String,
        /// Problem, and its solution.
        problem: String,
    },
    /// Another process owns the store.
    #[error(
        "the store at {path} is in use by another process{holder}; waited {waited:?}; stop that process, or set another store.path"
    )]
    InUse {
        /// Path of the store.
        path: String,
        /// Process id as ` (pid 123)`, if it is known.
        holder: String,
        /// Time spent retrying.
        waited: Duration,
    },
    /// The store was written by a newer version.
    #[error(
        "the store at {path} has schema version {found}, but this program supports up to {known}; use a newer version, or another store"
    )]
    Schema {
        /// Path of the store.
        path: String,
        /// Schema version of the store.
        found: u32,
        /// Newest schema version that this program supports.
        known: u32,
    },
    /// The store can't be reached, or its server serves nobody now. It comes back by itself.
    #[error("the store is unavailable: {source}")]
    Unavailable {
        /// Underlying error.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The cursor was not issued by this store.
    #[error("invalid cursor {:?}; expected the `next` value of the previous page", .0.0)]
    Cursor(Cursor),
    /// Reading failed.
    #[error("can't read {what} from the store: {source}")]
    Read {
        /// Kind of data that was read.
        what: &'static str,
        /// Underlying error.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Writing failed, or making it durable (disk full, for one).
    #[error("can't write to the store: {source}")]
    Write {
        /// Underlying error.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The store reports damage and is being checked. Nothing is read or written meanwhile.
    #[error("the store reports damage and is being checked: {source}")]
    Suspect {
        /// Damage report.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The store was checked and is damaged, and is to be left unchanged (`store.on_corruption = "stop"`).
    #[error(
        "the store at {path} is damaged ({problem}); move the folder away, or set store.on_corruption = \"quarantine\""
    )]
    Damaged {
        /// Path of the store.
        path: String,
        /// Damage found.
        problem: String,
    },
    /// The store replaced a damaged one, and no operator has accepted it. No event is started.
    #[error("a new store has replaced a damaged one; run `handoffd store accept` to resume consuming")]
    Unaccepted,
    /// This worker does not own the organization any more. Nothing was changed.
    #[error("another worker owns the organization")]
    Fenced,
    /// Another worker has finished the event. Nothing was changed.
    #[error("another worker has finished the event")]
    Superseded,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
