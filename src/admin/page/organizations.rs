//! *Organizations*: state and cause of each; test, pause and resume. Pure.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use super::{badge, text};
use crate::organizations::{OrganizationState, OrganizationView, Origin, SetupHalf, TestReport};

/// Organization and its last test.
pub(super) struct OrganizationLine<'a> {
    /// Present state.
    pub view: &'a OrganizationView,
    /// Time and report of the last test made from this page.
    pub tested: Option<&'a (Timestamp, TestReport)>,
}

/// Renders the page.
pub(super) fn organizations(lines: &[OrganizationLine<'_>], now: Timestamp) -> Markup {
    html! {
        h1 { "Organizations" }
        @if lines.is_empty() {
            p class="empty" {
                "No organizations configured; every event becomes a dead letter. Add a file to organizations.directory; it takes effect "
                "within seconds."
            }
        }
        @for line in lines { (organization(line, now)) }
    }
}

fn organization(line: &OrganizationLine<'_>, now: Timestamp) -> Markup {
    let view = line.view;
    html! {
        article class={ "card organization " (class(&view.state)) } {
            header {
                h2 { (text::id(&view.organization_id)) " " (badge::state(&view.state)) }
                div class="actions" { (actions(view)) }
            }
            (badge::state_details(&view.state, now))
            dl class="facts" {
                div { dt { "Environment" } dd { (text::id(&view.environment_url)) } }
                div { dt { "Concurrent requests" } dd { (view.under_way) " (limit " (view.concurrency) ")" } }
                div { dt { "Waiting" } dd {
                    @match view.waiting { Some(waiting) => (text::counted(waiting, "event", "events")), None => "unknown" }
                } }
                div { dt { "Oldest event" } dd { (oldest(view)) } }
                div { dt { "Requests, last 5 min" } dd { (text::count(view.requests.total())) ", failed " (text::count(view.requests.bad())) } }
                div { dt { "Last success" } dd { @match view.last_success { Some(at) => (text::moment(at, now)), None => "unknown" } } }
                div { dt { "Settings" } dd { @match &view.source {
                    Origin::File(path) => (text::id(&path.to_string_lossy())),
                    Origin::Store => "saved in the store",
                } } }
            }
            @if let Some((at, report)) = line.tested { (tested(report, *at, now)) }
        }
    }
}

/// Renders the buttons. Each includes the organization's ID for screen readers.
fn actions(view: &OrganizationView) -> Markup {
    let id = view.organization_id.as_str();
    html! {
        (button("/organizations/test", id, "Test", ""))
        @if matches!(view.state, OrganizationState::Paused { .. }) {
            (button("/organizations/resume", id, "Resume", "primary"))
        } @else {
            (button("/organizations/pause", id, "Pause", ""))
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

fn tested(report: &TestReport, at: Timestamp, now: Timestamp) -> Markup {
    let word = if report.passed { badge::badge("good", "passed") } else { badge::badge("bad", "failed") };
    html! {
        section class="report" {
            h3 { "Tested " (text::moment(at, now)) " " (word) }
            ol class="checks" {
                @for check in &report.checks {
                    li {
                        p { (badge::check(check.result)) " " strong { (text::foreign_text(check.check)) } span class="half" { (half(check.half)) } }
                        @if !check.message.is_empty() { p { (text::foreign_text(&check.message)) } }
                        @if !check.advice.is_empty() { p class="advice" { (text::foreign_text(&check.advice)) } }
                    }
                }
            }
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

fn half(half: SetupHalf) -> &'static str {
    match half {
        SetupHalf::Credentials => "Entra ID: tenant, application, secret",
        SetupHalf::Environment => "Dynamics 365: environment, user, privileges",
    }
}

fn class(state: &OrganizationState) -> &'static str {
    match state {
        OrganizationState::Open => "good",
        OrganizationState::Throttled { .. } | OrganizationState::Degraded { .. } => "warn",
        OrganizationState::Blocked { .. } | OrganizationState::Faulty { .. } => "bad",
        OrganizationState::Paused { .. } => "calm",
    }
}
