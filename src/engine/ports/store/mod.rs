//! In: changes to remember, questions about what is remembered.
//! Out: records, sessions, contacts, what environments want; `keep` returns when a change is durable.
//! Absent: decisions; and the truth, which is the broker's and Dynamics' (the store may be lost).

pub mod position;
pub mod terms;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::event::{ContactId, EventKey, IncidentId, OrganizationId, SessionId, WorkItemId};
use crate::workflow::{Learned, Record, SessionEntry, Status};

/// The worker's memory. Cheap to share; one process owns it.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What is known of an event.
    async fn record(&self, key: &EventKey) -> Result<Option<Record>, StoreError>;

    /// What a session has opened so far, oldest first.
    async fn session(
        &self,
        organization: &OrganizationId,
        session: &SessionId,
    ) -> Result<Vec<SessionEntry>, StoreError>;

    /// The contact remembered for an email (any case) since `not_before`.
    async fn contact(
        &self,
        organization: &OrganizationId,
        email: &str,
        not_before: Timestamp,
    ) -> Result<Option<ContactId>, StoreError>;

    /// What an organization's environment turned out to want.
    async fn learned(&self, organization: &OrganizationId) -> Result<Learned, StoreError>;

    /// Every organization that was saved, by id.
    async fn organizations(&self) -> Result<Vec<SavedOrganization>, StoreError>;

    /// Every organization that is paused, by id, and since when.
    async fn pauses(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError>;

    /// Every organization whose queue a worker has declared, by id, and when it was declared the last time.
    async fn organization_queues(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError>;

    /// Applies all of these or none, without waiting for the disk.
    async fn note(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// Applies all of these or none, and returns when they would survive the loss of power. What was only noted before
    /// may still be lost, other than what these replace: changes that belong together go into one call.
    async fn keep(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// Finished and dead events that match, newest first.
    async fn outcomes(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError>;

    /// Forgets events that ended before `finished_before`, sessions and contacts not touched since.
    async fn sweep(&self, finished_before: Timestamp) -> Result<Swept, StoreError>;

    /// What it takes on disk, in bytes.
    async fn bytes(&self) -> Result<u64, StoreError>;

    /// Makes everything durable and stops its threads; the last call.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Something to remember, or to forget.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Where an event stands. A record with an outcome is listed by `outcomes`.
    Record(EventKey, Box<Record>),
    /// What an event did for its session; replaces the entry of the same event.
    Session {
        /// Whose.
        organization: OrganizationId,
        /// Which conversation.
        session: SessionId,
        /// What.
        entry: SessionEntry,
        /// When, for retention.
        at: Timestamp,
    },
    /// The contact of an email (any case).
    Contact {
        /// Whose.
        organization: OrganizationId,
        /// The email.
        email: String,
        /// The contact.
        contact: ContactId,
        /// When it was seen in Dynamics.
        at: Timestamp,
    },
    /// That contact is gone.
    ForgetContact {
        /// Whose.
        organization: OrganizationId,
        /// The email.
        email: String,
    },
    /// What an environment turned out to want; replaces what was known.
    Learned(OrganizationId, Learned),
    /// An organization is saved, in place of what was saved of it before.
    Organization(SavedOrganization),
    /// What was saved of an organization is forgotten.
    ForgetOrganization(OrganizationId),
    /// An operator pauses an organization, at this time.
    Pause(OrganizationId, Timestamp),
    /// That is over.
    Resume(OrganizationId),
    /// A worker declared an organization's queue at this time; replaces the time stored before. No sweep removes it.
    OrganizationQueue(OrganizationId, Timestamp),
    /// An organization's queue is no longer remembered.
    ForgetOrganizationQueue(OrganizationId),
}

/// An organization whose settings are kept here and not in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedOrganization {
    /// Whose settings.
    pub id: OrganizationId,
    /// JSON, as whoever saves it understands it; no secret in clear. At most [`SavedOrganization::LONGEST`] bytes.
    pub document: String,
}

impl SavedOrganization {
    /// Longest document, in bytes. A store keeps small values well, and nobody writes longer ones by hand.
    pub const LONGEST: usize = 3800;
}

/// Which outcomes to list; every field that is set must match.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Filter {
    /// Whose.
    pub organization: Option<OrganizationId>,
    /// Which conversation.
    pub session: Option<SessionId>,
    /// Which event.
    pub event_id: Option<String>,
    /// The incident it created or closed.
    pub incident: Option<IncidentId>,
    /// The number of that incident.
    pub ticket_number: Option<String>,
    /// The live work item it created.
    pub work_item: Option<WorkItemId>,
    /// How it ended.
    pub status: Option<Status>,
    /// Ended at or after.
    pub after: Option<Timestamp>,
    /// Ended before.
    pub before: Option<Timestamp>,
}

/// Where a page ended; opaque, survives a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor(pub String);

/// An event with its record.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// Which event.
    pub key: EventKey,
    /// What is known of it.
    pub record: Record,
}

/// Some of the outcomes that match.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Page {
    /// Newest first.
    pub found: Vec<Found>,
    /// Where to go on, when there may be more.
    pub next: Option<Cursor>,
}

/// What a sweep forgot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Swept {
    /// Events.
    pub records: u64,
    /// Session entries.
    pub sessions: u64,
    /// Remembered contacts.
    pub contacts: u64,
}

/// A store that could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be opened.
    #[error("cannot open the store at {path}: {problem}")]
    Open {
        /// Where it is.
        path: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Another process owns it.
    #[error("the store at {path} is in use by another process{holder}; waited {waited:?}")]
    InUse {
        /// Where it is.
        path: String,
        /// ` (pid 123)`, when it could be found out.
        holder: String,
        /// How long it was tried.
        waited: Duration,
    },
    /// It was written by a newer version.
    #[error(
        "the store at {path} has schema version {found}, this program knows up to {known}: use the newer program, or another path"
    )]
    Schema {
        /// Where it is.
        path: String,
        /// Its version.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// Somebody has made up a place to go on from.
    #[error("found {:?} as cursor, expected the `next` of the page before", .0.0)]
    Cursor(Cursor),
    /// Reading failed.
    #[error("cannot read {what} from the store: {source}")]
    Read {
        /// Which kind of thing.
        what: &'static str,
        /// Why.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Writing failed, or making it durable (disk full, for one).
    #[error("cannot write to the store: {source}")]
    Write {
        /// Why.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// It reports that what it holds makes no sense. It is examined; nothing is read or written meanwhile.
    #[error("the store reports damage and is examined: {source}")]
    Suspect {
        /// The report.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// It was examined: it is damaged, and is to be left as it is (`store.on_corruption = "stop"`).
    #[error(
        "the store at {path} is damaged ({problem}): move the folder away, or set store.on_corruption = \"quarantine\""
    )]
    Damaged {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It took the place of a damaged one, and no operator has accepted it: no event begins.
    #[error("the store was damaged and a new one started: nothing is consumed until `handoffd store accept`")]
    Unaccepted,
    /// It was closed.
    #[error("the store is closed")]
    Closed,
}
