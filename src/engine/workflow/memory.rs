//! What the store remembers that an event's next step depends on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{ContactId, EventId, IncidentId, WorkItemId};

/// Facts beyond the event itself, read from the store before deciding.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Memory {
    /// The contact remembered for the customer's email, when it is fresh enough.
    pub contact: Option<ContactId>,
    /// What the environment turned out to want.
    pub learned: Learned,
    /// What the event's session has opened so far, oldest first.
    pub session: Vec<SessionEntry>,
}

/// What an environment turned out to want: one refused request once, not one each time.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that an environment has told")]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    /// It has no queue property on an incident: use `AddToQueue`.
    pub queue_undeclared: bool,
    /// It refuses to resolve by PATCH: use `CloseIncident`.
    pub close_by_action: bool,
    /// It refuses an incident without a customer (`0x80044410`).
    pub customer_required: bool,
    /// Its placeholder contact, once created.
    pub placeholder: Option<ContactId>,
    /// Longest subject of a live work item that it takes, in UTF-16 units, once it has refused a longer one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_limit: Option<u32>,
    /// It refuses attachments: a transcript goes into notes as text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_attachments: bool,
}

/// What one event did for a session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionEntry {
    /// The handoff, or, for an incident closed by its `meta`, the resolution.
    pub event_id: EventId,
    /// What it became.
    pub state: SessionState,
    /// The handoff's own `timestamp`: a resolution closes only what was handed off by its own. None for a resolution, and of a store
    /// of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_off: Option<Timestamp>,
    /// Since when its incident may have been closed by a request whose end is not known: no event of the session closes it before
    /// looking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Timestamp>,
}

/// What an event of a session became.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum SessionState {
    /// A handoff is on its way.
    Opening,
    /// Its incident is there.
    Open {
        /// Which.
        incident: IncidentId,
        /// Its number.
        ticket_number: Option<String>,
    },
    /// The worker has closed that incident. A rep may have reopened it since: not ours to close again.
    Closed {
        /// Which.
        incident: IncidentId,
        /// Its number.
        ticket_number: Option<String>,
    },
    /// It became a live work item.
    Chat {
        /// Which.
        work_item: WorkItemId,
    },
    /// It was dead-lettered; nobody waits for it.
    Dead,
    /// A resolution closed, by its `meta`, an incident that no handoff known here opened.
    ClosedByMeta {
        /// Which.
        incident: IncidentId,
    },
}

impl Memory {
    /// The same without handoffs that are later than this; all of it where nothing says when that was.
    #[must_use]
    pub fn up_to(&self, timestamp: Option<Timestamp>) -> Self {
        let is_later = |entry: &SessionEntry| entry.handed_off.zip(timestamp).is_some_and(|(then, now)| then > now);
        let session = self.session.iter().filter(|entry| !is_later(entry)).cloned().collect();
        Self { session, ..*self }
    }

    /// Since when an incident may have been closed, where nobody knows whether it was.
    pub fn closing(&self, incident: IncidentId) -> Option<Timestamp> {
        let entry = self.session.iter().find(|entry| entry.state.incident() == Some(incident));
        entry.and_then(|entry| entry.closing)
    }
}

impl SessionState {
    /// The incident it is about, open or closed.
    pub fn incident(&self) -> Option<IncidentId> {
        match self {
            Self::Open { incident, .. } | Self::Closed { incident, .. } | Self::ClosedByMeta { incident } => {
                Some(*incident)
            }
            Self::Opening | Self::Chat { .. } | Self::Dead => None,
        }
    }
}
