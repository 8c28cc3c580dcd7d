//! Advice for events that are not over, and for dead letters without advice of their own. Pure.

use crate::organizations::OrganizationState;

/// Advice for an event in progress.
pub(super) const IN_PROGRESS: &str = "A worker is processing it. No action needed.";
/// Advice for an event that a process began which has ended, or that another worker processes.
pub(super) const BEGUN_ELSEWHERE: &str =
    "A worker has begun it. If that worker has ended, the broker redelivers the event as soon as a worker runs.";
/// Advice for an event of an organization that is not configured.
pub(super) const UNKNOWN_ORGANIZATION: &str = "Its organization is not configured; add its file. Otherwise the event \
    becomes a dead letter (`unknown_organization`).";
/// Advice for a dead letter.
pub(super) const DEAD: &str =
    "View the dead letter, fix the cause, then replay it; discard it only if it is not needed any more.";
/// Advice for a dead letter that its queue has not confirmed.
pub(super) const NOT_THERE_YET: &str = "It is given up, but the queue does not have it yet; the worker tries again. It can be \
    replayed once it is there. If this lasts, `handoffd status` says what is wrong with the queue.";
/// Advice for an event while no worker runs.
pub(super) const NO_WORKER: &str = "No worker answers. Start one; the event is not lost.";

/// Advice for a queued event while the worker can't reach the broker.
pub(super) const NO_BROKER: &str =
    "The broker, which keeps it, can't be reached by the worker; see `handoffd status`. The event is not lost.";

/// Returns the advice for an event of a paused organization while no worker runs.
pub(super) fn no_worker_and_paused(id: &str) -> String {
    format!("{NO_WORKER} Organization {id} is paused by an operator; resume it too.")
}

/// Returns the advice for an event that waits because of its organization.
pub(super) fn of_organization(id: &str, state: &OrganizationState) -> String {
    match state {
        OrganizationState::Open => "Queued behind other events of its organization. No action needed.".to_owned(),
        OrganizationState::Unknown => {
            "Queued; the state of its organization is unknown until a worker that owns it reports it. Check `handoffd workers \
             list`."
                .to_owned()
        }
        OrganizationState::Throttled { .. } => {
            "Rate-limited by Dynamics; resumes by itself. No action needed.".to_owned()
        }
        OrganizationState::Blocked { advice, .. } if !advice.is_empty() => advice.clone(),
        // Its events are processed all the same, as far as Dynamics accepts them.
        OrganizationState::Faulty { advice, .. } | OrganizationState::Degraded { advice, .. } => advice.clone(),
        OrganizationState::Blocked { .. } => "Test the organization to find out why it is blocked.".to_owned(),
        OrganizationState::Paused { .. } => {
            format!("Organization {id} is paused by an operator; resume it to process its events.")
        }
    }
}

/// Returns the advice for an event in a retry queue, given that about its organization if that is blocked.
pub(super) fn of_retry(reason: &str, of_blocked: Option<String>) -> String {
    let advice = match reason {
        "handoff_awaited" => "Waits for the handoff of its session. No action needed.",
        "first_awaited" => "Waits for another event with the same id. No action needed.",
        "throttled" => "Rate-limited by Dynamics; retried automatically. No action needed.",
        "store" => "The store failed; retried automatically. Check the worker's log and its disk.",
        "panic" => "The worker failed on this event; retried automatically. Check the worker's log.",
        "new_queue" if of_blocked.is_some() => return of_blocked.unwrap_or_default(),
        "new_queue" => "Its organization's queue was just created; retried automatically. No action needed.",
        "unknown_organization" => {
            "A file of an organization is faulty, so its organization may be configured; correct the file."
        }
        _ => {
            "Retried automatically. If it keeps failing, its last error says what Dynamics answers; `handoffd org test` only reads, \
             and may pass all the same."
        }
    };
    advice.to_owned()
}
