//! *Overview*: health, throughput, waiting events, unavailable organizations and recent failures. Pure.

use std::time::Duration;

use handoffd_engine::ports::metrics::BrokerQueue;
use handoffd_engine::ports::store::StoredEvent;
use jiff::Timestamp;
use maud::{Markup, html};

use super::chart::Chart;
use super::layout::{PageHead, tone};
use super::organizations::filter::OrganizationFilter;
use super::organizations::list;
use super::{badge, failure, text};
use crate::admin::history::{MINUTES, Minute};
use crate::organizations::OrganizationView;
use crate::status::{StatusReason, WorkerStatus, WorkerVerdict};
use crate::telemetry::metrics::QueueDepths;

/// Most organizations shown, those in trouble first.
const ORGANIZATIONS: usize = 20;
/// Most reasons shown with the verdict.
const REASONS: usize = 10;

/// Data of the overview.
pub(super) struct NowView<'a> {
    /// Present time.
    pub at: Timestamp,
    /// State shown in the header.
    pub standing: &'a PageHead,
    /// Events in progress, without those on hold.
    pub in_progress: u64,
    /// MetricCounts of each minute of the last hour.
    pub minutes: &'a [Option<Minute>; MINUTES],
    /// Queues with their depths.
    pub queues: &'a QueueDepths,
    /// Organizations, by ID.
    pub organizations: &'a [OrganizationView],
    /// Recent failures, newest first, or the reason they can't be read.
    pub failures: Result<&'a [StoredEvent], &'a str>,
}

/// Renders the part of the page that is refreshed every few seconds.
pub(super) fn now(it: &NowView<'_>) -> Markup {
    html! {
        (band(it))
        (tiles(it))
        section class="charts" aria-labelledby="hour" {
            h2 id="hour" { "Last hour" }
            div class="row" { (events_chart(it.minutes)) (in_hand_chart(it.minutes)) (answers_chart(it.minutes)) }
        }
        div class="columns" {
            (organizations(it))
            (queues(it.queues))
        }
        section aria-labelledby="failures" {
            h2 id="failures" { "Recent failures" }
            @match it.failures {
                Err(problem) => p class="error" { "Could not read the store: " (text::foreign_text(problem)) },
                Ok([]) => p class="empty" { "No failed events." },
                Ok(found) => ol class="cards" { @for found in found { li { (failure::card(found, it.at)) } } },
            }
        }
        p class="asof" { "As of " time datetime=(it.at) { (text::clock(it.at)) } }
    }
}

/// Renders the verdict: the first thing an operator needs at three in the morning.
fn band(it: &NowView<'_>) -> Markup {
    let WorkerStatus { verdict, since, reasons } = &it.standing.status;
    html! {
        section class={ "band " (tone(*verdict)) } {
            div role="status" {
                h1 { (verdict.words()) @if *verdict != WorkerVerdict::Working { " for " (text::lasting(*since, it.at)) } }
                @if reasons.is_empty() { p { "Processing events; all organizations healthy." } }
                @else { ul class="reasons" { @for reason in reasons.iter().take(REASONS) { (reason_item(reason, it.at)) } } }
                @if let Some(others) = reasons.len().checked_sub(REASONS).filter(|others| *others > 0) {
                    p { (text::counted(others as u64, "more reason", "more reasons")) " not shown: " a href="/organizations" { "Organizations" } }
                }
            }
        }
    }
}

fn reason_item(reason: &StatusReason, now: Timestamp) -> Markup {
    html! {
        li {
            p {
                @if let Some(id) = &reason.organization_id { a href=(list::address(id)) { (text::id(id)) } ": " }
                (text::foreign_text(&reason.cause)) " (for " (text::lasting(reason.since, now)) ")"
            }
            @if !reason.advice.is_empty() { p class="advice" { (text::prose(&reason.advice)) } }
        }
    }
}

fn tiles(it: &NowView<'_>) -> Markup {
    let minute = it.minutes[MINUTES - 1].unwrap_or_default();
    let (waiting, unknown) = waiting(it.organizations);
    let retrying = retrying(it.queues);
    let oldest = oldest(it.organizations);
    html! {
        section aria-label="Figures" {
            dl class="tiles" {
                (tile("Succeeded", &html! { (text::count(minute.succeeded)) }, "in the last minute", ""))
                (tile("Skipped", &html! { (text::count(minute.skipped)) }, "in the last minute", ""))
                (tile("Dead letters", &html! { (text::count(minute.dead)) }, "in the last minute", if minute.dead > 0 { "bad" } else { "" }))
                (tile("In progress", &html! { (text::count(it.in_progress)) }, "events", ""))
                (tile("Waiting", &html! { (text::known(waiting)) }, &unknown, ""))
                (tile("Retrying", &html! { (text::known(retrying)) }, "in retry queues", ""))
                (tile("Oldest", &html! { (oldest) }, "unfinished event", ""))
            }
        }
    }
}

/// Returns the number of events that wait in organizations' queues, if any organization's is known, and its unit.
fn waiting(organizations: &[OrganizationView]) -> (Option<u64>, String) {
    let known: Vec<u64> = organizations.iter().filter_map(|one| one.waiting).collect();
    let unit = match organizations.len() - known.len() {
        0 => "events".to_owned(),
        unknown => format!("events, unknown for {unknown} of {}", organizations.len()),
    };
    ((!known.is_empty() || organizations.is_empty()).then(|| known.iter().sum()), unit)
}

