//! Organizations and their tests as operators see them.

use std::time::Instant;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::organization::Organization;
use super::origin::Origin;
use crate::dynamics::{CheckResult, Finding, LimiterStatus, SetupHalf};

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
}

impl OrganizationView {
    /// Derives the view of an organization from its limiter and the other facts.
    pub(super) fn new(organization: &Organization, limiter: LimiterStatus, facts: OrganizationFacts) -> Self {
        Self {
            organization_id: organization.settings.organization_id.to_string(),
            environment_url: organization.settings.environment_url.clone(),
            source: organization.source.clone(),
            concurrency: limiter.concurrency,
            under_way: limiter.under_way,
            waiting: facts.waiting,
            state: OrganizationState::new(limiter, facts),
        }
    }
}

impl OrganizationState {
    /// Derives the state. A pause takes precedence over Dynamics, since only an operator ends it.
    fn new(limiter: LimiterStatus, facts: OrganizationFacts) -> Self {
        if let Some((queue, since)) = facts.missing_queue {
            return Self::Blocked {
                since,
                error: format!("the queue `{queue}` is missing, and broker.declare is false"),
                advice: "Create it (`handoffd topology` prints its definition); its events are on hold until then."
                    .to_owned(),
            };
        }
        let now = Timestamp::now();
        let until = limiter.wait.and_then(|wait| now.saturating_add(wait).ok());
        match (facts.paused, limiter.cause, until) {
            (Some(since), _, _) => Self::Paused { since },
            (None, Some(cause), _) => Self::Blocked {
                since: now
                    .saturating_sub(Instant::now().saturating_duration_since(cause.since))
                    .unwrap_or(Timestamp::MIN),
                error: cause.fault.message.clone(),
                advice: cause.fault.advice.clone(),
            },
            (None, None, Some(until)) => Self::Throttled { until },
            (None, None, None) => Self::Open,
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
