//! Translation of receipts into changes of the store. Pure, so that it can be read and tested on its own.

use jiff::Timestamp;

use crate::event::{Body, Event, EventId, IncidentId};
use crate::ports::store::Change;
use crate::workflow::{LearnedChange, Memory, Progress, Receipt, SessionEntry, SessionState, learn};

/// Applies a receipt to the loaded memory, and returns the changes for the store.
pub(super) fn remember(event: &Event, receipt: &Receipt, memory: &mut Memory, at: Timestamp) -> Vec<Change> {
    let mut changes = Vec::new();
    let learned = learn(memory.learned, receipt);
    if learned != memory.learned {
        let change = LearnedChange::between(memory.learned, learned);
        changes.push(Change::Learned(event.key.organization_id.clone(), change));
        memory.learned = learned;
    }
    match receipt {
        Receipt::ContactFound(contact) | Receipt::ContactCreated(contact) => {
            memory.contact = Some(*contact);
            changes.extend(event.email().map(str::to_owned).map(|email| Change::Contact {
                organization: event.key.organization_id.clone(),
                email,
                contact: *contact,
                at,
            }));
        }
        Receipt::ContactGone => {
            memory.contact = None;
            changes.extend(
                event
                    .email()
                    .map(str::to_owned)
                    .map(|email| Change::ForgetContact { organization: event.key.organization_id.clone(), email }),
            );
        }
        _ => changes.extend(session_entry(event, receipt, memory).map(|entry| note_session(event, entry, memory, at))),
    }
    changes
}

/// Opens a handoff in its session, so that resolutions wait for it.
pub(super) fn opening(event: &Event, memory: &mut Memory, at: Timestamp) -> Option<Change> {
    let known = memory
        .session
        .iter()
        .any(|entry| entry.event_id == event.key.event_id && !matches!(entry.state, SessionState::Dead));
    if known || !matches!(event.body, Body::Handoff(_)) {
        return None;
    }
    let entry = of_handoff(event, SessionState::Opening);
    Some(note_session(event, entry, memory, at))
}

/// Repeats all known changes of the event's session.
pub(super) fn as_noted(event: &Event, memory: &Memory, at: Timestamp) -> Vec<Change> {
    memory.session.iter().map(|entry| noted(event, entry.clone(), at)).collect()
}

/// Repeats the event's own change of its session.
pub(super) fn own_as_noted(event: &Event, memory: &Memory, at: Timestamp) -> Vec<Change> {
    let own = memory.session.iter().filter(|entry| entry.event_id == event.key.event_id);
    own.map(|entry| noted(event, entry.clone(), at)).collect()
}

/// Records that a handoff is complete. From now on the case it opened may be closed.
pub(super) fn handed_off(event: &Event, progress: &Progress, memory: &mut Memory, at: Timestamp) -> Option<Change> {
    let state = opened_state(progress)?;
    let before = memory.session.iter().find(|entry| entry.event_id == event.key.event_id);
    // A replayed handoff whose case a resolution has closed: the case stays closed.
    if before.is_some_and(|entry| state.incident().is_some() && entry.state.incident() == state.incident()) {
        return None;
    }
    let entry = of_handoff(event, state);
    Some(note_session(event, entry, memory, at))
}

/// Records that a handoff is given up, so that no resolution waits for it. A case it has opened stays open.
pub(super) fn given_up(event: &Event, progress: &Progress, memory: &mut Memory, at: Timestamp) -> Option<Change> {
    let entry = memory.session.iter().find(|entry| entry.event_id == event.key.event_id)?;
    if entry.state != SessionState::Opening {
        return None;
    }
    let entry = of_handoff(event, given_up_as(progress));
    Some(note_session(event, entry, memory, at))
}

/// Records the time from which a request may close a case of the session; `None` once the result of that request is
/// known and the case is open.
pub(super) fn closing(
    event: &Event,
    incident: IncidentId,
    since: Option<Timestamp>,
    memory: &mut Memory,
    at: Timestamp,
) -> Option<Change> {
    let (entry, _) = opened(incident, memory).filter(|(entry, _)| entry.closing != since)?;
    let entry = SessionEntry { closing: since, ..entry };
    Some(note_session(event, entry, memory, at))
}

fn of_handoff(event: &Event, state: SessionState) -> SessionEntry {
    SessionEntry { event_id: event.key.event_id.clone(), state, handed_off: event.timestamp, closing: None }
}

/// Returns the session state of a handoff that is given up.
pub(super) fn given_up_as(progress: &Progress) -> SessionState {
    opened_state(progress).unwrap_or(SessionState::Dead)
}

/// Returns the session state of the case or work item that a handoff has opened.
fn opened_state(progress: &Progress) -> Option<SessionState> {
    let incident = progress
        .incident
        .as_ref()
        .map(|posted| SessionState::Open { incident: posted.id, ticket_number: posted.ticket_number.clone() });
    incident.or(progress.work_item.map(|work_item| SessionState::Chat { work_item }))
}

fn session_entry(event: &Event, receipt: &Receipt, memory: &Memory) -> Option<SessionEntry> {
    // A handoff's case belongs to its session only once the handoff is complete; until then a resolution waits.
    match receipt {
        Receipt::IncidentClosed(incident) | Receipt::IncidentTouched(incident) => {
            Some(closed(&event.key.event_id, *incident, memory))
        }
        _ => None,
    }
}

/// Returns the entry of the handoff that opened this incident, if the incident is still open, and its ticket number.
fn opened(incident: IncidentId, memory: &Memory) -> Option<(SessionEntry, Option<String>)> {
    memory.session.iter().find_map(|entry| match &entry.state {
        SessionState::Open { incident: open, ticket_number } if *open == incident => {
            Some((entry.clone(), ticket_number.clone()))
        }
        _ => None,
    })
}

/// Returns the entry of the handoff that opened this incident, or the resolution's own if none is known.
fn closed(resolution: &EventId, incident: IncidentId, memory: &Memory) -> SessionEntry {
    match opened(incident, memory) {
        Some((entry, ticket_number)) => {
            SessionEntry { state: SessionState::Closed { incident, ticket_number }, closing: None, ..entry }
        }
        None => SessionEntry {
            event_id: resolution.clone(),
            state: SessionState::ClosedByMeta { incident },
            handed_off: None,
            closing: None,
        },
    }
}

fn note_session(event: &Event, entry: SessionEntry, memory: &mut Memory, at: Timestamp) -> Change {
    match memory.session.iter_mut().find(|known| known.event_id == entry.event_id) {
        Some(known) => *known = entry.clone(),
        None => memory.session.push(entry.clone()),
    }
    noted(event, entry, at)
}

fn noted(event: &Event, entry: SessionEntry, at: Timestamp) -> Change {
    Change::Session { organization: event.key.organization_id.clone(), session: event.session_id().clone(), entry, at }
}

#[cfg(test)]
mod tests;
