//! Answer about one event, derived from everything that is known of it. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::dead_letters::DeadLetterEntry;
use handoffd_engine::event::{EventKey, OrganizationId};
use handoffd_engine::worker::{EventStage, TrackedEvent};
use handoffd_engine::workflow::{HistoryEntry, MilestoneKind, Outcome, Phase, Reason, Record, Status};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::advice;
use crate::organizations::OrganizationState;

/// Time after the end of a retry queue's delay at which its events are surely back in their organization's queue.
const RETURNED: Duration = Duration::from_secs(10);

/// State of an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    /// Waits in its organization's queue or in a retry queue.
    Waiting,
    /// A worker is processing it.
    InProgress,
    /// The records in Dynamics are as the event requires.
    Succeeded,
    /// The event required no change.
    Skipped,
    /// A dead letter.
    Dead,
    /// An operator has discarded its dead letter.
    Discarded,
}

/// Answer about an event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub struct EventAnswer {
    /// Id of the event; null for a dead letter that has none.
    pub event_id: Option<String>,
    /// Organization that owns the event.
    pub organization_id: Option<String>,
    /// Id of the conversation.
    pub session_id: Option<String>,
    /// State.
    pub state: EventState,
    /// Queue that it waits in, worker that processes it, or record in Dynamics.
    #[serde(rename = "where")]
    pub place: Option<String>,
    /// Time at which the state began.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
    /// Reason for the state.
    pub reason: Option<String>,
    /// Time of the next attempt, if it is known.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_attempt: Option<Timestamp>,
    /// Recommended action.
    pub advice: Option<String>,
    /// Last error, without a customer's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Names of the queues that an event may wait in.
#[derive(Clone)]
pub struct QueueNames {
    /// Returns the name of an organization's queue.
    pub organization: Arc<dyn Fn(&OrganizationId) -> String + Send + Sync>,
    /// Retry queues by their delays.
    pub retries: Vec<(Duration, String)>,
    /// Dead-letter queue.
    pub dead_letters: String,
}

/// Facts that an answer depends on beside the event.
pub struct Surroundings<'a> {
    /// Present time.
    pub now: Timestamp,
    /// Names of queues.
    pub names: &'a QueueNames,
    /// True while the worker reaches the broker.
    pub broker_connected: bool,
    /// State of each configured organization; `None` if no worker answers.
    pub organizations: Option<HashMap<String, OrganizationState>>,
    /// Organizations that are paused, as far as no worker answers and the store is asked instead.
    pub paused: HashSet<OrganizationId>,
    /// True if other workers share the store, so that some events are known by their notes there alone.
    pub is_shared: bool,
    /// Owners of the organizations that another worker than the answering one carries.
    pub elsewhere: HashMap<String, String>,
}

impl EventState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::InProgress, Self::Succeeded, Self::Skipped, Self::Dead, Self::Discarded];

    /// Returns the value used in lists and queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InProgress => "in_progress",
            Self::Succeeded => "succeeded",
            Self::Skipped => "skipped",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }
}

impl EventAnswer {
    /// Derives the answer from the record of an event and from what the worker knows of it, of which there is at least
    /// one. The worker's knowledge is newer: a dead event may have been replayed.
    pub fn of(
        key: &EventKey,
        record: Option<&Record>,
        tracked: Option<&TrackedEvent>,
        around: &Surroundings<'_>,
    ) -> Option<Self> {
        let session = record.and_then(|record| record.session_id.as_ref());
        let session = session.or(tracked.map(|tracked| &tracked.session_id));
        let blank = Self {
            event_id: Some(key.event_id.to_string()),
            organization_id: Some(key.organization_id.to_string()),
            session_id: session.map(ToString::to_string),
            state: EventState::Waiting,
            place: None,
            since: None,
            reason: None,
            next_attempt: None,
            advice: None,
            error: record.filter(|record| record.outcome().is_none()).and_then(last_error),
        };
        // A note of a queued event may be older than the event's end, and another worker may have begun it since.
        let tracked = tracked.filter(|tracked| !is_outdated(tracked, record));
        match (tracked, record) {
            (Some(tracked), _) => Some(of_tracked(blank, key, tracked, around)),
            (None, Some(record)) => Some(of_record(blank, key, record, around)),
            (None, None) => None,
        }
    }

