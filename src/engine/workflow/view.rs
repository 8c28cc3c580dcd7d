//! Outcome as operators see it: everything that OpenCX receives, and more.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::announce::{OutcomeData, render};
use super::history::{HistoryItem, history};
use super::outcome::Status;
use super::record::{Phase, Record};
use crate::event::EventKey;

/// Choice to include the history of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WithHistory {
    /// The history is included, as for a single event.
    Yes,
    /// The history is left out, as in a list.
    No,
}

/// Outcome of an event, for an operator.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Outcome")]
pub struct OutcomeView {
    /// Data that OpenCX received.
    #[serde(flatten)]
    pub data: OutcomeData,
    /// Organization that owns the event.
    pub organization_id: String,
    /// Status of the event.
    pub status: Status,
    /// Time of the decision.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub finished_at: Timestamp,
    /// Whole life of the event, oldest entry first; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<HistoryItem>>,
}

/// Event without an outcome.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct PendingView {
    /// Id of the event.
    pub source_event_id: String,
    /// Organization that owns the event.
    pub organization_id: String,
    /// Id of the conversation.
    pub session_id: Option<String>,
    /// State of the event.
    pub status: EventStanding,
    /// Time at which a worker first received the event.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub first_seen: Timestamp,
    /// Number of attempts.
    pub attempts: u32,
    /// Whole life of the event, oldest entry first.
    pub history: Vec<HistoryItem>,
}

/// State of an event without an outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventStanding {
    /// The event waits in a queue for its next attempt.
    Waiting,
    /// A worker is processing the event, or was when it died.
    InHand,
}

/// Returns the outcome of an event as `outcomes list` and `GET /api/v1/outcomes` show it: the outcome's `data` with
/// `organization_id`, `status` and `finished_at`. Returns `None` if the event has no outcome.
pub fn view(key: &EventKey, record: &Record, with: WithHistory) -> Option<Value> {
    let outcome = record.outcome()?;
    Some(json!(OutcomeView {
        data: render(outcome, key).data,
        organization_id: key.organization_id.to_string(),
        status: outcome.status,
        finished_at: outcome.finished_at,
        history: (with == WithHistory::Yes).then(|| history(record)),
    }))
}

/// Returns the state of an event without an outcome; `None` if it has one.
pub fn unfinished(key: &EventKey, record: &Record) -> Option<PendingView> {
    let status = match record.phase {
        Phase::Waiting => EventStanding::Waiting,
        Phase::InHand | Phase::Quarantined { .. } => EventStanding::InHand,
        Phase::Finished(_) | Phase::Dead(_) => return None,
    };
    Some(PendingView {
        source_event_id: key.event_id.to_string(),
        organization_id: key.organization_id.to_string(),
        session_id: record.session_id.as_ref().map(ToString::to_string),
        status,
        first_seen: record.first_seen,
        attempts: record.attempts,
        history: history(record),
    })
}
