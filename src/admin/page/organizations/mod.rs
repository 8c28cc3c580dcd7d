//! In: views of organizations, their tests and their last hours; what an operator filters and sorts by.
//! Out: the list of organizations, trouble first, and the page of one of them.
//! Absent: reading and changing organizations, which the routes ask the registry for.

pub(super) mod filter;
pub(super) mod list;
pub(super) mod one;

use std::time::Duration;

use maud::{Markup, html};

use super::layout::SignIn;
use super::text;
use crate::organizations::{OrganizationState, OrganizationView};

/// Renders the buttons that the reader may use. Each includes the organization's ID for screen readers.
fn actions(view: &OrganizationView, session: SignIn, is_tested: bool) -> Markup {
    let id = view.organization_id.as_str();
    html! {
        @if session.may_change() {
            @if is_tested { (button("/organizations/test/cancel", id, "Cancel test", "")) }
            @else { (button("/organizations/test", id, "Test", "")) }
            @if matches!(view.state, OrganizationState::Paused { .. }) {
                (button("/organizations/resume", id, "Resume", "primary"))
            } @else {
                (button("/organizations/pause", id, "Pause", ""))
            }
        }
    }
}

fn button(path: &str, id: &str, word: &str, class: &str) -> Markup {
    html! {
        form method="post" action=(path) {
            input type="hidden" name="organization" value=(id);
            button class=(class) { (word) span class="unseen" { " " (text::visible(id)) } }
        }
    }
}

fn oldest(view: &OrganizationView) -> String {
    match view.oldest_seconds.map(Duration::try_from_secs_f64) {
        Some(Ok(Duration::ZERO)) => "none".to_owned(),
        Some(Ok(age)) => text::span(age),
        Some(Err(_)) | None => "unknown".to_owned(),
    }
}

/// Returns the time in which what waits is done at the present rate.
fn time_to_empty(view: &OrganizationView, rate: Option<f64>) -> String {
    let is_held = matches!(view.state, OrganizationState::Paused { .. } | OrganizationState::Blocked { .. });
    match (view.waiting, rate) {
        (Some(0), _) => "empty".to_owned(),
        (Some(_), _) if is_held => "on hold".to_owned(),
        (Some(waiting), Some(rate)) if rate > 0.0 => {
            #[allow(clippy::cast_precision_loss)] // an estimate
            let minutes = waiting as f64 / rate;
            Duration::try_from_secs_f64(minutes * 60.0).map_or_else(|_| "unknown".to_owned(), text::span)
        }
        _ => "unknown".to_owned(),
    }
}

/// Returns the share of requests that failed in the last five minutes.
fn error_rate(view: &OrganizationView) -> String {
    let Some(requests) = view.requests else { return "unknown".to_owned() };
    match requests.total() {
        0 => "–".to_owned(),
        total => format!("{} %", requests.bad() * 100 / total),
    }
}

fn response_time(view: &OrganizationView) -> String {
    let time = view.response_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.map_or_else(|| "–".to_owned(), text::span)
}

fn per_minute(rate: Option<f64>) -> String {
    rate.map_or_else(|| "unknown".to_owned(), text::rate)
}

/// Returns the colour of a state.
fn class(state: &OrganizationState) -> &'static str {
    match state {
        OrganizationState::Open => "good",
        OrganizationState::Throttled { .. } | OrganizationState::Degraded { .. } | OrganizationState::Unknown => "warn",
        OrganizationState::Blocked { .. } | OrganizationState::Faulty { .. } => "bad",
        OrganizationState::Paused { .. } => "calm",
    }
}
