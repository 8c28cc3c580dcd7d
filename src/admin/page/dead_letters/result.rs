//! Progress of a job that replays or discards dead letters, event by event. Pure.

use handoffd_engine::dead_letters::{DeadLetterEntry, LetterChange, OperationResult};
use handoffd_engine::workflow::{Phase, Status};
use jiff::Timestamp;
use maud::{Markup, html};

use crate::admin::page::{badge, link, text};

/// Progress of a job.
pub(crate) struct JobProgress<'a> {
    /// Present time.
    pub now: Timestamp,
    /// Change that the job makes.
    pub act: LetterChange,
    /// Number of dead letters checked.
    pub seen: u64,
    /// Number of dead letters to check.
    pub total: u64,
    /// Completion state.
    pub done: Completion,
    /// Results, each with the phase that the replayed event has reached since.
    pub lines: &'a [(DeadLetterEntry, Option<Phase>)],
    /// Number of results beyond those known.
    pub beyond: u64,
}

/// Results shown one by one.
const SHOWN: usize = 100;

/// Completion state of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Completion {
    /// Still running.
    No,
    /// Completed.
    Yes,
    /// Stopped early, for this reason.
    Failed(String),
}

/// Renders the part that is refreshed until the job and the replayed events are finished.
pub(crate) fn course(it: &JobProgress<'_>) -> Markup {
    let failed = it.lines.iter().filter(|(entry, _)| entry.result == Some(OperationResult::Failed)).count() as u64;
    let done = it.lines.len() as u64 + it.beyond - failed;
    html! {
        h1 { (heading(it, done)) }
        @match &it.done {
            Completion::No => {
                p role="status" { "Checked " (text::count(it.seen)) " of " (text::counted(it.total, "dead letter", "dead letters")) "." }
                progress max=(it.total.max(1)) value=(it.seen) aria-label="Dead letters checked" {}
            }
            Completion::Yes => p role="status" {
                @if failed > 0 { (text::count(failed)) " failed and remain dead letters; see below. " }
                @if it.act == LetterChange::Replay { "The status of each event is updated below." }
            },
            Completion::Failed(problem) => p class="verdict bad" role="status" {
                "Stopped early: " (text::foreign_text(problem)) ". The remaining dead letters are unchanged; start again to continue with them."
            },
        }
        @if it.act == LetterChange::Replay && !it.lines.is_empty() { (summary(it)) }
        @if !it.lines.is_empty() { (table(it)) }
        @if let more @ 1.. = it.beyond + it.lines.len().saturating_sub(SHOWN) as u64 { p { (text::count(more)) " more not shown" } }
        p class="actions" {
            // For browsers without scripts: the page's own address.
            @if it.done == Completion::No { a class="button" href="" { "Refresh" } }
            a class="button" href="/dead-letters" { "Back to dead letters" }
        }
    }
}

/// Returns true if nothing on the page will change any more.
pub(crate) fn is_settled(it: &JobProgress<'_>) -> bool {
    let open = |phase: &Option<Phase>| !matches!(phase, Some(Phase::Finished(_) | Phase::Dead(_)));
    it.done != Completion::No
        && (it.act == LetterChange::Discard
            || !it.lines.iter().any(|(entry, phase)| entry.result == Some(OperationResult::Replayed) && open(phase)))
}

fn heading(it: &JobProgress<'_>, done: u64) -> String {
    let many = text::counted(done, "dead letter", "dead letters");
    match (it.act, &it.done) {
        (LetterChange::Replay, Completion::No) => "Replaying".to_owned(),
        (LetterChange::Discard, Completion::No) => "Discarding".to_owned(),
        (LetterChange::Replay, _) => format!("{many} replayed"),
        (LetterChange::Discard, _) => format!("{many} discarded"),
    }
}

/// Renders what became of the replayed events until now.
fn summary(it: &JobProgress<'_>) -> Markup {
    let replayed = || it.lines.iter().filter(|(entry, _)| entry.result == Some(OperationResult::Replayed));
    let ended = |status: Status| {
        let is = |phase: &Option<Phase>| match phase {
            Some(Phase::Finished(outcome) | Phase::Dead(outcome)) => outcome.status == status,
            _ => false,
        };
        replayed().filter(|(_, phase)| is(phase)).count()
    };
    let waiting = replayed().filter(|(_, phase)| matches!(phase, Some(Phase::Waiting))).count();
    let (succeeded, skipped, failed) = (ended(Status::Succeeded), ended(Status::Skipped), ended(Status::Failed));
    let rest = replayed().count() - succeeded - skipped - failed - waiting;
    html! {
        section aria-label="Summary" {
            dl class="tiles" {
                (tile("Succeeded", succeeded, ""))
                (tile("Skipped", skipped, ""))
                (tile("Waiting to retry", waiting, ""))
                (tile("Queued or in progress", rest, ""))
                (tile("Failed again", failed, if failed > 0 { "bad" } else { "" }))
            }
            @if it.beyond > 0 {
                p class="hint" { "Of the first " (text::count(it.lines.len() as u64)) " events; " (text::count(it.beyond)) " more were replayed." }
            }
        }
    }
}

fn tile(name: &str, number: usize, class: &str) -> Markup {
    html! { div class=(class) { dt { (name) } dd { span class="value" { (text::count(number as u64)) } } } }
}

fn table(it: &JobProgress<'_>) -> Markup {
    html! {
        table class="stack" {
            thead { tr {
                th scope="col" { "Event" } th scope="col" { "Organization" } th scope="col" { "Result" }
                @if it.act == LetterChange::Replay { th scope="col" { "Current status" } }
            } }
            tbody { @for (entry, phase) in it.lines.iter().take(SHOWN) { (row(it.act, entry, phase.as_ref(), it.now)) } }
        }
    }
}

fn row(act: LetterChange, entry: &DeadLetterEntry, phase: Option<&Phase>, now: Timestamp) -> Markup {
    let (id, organization) = (entry.event_id.as_deref(), entry.organization_id.as_deref());
    html! {
        tr {
            th scope="row" data-name="Event" {
                @match (id, organization) {
                    (Some(id), Some(organization)) => a href=(link::event(organization, id)) { (text::id(id)) },
                    _ => (text::id(id.unwrap_or(&entry.letter_id))),
                }
            }
            td data-name="Organization" { (text::maybe_id(organization)) }
            td data-name="Result" {
                @match entry.result {
                    Some(OperationResult::Failed) => { (badge::badge("bad", "failed")) @if let Some(problem) = &entry.problem { p class="error" { (text::foreign_text(problem)) } } }
                    Some(fate) => (badge::badge("calm", if fate == OperationResult::Discarded { "discarded" } else { "replayed" })),
                    None => (text::dash()),
                }
            }
            @if act == LetterChange::Replay {
                td data-name="Current status" { @if entry.result == Some(OperationResult::Replayed) { (since(phase, now)) } }
            }
        }
    }
}

fn since(phase: Option<&Phase>, now: Timestamp) -> Markup {
    html! {
        @match phase {
            Some(Phase::Finished(outcome) | Phase::Dead(outcome)) => { (badge::status(outcome.status)) " " (text::moment(outcome.finished_at, now)) }
            Some(Phase::Waiting) => (badge::badge("warn", "waiting to retry")),
            Some(_) => (badge::badge("warn", "in progress")),
            None => (badge::badge("warn", "queued")),
        }
    }
}
