//! Events of the demonstration with several workers: handoffs of new customers, and the resolution of each.

use serde_json::{Value, json};

use crate::broker::ORGANIZATIONS;

/// Sessions of each organization.
pub const SESSIONS: usize = 40;

/// All events with their routing keys, the organizations in turn, each handoff before its resolution.
pub fn all() -> Vec<(String, Value)> {
    let each = |number: usize| {
        let handoffs =
            ORGANIZATIONS.iter().map(move |name| ("session.handoff.email".to_owned(), handoff(name, number)));
        let resolutions =
            ORGANIZATIONS.iter().map(move |name| ("session.resolved.email".to_owned(), resolution(name, number)));
        handoffs.chain(resolutions)
    };
    (0..SESSIONS).flat_map(each).collect()
}

fn handoff(name: &str, number: usize) -> Value {
    json!({
        "event": "session.handoff",
        "event_id": format!("evt_{name}_{number}"),
        "organization_id": format!("org_{name}"),
        "timestamp": "2026-11-22T10:15:00Z",
        "data": {
            "session_id": format!("ses_{name}_{number}"),
            "channel": "email",
            "summary": format!("Question {number} of a customer of {name}."),
            "customer": { "name": format!("Customer {number}"), "email": format!("customer{number}@{name}.example.com") },
        },
    })
}

fn resolution(name: &str, number: usize) -> Value {
    json!({
        "event": "session.resolved",
        "event_id": format!("evt_{name}_{number}_resolved"),
        "organization_id": format!("org_{name}"),
        "timestamp": "2026-11-22T10:20:00Z",
        "data": { "session_id": format!("ses_{name}_{number}") },
    })
}
