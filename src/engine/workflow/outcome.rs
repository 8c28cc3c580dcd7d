//! What became of an event.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::step::StepName;
use crate::event::{Channel, ContactId, IncidentId, Kind, Route, SessionId, WorkItemId};

/// What became of an event; kept in the store, announced on the bus, the same every time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Handoff or resolution.
    pub kind: Kind,
    /// How it ended.
    pub status: Status,
    /// Which kind of record.
    pub route: Option<Route>,
    /// The conversation; unknown when the message could not be read.
    pub session_id: Option<SessionId>,
    /// Where it took place.
    pub channel: Option<Channel>,
    /// The case: created, or (the newest of those) closed.
    pub incident: Option<IncidentRef>,
    /// All cases that a resolution closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<IncidentId>,
    /// The live work item.
    pub work_item: Option<WorkItemId>,
    /// The customer's contact.
    pub contact_id: Option<ContactId>,
    /// How often it was tried.
    pub attempts: u32,
    /// What an operator should know although it went well.
    pub warnings: Vec<Warning>,
    /// Why it was skipped or dead-lettered.
    pub reason: Option<Reason>,
    /// What went wrong.
    pub error: Option<Failure>,
    /// When it was decided.
    pub finished_at: Timestamp,
}

/// An incident as an outcome names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IncidentRef {
    /// Its key.
    pub id: IncidentId,
    /// Its number.
    pub ticket_number: Option<String>,
}

/// How an event ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Dynamics holds what was wanted.
    Succeeded,
    /// There was nothing to do.
    Skipped,
    /// Given up: a dead letter.
    Failed,
}

/// Why an event was skipped or given up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Skipped: the conversation was not resolved.
    NotResolved,
    /// Skipped: the session went to a live work item, which its agent closes.
    LiveWorkItem,
    /// Skipped: no handoff came for the session.
    NoIncident,
    /// Skipped: the worker has closed all its incidents before.
    AlreadyClosed,
    /// Skipped: Dynamics has that incident no more.
    IncidentNotFound,
    /// Dead letter: the message breaks a rule.
    InvalidEvent,
    /// Dead letter: an event the worker does not know.
    UnsupportedEvent,
    /// Dead letter: an organization that is not configured.
    UnknownOrganization,
    /// Dead letter: Dynamics refuses it for good.
    RejectedByDynamics,
    /// Dead letter: tried for `retry.max_age`.
    RetriesExhausted,
    /// Dead letter: the broker delivered it too often.
    DeliveryLimit,
    /// Dead letter: it expired in the broker before a worker took it.
    Expired,
}

/// What an operator should know although it went well.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// The customer's contact could not be made; the incident stands alone.
    ContactUnlinked,
    /// The incident is linked to the fallback or placeholder customer.
    PlaceholderCustomer,
    /// The case was closed before it came into the organization's queue.
    NotQueued,
    /// The summary was too long for a live work item's subject.
    SubjectCut,
    /// It is not known whether the case was closed: somebody works on it since.
    CloseUnconfirmed,
}

/// What went wrong, for the outcome and the dead letter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Where.
    pub step: StepName,
    /// HTTP status.
    pub status: Option<u16>,
    /// Dynamics' error code.
    pub code: Option<String>,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Outcome {
    /// An outcome that says no more than this; the rest is filled in by whoever knows it.
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
    /// As it stands in routing keys and lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

impl Reason {
    /// All that a dead letter can have.
    pub const DEAD: [Self; 7] = [
        Self::InvalidEvent,
        Self::UnsupportedEvent,
        Self::UnknownOrganization,
        Self::RejectedByDynamics,
        Self::RetriesExhausted,
        Self::DeliveryLimit,
        Self::Expired,
    ];

    /// As it stands in headers, metrics and outcomes.
    pub fn as_str(self) -> &'static str {
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
    /// As it stands in outcomes.
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
