//! Outcome of an event.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::step::StepName;
use crate::event::{Channel, ContactId, IncidentId, Kind, Route, SessionId, WorkItemId};

/// Outcome of an event, kept in the store and announced on the bus without any change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Kind of the event.
    pub kind: Kind,
    /// Status of the event.
    pub status: Status,
    /// Kind of record.
    pub route: Option<Route>,
    /// Id of the conversation; unknown if the message could not be read.
    pub session_id: Option<SessionId>,
    /// Channel of the conversation.
    pub channel: Option<Channel>,
    /// Case that was created, or the newest case that was closed.
    pub incident: Option<IncidentRef>,
    /// All cases that a resolution closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<IncidentId>,
    /// Live work item.
    pub work_item: Option<WorkItemId>,
    /// Contact of the customer.
    pub contact_id: Option<ContactId>,
    /// Number of attempts.
    pub attempts: u32,
    /// Warnings of an event that succeeded, for an operator.
    pub warnings: Vec<Warning>,
    /// Reason for skipping or dead-lettering the event.
    pub reason: Option<Reason>,
    /// Error of a failed event.
    pub error: Option<Failure>,
    /// Time of the decision.
    pub finished_at: Timestamp,
}

/// Incident as an outcome names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IncidentRef {
    /// Primary key.
    pub id: IncidentId,
    /// Ticket number.
    pub ticket_number: Option<String>,
}

/// Status of a finished event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The records in Dynamics are as the event requires.
    Succeeded,
    /// The event required no change.
    Skipped,
    /// The event was given up; it is a dead letter.
    Failed,
}

/// Reason for skipping or giving up an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Skipped: the conversation was not resolved.
    NotResolved,
    /// Skipped: the session became a live work item, which its agent closes.
    LiveWorkItem,
    /// Skipped: no handoff arrived for the session.
    NoIncident,
    /// Skipped: the worker has already closed all incidents of the session.
    AlreadyClosed,
    /// Skipped: the incident no longer exists in Dynamics.
    IncidentNotFound,
    /// Dead letter: the message breaks a rule.
    InvalidEvent,
    /// Dead letter: the event is not supported.
    UnsupportedEvent,
    /// Dead letter: the organization is not configured.
    UnknownOrganization,
    /// Dead letter: Dynamics refused the event permanently.
    RejectedByDynamics,
    /// Dead letter: the event failed for `retry.max_age`.
    RetriesExhausted,
    /// Dead letter: the message reached the broker's delivery limit.
    DeliveryLimit,
    /// Dead letter: the message expired in the broker before a worker consumed it.
    Expired,
}

/// Warning of an event that succeeded, for an operator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// The customer's contact could not be created or found; the incident is unlinked.
    ContactUnlinked,
    /// The incident is linked to the fallback or placeholder customer.
    PlaceholderCustomer,
    /// The case was closed before it was put into the organization's queue.
    NotQueued,
    /// The summary was too long for the subject of a live work item.
    SubjectCut,
    /// The result of closing the case is unknown, and somebody has worked on the case since.
    CloseUnconfirmed,
}

/// Error for the outcome and the dead letter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Step that failed.
    pub step: StepName,
    /// HTTP status.
    pub status: Option<u16>,
    /// Error code from Dynamics.
    pub code: Option<String>,
    /// Description of the error.
    pub message: String,
    /// Advice for an operator.
    pub advice: Option<String>,
}

impl Outcome {
    /// Creates an outcome with these values only; the caller fills in the others.
    pub fn bare(kind: Kind, status: Status, attempts: u32, finished_at: Timestamp) -> Self {
        Self {
            kind,
            status,
            route: None,
            session_id: None,
            channel: None,
            incident: None,
            closed: Vec::new(),
            work_item: None,
            contact_id: None,
            attempts,
            warnings: Vec::new(),
            reason: None,
            error: None,
            finished_at,
        }
    }
}

impl Status {
    /// Returns the value used in routing keys and lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

impl Reason {
    /// Reasons of dead letters.
    pub const DEAD: [Self; 7] = [
        Self::InvalidEvent,
        Self::UnsupportedEvent,
        Self::UnknownOrganization,
        Self::RejectedByDynamics,
        Self::RetriesExhausted,
        Self::DeliveryLimit,
        Self::Expired,
    ];

    /// Returns the value used in headers, metrics and outcomes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotResolved => "not_resolved",
            Self::LiveWorkItem => "live_work_item",
            Self::NoIncident => "no_incident",
            Self::AlreadyClosed => "already_closed",
            Self::IncidentNotFound => "incident_not_found",
            Self::InvalidEvent => "invalid_event",
            Self::UnsupportedEvent => "unsupported_event",
            Self::UnknownOrganization => "unknown_organization",
            Self::RejectedByDynamics => "rejected_by_dynamics",
            Self::RetriesExhausted => "retries_exhausted",
            Self::DeliveryLimit => "delivery_limit",
            Self::Expired => "expired",
        }
    }
}

impl Warning {
    /// Returns the value used in outcomes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContactUnlinked => "contact_unlinked",
            Self::PlaceholderCustomer => "placeholder_customer",
            Self::NotQueued => "not_queued",
            Self::SubjectCut => "subject_cut",
            Self::CloseUnconfirmed => "close_unconfirmed",
        }
    }
}
