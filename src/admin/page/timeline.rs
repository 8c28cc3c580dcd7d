//! History of one event, from its receipt to its outcome. Pure.

use std::time::Duration;

use handoffd_engine::event::Kind;
use handoffd_engine::ports::store::StoredEvent;
use handoffd_engine::workflow::{HistoryItem, Outcome, Phase, Reason, Record, history};
use jiff::Timestamp;
use maud::{Markup, html};

use super::{badge, failure, link, text, words};
use crate::admin::events::{EventAnswer, EventState};

/// Shortest pause between two requests that is shown; shorter ones are the worker's own work.
const PAUSE: Duration = Duration::from_secs(1);

/// Context of a history.
pub(super) struct StoryContext<'a> {
    /// Present time.
    pub now: Timestamp,
    /// URL of the organization's Dynamics environment, if configured.
    pub environment: Option<&'a str>,
}

/// Renders the history of an event, given what is known of it now.
pub(super) fn history_view(found: &StoredEvent, answer: &EventAnswer, around: &StoryContext<'_>) -> Markup {
    let StoredEvent { key, record } = found;
    let items = history(record);
    let what = if record.kind == Kind::Handoff { "Handoff" } else { "Resolution" };
    html! {
        article class="story" {
            header {
                h2 {
                    (what) " " a href=(link::event(key.organization_id.as_str(), key.event_id.as_str())) { (text::id(key.event_id.as_str())) }
                    " " (badge::event(answer))
                }
                (facts(found, around))
            }
            (reason_section(found, answer, around.now))
            ol class="timeline" {
                @for (at, one) in items.iter().enumerate() {
                    @if let Some(before) = at.checked_sub(1).map(|at| items[at].at) { (pause(before, one)) }
                    (entry(one))
                }
                (end(record, around.now))
            }
        }
    }
}

/// Renders organization, session, records and attempts.
fn facts(found: &StoredEvent, around: &StoryContext<'_>) -> Markup {
    let outcome = found.record.outcome();
    html! {
        dl class="facts" {
            div { dt { "Organization" } dd { (text::maybe_id(Some(found.key.organization_id.as_str()))) } }
            div { dt { "Session" } dd {
                @match &found.record.session_id {
                    Some(session) => a href=(link::with("/find", &[("q", session.as_str())])) { (text::id(session.as_str())) },
                    None => (text::dash()),
                }
            } }
            @if let Some(outcome) = outcome { (records(outcome, around)) }
            div { dt { "Attempts" } dd { (outcome.map_or(found.record.attempts, |outcome| outcome.attempts)) } }
        }
    }
}

fn records(outcome: &Outcome, around: &StoryContext<'_>) -> Markup {
    let in_dynamics = |table: &str, id: &str| around.environment.and_then(|base| link::record(base, table, id));
    html! {
        @if let Some(channel) = &outcome.channel { div { dt { "Channel" } dd { (text::foreign_text(channel.as_str())) } } }
        @if let Some(incident) = &outcome.incident {
            @let id = incident.id.to_string();
            div { dt { "Case" } dd {
                @if let Some(number) = &incident.ticket_number { (text::id(number)) " " }
                (outside(in_dynamics("incident", &id), &id))
            } }
        }
        @for id in outcome.closed.iter().filter(|id| outcome.incident.as_ref().is_none_or(|incident| incident.id != **id)) {
            @let id = id.to_string();
            div { dt { "Case" } dd { (outside(in_dynamics("incident", &id), &id)) } }
        }
        @if let Some(chat) = &outcome.work_item { div { dt { "Live work item" } dd { (text::id(&chat.to_string())) } } }
        @if let Some(contact) = &outcome.contact_id {
            @let id = contact.to_string();
            div { dt { "Contact" } dd { (outside(in_dynamics("contact", &id), &id)) } }
        }
    }
}

/// Renders a record's ID, as a link into Dynamics if the environment is known.
fn outside(address: Option<String>, id: &str) -> Markup {
    html! {
        @match address {
            Some(address) => a class="outside" href=(address) rel="noreferrer noopener" { (text::id(id)) span class="unseen" { " (in Dynamics)" } },
            None => (text::id(id)),
        }
    }
}

