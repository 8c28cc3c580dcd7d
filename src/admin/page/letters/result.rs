//! What an order about dead letters has done so far, event by event. Pure.

use handoffd_engine::dead_letters::{Entry, Fate};
use handoffd_engine::workflow::Phase;
use jiff::Timestamp;
use maud::{Markup, html};

use super::confirm::Act;
use crate::admin::page::{badge, link, text};

/// An order under way, or carried out.
pub(crate) struct Course<'a> {
    /// The present.
    pub now: Timestamp,
    /// What was ordered.
    pub act: Act,
    /// How many dead letters have been looked at.
    pub seen: u64,
    /// Of how many.
    pub total: u64,
    /// Whether it has come to its end.
    pub done: Done,
    /// What was done, and what has become of each replayed event since.
    pub lines: &'a [(Entry, Option<Phase>)],
    /// How many lines there are beyond those.
    pub beyond: u64,
}

/// Whether an order has come to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Done {
    /// Not yet.
    No,
    /// It has.
    Yes,
    /// It ended too soon, for this reason.
    Failed(String),
}

/// The part that is renewed while it lasts, and while replayed events are being worked.
pub(crate) fn course(it: &Course<'_>) -> Markup {
    let failed = it.lines.iter().filter(|(entry, _)| entry.result == Some(Fate::Failed)).count() as u64;
    let done = it.lines.len() as u64 + it.beyond - failed;
    html! {
        h1 { (heading(it, done)) }
        @match &it.done {
            Done::No => {
                p role="status" { "Looked at " (text::count(it.seen)) " of " (text::counted(it.total, "dead letter", "dead letters")) "." }
                progress max=(it.total.max(1)) value=(it.seen) aria-label="Dead letters looked at" {}
            }
            Done::Yes => p role="status" {
                @if failed > 0 { (text::counted(failed, "one has", "have")) " failed: see below; they are dead letters as before. " }
                @if it.act == Act::Replay { "What becomes of each is shown here as it happens." }
            },
            Done::Failed(problem) => p class="verdict bad" role="status" {
                "It ended too soon: " (text::said(problem)) ". What was not dealt with lies where it lay: do it again to go on."
            },
        }
        @if !it.lines.is_empty() { (table(it)) }
        @if it.beyond > 0 { p { "And " (text::counted(it.beyond, "other", "others")) "." } }
        p class="actions" {
            // For who has no script: the page's own address.
            @if it.done == Done::No { a class="button" href="" { "Look again" } }
            a class="button" href="/dead-letters" { "To the dead letters" }
        }
    }
}

/// Whether the page has anything left to wait for.
pub(crate) fn is_settled(it: &Course<'_>) -> bool {
    let open = |phase: &Option<Phase>| !matches!(phase, Some(Phase::Finished(_) | Phase::Dead(_)));
    it.done != Done::No
        && (it.act == Act::Discard
            || !it.lines.iter().any(|(entry, phase)| entry.result == Some(Fate::Replayed) && open(phase)))
}

fn heading(it: &Course<'_>, done: u64) -> String {
    let many = text::counted(done, "dead letter", "dead letters");
    match (it.act, &it.done) {
        (Act::Replay, Done::No) => "Replaying".to_owned(),
        (Act::Discard, Done::No) => "Discarding".to_owned(),
        (Act::Replay, _) => format!("{many} replayed"),
        (Act::Discard, _) => format!("{many} discarded"),
    }
}

fn table(it: &Course<'_>) -> Markup {
    html! {
        table class="stack" {
            thead { tr {
                th scope="col" { "Event" } th scope="col" { "Organization" } th scope="col" { "Result" }
                @if it.act == Act::Replay { th scope="col" { "Since then" } }
            } }
            tbody { @for (entry, phase) in it.lines { (row(it.act, entry, phase.as_ref(), it.now)) } }
        }
    }
}

fn row(act: Act, entry: &Entry, phase: Option<&Phase>, now: Timestamp) -> Markup {
    let (id, organization) = (entry.event_id.as_deref(), entry.organization_id.as_deref());
    html! {
        tr {
            th scope="row" data-name="Event" {
                @match (id, organization) {
                    (Some(id), Some(organization)) => a href=(link::event(organization, id)) { (text::id(id)) },
                    _ => (text::maybe_id(id)),
                }
            }
            td data-name="Organization" { (text::maybe_id(organization)) }
            td data-name="Result" {
                @match entry.result {
                    Some(Fate::Failed) => { (badge::badge("bad", "failed")) @if let Some(problem) = &entry.problem { p class="error" { (text::said(problem)) } } }
                    Some(fate) => (badge::badge("calm", if fate == Fate::Discarded { "discarded" } else { "replayed" })),
                    None => (text::nothing()),
                }
            }
            @if act == Act::Replay {
                td data-name="Since then" { @if entry.result == Some(Fate::Replayed) { (since(phase, now)) } }
            }
        }
    }
}

fn since(phase: Option<&Phase>, now: Timestamp) -> Markup {
    html! {
        @match phase {
            Some(Phase::Finished(outcome) | Phase::Dead(outcome)) => { (badge::status(outcome.status)) " " (text::moment(outcome.finished_at, now)) }
            Some(Phase::Waiting) => (badge::badge("warn", "waits for its next attempt")),
            Some(_) => (badge::badge("warn", "in hand")),
            None => (badge::badge("warn", "on its way")),
        }
    }
}
