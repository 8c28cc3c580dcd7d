//! History of one event, from its receipt to its outcome. Pure.

use std::time::Duration;

use handoffd_engine::event::Kind;
use handoffd_engine::ports::store::StoredEvent;
use handoffd_engine::workflow::{HISTORY_LIMIT, HistoryEntry, Outcome, Phase, Reason, Record};
use jiff::Timestamp;
use maud::{Markup, html};

use super::{badge, failure, link, text, words};

/// Shortest pause between two requests that is shown; shorter ones are the worker's own work.
const PAUSE: Duration = Duration::from_secs(1);

/// Context of a history.
pub(super) struct StoryContext<'a> {
    /// Present time.
    pub now: Timestamp,
    /// URL of the organization's Dynamics environment, if configured.
    pub environment: Option<&'a str>,
}

/// Renders the history of an event.
pub(super) fn history_view(found: &StoredEvent, around: &StoryContext<'_>) -> Markup {
    let StoredEvent { key, record } = found;
    let what = if record.kind == Kind::Handoff { "Handoff" } else { "Resolution" };
    html! {
        article class="story" {
            header {
                h2 {
                    (what) " " a href=(link::event(key.organization_id.as_str(), key.event_id.as_str())) { (text::id(key.event_id.as_str())) }
                    " " (phase_badge(&record.phase))
                }
                (facts(found, around))
            }
            (reason_section(found, around.now))
            ol class="timeline" {
                (entry("received", record.first_seen, &html! { p { strong { "Received" } " from the broker" } }))
                @for (at, one) in record.history.iter().enumerate() {
                    @let before = at.checked_sub(1).map_or(record.first_seen, |at| record.history[at].at);
                    (pause(before, one))
                    @if at == 1 && record.history.len() >= HISTORY_LIMIT { li class="pause" { "earlier requests not kept" } }
                    (request(one))
                }
                (end(record, around.now))
            }
        }
    }
}

fn phase_badge(phase: &Phase) -> Markup {
    match phase {
        Phase::Finished(outcome) | Phase::Dead(outcome) => badge::status(outcome.status),
        Phase::Waiting => badge::badge("warn", "retrying"),
        Phase::InHand | Phase::Quarantined { .. } => badge::badge("warn", "in progress"),
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
fn reason_section(found: &StoredEvent, now: Timestamp) -> Markup {
    let Some(outcome) = found.record.outcome() else { return underway(&found.record, now) };
    html! {
        @if let Some(reason) = outcome.reason {
            @let meaning = words::meaning(reason);
            section class={ "verdict " (if is_dead(found) { "bad" } else { "calm" }) } {
                h3 { (meaning.title) }
                p { (text::prose(meaning.means)) }
                @match &outcome.error {
                    Some(error) => (failure::error_with_advice(error, meaning.advice)),
                    None => @if is_dead(found) || reason == Reason::NoIncident { p class="advice" { (text::prose(meaning.advice)) } },
                }
                @if is_dead(found) { (to_letter(found)) }
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

fn underway(record: &Record, now: Timestamp) -> Markup {
    let fault = record.history.iter().rev().find_map(|entry| entry.error.as_deref());
    html! {
        section class="verdict warn" {
            h3 { (if record.phase == Phase::Waiting { "Waiting to retry" } else { "In progress" }) }
            p {
                "Received " (text::moment(record.first_seen, now)) "; no outcome yet. Failed attempts are retried automatically; the event "
                "is not lost."
            }
            @if let Some(fault) = fault { p class="error" { "Last error: " (text::foreign_text(fault)) } }
        }
    }
}

fn pause(before: Timestamp, entry: &HistoryEntry) -> Markup {
    let took = entry.at.duration_since(before).unsigned_abs();
    let waited = took.saturating_sub(Duration::from_millis(entry.elapsed_ms));
    html! { @if waited >= PAUSE { li class="pause" { "waited " (text::span(waited)) } } }
}

fn request(request: &HistoryEntry) -> Markup {
    let fine = request.error.is_none() && request.status.is_some_and(|status| status < 400);
    let told = html! {
        p {
            strong { (words::step(request.step)) }
            @match request.status {
                Some(status) => span class={ "code " (if fine { "good" } else { "bad" }) } { (status) },
                None => span class="code bad" { "no response" },
            }
            @if let Some(code) = request.code.as_deref().filter(|code| !code.is_empty()) { " " (text::id(code)) }
            span class="took" { (text::span(Duration::from_millis(request.elapsed_ms))) }
            span class="attempt" { "attempt " (request.attempt) }
        }
        @if let Some(error) = &request.error { p class="error" { (text::foreign_text(error)) } }
        @if let Some(id) = &request.request_id { p class="support" { "request ID " (text::id(id)) } }
    };
    entry(if fine { "done" } else { "fault" }, request.at, &told)
}

fn end(record: &Record, now: Timestamp) -> Markup {
    let Some(outcome) = record.outcome() else {
        return html! { li class="open" { p { strong { "No outcome yet" } } } };
    };
    let class = match outcome.status {
        handoffd_engine::workflow::Status::Succeeded => "done end",
        handoffd_engine::workflow::Status::Skipped => "skipped end",
        handoffd_engine::workflow::Status::Failed => "fault end",
    };
    let took = outcome.finished_at.duration_since(record.first_seen).unsigned_abs();
    let told = html! {
        p {
            strong { (ending(outcome)) }
            span class="took" { (text::span(took)) " after receipt, " (text::ago(outcome.finished_at, now)) }
        }
    };
    entry(class, outcome.finished_at, &told)
}

fn ending(outcome: &Outcome) -> &'static str {
    match outcome.status {
        handoffd_engine::workflow::Status::Succeeded => "Succeeded",
        handoffd_engine::workflow::Status::Skipped => "Skipped",
        handoffd_engine::workflow::Status::Failed => "Failed; moved to dead letters",
    }
}

fn entry(class: &str, at: Timestamp, told: &Markup) -> Markup {
    html! { li class=(class) { div class="at" { (text::precise(at)) } div class="told" { (told) } } }
}

fn is_dead(found: &StoredEvent) -> bool {
    matches!(found.record.phase, Phase::Dead(_))
}
