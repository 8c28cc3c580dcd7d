//! An outcome as operators read it: what OpenCX receives, and more.

use serde_json::{Value, json};

use super::announce::render;
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
    let mut shown = json!(render(outcome, key).data);
    shown["organization_id"] = json!(key.organization_id);
    shown["status"] = json!(outcome.status);
    shown["finished_at"] = json!(outcome.finished_at);
    if history == WithHistory::Yes {
        shown["history"] = json!(record.history);
    }
    Some(shown)
}
