//! An outcome as OpenCX receives it (contract 6).

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::outcome::{Failure, IncidentRef, Outcome};
use crate::event::EventKey;

/// Namespace of outcome ids; any fixed value does, as long as it stays.
const NAMESPACE: Uuid = Uuid::from_u128(0x2b9e_6d1c_47f3_4a58_8e0d_91c5_f6a3_b70e);

/// What goes out on the outcomes exchange; `event` is its routing key, `event_id` its message id.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Outcome")]
pub struct OutcomeEvent {
    /// `dynamics365.<handoff|resolution>.<succeeded|skipped|failed>`
    #[schemars(regex(pattern = r"^dynamics365\.(handoff|resolution)\.(succeeded|skipped|failed)$"))]
    pub event: String,
    /// The same every time: a consumer may drop one that it has seen.
    pub event_id: Uuid,
    /// Whose event it was.
    pub organization_id: String,
    /// When it was decided, RFC 3339 in UTC with seconds.
    #[schemars(extend("format" = "date-time"))]
    pub timestamp: String,
    /// What became of the event.
    pub data: OutcomeData,
}

/// What became of an event.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct OutcomeData {
    /// The event's own id.
    pub source_event_id: String,
    /// The conversation; null when it could not be read.
    pub session_id: Option<String>,
    /// Where it took place, lower-cased.
    pub channel: Option<String>,
    /// Which kind of record it became.
    #[schemars(extend("enum" = ["incident", "live_work_item", null]))]
    pub route: Option<&'static str>,
    /// To be kept with the session.
    pub session_meta: SessionMeta,
    /// The customer's contact in Dynamics.
    pub contact_id: Option<Uuid>,
    /// How often it was tried.
    pub attempts: u32,
    /// What an operator should know although it went well: `contact_unlinked`, `placeholder_customer`.
    pub warnings: Vec<&'static str>,
    /// Why it was skipped or has failed.
    pub reason: Option<&'static str>,
    /// What went wrong.
    pub error: Option<OutcomeError>,
}

/// The records in Dynamics; empty when there are none.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SessionMeta {
    /// A case.
    Incident {
        /// Its key; of several, the newest's.
        dynamics365_incident_id: Uuid,
        /// Its number; null when Dynamics did not tell it.
        dynamics365_ticket_number: Option<String>,
        /// All cases that a resolution closed, when it closed several.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schemars(default)]
        dynamics365_incident_ids: Vec<Uuid>,
    },
    /// A live work item.
    Chat {
        /// Its key.
        dynamics365_chat_id: Uuid,
        /// `initiated`
        dynamics365_chat_status: &'static str,
    },
    /// None.
    #[schemars(extend("maxProperties" = 0))]
    Nothing {},
}

/// What went wrong.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct OutcomeError {
    /// Where.
    pub step: &'static str,
    /// HTTP status of Dynamics' answer.
    pub status: Option<u16>,
    /// Dynamics' error code.
    pub code: Option<String>,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// Puts an outcome into the words of the contract; the same every time.
pub fn render(outcome: &Outcome, key: &EventKey) -> OutcomeEvent {
    let (kind, status) = (outcome.kind.as_str(), outcome.status.as_str());
    OutcomeEvent {
        event: format!("dynamics365.{kind}.{status}"),
        event_id: event_id(outcome, key),
        organization_id: key.organization_id.to_string(),
        timestamp: seconds(outcome.finished_at),
        data: OutcomeData {
            source_event_id: key.event_id.to_string(),
            session_id: outcome.session_id.as_ref().map(ToString::to_string),
            channel: outcome.channel.as_ref().map(ToString::to_string),
            route: outcome.route.map(crate::event::Route::as_str),
            session_meta: session_meta(outcome),
            contact_id: outcome.contact_id.map(|id| id.0),
            attempts: outcome.attempts,
            warnings: outcome.warnings.iter().map(|it| it.as_str()).collect(),
            reason: outcome.reason.map(super::outcome::Reason::as_str),
            error: outcome.error.as_ref().map(OutcomeError::from),
        },
    }
}

/// UUIDv5 of organization, source event id and result. Ids have no control characters, so NUL keeps
/// them apart.
fn event_id(outcome: &Outcome, key: &EventKey) -> Uuid {
    let name = format!("{}\0{}\0{}", key.organization_id, key.event_id, outcome.status.as_str());
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

fn session_meta(outcome: &Outcome) -> SessionMeta {
    match (&outcome.incident, outcome.work_item) {
        (Some(IncidentRef { id, ticket_number }), _) => SessionMeta::Incident {
            dynamics365_incident_id: id.0,
            dynamics365_ticket_number: ticket_number.clone(),
            dynamics365_incident_ids: match outcome.closed.as_slice() {
                [] | [_] => Vec::new(),
                several => several.iter().map(|id| id.0).collect(),
            },
        },
        (None, Some(id)) => SessionMeta::Chat { dynamics365_chat_id: id.0, dynamics365_chat_status: "initiated" },
        (None, None) => SessionMeta::Nothing {},
    }
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl From<&Failure> for OutcomeError {
    fn from(failure: &Failure) -> Self {
        Self {
            step: failure.step.as_str(),
            status: failure.status,
            code: failure.code.clone(),
            message: failure.message.clone(),
            advice: failure.advice.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
