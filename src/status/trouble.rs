//! Troubles of one organization, with their causes and what to do about them.

use std::time::Duration;

use handoffd_engine::workflow::StepName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::oldest::OldestEvent;
use super::request_window::{RequestCounts, WINDOW};
use super::verdict::StatusReason;

/// Time for which throttling is ordinary (contract 9).
const THROTTLED: Duration = Duration::from_secs(60);
/// Age that no event reaches while its organization is healthy (contract 9).
const OLD: Duration = Duration::from_secs(300);

/// Time without a report of its owner after which an organization's state is a trouble: a takeover takes less.
const UNREPORTED: Duration = Duration::from_secs(15);

/// State of one organization, from which its troubles follow.
#[derive(Clone, PartialEq, Debug)]
pub struct OrganizationHealth {
    /// ID of the organization.
    pub organization_id: String,
    /// Start of a pause.
    pub paused: Option<Timestamp>,
    /// Block, of the whole organization or of one step.
    pub blocked: Option<BlockReport>,
    /// Time from which its file is faulty, and the faults. Its last valid version is in effect.
    pub faulty: Option<(Timestamp, String)>,
    /// Time from which Dynamics throttles it without a success.
    pub throttled: Option<Timestamp>,
    /// Time from which half or more of its last requests fail, with their operation, if it is a single one, and counts.
    pub failing: Option<(Timestamp, Option<StepName>, RequestCounts)>,
    /// Time from which its queue refuses messages, and the queue's name.
    pub refusing: Option<(Timestamp, String)>,
    /// Oldest unfinished event.
    pub oldest: OldestEvent,
    /// Time from which no worker reports its state, if this worker does not own it.
    pub unreported: Option<Timestamp>,
}

/// Block of an organization.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlockReport {
    /// Start.
    pub since: Timestamp,
    /// Last error.
    pub error: String,
    /// Recommended action.
    pub advice: String,
}

impl OrganizationHealth {
    /// Returns the health of an organization that nothing is known to be wrong with.
    pub fn good(organization_id: &str) -> Self {
        Self {
            organization_id: organization_id.to_owned(),
            paused: None,
            blocked: None,
            faulty: None,
            throttled: None,
            failing: None,
            refusing: None,
            oldest: OldestEvent::None,
            unreported: None,
        }
    }

    /// Returns all troubles, the one that explains most first.
    pub fn troubles(&self, now: Timestamp) -> Vec<StatusReason> {
        let id = &self.organization_id;
        let paused = self.paused.map(|since| {
            let advice = format!("Resume it once the reason for the pause is over: handoffd org resume {id}");
            self.reason(since, "paused by an operator; its events are on hold".to_owned(), advice)
        });
        let blocked = self.blocked.as_ref().map(|block| {
            let cause = format!("blocked; its events are on hold: {}", block.error);
            self.reason(block.since, cause, block.advice.clone())
        });
        let faulty = self.faulty.as_ref().map(|(since, faults)| {
            let advice = "Correct the file; `handoffd config check` lists every fault. Its last valid version is in effect, \
                          until the worker restarts.";
            self.reason(*since, format!("faulty file: {faults}"), advice.to_owned())
        });
        let throttled = self.throttled.filter(|since| age(*since, now) >= THROTTLED).map(|since| {
            let advice = "Reduce what else uses the application user, or wait; its events resume by themselves.";
            self.reason(since, "throttled by Dynamics for more than a minute".to_owned(), advice.to_owned())
        });
        let unreported = self.unreported.filter(|since| age(*since, now) >= UNREPORTED).map(|since| {
            let advice = "Check that a worker owns it (handoffd workers list, `worker` of its entry) and reaches PostgreSQL; \
                          its events are kept.";
            self.reason(since, "its state is unknown: no worker has reported it for 15 s".to_owned(), advice.to_owned())
        });
        [paused, blocked, faulty, throttled, unreported].into_iter().flatten().chain(self.degradation(now)).collect()
    }

    /// Returns the troubles of an organization whose events are neither on hold nor throttled.
    pub fn degradation(&self, now: Timestamp) -> impl Iterator<Item = StatusReason> {
        let failing = self.failing.map(|(since, step, counts)| {
            let operation = step.map(|step| format!(" ({})", step.as_str())).unwrap_or_default();
            let (word, advice) = self.failure(&counts);
            let (bad, total, minutes) = (counts.bad(), counts.total(), WINDOW.as_secs() / 60);
            let cause = format!("{bad} of {total} requests {word}{operation} in the last {minutes} minutes");
            self.reason(since, cause, advice)
        });
        let refusing = self.refusing.as_ref().map(|(since, queue)| {
            let cause = format!("the broker refuses messages for its queue `{queue}`; new events wait in retry queues");
            let advice = "Check that the queue has a leader and room (a length limit, a policy); its events are kept and \
                          retried automatically.";
            self.reason(*since, cause, advice.to_owned())
        });
        let old = match self.oldest {
            OldestEvent::Since(since) if age(since, now) >= OLD => Some(since),
            _ => None,
        };
        let old = old.map(|since| {
            let cause = format!("oldest event is {} min old", age(since, now).as_secs() / 60);
            let advice = "Check its requests and what waits (handoffd org list, the page's Organizations); its events are \
                          kept and retried automatically.";
            self.reason(since.saturating_add(OLD).unwrap_or(since), cause, advice.to_owned())
        });
        refusing.into_iter().chain(failing).chain(old)
    }

    /// Returns what most of the failing requests have in common, in words, and the advice.
    fn failure(&self, counts: &RequestCounts) -> (&'static str, String) {
        let id = &self.organization_id;
        let silent = counts.timeout + counts.overdue;
        if silent >= counts.failed && silent >= counts.refused {
            let word = match (counts.timeout, counts.overdue) {
                (_, 0) => "timed out",
                (0, _) => "have had no answer for 10 s",
                _ => "timed out or have had no answer for 10 s",
            };
            let advice = "Dynamics does not answer. Check its environment, Microsoft's service health page and the network; \
                          its events are retried automatically.";
            return (word, advice.to_owned());
        }
        if counts.failed >= counts.refused {
            let advice = "Dynamics fails or can't be reached. Check its environment, Microsoft's service health page and the \
                          network; its events are retried automatically.";
            return ("failed", advice.to_owned());
        }
        let advice = format!(
            "Dynamics refuses them. Run `handoffd org test {id}`, and read the errors of its dead letters: handoffd \
             dead-letters list --organization {id}"
        );
        ("were refused", advice)
    }

    fn reason(&self, since: Timestamp, cause: String, advice: String) -> StatusReason {
        StatusReason { organization_id: Some(self.organization_id.clone()), cause, advice, since }
    }
}

fn age(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
