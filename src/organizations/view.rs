//! Organizations and their tests as operators see them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::organization::Organization;
use super::origin::Origin;
use super::owner_report::Reported;
use crate::dynamics::{CheckResult, Finding, SetupHalf};
use crate::status::{BlockReport, OrganizationHealth, RequestCounts, StatusReason};

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
    /// Limit of concurrent requests to Dynamics now; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
    /// Number of requests to Dynamics in flight; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub under_way: Option<usize>,
    /// Number of events waiting in its queue; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Age of its oldest unfinished event in seconds, 0 without any; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_seconds: Option<f64>,
    /// Requests of the last five minutes, by result; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestCounts>,
    /// Mean duration of its last requests in seconds; absent without one in the last five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_seconds: Option<f64>,
    /// Events that are over since the start of the worker that owns it.
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
    /// True if the worker that owns it reports it as blocked; `None` if this worker owns it, or the state is unknown.
    #[serde(skip)]
    pub blocked_elsewhere: Option<bool>,
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
    /// Half or more of its last requests fail, its queue refuses messages, or its oldest event is old.
    Degraded {
        /// Time from which this is so.
        #[schemars(with = "String")]
        since: Timestamp,
        /// Cause.
        error: String,
        /// Recommended action.
        advice: String,
    },
    /// Unknown: another worker owns it, or none does, and none has reported its state lately.
    Unknown,
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

/// Facts about an organization that every worker knows by itself.
pub(super) struct OrganizationFacts {
    /// Start of the pause, if an operator paused it.
    pub(super) paused: Option<Timestamp>,
    /// Number of events waiting in its queue, if it is known.
    pub(super) waiting: Option<u64>,
    /// Name of the worker that owns it.
    pub(super) worker: Option<String>,
}

impl OrganizationView {
    /// Derives the view of an organization from the report on it and the other facts.
    pub(super) fn new(organization: &Organization, reported: Reported, facts: OrganizationFacts) -> Self {
        let OrganizationFacts { paused, waiting, worker } = facts;
        let (now, id) = (Timestamp::now(), organization.settings.organization_id.to_string());
        let (report, unreported, is_elsewhere) = match reported {
            Reported::Here(report) => (report, None, false),
            Reported::Elsewhere(report) => (report, None, true),
            Reported::Nowhere(here, since) => (here, Some(since), true),
        };
        let known = unreported.is_none().then_some(&report);
        let health = report.health(id.clone(), paused, unreported);
        Self {
            organization_id: id,
            environment_url: organization.settings.environment_url.clone(),
            source: organization.source.clone(),
            concurrency: known.map(|report| report.concurrency),
            under_way: known.map(|report| report.under_way),
            waiting,
            oldest_seconds: health.oldest.age(now).map(|age| age.as_secs_f64()),
            requests: known.map(|report| report.requests),
            response_seconds: report.response_seconds,
            finished: report.finished,
            dead: report.dead,
            last_success: report.last_success,
            blocked_elsewhere: known.filter(|_| is_elsewhere).map(|report| report.blocked.is_some()),
            state: OrganizationState::new(&health, report.throttled_until, now),
            troubles: health.troubles(now),
            worker,
        }
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
            None if health.unreported.is_some() => Self::Unknown,
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
            Self::Unknown => "unknown",
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