/// Renders the reason for the outcome, with advice.
fn reason_section(found: &StoredEvent, answer: &EventAnswer, now: Timestamp) -> Markup {
    let is_over = !matches!(answer.state, EventState::Waiting | EventState::InProgress);
    let Some(outcome) = found.record.outcome().filter(|_| is_over) else { return underway(answer, now) };
    html! {
        @if answer.state == EventState::Discarded {
            section class="verdict calm" { h3 { "Discarded" } p { (text::foreign_text(answer.advice.as_deref().unwrap_or_default())) } }
        }
        @if let Some(reason) = outcome.reason {
            @let meaning = words::meaning(reason);
            section class={ "verdict " (if is_dead(found) { "bad" } else { "calm" }) } {
                h3 { (meaning.title) }
                p { (text::prose(meaning.means)) }
                @match &outcome.error {
                    Some(error) => (failure::error_with_advice(error, meaning.advice)),
                    None => @if is_dead(found) || reason == Reason::NoIncident { p class="advice" { (text::prose(meaning.advice)) } },
                }
                @if answer.state == EventState::Dead { (to_letter(found)) }
            }
        }
        @for warning in &outcome.warnings {
            p class="verdict warn" { (words::warning(*warning)) }
        }
    }
}

fn to_letter(found: &StoredEvent) -> Markup {
    let query = [("organization", found.key.organization_id.as_str()), ("id", found.key.event_id.as_str())];
    html! {
        p class="actions" {
            a class="button" href=(link::with("/dead-letters", &query)) { "View dead letter" }
        }
    }
}

/// Renders where an event is that is not over, since when, why, and what to do.
pub(super) fn underway(answer: &EventAnswer, now: Timestamp) -> Markup {
    let title = match (answer.state, answer.next_attempt) {
        (EventState::InProgress, _) => "In progress",
        (_, Some(_)) => "Waiting to retry",
        _ => "Queued",
    };
    html! {
        section class="verdict warn" {
            h3 { (title) }
            dl class="facts" {
                @if let Some(place) = &answer.place { div { dt { "Where" } dd { (text::foreign_text(place)) } } }
                @if let Some(since) = answer.since { div { dt { "Since" } dd { (text::moment(since, now)) } } }
                @if let Some(reason) = &answer.reason { div { dt { "Reason" } dd { (text::id(reason)) } } }
                @if let Some(next) = answer.next_attempt { div { dt { "Next attempt" } dd { (text::moment(next, now)) } } }
            }
            @if let Some(error) = &answer.error { p class="error" { "Last error: " (text::foreign_text(error)) } }
            @if let Some(advice) = &answer.advice { p class="advice" { (text::prose(advice)) } }
            p { "The event is not lost." }
        }
    }
}

fn pause(before: Timestamp, item: &HistoryItem) -> Markup {
    let took = item.started_at.unwrap_or(item.at).duration_since(before);
    html! { @if !took.is_negative() && took.unsigned_abs() >= PAUSE { li class="pause" { (text::span(took.unsigned_abs())) " later" } } }
}

fn entry(item: &HistoryItem) -> Markup {
    let is_request = item.elapsed_ms.is_some();
    let fine = item.error.is_none() && (!is_request || item.status.is_some_and(|status| status < 400));
    let class = match item.step.as_str() {
        "received" => "received",
        "left_out" => "pause",
        "succeeded" => "done end",
        "skipped" => "skipped end",
        "dead" => "fault end",
        _ if fine => "done",
        _ => "fault",
    };
    html! {
        li class=(class) {
            div class="at" { (text::dated(item.at)) }
            div class="told" {
                p {
                    strong { (words::entry(&item.step).unwrap_or(&item.step)) }
                    @match item.status {
                        Some(status) => span class={ "code " (if fine { "good" } else { "bad" }) } { (status) },
                        None => @if is_request { span class="code bad" { "no response" } },
                    }
                    @if let Some(code) = item.code.as_deref().filter(|code| !code.is_empty()) { " " (text::id(code)) }
                    @if let Some(elapsed) = item.elapsed_ms { span class="took" { (text::span(Duration::from_millis(elapsed))) } }
                    @if let Some(attempt) = item.attempt { span class="attempt" { "attempt " (attempt) } }
                    @if let Some(by) = &item.by { span class="took" { (text::foreign_text(by)) } }
                    @if let Some(count) = item.count { span class="took" { (count) } }
                    @if let Some(reason) = item.reason.as_deref().filter(|_| !is_request) { " " (text::id(reason)) }
                    @if let Some(next) = item.next_attempt { span class="took" { "until " (text::clock(next)) } }
                }
                @if let Some(error) = &item.error { p class="error" { (text::foreign_text(error)) } }
                @if let Some(id) = &item.request_id { p class="support" { "request ID " (text::id(id)) } }
            }
        }
    }
}

/// Renders how long the event took, or that it is not over.
fn end(record: &Record, now: Timestamp) -> Markup {
    let Some(outcome) = record.outcome() else {
        return html! { li class="open" { p { strong { "No outcome yet" } } } };
    };
    let took = outcome.finished_at.duration_since(record.first_seen).unsigned_abs();
    html! { li class="pause" { (text::span(took)) " from its first attempt to its end, " (text::ago(outcome.finished_at, now)) } }
}

fn is_dead(found: &StoredEvent) -> bool {
    matches!(found.record.phase, Phase::Dead(_))
}
