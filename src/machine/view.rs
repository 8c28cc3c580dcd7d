//! An outcome as operators and OpenCX read it: JSON.

use serde_json::{Map, Value, json};

use super::outcome::Outcome;
use super::record::Record;
use crate::event::EventKey;

/// Whether every request made for the event is shown too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WithHistory {
    /// For one event.
    Yes,
    /// For a list.
    No,
}

/// What `outcomes list` and `GET /api/v1/outcomes` show of an event that has an outcome: the outcome's
/// `data`, with `organization_id`, `status` and `finished_at`. `None` while there is no outcome.
pub fn view(key: &EventKey, record: &Record, history: WithHistory) -> Option<Value> {
    let outcome = record.outcome()?;
    let mut shown = data(key, outcome);
    shown.insert("organization_id".to_owned(), json!(key.organization_id));
    shown.insert("status".to_owned(), json!(outcome.status));
    shown.insert("finished_at".to_owned(), json!(outcome.finished_at));
    if history == WithHistory::Yes {
        shown.insert("history".to_owned(), json!(record.history));
    }
    Some(Value::Object(shown))
}

/// The `data` of an outcome event (contract 6).
pub fn data(key: &EventKey, outcome: &Outcome) -> Map<String, Value> {
    let fields = [
        ("source_event_id", json!(key.event_id)),
        ("session_id", json!(outcome.session_id)),
        ("channel", json!(outcome.channel)),
        ("route", json!(outcome.route)),
        ("session_meta", session_meta(outcome)),
        ("contact_id", json!(outcome.contact_id)),
        ("attempts", json!(outcome.attempts)),
        ("warnings", json!(outcome.warnings)),
        ("reason", json!(outcome.reason)),
        ("error", json!(outcome.error)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What OpenCX keeps with the session; empty when nothing in Dynamics belongs to it.
fn session_meta(outcome: &Outcome) -> Value {
    match (&outcome.incident, outcome.work_item) {
        (Some(incident), _) => json!({
            "dynamics365_incident_id": incident.id,
            "dynamics365_ticket_number": incident.ticket_number,
        }),
        (None, Some(work_item)) => json!({
            "dynamics365_chat_id": work_item,
            "dynamics365_chat_status": "initiated",
        }),
        (None, None) => json!({}),
    }
}
