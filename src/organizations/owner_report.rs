//! Report of an organization's owner: its state as only the worker knows that sends its requests. Pure.
//!
//! Every worker shows the organizations of all, so the owner writes its report where the others read it
//! ([`Fleet::report`](handoffd_engine::ports::fleet::Fleet::report)). Its times are rounded, because a report is written
//! again only when it changes.

use std::time::{Duration, Instant};

use handoffd_engine::worker::EventAges;
use handoffd_engine::workflow::StepName;
use jiff::{Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Serialize};

use crate::dynamics::LimiterStatus;
use crate::rabbit::QueueBlock;
use crate::status::{BlockReport, OldestEvent, OrganizationHealth, RequestCounts};
use crate::telemetry::metrics::ActivityReport;

/// State of an organization as its owner sees it: JSON in the store. Of another version, it may lack fields or have more.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OwnerReport {
    /// Limit of concurrent requests.
    pub(super) concurrency: usize,
    /// Number of requests in flight.
    pub(super) under_way: usize,
    /// Requests of the last five minutes.
    pub(super) requests: RequestCounts,
    /// Mean duration of its last requests in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_seconds: Option<f64>,
    /// Events that are over since the start of this worker.
    pub(super) finished: u64,
    /// Those of them that became dead letters.
    pub(super) dead: u64,
    /// Time of its last event that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_success: Option<Timestamp>,
    /// End of the present throttling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) throttled_until: Option<Timestamp>,
    /// Block, of the whole organization or of one step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) blocked: Option<BlockReport>,
    /// Start and text of the faults of its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) faulty: Option<(Timestamp, String)>,
    /// Time from which Dynamics throttles it without a success.
    #[serde(skip_serializing_if = "Option::is_none")]
    throttled: Option<Timestamp>,
    /// Time from which its requests fail, with their operation, if it is a single one, and counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    failing: Option<(Timestamp, Option<StepName>, RequestCounts)>,
    /// Time from which its queue refuses messages, and the queue's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusing: Option<(Timestamp, String)>,
    /// Oldest unfinished event.
    oldest: OldestEvent,
}

/// Report on an organization, and where it comes from.
pub(super) enum Reported {
    /// This worker's, which owns the organization.
    Here(OwnerReport),
    /// Another worker's, which owns the organization.
    Elsewhere(OwnerReport),
    /// None lately: what every worker sees by itself, and the time from which there is no report.
    Nowhere(OwnerReport, Timestamp),
}

/// Facts that this worker knows about an organization.
pub(super) struct OwnFacts {
    /// State of its queue.
    pub(super) queue: QueueFacts,
    /// Start and text of the faults of its file, if its last valid version is in effect.
    pub(super) faulty: Option<(Timestamp, String)>,
    /// Recent requests.
    pub(super) activity: Option<ActivityReport>,
    /// Arrivals of its oldest unfinished events.
    pub(super) ages: EventAges,
    /// Number of events waiting in its queue, if it is known.
    pub(super) waiting: Option<u64>,
}

/// Facts that every worker knows about an organization's queue.
#[derive(Clone, Default)]
pub(super) struct QueueFacts {
    /// Block by the queue.
    pub(super) block: Option<QueueBlock>,
    /// Name of the queue, and the time from which it refuses messages.
    pub(super) refusing: Option<(String, Timestamp)>,
}

impl OwnerReport {
    /// Derives the report from the organization's limiter and the other facts.
    pub(super) fn new(limiter: LimiterStatus, facts: OwnFacts, now: Timestamp) -> Self {
        let at = |instant: Instant| {
            let ago = Instant::now().saturating_duration_since(instant);
            rounded(now.saturating_sub(ago).unwrap_or(Timestamp::MIN))
        };
        let refused = limiter.cause.map(|cause| BlockReport {
            since: at(cause.since),
            error: cause.fault.message.clone(),
            advice: cause.fault.advice.clone(),
        });
        let (activity, failing) = (facts.activity, facts.activity.and_then(|activity| activity.failing));
        let until = |wait: Duration| now.saturating_add(wait).ok().map(rounded);
        Self {
            concurrency: limiter.concurrency,
            under_way: limiter.under_way,
            requests: activity.map(|activity| activity.requests).unwrap_or_default(),
            response_seconds: activity.and_then(|activity| activity.response_time).map(|time| time.as_secs_f64()),
            finished: activity.map(|activity| activity.finished).unwrap_or_default(),
            dead: activity.map(|activity| activity.dead).unwrap_or_default(),
            last_success: activity.and_then(|activity| activity.last_success),
            throttled_until: limiter.wait.and_then(until),
            blocked: facts.queue.block.map(by_queue).or(refused),
            faulty: facts.faulty,
            throttled: activity.and_then(|activity| activity.throttled).map(at),
            failing: failing.map(|failing| (at(failing.since), failing.step, failing.counts)),
            refusing: facts.queue.refusing.map(|(queue, since)| (since, queue)),
            oldest: OldestEvent::new(facts.ages, facts.waiting, now),
        }
    }