    /// Derives the answer from a dead letter that no record is known of.
    pub fn of_letter(letter: &DeadLetterEntry, names: &QueueNames) -> Self {
        Self {
            event_id: letter.event_id.clone(),
            organization_id: letter.organization_id.clone(),
            session_id: letter.session_id.clone(),
            state: EventState::Dead,
            place: Some(queue(&names.dead_letters)),
            since: letter.dead_at,
            reason: letter.reason.clone(),
            next_attempt: None,
            advice: Some(format!("{} (`handoffd dead-letters show --letter {}`)", advice::DEAD, letter.letter_id)),
            error: letter.error.clone(),
        }
    }
}

fn of_tracked(blank: EventAnswer, key: &EventKey, tracked: &TrackedEvent, around: &Surroundings<'_>) -> EventAnswer {
    match tracked.stage {
        EventStage::Queued => queued(blank, key, tracked.since(), around),
        EventStage::InProgress => EventAnswer {
            state: EventState::InProgress,
            place: Some("this worker".to_owned()),
            since: Some(tracked.since()),
            advice: Some(advice::IN_PROGRESS.to_owned()),
            ..blank
        },
        EventStage::OnHold(reason) => {
            let queued = queued(blank, key, tracked.since(), around);
            let reason = queued.reason.filter(|reason| reason != "queued").or_else(|| Some(reason.to_owned()));
            EventAnswer { place: Some("this worker, on hold".to_owned()), reason, ..queued }
        }
        EventStage::Retrying { reason, until } => {
            retrying(blank, key, (tracked.since(), until.timestamp()), reason, around)
        }
    }
}

fn of_record(blank: EventAnswer, key: &EventKey, record: &Record, around: &Surroundings<'_>) -> EventAnswer {
    let begun = EventAnswer {
        state: EventState::InProgress,
        since: Some(record.first_seen),
        advice: Some(advice::BEGUN_ELSEWHERE.to_owned()),
        ..blank.clone()
    };
    match &record.phase {
        Phase::Finished(outcome) => finished(blank, outcome),
        Phase::Dead(outcome) => dead(blank, record, outcome, around.names),
        Phase::InHand | Phase::Quarantined { .. } => begun,
        Phase::Waiting => {
            let wait = record.life.last(MilestoneKind::Waiting);
            let Some((wait, until)) = wait.and_then(|wait| Some((wait, wait.until?))) else { return begun };
            if until.saturating_add(RETURNED).is_ok_and(|returned| returned < around.now) {
                return queued(blank, key, until, around);
            }
            retrying(blank, key, (wait.at, until), wait.reason.as_deref().unwrap_or_default(), around)
        }
    }
}

/// Describes an event in its organization's queue.
fn queued(blank: EventAnswer, key: &EventKey, since: Timestamp, around: &Surroundings<'_>) -> EventAnswer {
    let id = key.organization_id.as_str();
    let place = queue(&(around.names.organization)(&key.organization_id));
    let elsewhere = around.elsewhere.get(id);
    let answer = EventAnswer {
        state: EventState::Waiting,
        place: Some(elsewhere.map_or(place.clone(), |worker| format!("{place}, or in progress at worker {worker}"))),
        since: Some(since),
        ..blank
    };
    let of = |reason: &str, advice: String| EventAnswer {
        reason: Some(reason.to_owned()),
        advice: Some(advice),
        ..answer.clone()
    };
    let Some(organizations) = &around.organizations else {
        let is_paused = around.paused.contains(&key.organization_id);
        return if is_paused {
            of("paused", advice::no_worker_and_paused(id))
        } else {
            of("queued", advice::NO_WORKER.to_owned())
        };
    };
    let Some(state) = organizations.get(id) else {
        return of("unknown_organization", advice::UNKNOWN_ORGANIZATION.to_owned());
    };
    if !around.broker_connected {
        return of("queued", advice::NO_BROKER.to_owned());
    }
    let advice = advice::of_organization(id, state);
    match state {
        OrganizationState::Open | OrganizationState::Faulty { .. } | OrganizationState::Unknown => of("queued", advice),
        OrganizationState::Throttled { until } => EventAnswer { next_attempt: Some(*until), ..of("throttled", advice) },
        OrganizationState::Blocked { error, .. } => EventAnswer { error: Some(error.clone()), ..of("blocked", advice) },
        OrganizationState::Degraded { error, .. } => EventAnswer { error: Some(error.clone()), ..of("queued", advice) },
        OrganizationState::Paused { .. } => of("paused", advice),
    }
}

