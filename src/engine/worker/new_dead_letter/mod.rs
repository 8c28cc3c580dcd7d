//! Construction of dead letters, one function for each cause.

use jiff::Timestamp;

use super::settlement::NewDeadLetter;
use crate::event::{Event, Kind, Rejection, RejectionReason, Route};
use crate::workflow::{Failure, Fault, Outcome, Phase, PostedIncident, Progress, Reason, Record, Status, StepName};

/// Builds the dead letter of a message that is no valid event.
pub(super) fn rejected(rejection: Rejection, first_seen: Timestamp, now: Timestamp) -> NewDeadLetter {
    let (reason, advice) = match rejection.reason {
        RejectionReason::InvalidEvent => {
            (Reason::InvalidEvent, "Fix the publisher and publish the event again, or replay it with a corrected body.")
        }
        RejectionReason::UnsupportedEvent => (
            Reason::UnsupportedEvent,
            "Unbind this routing key from the inbox, or use a worker version that supports the event.",
        ),
    };
    let failure = failure_of(rejection.text(), advice);
    let seen = rejection.seen;
    let kind = seen.kind.unwrap_or(Kind::Handoff);
    NewDeadLetter {
        event_id: seen.event_id,
        organization_id: seen.organization_id,
        outcome: Outcome { session_id: seen.session_id.clone(), ..failed(kind, reason, failure, 1, now) },
        session_id: seen.session_id,
        reason,
        first_seen,
        timestamp: None,
        record: None,
    }
}

/// Builds the dead letter of an event whose organization is not configured.
pub(super) fn unknown_organization(event: &Event, first_seen: Timestamp, now: Timestamp) -> NewDeadLetter {
    let organization = &event.key.organization_id;
    let failure = failure_of(
        format!("organization {organization:?} is not configured"),
        "Add its file to organizations.directory, then replay.",
    );
    of_event(event, failed(event.kind(), Reason::UnknownOrganization, failure, 1, now), first_seen)
}

/// Builds the dead letter of a message on which the worker panics repeatedly before it is decoded.
pub(super) fn unreadable(fault: Fault, attempts: u32, (first_seen, now): (Timestamp, Timestamp)) -> NewDeadLetter {
    let reason = Reason::RetriesExhausted;
    NewDeadLetter {
        event_id: None,
        organization_id: None,
        session_id: None,
        reason,
        outcome: failed(Kind::Handoff, reason, failure(fault), attempts, now),
        first_seen,
        timestamp: None,
        record: None,
    }
}

/// Builds the dead letter of an event on which the worker panics repeatedly and whose progress is unknown.
pub(super) fn exhausted(event: &Event, fault: Fault, attempts: u32, times: (Timestamp, Timestamp)) -> NewDeadLetter {
    given_up(event, Reason::RetriesExhausted, fault, (&Progress::default(), attempts), times)
}

/// Builds the dead letter from a record that is already dead and still has to be announced or copied.
pub(super) fn decided(event: &Event, record: &Record) -> Option<NewDeadLetter> {
    let Phase::Dead(outcome) = &record.phase else { return None };
    let letter = of_event(event, outcome.clone(), record.first_seen);
    Some(NewDeadLetter { record: Some(Box::new(record.clone())), ..letter })
}

/// Merges the record of an unfinished event into its dead letter: recorded results are kept, and its attempts count.
pub(super) fn after_all(letter: NewDeadLetter, record: &Record) -> NewDeadLetter {
    let NewDeadLetter { outcome, .. } = letter;
    let posted = record.progress.incident.as_ref();
    let incident = posted.map(PostedIncident::reference);
    let session_id = letter.session_id.or_else(|| record.session_id.clone());
    NewDeadLetter {
        outcome: Outcome {
            route: outcome.route.or(incident.as_ref().map(|_| Route::Incident)),
            incident,
            contact_id: posted.and_then(|it| it.contact),
            session_id: session_id.clone(),
            attempts: outcome.attempts.max(record.attempts),
            warnings: record.progress.warnings.clone(),
            ..outcome
        },
        session_id,
        first_seen: letter.first_seen.min(record.first_seen),
        ..letter
    }
}

/// Builds the dead letter of an event that Dynamics refuses permanently, or that has used up its retries.
pub(super) fn given_up(
    event: &Event,
    reason: Reason,
    fault: Fault,
    done: (&Progress, u32),
    times: (Timestamp, Timestamp),
) -> NewDeadLetter {
    let (progress, attempts) = done;
    let (first_seen, now) = times;
    let failure = failure(fault);
    let outcome = Outcome {
        incident: progress.incident.as_ref().map(PostedIncident::reference),
        contact_id: progress.incident.as_ref().and_then(|posted| posted.contact),
        warnings: progress.warnings.clone(),
        ..failed(event.kind(), reason, failure, attempts, now)
    };
    of_event(event, outcome, first_seen)
}

fn of_event(event: &Event, outcome: Outcome, first_seen: Timestamp) -> NewDeadLetter {
    let reason = outcome.reason.unwrap_or(Reason::RejectedByDynamics);
    let route = event.route().or(outcome.incident.as_ref().map(|_| Route::Incident));
    NewDeadLetter {
        event_id: Some(event.key.event_id.clone()),
        organization_id: Some(event.key.organization_id.clone()),
        session_id: Some(event.session_id().clone()),
        reason,
        outcome: Outcome {
            session_id: Some(event.session_id().clone()),
            channel: event.channel().cloned(),
            route,
            ..outcome
        },
        first_seen,
        timestamp: event.timestamp,
        record: None,
    }
}

fn failed(kind: Kind, reason: Reason, failure: Failure, attempts: u32, now: Timestamp) -> Outcome {
    Outcome { reason: Some(reason), error: Some(failure), ..Outcome::bare(kind, Status::Failed, attempts, now) }
}

fn failure(fault: Fault) -> Failure {
    Failure {
        step: fault.step,
        status: fault.status,
        code: fault.code,
        message: fault.message,
        advice: Some(fault.advice).filter(|advice| !advice.is_empty()),
    }
}

fn failure_of(message: String, advice: &str) -> Failure {
    Failure { step: StepName::Decode, status: None, code: None, message, advice: Some(advice.to_owned()) }
}

#[cfg(test)]
mod tests;
