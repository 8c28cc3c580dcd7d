//! Organizations and their tests as operators see them.

use std::time::Instant;

use handoffd_engine::worker::EventAges;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::organization::Organization;
use super::origin::Origin;
use crate::dynamics::{CheckResult, Finding, LimiterStatus, SetupHalf};
use crate::status::{BlockReport, OldestEvent, OrganizationHealth, RequestCounts, StatusReason};
use crate::telemetry::metrics::ActivityReport;

/// Organization as lists show it. Holds no secret and no customer text.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct OrganizationView {
    /// OpenCX's ID of the organization.
    pub organization_id: String,
    /// URL of its Dynamics 365 environment.
    pub environment_url: String,
    /// Origin of its settings.
    pub source: Origin,
    /// Availability for events.
    #[serde(flatten)]
    pub state: OrganizationState,
    /// Limit of concurrent requests to Dynamics now.
    pub concurrency: usize,
    /// Number of requests to Dynamics in flight.
    pub under_way: usize,
    /// Number of events waiting in its queue; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Age of its oldest unfinished event in seconds, 0 without any; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_seconds: Option<f64>,
    /// Requests of the last five minutes, by result.
    pub requests: RequestCounts,
    /// Mean duration of its last requests in seconds; absent without one in the last five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_seconds: Option<f64>,
    /// Events that are over since the start of the worker.
    #[serde(skip)]
    pub finished: u64,
    /// Those of them that became dead letters.
    #[serde(skip)]
    pub dead: u64,
    /// Time of its last event that succeeded, since the start of the worker; absent before the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub last_success: Option<Timestamp>,
    /// Everything that is wrong with it; `state` is the first of it.
    #[serde(skip)]
    pub troubles: Vec<StatusReason>,
    /// Name of the worker that processes its events; null without other workers, or while there is none.
    pub worker: Option<String>,
}

/// Availability of an organization for events.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum OrganizationState {
    /// Events are processed.
    Open,
    /// Rate-limited by Dynamics.
    Throttled {
        /// Time at which processing resumes.
        #[schemars(with = "String")]
        until: Timestamp,
    },
    /// Blocked by a faulty configuration, which is checked again periodically.
    Blocked {
        /// Time at which it was blocked.
        #[schemars(with = "String")]
        since: Timestamp,
        /// Last error of Dynamics or Entra ID.
        error: String,
        /// Recommended action.
        advice: String,
    },
    /// Paused by an operator.
    Paused {
        /// Time at which it was paused.
        #[schemars(with = "String")]
        since: Timestamp,
    },
    /// Its file is invalid. The last valid version is in effect.
    Faulty {
        /// Time at which this was found.
        #[schemars(with = "String")]
        since: Timestamp,
        /// Faults of the file.
        error: String,
        /// Recommended action.
        advice: String,
    },
    /// Half or more of its last requests fail, or its oldest event is old.
    Degraded {
        /// Time from which this is so.
        #[schemars(with = "String")]
        since: Timestamp,
        /// Cause.
        error: String,
        /// Recommended action.
        advice: String,
    },
}

/// Report of an organization's test.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct TestReport {
    /// ID of the organization.
    pub organization_id: String,
    /// True if no check failed.
    pub passed: bool,
    /// Checks in the order in which they ran.
    pub checks: Vec<Finding>,
}

/// Creates the warning that a saved organization has no effect because a file takes precedence.
pub(super) fn shadowed(file: &Origin) -> Finding {
    Finding {
        check: "source",
        half: SetupHalf::Environment,
        result: CheckResult::Warned,
        message: format!("the organization is saved, but {file} configures it too and takes precedence"),
        advice: "Remove the file for the saved settings to take effect.".to_owned(),
    }
}

/// State of an organization that the broker and the registry know.
pub(super) struct OrganizationFacts {
    /// Start of the pause, if an operator paused it.
    pub(super) paused: Option<Timestamp>,
    /// Number of events waiting in its queue, if it is known.
    pub(super) waiting: Option<u64>,
    /// Name of its queue, if it is missing and may not be declared, and the time at which this was found.
    pub(super) missing_queue: Option<(String, Timestamp)>,
    /// Start and text of the faults of its file, if its last valid version is in effect.
    pub(super) faulty: Option<(Timestamp, String)>,
    /// Recent requests.
    pub(super) activity: Option<ActivityReport>,
    /// Arrivals of its oldest unfinished events.
    pub(super) ages: EventAges,
    /// Name of the worker that owns it.
    pub(super) worker: Option<String>,
}

