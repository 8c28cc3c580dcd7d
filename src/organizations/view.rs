//! Organizations and their tests as operators see them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::organization::Organization;
use super::origin::Origin;
use crate::dynamics::{CheckOutcome, CheckedHalf, Finding, OrganizationStatus};

/// Organization as lists show it. Holds no secret and no customer text.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct OrganizationView {
    /// OpenCX's ID of the organization.
    pub organization_id: String,
    /// URL of its Dynamics 365 environment.
    pub environment_url: String,
    /// Origin of its settings.
    pub source: SettingsSource,
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

/// Origin of an organization's settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingsSource {
    /// A file in `organizations.directory`.
    File(String),
    /// An entry of the store, saved over HTTP.
    Store,
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
    pub checks: Vec<Check>,
}

/// One check of a test.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Check {
    /// Name of the check: `token`, `probe`, `owner`, `queue`, `workstream`, …
    pub check: String,
    /// Half of the setup that the check belongs to.
    pub half: SetupHalf,
    /// Result.
    pub result: CheckResult,
    /// Finding, in one line.
    pub message: String,
    /// Recommended action; empty if none is needed.
    pub advice: String,
}

/// Halves of an organization's setup, as "Test & Save" divides it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetupHalf {
    /// Entra ID: tenant, application, secret.
    Credentials,
    /// Dynamics 365: environment, application user, privileges, records.
    Environment,
}

/// Result of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// No problem found.
    Passed,
    /// Events will fail or wait.
    Failed,
    /// Events will be processed, but someone should review the finding.
    Warned,
    /// Not run, because an earlier check failed or there is nothing to check.
    Skipped,
}

impl TestReport {
    /// Returns the first failure as text.
    pub fn failure(&self) -> String {
        let failed = self.checks.iter().find(|check| check.result == CheckResult::Failed);
        failed.map(|check| format!("{}: {} {}", check.check, check.message, check.advice)).unwrap_or_default()
    }
}

/// Builds the view of an organization. A pause takes precedence, since only an operator ends it.
pub(super) fn view(
    organization: &Organization,
    condition: OrganizationStatus,
    paused: Option<Timestamp>,
    (waiting, missing_queue): (Option<u64>, Option<(String, Timestamp)>),
) -> OrganizationView {
    OrganizationView {
        organization_id: organization.settings.organization_id.to_string(),
        environment_url: organization.settings.environment_url.clone(),
        source: source(&organization.source),
        concurrency: condition.concurrency,
        under_way: condition.under_way,
        waiting,
        state: state(condition, paused, missing_queue),
    }
}

/// Builds the report of a test.
pub fn report(organization: &Organization, findings: Vec<Finding>) -> TestReport {
    TestReport {
        organization_id: organization.settings.organization_id.to_string(),
        passed: findings.iter().all(|finding| finding.result != CheckOutcome::Failed),
        checks: findings.into_iter().map(check).collect(),
    }
}

fn state(
    condition: OrganizationStatus,
    paused: Option<Timestamp>,
    missing_queue: Option<(String, Timestamp)>,
) -> OrganizationState {
    if let Some((queue, since)) = missing_queue {
        return OrganizationState::Blocked {
            since,
            error: format!("the queue `{queue}` is missing, and broker.declare is false"),
            advice: "Create it (`handoffd topology` prints its definition); its events are on hold until then."
                .to_owned(),
        };
    }
    match (paused, condition.blocked, condition.throttled_until) {
        (Some(since), _, _) => OrganizationState::Paused { since },
        (None, Some(blocked), _) => OrganizationState::Blocked {
            since: blocked.since,
            error: blocked.fault.message.clone(),
            advice: blocked.fault.advice.clone(),
        },
        (None, None, Some(until)) => OrganizationState::Throttled { until },
        (None, None, None) => OrganizationState::Open,
    }
}

fn source(source: &Origin) -> SettingsSource {
    match source.file() {
        Some(path) => SettingsSource::File(path.display().to_string()),
        None => SettingsSource::Store,
    }
}

fn check(finding: Finding) -> Check {
    let Finding { check, half, result, message, advice } = finding;
    Check {
        check: check.to_owned(),
        half: match half {
            CheckedHalf::Credentials => SetupHalf::Credentials,
            CheckedHalf::Environment => SetupHalf::Environment,
        },
        result: match result {
            CheckOutcome::Passed => CheckResult::Passed,
            CheckOutcome::Failed => CheckResult::Failed,
            CheckOutcome::Warned => CheckResult::Warned,
            CheckOutcome::Skipped => CheckResult::Skipped,
        },
        message,
        advice,
    }
}
