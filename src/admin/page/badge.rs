//! States as coloured words. The word carries the meaning; the colour only supports it. Pure.

use handoffd_engine::workflow::Status;
use jiff::Timestamp;
use maud::{Markup, html};

use super::{text, words};
use crate::admin::events::{EventAnswer, EventState};
use crate::organizations::{CheckResult, OrganizationState};

/// Renders a final status.
pub(super) fn status(status: Status) -> Markup {
    let class = match status {
        Status::Succeeded => "good",
        Status::Skipped => "calm",
        Status::Failed => "bad",
    };
    badge(class, words::status(status))
}

/// Renders an event's state; one that waits in a retry queue is retrying.
pub(super) fn event(answer: &EventAnswer) -> Markup {
    let class = match answer.state {
        EventState::Succeeded => "good",
        EventState::Skipped | EventState::Discarded => "calm",
        EventState::Dead => "bad",
        EventState::Waiting | EventState::InProgress => "warn",
    };
    let retries = answer.state == EventState::Waiting
        && answer.next_attempt.is_some()
        && answer.reason.as_deref() != Some("throttled");
    badge(class, if retries { "retrying" } else { words::state(answer.state) })
}

/// Renders an organization's state.
pub(super) fn state(state: &OrganizationState) -> Markup {
    match state {
        OrganizationState::Open => badge("good", "open"),
        OrganizationState::Throttled { .. } => badge("warn", "throttled"),
        OrganizationState::Blocked { .. } => badge("bad", "blocked"),
        OrganizationState::Paused { .. } => badge("calm", "paused"),
        OrganizationState::Faulty { .. } => badge("bad", "faulty file"),
        OrganizationState::Degraded { .. } => badge("warn", "degraded"),
        OrganizationState::Unknown => badge("warn", "unknown"),
    }
}

/// Renders the details of an organization's state: since or until when, cause and advice.
pub(super) fn state_details(state: &OrganizationState, now: Timestamp) -> Markup {
    html! {
        @match state {
            OrganizationState::Open => {}
            OrganizationState::Unknown => { p { "No worker has reported its state lately." } }
            OrganizationState::Throttled { until } => {
                p { "Rate-limited by Dynamics; resumes " (text::moment(*until, now)) ". No action needed." }
            }
            OrganizationState::Blocked { since, error, advice } => {
                p {
                    "Blocked for " (text::lasting(*since, now))
                    "; its events are on hold and not lost. Retrying automatically."
                }
                p class="error" { (text::foreign_text(error)) }
                @if !advice.is_empty() { p class="advice" { (text::prose(advice)) } }
            }
            OrganizationState::Faulty { since, error, advice } | OrganizationState::Degraded { since, error, advice } => {
                p class="error" { (text::foreign_text(error)) " (for " (text::lasting(*since, now)) ")" }
                p class="advice" { (text::prose(advice)) }
            }
            OrganizationState::Paused { since } => {
                p { "Paused by an operator " (text::moment(*since, now)) "; its events are on hold until it is resumed." }
            }
        }
    }
}

/// Renders the result of a check.
pub(super) fn check(result: CheckResult) -> Markup {
    match result {
        CheckResult::Passed => badge("good", "passed"),
        CheckResult::Failed => badge("bad", "failed"),
        CheckResult::Warned => badge("warn", "warning"),
        CheckResult::Skipped => badge("calm", "skipped"),
    }
}

/// Renders a word on a coloured background.
pub(super) fn badge(class: &str, word: &str) -> Markup {
    html! { span class={ "badge " (class) } { (word) } }
}
