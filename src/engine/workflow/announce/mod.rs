//! Outcome as OpenCX receives it (contract 6).

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::outcome::{Failure, IncidentRef, Outcome};
use crate::event::EventKey;

/// Namespace of outcome ids; an arbitrary constant that must never change.
const NAMESPACE: Uuid = Uuid::from_u128(0x2b9e_6d1c_47f3_4a58_8e0d_91c5_f6a3_b70e);

/// Message on the outcomes exchange; `event` is its routing key, `event_id` its message id.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Outcome")]
pub struct OutcomeEvent {
    /// `dynamics365.<handoff|resolution>.<succeeded|skipped|failed>`.
    #[schemars(regex(pattern = r"^dynamics365\.(handoff|resolution)\.(succeeded|skipped|failed)$"))]
    pub event: String,
    /// Id of the outcome. A repeated outcome has the same id, so a consumer may drop duplicates.
    pub event_id: Uuid,
    /// Organization that owns the event.
    pub organization_id: String,
    /// Time of the decision, RFC 3339 in UTC with seconds.
    #[schemars(extend("format" = "date-time"))]
    pub timestamp: String,
    /// Result of the event.
    pub data: OutcomeData,
}

/// Result of an event.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct OutcomeData {
    /// Id of the source event.
    pub source_event_id: String,
    /// Id of the conversation; null if it could not be read.
    pub session_id: Option<String>,
    /// Channel of the conversation, lower-cased.
    pub channel: Option<String>,
    /// Kind of record that the event became.
    #[schemars(extend("enum" = ["incident", "live_work_item", null]))]
    pub route: Option<&'static str>,
    /// Records in Dynamics, to be stored with the session.
    pub session_meta: SessionMeta,
    /// Contact of the customer in Dynamics.
    pub contact_id: Option<Uuid>,
    /// Number of attempts.
    pub attempts: u32,
    /// Warnings of an event that succeeded, for an operator: `contact_unlinked`, `placeholder_customer`.
    pub warnings: Vec<&'static str>,
    /// Reason for skipping the event or for its failure.
    pub reason: Option<&'static str>,
    /// Error of an event that failed.
    pub error: Option<OutcomeError>,
}

/// Records in Dynamics; empty if there are none.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SessionMeta {
    /// Case.
    Incident {
        /// Primary key of the case; of several, of the newest.
        dynamics365_incident_id: Uuid,
        /// Ticket number; null if Dynamics did not return it.
        dynamics365_ticket_number: Option<String>,
        /// All cases that a resolution closed; present if it closed several.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schemars(default)]
        dynamics365_incident_ids: Vec<Uuid>,
    },
    /// Live work item.
    Chat {
        /// Primary key of the live work item.
        dynamics365_chat_id: Uuid,
        /// `initiated`.
        dynamics365_chat_status: &'static str,
    },
    /// No record.
    #[schemars(extend("maxProperties" = 0))]
    Nothing {},
}

/// Error of an event that failed.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct OutcomeError {
    /// Step that failed.
    pub step: &'static str,
    /// HTTP status of Dynamics' response.
    pub status: Option<u16>,
    /// Error code from Dynamics.
    pub code: Option<String>,
    /// Description of the error.
    pub message: String,
    /// Advice for an operator.
    pub advice: Option<String>,
}

/// Renders an outcome in the form of the contract. The same outcome always gives the same message.
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

/// Returns a UUIDv5 of organization, source event id and result. Ids contain no NUL, so it
/// separates them.
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