/// Returns the age of the oldest unfinished event; unknown if it is of an organization and no older one is known.
fn oldest(organizations: &[OrganizationView]) -> String {
    let ages = organizations.iter().filter_map(|one| one.oldest_seconds);
    match ages.max_by(f64::total_cmp).filter(|age| *age > 0.0) {
        Some(age) => text::span(Duration::try_from_secs_f64(age).unwrap_or_default()),
        None if organizations.iter().any(|one| one.oldest_seconds.is_none()) => "unknown".to_owned(),
        None => "–".to_owned(),
    }
}

/// Returns the number of events in retry queues, if the depth of each is known.
fn retrying(queues: &QueueDepths) -> Option<u64> {
    let mut retries = queues.iter().filter(|(queue, _)| matches!(queue, BrokerQueue::Retry(_))).peekable();
    retries.peek()?;
    retries.map(|(_, depth)| *depth).sum()
}

fn tile(name: &str, value: &Markup, unit: &str, class: &str) -> Markup {
    html! { div class=(class) { dt { (name) } dd { span class="value" { (value) } " " span class="unit" { (unit) } } } }
}

fn events_chart(minutes: &[Option<Minute>]) -> Markup {
    let sum = |of: fn(&Minute) -> u64| text::count(minutes.iter().flatten().map(of).sum());
    Chart {
        title: "Events per minute",
        summary: format!(
            "In the last hour {} events succeeded, {} were skipped, {} became dead letters.",
            sum(|minute| minute.succeeded),
            sum(|minute| minute.skipped),
            sum(|minute| minute.dead)
        ),
        parts: &["good", "calm", "bad"],
        bars: bars(minutes, |minute| vec![float(minute.succeeded), float(minute.skipped), float(minute.dead)]),
        since: "an hour ago",
        top: text::rate,
    }
    .draw()
}

fn in_hand_chart(minutes: &[Option<Minute>]) -> Markup {
    let most = minutes.iter().flatten().map(|minute| minute.in_flight).max().unwrap_or(0);
    Chart {
        title: "Events in progress",
        summary: format!("At most {} in progress at once in the last hour.", text::counted(most, "event", "events")),
        parts: &["plain"],
        bars: bars(minutes, |minute| vec![float(minute.in_flight)]),
        since: "an hour ago",
        top: text::rate,
    }
    .draw()
}

fn answers_chart(minutes: &[Option<Minute>]) -> Markup {
    let slowest = minutes.iter().flatten().filter_map(|minute| minute.request).max();
    let summary = match slowest {
        Some(slowest) => {
            format!("The average request to Dynamics took {} in the slowest minute.", text::span(slowest))
        }
        None => "No requests to Dynamics in the last hour.".to_owned(),
    };
    Chart {
        title: "Dynamics response time",
        summary,
        parts: &["plain"],
        bars: bars(minutes, |minute| vec![minute.request.map_or(0.0, |request| request.as_secs_f64())]),
        since: "an hour ago",
        top: |seconds| text::span(Duration::try_from_secs_f64(seconds).unwrap_or_default()),
    }
    .draw()
}

fn bars(minutes: &[Option<Minute>], of: fn(&Minute) -> Vec<f64>) -> Vec<Option<Vec<f64>>> {
    minutes.iter().map(|minute| minute.as_ref().map(of)).collect()
}

fn organizations(it: &NowView<'_>) -> Markup {
    html! {
        section aria-labelledby="organizations" {
            h2 id="organizations" { a href="/organizations" { "Organizations" } }
            @if it.organizations.is_empty() {
                p class="empty" { "No organizations configured; every event becomes a dead letter." }
            } @else {
                div class="scroll" tabindex="0" role="group" aria-labelledby="organizations" {
                    table {
                        thead { tr { th scope="col" { "Organization" } th scope="col" { "State" }
                            th scope="col" class="number" { "Requests" } th scope="col" class="number" { "Waiting" } } }
                        tbody {
                            @for one in OrganizationFilter::default().apply(it.organizations).into_iter().take(ORGANIZATIONS) {
                                tr {
                                    th scope="row" { a href=(list::address(&one.organization_id)) { (text::id(&one.organization_id)) } }
                                    td { (badge::state(&one.state)) }
                                    td class="number" {
                                        @match one.under_way.zip(one.concurrency) {
                                            Some((under_way, limit)) => { (under_way) span class="of" { " of " (limit) } }
                                            None => "unknown",
                                        }
                                    }
                                    td class="number" {
                                        (text::known(one.waiting))
                                    }
                                }
                            }
                        }
                    }
                }
                @if let more @ 1.. = it.organizations.len().saturating_sub(ORGANIZATIONS) {
                    p { a href="/organizations" { (text::count(more as u64)) " more" } }
                }
            }
        }
    }
}

fn queues(queues: &QueueDepths) -> Markup {
    let shared = queues.iter().filter_map(|(queue, depth)| match queue {
        BrokerQueue::Inbox(name) | BrokerQueue::Retry(name) | BrokerQueue::DeadLetters(name) => Some((name, *depth)),
        BrokerQueue::Organization(_) => None,
    });
    let lines: Vec<(&String, Option<u64>)> = shared.collect();
    html! {
        section aria-labelledby="queues" {
            h2 id="queues" { "Queues" }
            @if lines.is_empty() {
                p class="empty" { "Queue depths not read from the broker yet." }
            } @else {
                div class="scroll" tabindex="0" role="group" aria-labelledby="queues" {
                    table {
                        thead { tr { th scope="col" { "Queue" } th scope="col" class="number" { "Messages" } } }
                        tbody {
                            @for (name, depth) in lines {
                                tr class=[(depth == Some(0)).then_some("still")] {
                                    th scope="row" { (text::id(name)) }
                                    td class="number" { (text::known(depth)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Converts a count, which is small enough for a float's precision.
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}