/// Describes an event in a retry queue.
fn retrying(
    blank: EventAnswer,
    key: &EventKey,
    (since, until): (Timestamp, Timestamp),
    reason: &str,
    around: &Surroundings<'_>,
) -> EventAnswer {
    let delay = until.duration_since(since).unsigned_abs();
    let name = around.names.retries.iter().find(|(of, _)| *of == delay).map(|(_, name)| queue(name));
    EventAnswer {
        state: EventState::Waiting,
        place: Some(name.unwrap_or_else(|| "a retry queue".to_owned())),
        since: Some(since),
        reason: Some(reason.to_owned()),
        next_attempt: Some(until),
        advice: Some(advice::of_retry(reason, of_blocked(key, around))),
        ..blank
    }
}

/// Returns the advice about the event's organization, if it is blocked: without its queue, for example, the event would
/// wait for ever.
fn of_blocked(key: &EventKey, around: &Surroundings<'_>) -> Option<String> {
    let (id, organizations) = (key.organization_id.as_str(), around.organizations.as_ref()?);
    let blocked = organizations.get(id).filter(|state| matches!(state, OrganizationState::Blocked { .. }))?;
    Some(advice::of_organization(id, blocked))
}

fn finished(blank: EventAnswer, outcome: &Outcome) -> EventAnswer {
    let succeeded = outcome.status == Status::Succeeded;
    EventAnswer {
        state: if succeeded { EventState::Succeeded } else { EventState::Skipped },
        place: record_in_dynamics(outcome),
        since: Some(outcome.finished_at),
        reason: outcome.reason.map(Reason::as_str).map(str::to_owned),
        advice: (outcome.reason == Some(Reason::NoIncident)).then(|| {
            "If a case was expected, find the session and check whether its handoff is a dead letter.".to_owned()
        }),
        ..blank
    }
}

fn dead(blank: EventAnswer, record: &Record, outcome: &Outcome, names: &QueueNames) -> EventAnswer {
    let error = outcome.error.as_ref();
    let answer = EventAnswer {
        reason: outcome.reason.map(Reason::as_str).map(str::to_owned),
        error: error.map(|error| error.message.clone()),
        ..blank
    };
    let discard = record.life.last(MilestoneKind::Discarded).filter(|_| record.is_discarded());
    if let Some(discard) = discard {
        let by = discard.by.as_deref().unwrap_or("an operator");
        return EventAnswer {
            state: EventState::Discarded,
            since: Some(discard.at),
            advice: Some(format!("Discarded by {by}. If it is needed after all, publish the event again.")),
            ..answer
        };
    }
    let place = queue(&names.dead_letters);
    let (place, advice) = if record.settled {
        (place, error.and_then(|error| error.advice.clone()).unwrap_or_else(|| advice::DEAD.to_owned()))
    } else {
        (format!("on its way to {place}"), advice::NOT_THERE_YET.to_owned())
    };
    EventAnswer {
        state: EventState::Dead,
        place: Some(place),
        since: Some(outcome.finished_at),
        advice: Some(advice),
        ..answer
    }
}

/// Returns true for an event that was queued before its record last changed: it was begun since, or is over.
pub(super) fn is_outdated(tracked: &TrackedEvent, record: Option<&Record>) -> bool {
    tracked.stage == EventStage::Queued && record.is_some_and(|record| last_change(record) >= tracked.since())
}

/// Returns the time of the last change that a record tells of.
fn last_change(record: &Record) -> Timestamp {
    let ended = record.outcome().map(|outcome| outcome.finished_at);
    let request = record.history.last().map(|request| request.at);
    let milestone = record.life.milestones.last().map(|milestone| milestone.at);
    ended.or(request.max(milestone)).unwrap_or(record.first_seen)
}

fn record_in_dynamics(outcome: &Outcome) -> Option<String> {
    let of_incident = outcome.incident.as_ref().map(|incident| match &incident.ticket_number {
        Some(number) => format!("case {number} ({})", incident.id),
        None => format!("case {}", incident.id),
    });
    of_incident.or_else(|| outcome.work_item.map(|id| format!("live work item {id}")))
}

/// Returns the error of the last request of this run that failed. A 404 or 412 without an error is an answer.
fn last_error(record: &Record) -> Option<String> {
    let of = |request: &HistoryEntry| match (&request.error, request.status) {
        (Some(error), _) => Some(error.clone()),
        (None, None) => Some(format!("no response ({})", request.step.as_str())),
        (None, Some(status @ (408 | 429 | 500..))) => Some(format!("HTTP status {status} ({})", request.step.as_str())),
        (None, Some(_)) => None,
    };
    record.requests_of_run().iter().rev().find_map(of)
}

fn queue(name: &str) -> String {
    format!("queue {name}")
}
