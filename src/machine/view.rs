//! An outcome as operators and OpenCX read it: JSON.

use serde_json::{Map, Value, json};

use super::announce::render;
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

/// The `data` of an outcome event (contract 6), as it was announced.
pub fn data(key: &EventKey, outcome: &Outcome) -> Map<String, Value> {
    match json!(render(outcome, key).data) {
        Value::Object(data) => data,
        // Its `data` is a struct, so there is nothing else.
        _ => Map::new(),
    }
}
