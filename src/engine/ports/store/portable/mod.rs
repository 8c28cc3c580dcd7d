//! Entries of a store as they move into another one, of either kind.
//!
//! An export holds what must outlive the move: records, notes of queued events, session entries, contacts, requirements
//! of environments, saved organizations, pauses and declared queues. Indexes are built anew by the store that imports.

mod choose;
mod line;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use uuid::Uuid;

pub use choose::choose;
pub use line::{ExportEnd, ExportHeader, ExportLine, LineError, parse_line, write_line};

use super::queued::QueuedNote;
use super::{Change, SavedOrganization, StoreError};
use crate::event::{ContactId, EventId, EventKey, OrganizationId, SessionId};
use crate::workflow::{Learned, LearnedChange, Record, SessionEntry};

/// Number of entries in a page of an export, and in a batch of an import.
pub const PAGE: usize = 1000;

/// Store whose content can be moved.
#[async_trait]
pub trait PortableStore: Send + Sync {
    /// Sends all entries, records before notes of queued events. Ends early, without an error, once nobody receives them.
    async fn export(&self, pages: mpsc::Sender<Vec<PortableEntry>>) -> Result<(), StoreError>;

    /// Writes those entries that [`choose`] prefers to the stored ones, durably, all or none. Returns for each entry
    /// whether it was written.
    async fn import(&self, entries: &[PortableEntry]) -> Result<Vec<bool>, StoreError>;

    /// Closes the store. Must be the last call.
    async fn finish(&self) -> Result<(), StoreError>;
}

/// Entry of a store.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PortableEntry {
    /// Record of an event.
    Record {
        /// Organization of the event.
        organization_id: OrganizationId,
        /// Id of the event.
        event_id: EventId,
        /// Record of the event.
        record: Box<Record>,
    },
    /// Note that an event waits in its organization's queue.
    Queued {
        /// Organization of the event.
        organization_id: OrganizationId,
        /// Id of the event.
        event_id: EventId,
        /// Note.
        note: QueuedNote,
    },
    /// Effect of an event on its session.
    Session {
        /// Organization that owns the session.
        organization_id: OrganizationId,
        /// Id of the session.
        session_id: SessionId,
        /// Time of the first change, which orders the entries of a session.
        first: Timestamp,
        /// Time of the last change.
        at: Timestamp,
        /// Entry after the last change.
        entry: SessionEntry,
    },
    /// Remembered contact.
    Contact {
        /// Key of organization and email, by [`contact_key`](super::contact_key::contact_key).
        key: Uuid,
        /// Id of the contact.
        contact_id: ContactId,
        /// Time it was found in Dynamics.
        at: Timestamp,
    },
    /// Requirements learned about an environment.
    Learned {
        /// Organization that owns the environment.
        organization_id: OrganizationId,
        /// Requirements.
        learned: Learned,
    },
    /// Saved organization.
    Organization {
        /// Id of the organization.
        organization_id: OrganizationId,
        /// Settings, with encrypted secrets.
        document: String,
    },
    /// Pause of an organization.
    Pause {
        /// Id of the organization.
        organization_id: OrganizationId,
        /// Beginning of the pause.
        since: Timestamp,
    },
    /// Queue of an organization that a worker has declared.
    Queue {
        /// Id of the organization.
        organization_id: OrganizationId,
        /// Time of the last declaration.
        declared: Timestamp,
    },
}

/// Identity of an entry: of two entries with the same key, a store keeps one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum PortableKey {
    /// Record, or note, of an event.
    Event(EventKey),
    /// Effect of an event on a session.
    Session(OrganizationId, SessionId, EventId),
    /// Remembered contact.
    Contact(Uuid),
    /// Requirements of an environment.
    Learned(OrganizationId),
    /// Saved organization.
    Organization(OrganizationId),
    /// Pause.
    Pause(OrganizationId),
    /// Declared queue.
    Queue(OrganizationId),
}

impl PortableEntry {
    /// Kinds of entries, in the order of an export.
    pub const KINDS: [&'static str; 8] =
        ["record", "queued", "session", "contact", "learned", "organization", "pause", "queue"];

    /// Creates the entry of a record.
    pub fn record(key: EventKey, record: Record) -> Self {
        let EventKey { organization_id, event_id } = key;
        Self::Record { organization_id, event_id, record: Box::new(record) }
    }

    /// Creates the entry of a note.
    pub fn queued(key: EventKey, note: QueuedNote) -> Self {
        let EventKey { organization_id, event_id } = key;
        Self::Queued { organization_id, event_id, note }
    }

    /// Returns the kind: an index of [`PortableEntry::KINDS`].
    pub fn kind(&self) -> usize {
        match self {
            Self::Record { .. } => 0,
            Self::Queued { .. } => 1,
            Self::Session { .. } => 2,
            Self::Contact { .. } => 3,
            Self::Learned { .. } => 4,
            Self::Organization { .. } => 5,
            Self::Pause { .. } => 6,
            Self::Queue { .. } => 7,
        }
    }

    /// Returns the key of the entry.
    pub fn key(&self) -> PortableKey {
        match self {
            Self::Record { organization_id, event_id, .. } | Self::Queued { organization_id, event_id, .. } => {
                PortableKey::Event(EventKey { organization_id: organization_id.clone(), event_id: event_id.clone() })
            }
            Self::Session { organization_id, session_id, entry, .. } => {
                PortableKey::Session(organization_id.clone(), session_id.clone(), entry.event_id.clone())
            }
            Self::Contact { key, .. } => PortableKey::Contact(*key),
            Self::Learned { organization_id, .. } => PortableKey::Learned(organization_id.clone()),
            Self::Organization { organization_id, .. } => PortableKey::Organization(organization_id.clone()),
            Self::Pause { organization_id, .. } => PortableKey::Pause(organization_id.clone()),
            Self::Queue { organization_id, .. } => PortableKey::Queue(organization_id.clone()),
        }
    }

    /// Returns the changes that write the entry. A contact has none, since a change names its email.
    pub fn changes(&self) -> Vec<Change> {
        match self.clone() {
            Self::Record { organization_id, event_id, record } => {
                vec![Change::Record(EventKey { organization_id, event_id }, record)]
            }
            Self::Queued { organization_id, event_id, note } => {
                vec![Change::Queued(EventKey { organization_id, event_id }, note)]
            }
            Self::Session { organization_id: organization, session_id: session, first, at, entry } => {
                let change = |at| Change::Session {
                    organization: organization.clone(),
                    session: session.clone(),
                    entry: entry.clone(),
                    at,
                };
                // The first change of an entry sets both of its times.
                [first, at].into_iter().map(change).collect()
            }
            Self::Contact { .. } => Vec::new(),
            Self::Learned { organization_id, learned } => {
                vec![Change::Learned(organization_id, LearnedChange::between(Learned::default(), learned))]
            }
            Self::Organization { organization_id: id, document } => {
                vec![Change::Organization(SavedOrganization { id, document })]
            }
            Self::Pause { organization_id, since } => vec![Change::Pause(organization_id, since)],
            Self::Queue { organization_id, declared } => vec![Change::OrganizationQueue(organization_id, declared)],
        }
    }
}