    /// Creates the report of a worker that does not own the organization.
    pub(super) fn of_bystander(queue: QueueFacts, faulty: Option<(Timestamp, String)>) -> Self {
        let refusing = queue.refusing.map(|(queue, since)| (since, queue));
        Self { blocked: queue.block.map(by_queue), refusing, faulty, ..Self::default() }
    }

    /// Adds what another worker sees by itself: its own file, and the queue that all of them look for.
    pub(super) fn seen_by(self, bystander: Self) -> Self {
        Self {
            blocked: self.blocked.or(bystander.blocked),
            refusing: self.refusing.or(bystander.refusing),
            faulty: self.faulty.or(bystander.faulty),
            ..self
        }
    }

    /// Reads a report as it is stored. One that can't be read reports nothing.
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Returns the report as it is stored.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // plain data always serializes
    }

    /// Gathers what the troubles of the organization follow from.
    pub(super) fn health(
        &self,
        organization_id: String,
        paused: Option<Timestamp>,
        unreported: Option<Timestamp>,
    ) -> OrganizationHealth {
        OrganizationHealth {
            organization_id,
            paused,
            blocked: self.blocked.clone(),
            faulty: self.faulty.clone(),
            throttled: self.throttled,
            failing: self.failing,
            refusing: self.refusing.clone(),
            oldest: self.oldest,
            unreported,
        }
    }
}

fn by_queue(QueueBlock { since, error, advice }: QueueBlock) -> BlockReport {
    BlockReport { since, error, advice }
}

/// Rounds a time that is computed from an interval, so that the same moment reads the same each time.
fn rounded(at: Timestamp) -> Timestamp {
    at.round(TimestampRound::new().smallest(Unit::Second)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> OwnFacts {
        OwnFacts {
            queue: QueueFacts::default(),
            faulty: None,
            activity: None,
            ages: EventAges::default(),
            waiting: None,
        }
    }

    fn limiter() -> LimiterStatus {
        LimiterStatus { concurrency: 4, under_way: 2, wait: Some(Duration::from_secs(60)), cause: None }
    }

    #[test]
    fn a_report_is_read_as_written() {
        let now = Timestamp::now();
        let counts = RequestCounts { refused: 7, ..RequestCounts::default() };
        let report = OwnerReport {
            blocked: Some(BlockReport { since: now, error: "403".to_owned(), advice: "Grant it.".to_owned() }),
            faulty: Some((now, "no `tenant_id`".to_owned())),
            throttled: Some(now),
            failing: Some((now, Some(StepName::PostIncident), counts)),
            last_success: Some(now),
            ..OwnerReport::new(limiter(), OwnFacts { waiting: Some(0), ..facts() }, now)
        };
        assert_eq!(OwnerReport::read(&report.text()), Some(report.clone()));
        let health = report.health("org".to_owned(), None, None);
        assert_eq!((health.failing, health.oldest), (report.failing, OldestEvent::None));
        assert_eq!(OwnerReport::read(r#"{"under_way":3,"later":{}}"#).map(|report| report.under_way), Some(3));
        assert_eq!(OwnerReport::read("?"), None);
    }

    /// It would be written again each time otherwise.
    #[test]
    fn the_same_state_reads_the_same_a_moment_later() {
        let now: Timestamp = "2026-11-22T10:00:00.2Z".parse().unwrap();
        let later = Duration::from_millis(150);
        let first = OwnerReport::new(limiter(), facts(), now);
        let rest = LimiterStatus { wait: limiter().wait.map(|wait| wait.saturating_sub(later)), ..limiter() };
        // The two clocks never agree exactly.
        let now = now + later + Duration::from_millis(1);
        assert_eq!(OwnerReport::new(rest, facts(), now), first);
    }

    #[test]
    fn what_every_worker_sees_is_added_to_the_owners_report() {
        let error = "the queue `handoffd.organization.org` is missing".to_owned();
        let block = Some(QueueBlock { since: Timestamp::UNIX_EPOCH, error, advice: "Create it.".to_owned() });
        let queue = QueueFacts { block, refusing: Some(("q".to_owned(), Timestamp::UNIX_EPOCH)) };
        let bystander = || OwnerReport::of_bystander(queue.clone(), Some((Timestamp::UNIX_EPOCH, "own".to_owned())));
        let plain = OwnerReport::new(limiter(), facts(), Timestamp::now());
        let seen = plain.clone().seen_by(bystander());
        assert_eq!(seen.refusing, Some((Timestamp::UNIX_EPOCH, "q".to_owned())));
        assert!(seen.blocked.is_some_and(|block| block.error.contains("handoffd.organization.org")));
        assert_eq!((seen.faulty.map(|(_, faults)| faults), seen.under_way), (Some("own".to_owned()), 2));
        let faulty = OwnerReport { faulty: Some((Timestamp::UNIX_EPOCH, "the owner's".to_owned())), ..plain };
        assert_eq!(faulty.seen_by(bystander()).faulty.map(|(_, faults)| faults), Some("the owner's".to_owned()));
    }
}
