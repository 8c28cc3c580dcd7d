//! Facts in the store that the next step of an event depends on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::{ContactId, EventId, IncidentId, WorkItemId};

/// Facts beyond the event itself, read from the store before a decision.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Memory {
    /// Contact remembered for the customer's email, unless it has expired.
    pub contact: Option<ContactId>,
    /// Peculiarities learned of the environment.
    pub learned: Learned,
    /// Entries of the event's session, oldest first.
    pub session: Vec<SessionEntry>,
    /// True if this worker has a handoff of the session in a retry queue. Not stored.
    pub has_retried_handoff: bool,
    /// True if handoffs of the session may be on their way behind this event, because several workers move events. Not
    /// stored.
    pub handoffs_may_follow: bool,
}

/// Peculiarities learned of an environment, each from a single refused request.
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact about an environment")]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    /// True if an incident has no queue property; the queue is set by `AddToQueue`.
    pub queue_undeclared: bool,
    /// True if the environment refuses to resolve by PATCH; cases are closed by `CloseIncident`.
    pub close_by_action: bool,
    /// True if the environment refuses an incident without a customer (`0x80044410`).
    pub customer_required: bool,
    /// Placeholder contact, once it is created.
    pub placeholder: Option<ContactId>,
    /// Longest subject of a live work item, in UTF-16 units, once a longer one was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_limit: Option<u32>,
    /// True if the environment refuses attachments; transcripts become notes as text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_attachments: bool,
}

/// Fields of [`Learned`] that one event changed, with their new values. What others learned meanwhile stays.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct LearnedChange(Map<String, Value>);

/// Effect of one event on its session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionEntry {
    /// Handoff, or the resolution that closed an incident by its `meta`.
    pub event_id: EventId,
    /// State of the entry.
    pub state: SessionState,
    /// `timestamp` of the handoff; a resolution closes only what was handed off before its own. `None` for a resolution, and in
    /// entries of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_off: Option<Timestamp>,
    /// Time since when a request with an unknown result may have closed the incident; no event of the session closes it without
    /// a check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Timestamp>,
}

/// State of an event of a session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum SessionState {
    /// A handoff is in progress.
    Opening,
    /// The incident is open.
    Open {
        /// Incident.
        incident: IncidentId,
        /// Ticket number.
        ticket_number: Option<String>,
    },
    /// The worker has closed the incident. A rep may have reopened it since, so the worker never closes it again.
    Closed {
        /// Incident.
        incident: IncidentId,
        /// Ticket number.
        ticket_number: Option<String>,
    },
    /// The handoff became a live work item.
    Chat {
        /// Live work item.
        work_item: WorkItemId,
    },
    /// The handoff was dead-lettered; no resolution waits for it.
    Dead,
    /// A resolution closed the incident of its `meta`, which no known handoff opened.
    ClosedByMeta {
        /// Incident.
        incident: IncidentId,
    },
}

impl LearnedChange {
    /// Returns the fields that differ.
    pub fn between(before: Learned, after: Learned) -> Self {
        let before = fields(before);
        Self(fields(after).into_iter().filter(|(name, value)| before.get(name) != Some(value)).collect())
    }

    /// Returns the peculiarities with this change.
    pub fn applied_to(&self, learned: Learned) -> Learned {
        let mut changed = fields(learned);
        changed.extend(self.0.clone());
        serde_json::from_value(Value::Object(changed)).unwrap_or(learned)
    }

    /// Adds a later change.
    pub fn extend(&mut self, later: &Self) {
        self.0.extend(later.0.clone());
    }
}

fn fields(learned: Learned) -> Map<String, Value> {
    match serde_json::to_value(learned) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(), // a struct of plain fields is an object
    }
}

impl Memory {
    /// Returns the memory without handoffs later than `timestamp`; complete if either time is unknown.
    #[must_use]
    pub fn up_to(&self, timestamp: Option<Timestamp>) -> Self {
        let is_later = |entry: &SessionEntry| entry.handed_off.zip(timestamp).is_some_and(|(then, now)| then > now);
        let session = self.session.iter().filter(|entry| !is_later(entry)).cloned().collect();
        Self { session, ..*self }
    }

    /// Returns the time since when the incident may have been closed, if the result is unknown.
    pub fn closing(&self, incident: IncidentId) -> Option<Timestamp> {
        let entry = self.session.iter().find(|entry| entry.state.incident() == Some(incident));
        entry.and_then(|entry| entry.closing)
    }
}

impl SessionState {
    /// Returns the incident of the entry, open or closed.
    pub fn incident(&self) -> Option<IncidentId> {
        match self {
            Self::Open { incident, .. } | Self::Closed { incident, .. } | Self::ClosedByMeta { incident } => {
                Some(*incident)
            }
            Self::Opening | Self::Chat { .. } | Self::Dead => None,
        }
    }
}