impl OrganizationView {
    /// Derives the view of an organization from its limiter and the other facts.
    pub(super) fn new(organization: &Organization, limiter: LimiterStatus, facts: OrganizationFacts) -> Self {
        let now = Timestamp::now();
        let (waiting, activity, worker) = (facts.waiting, facts.activity, facts.worker.clone());
        let (concurrency, under_way, wait) = (limiter.concurrency, limiter.under_way, limiter.wait);
        let id = organization.settings.organization_id.to_string();
        let health = health(id.clone(), limiter, facts, now);
        Self {
            organization_id: id,
            environment_url: organization.settings.environment_url.clone(),
            source: organization.source.clone(),
            concurrency,
            under_way,
            waiting,
            oldest_seconds: health.oldest.age(now).map(|age| age.as_secs_f64()),
            requests: activity.map(|activity| activity.requests).unwrap_or_default(),
            response_seconds: activity.and_then(|activity| activity.response_time).map(|time| time.as_secs_f64()),
            finished: activity.map(|activity| activity.finished).unwrap_or_default(),
            dead: activity.map(|activity| activity.dead).unwrap_or_default(),
            last_success: activity.and_then(|activity| activity.last_success),
            state: OrganizationState::new(&health, wait.and_then(|wait| now.saturating_add(wait).ok()), now),
            troubles: health.troubles(now),
            worker,
        }
    }
}

/// Gathers what the troubles of an organization follow from.
fn health(
    organization_id: String,
    limiter: LimiterStatus,
    facts: OrganizationFacts,
    now: Timestamp,
) -> OrganizationHealth {
    let at = |instant: Instant| {
        now.saturating_sub(Instant::now().saturating_duration_since(instant)).unwrap_or(Timestamp::MIN)
    };
    let missing = facts.missing_queue.map(|(queue, since)| BlockReport {
        since,
        error: format!("the queue `{queue}` is missing, and broker.declare is false"),
        advice: "Create it (`handoffd topology` prints its definition); its events are on hold until then.".to_owned(),
    });
    let refused = limiter.cause.map(|cause| BlockReport {
        since: at(cause.since),
        error: cause.fault.message.clone(),
        advice: cause.fault.advice.clone(),
    });
    let failing = facts.activity.and_then(|activity| activity.failing);
    OrganizationHealth {
        organization_id,
        paused: facts.paused,
        blocked: missing.or(refused),
        faulty: facts.faulty,
        throttled: facts.activity.and_then(|activity| activity.throttled).map(at),
        failing: failing.map(|failing| (at(failing.since), failing.step, failing.counts)),
        oldest: OldestEvent::new(facts.ages, facts.waiting, now),
    }
}

impl OrganizationState {
    /// Derives the state: the one that explains most. A pause comes first, since only an operator ends it.
    fn new(health: &OrganizationHealth, throttled_until: Option<Timestamp>, now: Timestamp) -> Self {
        let advised = |reason: StatusReason| (reason.since, reason.cause, reason.advice);
        if let Some(since) = health.paused {
            return Self::Paused { since };
        }
        if let Some(BlockReport { since, error, advice }) = health.blocked.clone() {
            return Self::Blocked { since, error, advice };
        }
        if health.faulty.is_some()
            && let Some((since, error, advice)) = health.troubles(now).into_iter().next().map(advised)
        {
            return Self::Faulty { since, error, advice };
        }
        if let Some(until) = throttled_until {
            return Self::Throttled { until };
        }
        match health.degradation(now).next().map(advised) {
            Some((since, error, advice)) => Self::Degraded { since, error, advice },
            None => Self::Open,
        }
    }

    /// Returns the name of the state, as in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Throttled { .. } => "throttled",
            Self::Blocked { .. } => "blocked",
            Self::Paused { .. } => "paused",
            Self::Faulty { .. } => "faulty",
            Self::Degraded { .. } => "degraded",
        }
    }
}

impl TestReport {
    /// Creates the report of a test from its findings.
    pub fn new(organization: &Organization, checks: Vec<Finding>) -> Self {
        Self {
            organization_id: organization.settings.organization_id.to_string(),
            passed: checks.iter().all(|check| check.result != CheckResult::Failed),
            checks,
        }
    }

    /// Returns the first failure as text.
    pub fn failure(&self) -> String {
        let failed = self.checks.iter().find(|check| check.result == CheckResult::Failed);
        failed.map(|check| format!("{}: {} {}", check.check, check.message, check.advice)).unwrap_or_default()
    }
}
