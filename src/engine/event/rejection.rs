//! Why a message can't be an event, in words a person can act on.

use super::ids::{EventId, EventKey, OrganizationId, SessionId};
use super::model::Kind;

/// A message that is no event. Never holds what a customer wrote.
#[derive(Clone, PartialEq, Debug)]
pub struct Rejection {
    /// `invalid_event` or `unsupported_event`.
    pub reason: RejectionReason,
    /// JSON path of the field at fault (`data.session_id`), when it is one field's.
    pub path: Option<String>,
    /// What was found and what was expected.
    pub problem: String,
    /// What could still be read of it, for headers and the failed outcome.
    pub seen: Seen,
}

/// The two reasons a message is refused for before anything else is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RejectionReason {
    /// Not UTF-8, not JSON, too large, or breaking a rule of contract 2.
    InvalidEvent,
    /// An `event` the worker does not know.
    UnsupportedEvent,
}

/// What could be read of a message that is no event.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Seen {
    /// `organization_id`
    pub organization_id: Option<OrganizationId>,
    /// `event_id`, else the AMQP `message_id`
    pub event_id: Option<EventId>,
    /// `data.session_id`
    pub session_id: Option<SessionId>,
    /// Handoff or resolution, as far as `event` says so.
    pub kind: Option<Kind>,
}

impl Rejection {
    /// Which event it would be, when that could be read.
    pub fn key(&self) -> Option<EventKey> {
        let (organization_id, event_id) = self.seen.organization_id.clone().zip(self.seen.event_id.clone())?;
        Some(EventKey { organization_id, event_id })
    }

    /// `data.session_id: expected …`, the text of `x-handoffd-error`.
    pub fn text(&self) -> String {
        match &self.path {
            Some(path) => format!("{path}: {}", self.problem),
            None => self.problem.clone(),
        }
    }
}
