//! Dead letters, grouped and one by one. Shows IDs, reasons and errors, never customer text. Pure.

use handoffd_engine::dead_letters::{DeadLetterEntry, DeadLetterGroup, OperationResult, SelectionText};
use handoffd_engine::workflow::Reason;
use jiff::Timestamp;
use maud::{Markup, html};

use super::filter::FilterForm;
use crate::admin::page::{badge, link, text, words};

/// Content of the page.
pub(crate) struct DeadLetterList<'a> {
    /// Present time.
    pub now: Timestamp,
    /// Requested filter.
    pub filter: &'a FilterForm,
    /// Groups of all dead letters, if the filter is empty.
    pub groups: Option<&'a [DeadLetterGroup]>,
    /// Matching dead letters, oldest first.
    pub entries: &'a [DeadLetterEntry],
    /// True if more match than are shown.
    pub more: bool,
}

/// Renders the page.
pub(crate) fn letters(it: &DeadLetterList<'_>) -> Markup {
    html! {
        h1 { "Dead letters" }
        p class="hint" { "Failed events, kept unchanged until you replay or discard them. Replaying never creates duplicates." }
        @if let Some(groups) = it.groups {
            @if groups.is_empty() {
                p class="empty good" role="status" { "No dead letters." }
            } @else {
                section aria-labelledby="groups" {
                    h2 id="groups" { "By reason and organization" }
                    ul class="cards" { @for (reason, groups) in by_reason(groups) { li { (card(reason, &groups, it.now)) } } }
                }
            }
        }
        @if it.groups != Some(&[]) {
            details class="narrow" open[it.groups.is_none()] { summary { "Filter" } (it.filter.form()) }
            (list(it))
        }
    }
}

/// Renders the groups of one reason; the advice appears once.
fn card(reason: Option<&str>, groups: &[&DeadLetterGroup], now: Timestamp) -> Markup {
    let meaning = words::by_name(reason);
    let filter = FilterForm(SelectionText { reason: reason.map(str::to_owned), ..SelectionText::default() });
    let sum: u64 = groups.iter().map(|group| group.count).sum();
    html! {
        article class="card" {
            h3 { span class="value" { (text::count(sum)) } " " a href=(filter.address("/dead-letters", &[])) { (meaning.title) } }
            p { (text::prose(meaning.means)) }
            p class="advice" { (text::prose(meaning.advice)) }
            table class="stack inner" {
                thead { tr {
                    th scope="col" { "Organization" } th scope="col" class="number" { "Count" } th scope="col" { "Most recent" }
                    th scope="col" { span class="unseen" { "Actions" } }
                } }
                tbody { @for group in groups { (of_organization(group, &filter, now)) } }
            }
        }
    }
}

fn of_organization(group: &DeadLetterGroup, reason: &FilterForm, now: Timestamp) -> Markup {
    let filter = FilterForm(SelectionText { organization: group.organization_id.clone(), ..reason.0.clone() });
    let act = |act| filter.address("/dead-letters/confirm", &[("act", act)]);
    html! {
        tr {
            th scope="row" data-name="Organization" {
                @match &group.organization_id {
                    Some(id) => a href=(filter.address("/dead-letters", &[])) { (text::id(id)) },
                    None => "unreadable",
                }
            }
            td class="number" data-name="Count" { (text::count(group.count)) }
            td data-name="Most recent" {
                @if let Some(last) = group.last { (text::moment(last, now)) }
                @if let Some(error) = &group.error { p class="error" { (text::foreign_text(error)) } }
            }
            td class="act" {
                // Without an organization or a reason, the filter would match other groups too.
                @if group.organization_id.is_some() && group.reason.is_some() {
                    a class="button" href=(act("replay")) { (all("Replay", group)) }
                    a class="button danger" href=(act("discard")) { (all("Discard", group)) }
                }
            }
        }
    }
}

/// Renders a link's text; its hidden part names the organization for screen readers.
fn all(word: &str, group: &DeadLetterGroup) -> Markup {
    let of = group.organization_id.as_deref().map(text::visible).unwrap_or_default();
    html! {
        (word) @if group.count > 1 { " all " (text::count(group.count)) } "…" span class="unseen" { " of " (of) }
    }
}

/// Groups by reason, in the order of the runbook.
fn by_reason(groups: &[DeadLetterGroup]) -> Vec<(Option<&str>, Vec<&DeadLetterGroup>)> {
    let reasons = Reason::DEAD.into_iter().map(|reason| Some(reason.as_str()));
    let of = |reason: Option<&'static str>| {
        let known = |group: &&DeadLetterGroup| {
            Reason::DEAD.iter().any(|reason| Some(reason.as_str()) == group.reason.as_deref())
        };
        let is =
            |group: &&DeadLetterGroup| if reason.is_some() { group.reason.as_deref() == reason } else { !known(group) };
        (reason, groups.iter().filter(is).collect::<Vec<_>>())
    };
    reasons.chain([None]).map(of).filter(|(_, groups)| !groups.is_empty()).collect()
}

