//! Check of the order of each session: a resolution closes the cases that were handed off before it, and no later one.

use std::collections::HashMap;

use serde_json::Value;

use crate::crm::{Crm, organizations};
use crate::ledger::{Entry, Expected, Ledger};
use crate::verdict::summary;

/// Returns the violations.
pub fn check(ledger: &Ledger, crm: &Crm) -> Vec<String> {
    let (mut found, reopened) = (Vec::new(), crm.reopened());
    let all = organizations().iter().flat_map(|organization| crm.rows(organization, "incidents"));
    let cases: HashMap<String, Value> = all.map(|row| (summary(&row), row)).collect();
    let entries = ledger.entries();
    let mut resolutions: HashMap<(&str, &str), Vec<&Entry>> = HashMap::new();
    for entry in entries.values().filter(|entry| entry.expected == Expected::Resolution) {
        resolutions.entry(session(entry)).or_default().push(entry);
    }
    for (id, entry) in entries.iter() {
        let Some(case) = cases.get(entry.event.0["data"]["summary"].as_str().unwrap_or_default()) else { continue };
        let (is_open, key) = (case["statecode"] == 0, case["incidentid"].as_str().unwrap_or_default());
        let of_session = resolutions.get(&session(entry)).map_or(&[][..], Vec::as_slice);
        let later = |resolution: &&&Entry| timestamp(resolution) > timestamp(entry);
        // Handoffs announced before the resolution was published are known to everybody.
        let knows = |resolution: &&&Entry| entry.heard_at.is_some_and(|heard| heard < resolution.published_at);
        if is_open && !reopened.contains_key(key) {
            let missed = of_session.iter().filter(later).find(knows);
            found.extend(missed.map(|resolution| {
                let outcomes = &resolution.outcomes;
                format!("{id}: its case {key} is open after {}: {outcomes:?}", resolution.event.id())
            }));
        }
        if !is_open && !of_session.iter().any(|resolution| later(&resolution)) {
            found.push(format!("{id}: its case {key} was closed by an earlier resolution"));
        }
    }
    found
}

fn session(entry: &Entry) -> (&str, &str) {
    (entry.event.0["organization_id"].as_str().unwrap_or_default(), entry.event.session())
}

fn timestamp(entry: &Entry) -> jiff::Timestamp {
    let text = entry.event.0["timestamp"].as_str().unwrap_or_default();
    text.parse().unwrap_or_default()
}
