//! Logs and metrics of an organization's outages: one message at the beginning and one at the end, none for each waiting event.

use std::time::Duration;

use handoffd_engine::ports::metrics::{Measurement, Metrics};
use handoffd_engine::workflow::{Fault, Remedy, StepName};
use tracing::{info, warn};

use super::circuit_breaker::{BreakerChange, Cause};
use super::environment::OrganizationEnvironment;
use super::limiter::Rejected;

/// Returns the fault of a step that the limiter rejected. No request was sent for it.
pub(super) fn rejected(step: StepName, turned: Rejected) -> Fault {
    match turned {
        Rejected::Throttled(wait) => {
            let until = jiff::Timestamp::now().saturating_add(wait).unwrap_or(jiff::Timestamp::MAX);
            let message = "Dynamics throttles the organization; no request was sent".to_owned();
            Fault::unanswered(step, Remedy::NotBefore(until), message)
        }
        Rejected::Blocked(cause) => refused(step, &cause, Remedy::Hold, "the organization is blocked"),
        Rejected::Held(cause) => {
            let since = jiff::Timestamp::now().saturating_sub(cause.since.elapsed()).unwrap_or(jiff::Timestamp::MIN);
            refused(step, &cause, Remedy::HoldStep(since), "the organization is blocked at this step")
        }
        Rejected::Retired => {
            let message = "the organization was removed while the event was in progress".to_owned();
            Fault::unanswered(step, Remedy::Retry, message)
        }
    }
}

fn refused(step: StepName, cause: &Cause, remedy: Remedy, what: &str) -> Fault {
    Fault {
        status: cause.fault.status,
        code: cause.fault.code.clone(),
        advice: cause.fault.advice.clone(),
        ..Fault::unanswered(step, remedy, format!("{what}: {}", cause.fault.message))
    }
}

/// Reports that an organization was blocked, or is available again.
pub(super) fn report_change(metrics: &dyn Metrics, environment: &OrganizationEnvironment, change: BreakerChange) {
    let organization = &environment.access.settings.organization_id;
    if !matches!(change, BreakerChange::None) {
        environment.fleet.state_changed(organization);
    }
    match change {
        BreakerChange::None => {}
        BreakerChange::Blocked(fault) => {
            metrics.record(Measurement::Blocked(organization, true));
            blocked(environment, &fault, "organization is blocked; its events are on hold");
        }
        BreakerChange::Held(fault) => {
            metrics.record(Measurement::Blocked(organization, true));
            let sentence = "organization is blocked at one step; events that need the step are on hold";
            blocked(environment, &fault, sentence);
        }
        BreakerChange::StepReleased(step, blocked_for) => {
            info!(
                organization_id = %organization,
                step = step.as_str(),
                blocked_for_s = blocked_for.as_secs(),
                "step is no longer blocked; another step of the organization still is"
            );
        }
        BreakerChange::ReasonChanged(fault) => {
            blocked(environment, &fault, "organization is still blocked, now for another reason");
        }
        BreakerChange::Released(blocked_for) => {
            metrics.record(Measurement::Blocked(organization, false));
            info!(
                organization_id = %organization,
                blocked_for_s = blocked_for.as_secs(),
                "organization is no longer blocked; its events resume"
            );
        }
    }
}

/// Reports whether an organization that was taken over is blocked.
pub(super) fn report_taken(metrics: &dyn Metrics, environment: &OrganizationEnvironment) {
    let is_blocked = environment.limiter.condition(std::time::Instant::now()).cause.is_some();
    metrics.record(Measurement::Blocked(&environment.access.settings.organization_id, is_blocked));
}

/// Reports that Dynamics or Entra ID throttles an organization. `shut` is the wait, present only when it begins.
pub(super) fn throttled(
    metrics: &dyn Metrics,
    environment: &OrganizationEnvironment,
    fault: &Fault,
    shut: Option<Duration>,
) {
    let organization = &environment.access.settings.organization_id;
    metrics.record(Measurement::Throttled(organization));
    if let Some(wait) = shut {
        warn!(
            organization_id = %organization,
            step = fault.step.as_str(),
            status = fault.status,
            code = fault.code,
            request_id = fault.request_id,
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "organization is throttled; its events are on hold until the wait ends"
        );
    }
}

fn blocked(environment: &OrganizationEnvironment, fault: &Fault, sentence: &str) {
    warn!(
        organization_id = %environment.access.settings.organization_id,
        step = fault.step.as_str(),
        status = fault.status,
        code = fault.code,
        request_id = fault.request_id,
        error = %fault.message,
        advice = %fault.advice,
        "{sentence}"
    );
}
