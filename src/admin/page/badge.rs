//! States as coloured words. The word says it; the colour only helps. Pure.

use handoffd_engine::workflow::Status;
use jiff::Timestamp;
use maud::{Markup, html};

use super::{text, words};
use crate::admin::deps::{CheckResult, State};

/// How an event ended.
pub(super) fn status(status: Status) -> Markup {
    let class = match status {
        Status::Succeeded => "good",
        Status::Skipped => "calm",
        Status::Failed => "bad",
    };
    badge(class, words::status(status))
}

/// Whether an organization's events flow.
pub(super) fn state(state: &State) -> Markup {
    match state {
        State::Open => badge("good", "open"),
        State::Throttled { .. } => badge("warn", "throttled"),
        State::Blocked { .. } => badge("bad", "blocked"),
        State::Paused { .. } => badge("calm", "paused"),
    }
}

/// Since or until when, and why.
pub(super) fn state_told(state: &State, now: Timestamp) -> Markup {
    html! {
        @match state {
            State::Open => {}
            State::Throttled { until } => {
                p { "Dynamics has told it to wait: it goes on " (text::moment(*until, now)) ". Nothing to do." }
            }
            State::Blocked { since, error, advice } => {
                p { "Blocked since " (text::moment(*since, now)) ": its events wait, none is lost. It is tried again and again." }
                p class="error" { (text::said(error)) }
                @if !advice.is_empty() { p class="advice" { (text::said(advice)) } }
            }
            State::Paused { since } => {
                p { "Paused by an operator " (text::moment(*since, now)) ": its events wait until it is resumed." }
            }
        }
    }
}

/// What came of a check.
pub(super) fn check(result: CheckResult) -> Markup {
    match result {
        CheckResult::Passed => badge("good", "passed"),
        CheckResult::Failed => badge("bad", "failed"),
        CheckResult::Warned => badge("warn", "look at it"),
        CheckResult::Skipped => badge("calm", "not made"),
    }
}

/// A word on a coloured ground.
pub(super) fn badge(class: &str, word: &str) -> Markup {
    html! { span class={ "badge " (class) } { (word) } }
}
