//! Conversion of organizations and their tests into the forms that operators see.

use jiff::Timestamp;

use crate::admin::deps::{self, Check, CheckResult, OrganizationState, OrganizationView, TestReport};
use crate::config::organizations::{self, Organization};
use crate::dynamics::{CheckOutcome, CheckedHalf, Finding, OrganizationStatus};

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
pub(super) fn report(organization: &Organization, findings: Vec<Finding>) -> TestReport {
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

fn source(source: &organizations::Origin) -> deps::SettingsSource {
    match source.file() {
        Some(path) => deps::SettingsSource::File(path.display().to_string()),
        None => deps::SettingsSource::Store,
    }
}

fn check(finding: Finding) -> Check {
    let Finding { check, half, result, message, advice } = finding;
    Check {
        check: check.to_owned(),
        half: match half {
            CheckedHalf::Credentials => deps::SetupHalf::Credentials,
            CheckedHalf::Environment => deps::SetupHalf::Environment,
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