fn list(it: &DeadLetterList<'_>) -> Markup {
    html! {
        section aria-labelledby="list" {
            h2 id="list" {
                @if it.groups.is_some() && it.entries.is_empty() { "Individual dead letters" }
                @else { @if it.more { "Oldest " } (text::counted(it.entries.len() as u64, "dead letter", "dead letters")) }
            }
            @if it.entries.is_empty() {
                @if it.groups.is_some() { p { a href="/dead-letters?all=true" { "Show the oldest" } } }
                @else { p class="empty" role="status" { "No matching dead letters." } }
            } @else {
                form method="get" action="/dead-letters/confirm" {
                    @for (name, value) in it.filter.pairs().into_iter().filter(|(name, _)| !["letter", "id", "all"].contains(name)) {
                        input type="hidden" name=(name) value=(value);
                    }
                    (tools())
                    (table(it.entries, it.now, CheckBoxes::Shown))
                }
                @if !it.filter.pairs().is_empty() { (all_that_match(it)) }
            }
        }
    }
}

fn tools() -> Markup {
    html! {
        div class="tools" {
            span { "Selected:" }
            button name="act" value="replay" { "Replay…" }
            button class="danger" name="act" value="discard" { "Discard…" }
        }
    }
}

fn all_that_match(it: &DeadLetterList<'_>) -> Markup {
    html! {
        p class="actions" {
            span { (if it.more { "All matching, including those not shown:" } else { "All matching:" }) }
            a class="button" href=(it.filter.address("/dead-letters/confirm", &[("act", "replay")])) { "Replay all…" }
            a class="button danger" href=(it.filter.address("/dead-letters/confirm", &[("act", "discard")])) { "Discard all…" }
        }
    }
}

/// Presence of check boxes to select single dead letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CheckBoxes {
    /// Shown.
    Shown,
    /// Omitted.
    Left,
}

/// Renders a row for each entry; on a narrow screen, a card.
pub(crate) fn table(entries: &[DeadLetterEntry], now: Timestamp, boxes: CheckBoxes) -> Markup {
    let results = entries.iter().any(|entry| entry.result.is_some());
    html! {
        table class="stack" {
            thead { tr {
                @if boxes == CheckBoxes::Shown { th scope="col" { span class="unseen" { "Select" } } }
                @if results { th scope="col" { "Result" } }
                th scope="col" { "Event" } th scope="col" { "Organization" } th scope="col" { "Session" }
                th scope="col" { "Reason" } th scope="col" { "Failed at" }
            } }
            tbody { @for entry in entries { (row(entry, now, boxes, results)) } }
        }
    }
}

fn row(entry: &DeadLetterEntry, now: Timestamp, boxes: CheckBoxes, results: bool) -> Markup {
    let organization = entry.organization_id.as_deref();
    html! {
        tr {
            @if boxes == CheckBoxes::Shown {
                td class="choose" {
                    label {
                        input type="checkbox" name="letter" value=(entry.letter_id);
                        span class="unseen" { "Select " (text::visible(entry.event_id.as_ref().unwrap_or(&entry.letter_id))) }
                    }
                }
            }
            @if results { td data-name="Result" { @if let Some(fate) = entry.result { (badge::badge(colour(fate), said(fate))) } } }
            th scope="row" data-name="Event" {
                a href=(FilterForm::letter(&entry.letter_id).address("/dead-letters/show", &[])) {
                    (text::id(entry.event_id.as_ref().unwrap_or(&entry.letter_id)))
                }
            }
            td data-name="Organization" { (text::maybe_id(organization)) }
            td data-name="Session" {
                @match &entry.session_id {
                    Some(id) => a href=(link::with("/find", &[("q", id)])) { (text::id(id)) },
                    None => (text::dash()),
                }
            }
            td data-name="Reason" { (words::by_name(entry.reason.as_deref()).title) (why(entry)) }
            td class="when" data-name="Failed at" { @match entry.dead_at { Some(at) => (text::moment(at, now)), None => (text::dash()) } }
        }
    }
}

fn why(entry: &DeadLetterEntry) -> Markup {
    html! {
        @if let Some(problem) = &entry.problem { p class="error" { (text::foreign_text(problem)) } }
        @else if let Some(error) = &entry.error { p class="error" { (text::foreign_text(error)) } }
    }
}

fn said(fate: OperationResult) -> &'static str {
    match fate {
        OperationResult::Replayed => "replayed",
        OperationResult::WouldReplay => "would be replayed",
        OperationResult::Discarded => "discarded",
        OperationResult::WouldDiscard => "would be discarded",
        OperationResult::Failed => "failed",
    }
}

fn colour(fate: OperationResult) -> &'static str {
    match fate {
        OperationResult::Replayed | OperationResult::Discarded => "good",
        OperationResult::WouldReplay | OperationResult::WouldDiscard => "calm",
        OperationResult::Failed => "bad",
    }
}
