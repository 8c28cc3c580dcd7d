//! Outcome of a finished event.

use super::memory::{Memory, SessionState};
use super::outcome::{IncidentRef, Outcome, Reason, Status, Warning};
use super::progress::{PostedIncident, Progress};
use super::time::Time;
use crate::event::{Handoff, IncidentId, Kind, Resolution, Route, WorkItemId};

/// Returns the outcome of a handoff that became a case.
pub(super) fn incident(handoff: &Handoff, posted: &PostedIncident, progress: &Progress, time: Time) -> Outcome {
    let mut outcome = handed_off(handoff, Route::Incident, progress, time);
    outcome.incident = Some(posted.reference());
    outcome.contact_id = posted.contact;
    if handoff.customer.email.is_some() && posted.contact.is_none() {
        outcome.warnings.insert(0, Warning::ContactUnlinked);
    }
    outcome
}

/// Returns the outcome of a handoff that became a live work item.
pub(super) fn live_work_item(handoff: &Handoff, work_item: WorkItemId, progress: &Progress, time: Time) -> Outcome {
    Outcome { work_item: Some(work_item), ..handed_off(handoff, Route::LiveWorkItem, progress, time) }
}

/// Returns the outcome of a resolution that closed at least one case.
pub(super) fn closed(resolution: &Resolution, memory: &Memory, progress: &Progress, time: Time) -> Outcome {
    Outcome {
        status: Status::Succeeded,
        route: Some(Route::Incident),
        incident: progress.closed.last().map(|id| incident_ref(memory, *id)),
        closed: progress.closed.clone(),
        ..resolved(resolution, progress, time)
    }
}

/// Returns the outcome of a resolution that closed nothing, with the reason.
pub(super) fn skipped(
    resolution: &Resolution,
    memory: &Memory,
    progress: &Progress,
    reason: Reason,
    time: Time,
) -> Outcome {
    let incident = newest_incident(memory).or(progress.missing.last().copied());
    let chat = memory.session.iter().rev().find_map(|entry| match entry.state {
        SessionState::Chat { work_item } => Some(work_item),
        _ => None,
    });
    let route = match (incident, chat) {
        (Some(_), _) => Some(Route::Incident),
        (None, Some(_)) => Some(Route::LiveWorkItem),
        (None, None) => None,
    };
    Outcome {
        reason: Some(reason),
        route,
        incident: incident.map(|id| incident_ref(memory, id)),
        work_item: chat.filter(|_| incident.is_none()),
        ..resolved(resolution, progress, time)
    }
}

fn handed_off(handoff: &Handoff, route: Route, progress: &Progress, time: Time) -> Outcome {
    Outcome {
        kind: Kind::Handoff,
        status: Status::Succeeded,
        route: Some(route),
        session_id: Some(handoff.session_id.clone()),
        channel: Some(handoff.channel.clone()),
        ..blank(progress, time)
    }
}

fn resolved(resolution: &Resolution, progress: &Progress, time: Time) -> Outcome {
    Outcome {
        session_id: Some(resolution.session_id.clone()),
        channel: resolution.channel.clone(),
        ..blank(progress, time)
    }
}

fn blank(progress: &Progress, time: Time) -> Outcome {
    Outcome {
        warnings: progress.warnings.clone(),
        ..Outcome::bare(Kind::Resolution, Status::Skipped, time.attempts, time.now)
    }
}

fn newest_incident(memory: &Memory) -> Option<IncidentId> {
    memory.session.iter().rev().find_map(|entry| entry.state.incident())
}

fn incident_ref(memory: &Memory, id: IncidentId) -> IncidentRef {
    let ticket_number = memory.session.iter().find_map(|entry| match &entry.state {
        SessionState::Open { incident, ticket_number } | SessionState::Closed { incident, ticket_number }
            if *incident == id =>
        {
            ticket_number.clone()
        }
        _ => None,
    });
    IncidentRef { id, ticket_number }
}
