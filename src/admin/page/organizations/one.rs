//! Page of one organization: state and cause, figures, last hours, test. Pure.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{actions, class, error_rate, oldest, per_minute, response_time, time_to_empty};
use crate::admin::organization_history::EventSlot;
use crate::admin::organization_tests::TestState;
use crate::admin::page::chart::Chart;
use crate::admin::page::layout::SignIn;
use crate::admin::page::{badge, link, text};
use crate::organizations::{Finding, OrganizationView, Origin, SetupHalf};

/// Organization with its last test.
pub(crate) struct OneOrganization<'a> {
    /// Present time.
    pub now: Timestamp,
    /// Rights of the reader.
    pub session: SignIn,
    /// Present state.
    pub view: &'a OrganizationView,
    /// Events per minute.
    pub rate: Option<f64>,
    /// Last hours, oldest first.
    pub hours: &'a [Option<EventSlot>],
    /// Time and state of the last test.
    pub tested: Option<(Timestamp, &'a TestState)>,
}

/// Renders the page.
pub(crate) fn organization(it: &OneOrganization<'_>) -> Markup {
    let view = it.view;
    let is_tested = matches!(it.tested, Some((_, TestState::Running(_))));
    let of = [("organization", &*view.organization_id)];
    html! {
        article class={ "card organization " (class(&view.state)) } {
            header {
                h1 { (text::id(&view.organization_id)) " " (badge::state(&view.state)) }
                div class="actions" { (actions(view, it.session, is_tested)) }
            }
            (badge::state_details(&view.state, it.now))
            dl class="facts" {
                (fact("Waiting", &html! { @match view.waiting { Some(waiting) => (text::counted(waiting, "event", "events")), None => "unknown" } }))
                (fact("Oldest event", &html! { (oldest(view)) }))
                (fact("Empty in", &html! { (time_to_empty(view, it.rate)) }))
                (fact("Concurrent requests", &html! { @match view.under_way.zip(view.concurrency) { Some((under_way, limit)) => { (under_way) " (limit " (limit) ")" }, None => "unknown" } }))
                (fact("Events per minute", &html! { (per_minute(it.rate)) }))
                (fact("Requests, last 5 min", &html! { @match &view.requests {
                    Some(requests) => { (text::count(requests.total())) ", failed " (text::count(requests.bad())) " (" (error_rate(view)) ")" },
                    None => "unknown",
                } }))
                (fact("Response time", &html! { (response_time(view)) }))
                (fact("Last success", &html! { @match view.last_success { Some(at) => (text::moment(at, it.now)), None => "unknown" } }))
                @if let Some(worker) = &view.worker { (fact("Worker", &text::id(worker))) }
                (fact("Environment", &text::id(&view.environment_url)))
                (fact("Settings and secret", &html! { @match &view.source {
                    Origin::File(path) => (text::id(&path.to_string_lossy())),
                    Origin::Store => "saved in the store, encrypted",
                } }))
            }
            p class="actions" {
                a class="button" href=(link::with("/events", &of)) { "Events" }
                a class="button" href=(link::with("/dead-letters", &of)) { "Dead letters" }
                a class="button" href="/organizations" { "All organizations" }
            }
        }
        @if let Some((began, state)) = it.tested { (tested(began, state, it.now)) }
        section class="charts" aria-labelledby="hours" {
            h2 id="hours" { "Last 6 hours" }
            div class="row" { (chart(it.hours)) }
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn chart(hours: &[Option<EventSlot>]) -> Markup {
    let sum = |of: fn(&EventSlot) -> u64| hours.iter().flatten().map(of).sum::<u64>();
    let (done, dead) = (sum(|slot| slot.done), sum(|slot| slot.dead));
    #[allow(clippy::cast_precision_loss)] // five minutes' events are few
    let bar = |slot: &EventSlot| vec![slot.done as f64, slot.dead as f64];
    Chart {
        title: "Events in 5 minutes",
        summary: format!(
            "In the last 6 hours {} succeeded or were skipped, {} became dead letters.",
            text::counted(done, "event", "events"),
            text::count(dead)
        ),
        parts: &["good", "bad"],
        bars: hours.iter().map(|slot| slot.as_ref().map(bar)).collect(),
        since: "6 hours ago",
        top: text::rate,
    }
    .draw()
}

fn tested(began: Timestamp, state: &TestState, now: Timestamp) -> Markup {
    let (word, checks, note): (Markup, &[Finding], Option<&str>) = match state {
        TestState::Running(checks) => (badge::badge("warn", "in progress"), checks, None),
        TestState::Done(report) if report.passed => (badge::badge("good", "passed"), &report.checks, None),
        TestState::Done(report) => (badge::badge("bad", "failed"), &report.checks, None),
        TestState::Cancelled(checks) => (badge::badge("calm", "cancelled"), checks, None),
        TestState::Failed(problem) => (badge::badge("bad", "not tested"), &[], Some(problem)),
    };
    html! {
        section class="report" aria-labelledby="test" {
            h2 id="test" { "Tested " (text::moment(began, now)) " " (word) }
            @if let TestState::Running(checks) = state {
                p role="status" { (text::counted(checks.len() as u64, "check", "checks")) " done in " (text::lasting(began, now)) "." }
            }
            @if let Some(note) = note { p class="error" { (text::foreign_text(note)) } }
            ol class="checks" {
                @for check in checks {
                    li {
                        p { (badge::check(check.result)) " " strong { (text::foreign_text(check.check)) } @if check.check != "file" { span class="half" { (half(check.half)) } } }
                        @if !check.message.is_empty() { p { (text::foreign_text(&check.message)) } }
                        @if !check.advice.is_empty() { p class="advice" { (text::prose(&check.advice)) } }
                    }
                }
            }
        }
    }
}

fn half(half: SetupHalf) -> &'static str {
    match half {
        SetupHalf::Credentials => "Entra ID: tenant, application, secret",
        SetupHalf::Environment => "Dynamics 365: environment, user, privileges",
    }
}
