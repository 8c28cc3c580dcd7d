//! Search terms of ended events, the same for every store.

use jiff::Timestamp;

use super::OutcomeFilter;
use crate::event::{EventKey, IncidentId, SessionId, WorkItemId};
use crate::workflow::{Outcome, Record};

/// Returns the conversation of an ended event.
pub fn session<'a>(record: &'a Record, outcome: &'a Outcome) -> Option<&'a SessionId> {
    record.session_id.as_ref().or(outcome.session_id.as_ref())
}

/// Returns every incident that an event created or closed, each once.
pub fn incidents(record: &Record, outcome: &Outcome) -> Vec<IncidentId> {
    let mut found = Vec::new();
    let posted = record.progress.incident.iter().map(|posted| posted.id);
    let named = outcome.incident.iter().map(|named| named.id);
    let closed = record.progress.closed.iter().chain(&outcome.closed);
    for id in named.chain(posted).chain(closed.copied()) {
        if !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// Returns the ticket numbers of those incidents, folded for comparison.
pub fn ticket_numbers(record: &Record, outcome: &Outcome) -> Vec<String> {
    let named = outcome.incident.as_ref();
    let named = named.and_then(|incident| incident.ticket_number.as_deref());
    let posted = record.progress.incident.as_ref();
    let posted = posted.and_then(|incident| incident.ticket_number.as_deref());
    let mut found: Vec<String> = named.into_iter().chain(posted).map(fold).collect();
    found.dedup();
    found
}

/// Returns the live work item that an event created.
pub fn work_item(record: &Record, outcome: &Outcome) -> Option<WorkItemId> {
    outcome.work_item.or(record.progress.work_item)
}

/// Folds a ticket number or an email for comparison that ignores case.
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}

impl OutcomeFilter {
    /// Returns true if this event matches; one that has not ended never does.
    pub fn matches(&self, key: &EventKey, record: &Record) -> bool {
        let Some(outcome) = record.outcome() else {
            return false;
        };
        self.matches_names(key)
            && self.status.is_none_or(|status| status == outcome.status)
            && self.matches_time(outcome.finished_at)
            && self.session.as_ref().is_none_or(|wanted| session(record, outcome) == Some(wanted))
            && self.incident.is_none_or(|wanted| incidents(record, outcome).contains(&wanted))
            && self
                .ticket_number
                .as_deref()
                .is_none_or(|wanted| ticket_numbers(record, outcome).contains(&fold(wanted)))
            && self.work_item.is_none_or(|wanted| work_item(record, outcome) == Some(wanted))
    }

    /// Returns true if the names of the event match.
    pub fn matches_names(&self, key: &EventKey) -> bool {
        self.organization.as_ref().is_none_or(|wanted| *wanted == key.organization_id)
            && self.event_id.as_deref().is_none_or(|wanted| wanted == key.event_id.as_str())
    }

    /// Returns true if the time of the outcome matches.
    pub fn matches_time(&self, finished_at: Timestamp) -> bool {
        self.after.is_none_or(|after| finished_at >= after) && self.before.is_none_or(|before| finished_at < before)
    }
}
