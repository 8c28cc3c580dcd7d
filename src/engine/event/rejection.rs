//! Rejection of a message that is not a valid event, with a text that a person can act on.

use super::ids::{EventId, EventKey, OrganizationId, SessionId};
use super::model::Kind;

/// Reason for rejecting a message. Never holds customer text.
#[derive(Clone, PartialEq, Debug)]
pub struct Rejection {
    /// `invalid_event` or `unsupported_event`.
    pub reason: RejectionReason,
    /// JSON path of the field at fault (`data.session_id`), if one field is at fault.
    pub path: Option<String>,
    /// Description of the problem: the value found and the value expected.
    pub problem: String,
    /// Ids that could still be read, for headers and the failed outcome.
    pub seen: Seen,
}

/// Reasons for rejecting a message while decoding it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RejectionReason {
    /// The message is not UTF-8, not JSON, too large, or breaks a rule of contract 2.
    InvalidEvent,
    /// The `event` is not supported.
    UnsupportedEvent,
}

/// Ids read from a message that is not a valid event.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Seen {
    /// `organization_id`.
    pub organization_id: Option<OrganizationId>,
    /// `event_id`, else the AMQP `message_id`.
    pub event_id: Option<EventId>,
    /// `data.session_id`.
    pub session_id: Option<SessionId>,
    /// Kind of the event, as far as `event` determines it.
    pub kind: Option<Kind>,
}

impl Rejection {
    /// Returns the idempotency key, if both of its parts could be read.
    pub fn key(&self) -> Option<EventKey> {
        let (organization_id, event_id) = self.seen.organization_id.clone().zip(self.seen.event_id.clone())?;
        Some(EventKey { organization_id, event_id })
    }

    /// Returns the text of `x-handoffd-error`, such as `data.session_id: expected …`.
    pub fn text(&self) -> String {
        match &self.path {
            Some(path) => format!("{path}: {}", self.problem),
            None => self.problem.clone(),
        }
    }
}
