//! What is told of an organization's trouble: once, where it begins and where it ends; not for each event that waits.

use std::time::Duration;

use handoffd_engine::ports::metrics::{Sighting, Watch};
use handoffd_engine::workflow::{Fault, Remedy, StepName};
use tracing::{info, warn};

use super::blockade::{Cause, Change};
use super::environment::Environment;
use super::gate::Turned;

/// The fault of a step that was not let in: no request was made for it.
pub(super) fn turned(step: StepName, turned: Turned) -> Fault {
    match turned {
        Turned::Throttled(wait) => {
            let until = jiff::Timestamp::now().saturating_add(wait).unwrap_or(jiff::Timestamp::MAX);
            let message = "the organization's gate is shut until Dynamics lets it in again".to_owned();
            Fault::unanswered(step, Remedy::NotBefore(until), message)
        }
        Turned::Blocked(cause) => refused(step, &cause, Remedy::Hold, "the organization is blocked"),
        Turned::Held(cause) => {
            let since = jiff::Timestamp::now().saturating_sub(cause.since.elapsed()).unwrap_or(jiff::Timestamp::MIN);
            refused(step, &cause, Remedy::HoldStep(since), "the organization is blocked at this step")
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

/// An organization became blocked, or works again.
pub(super) fn tell(watch: &dyn Watch, environment: &Environment, change: Change) {
    let organization = &environment.access.settings.organization_id;
    match change {
        Change::Same => {}
        Change::Blocked(fault) => {
            watch.saw(Sighting::Blocked(organization, true));
            blocked(environment, &fault, "an organization is blocked: its events wait until it works again");
        }
        Change::Held(fault) => {
            watch.saw(Sighting::Blocked(organization, true));
            let sentence = "an organization is blocked at one step: events that need it wait, others go on";
            blocked(environment, &fault, sentence);
        }
        Change::Freed(step, blocked_for) => {
            info!(
                organization_id = %organization,
                step = step.as_str(),
                blocked_for_s = blocked_for.as_secs(),
                "a step works again; others of its organization do not"
            );
        }
        Change::Otherwise(fault) => {
            blocked(environment, &fault, "an organization is still blocked, for another reason now");
        }
        Change::Opened(blocked_for) => {
            watch.saw(Sighting::Blocked(organization, false));
            info!(
                organization_id = %organization,
                blocked_for_s = blocked_for.as_secs(),
                "an organization works again: its events flow"
            );
        }
    }
}

/// Dynamics, or Entra ID, has told an organization to wait; `shut` is how long, when it was open until now.
pub(super) fn throttled(watch: &dyn Watch, environment: &Environment, fault: &Fault, shut: Option<Duration>) {
    let organization = &environment.access.settings.organization_id;
    watch.saw(Sighting::Throttled(organization));
    if let Some(wait) = shut {
        warn!(
            organization_id = %organization,
            step = fault.step.as_str(),
            status = fault.status,
            code = fault.code,
            request_id = fault.request_id,
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "an organization is throttled: its events wait as long as Dynamics says"
        );
    }
}

fn blocked(environment: &Environment, fault: &Fault, sentence: &str) {
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
