//! An outcome as operators read it: what OpenCX receives, and more.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::announce::{OutcomeData, render};
use super::outcome::Status;
use super::record::{HistoryEntry, Phase, Record};
use crate::event::EventKey;

/// Whether every request made for the event is shown too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WithHistory {
    /// For one event.
    Yes,
    /// For a list.
    No,
}

/// What became of an event, for an operator.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Outcome")]
pub struct View {
    /// What OpenCX received.
    #[serde(flatten)]
    pub data: OutcomeData,
    /// Whose event it was.
    pub organization_id: String,
    /// How it ended.
    pub status: Status,
    /// When it was decided.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub finished_at: Timestamp,
    /// Every request made for it, oldest first; of one outcome, not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<HistoryEntry>>,
}

/// An event that has no outcome yet.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Unfinished {
    /// Which event.
    pub source_event_id: String,
    /// Whose.
    pub organization_id: String,
    /// The conversation.
    pub session_id: Option<String>,
    /// Where it stands.
    pub status: Standing,
    /// When the worker saw it first.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub first_seen: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Every request made for it, oldest first.
    pub history: Vec<HistoryEntry>,
}

/// Where an event without an outcome stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It waits in a queue for its next attempt.
    Waiting,
    /// A worker has it in hand, or had when it died.
    InHand,
}

/// What `outcomes list` and `GET /api/v1/outcomes` show of an event that has an outcome: the outcome's
/// `data`, with `organization_id`, `status` and `finished_at`. `None` while there is no outcome.
pub fn view(key: &EventKey, record: &Record, history: WithHistory) -> Option<Value> {
    let outcome = record.outcome()?;
    Some(json!(View {
        data: render(outcome, key).data,
        organization_id: key.organization_id.to_string(),
        status: outcome.status,
        finished_at: outcome.finished_at,
        history: (history == WithHistory::Yes).then(|| record.history.clone()),
    }))
}

/// What is known of an event that has no outcome yet; `None` when it has one.
pub fn unfinished(key: &EventKey, record: &Record) -> Option<Unfinished> {
    let status = match record.phase {
        Phase::Waiting => Standing::Waiting,
        Phase::InHand | Phase::Quarantined { .. } => Standing::InHand,
        Phase::Finished(_) | Phase::Dead(_) => return None,
    };
    Some(Unfinished {
        source_event_id: key.event_id.to_string(),
        organization_id: key.organization_id.to_string(),
        session_id: record.session_id.as_ref().map(ToString::to_string),
        status,
        first_seen: record.first_seen,
        attempts: record.attempts,
        history: record.history.clone(),
    })
}
