//! Dead letters, grouped and one by one. Shows IDs, reasons and errors, never customer text. Pure.

use handoffd_engine::dead_letters::{DeadLetterEntry, DeadLetterGroup, OperationResult, SelectionText};
use handoffd_engine::workflow::Reason;
use jiff::Timestamp;
use maud::{Markup, html};

use super::filter::FilterForm;
use super::jobs;
use crate::admin::api::dead_letters::jobs::JobView;
use crate::admin::api::dead_letters::{DeadLetterSurvey, ListAge};
use crate::admin::page::layout::SignIn;
use crate::admin::page::{badge, link, text, words};

/// Dead letters shown on one page.
pub(crate) const PER_PAGE: usize = 100;
/// Most dead letters that can be selected one by one, since the address holds them.
pub(crate) const MOST_PICKS: usize = 500;

/// Content of the page.
#[derive(Clone, Copy)]
pub(crate) struct DeadLetterList<'a> {
    /// Present time.
    pub now: Timestamp,
    /// Requested filter.
    pub filter: &'a FilterForm,
    /// Rights of the reader.
    pub session: SignIn,
    /// Groups and entries that match.
    pub survey: &'a DeadLetterSurvey,
    /// Number of the page, from 1.
    pub page: usize,
    /// Selected dead letters, on any page.
    pub picks: &'a [String],
    /// Recent replays and discards, newest first.
    pub jobs: &'a [JobView],
}

/// Renders the page.
pub(crate) fn letters(it: &DeadLetterList<'_>) -> Markup {
    let is_filtered = !it.filter.pairs().is_empty();
    html! {
        h1 { "Dead letters" }
        p class="hint" { "Failed events, kept unchanged until you replay or discard them. Replaying never creates duplicates." }
        @if let Some(age) = &it.survey.age { (aged(age, it.now)) }
        @if it.survey.found.total == 0 && !is_filtered && it.survey.age.is_none() {
            p class="empty good" role="status" { "No dead letters." }
        } @else {
            @if !it.survey.found.groups.is_empty() && it.page == 1 {
                section aria-labelledby="groups" {
                    h2 id="groups" { "By reason, organization and error" }
                    ul class="cards" { @for (reason, groups) in by_reason(&it.survey.found.groups) { li { (card(reason, &groups, it)) } } }
                    @if it.survey.found.beyond > 0 { p { (text::counted(it.survey.found.beyond, "dead letter", "dead letters")) " of further groups not shown; use the filter." } }
                }
            }
            details class="narrow" open[is_filtered] { summary { "Filter" } (it.filter.form()) }
            (list(it))
        }
        (jobs::jobs(it.jobs, it.now))
    }
}

/// Renders the age of what is shown.
pub(crate) fn aged(age: &ListAge, now: Timestamp) -> Markup {
    let ListAge { at, took, read, total } = *age;
    html! {
        p class="hint" role="status" {
            @if let Some(took) = took {
                "As of " (text::moment(at, now)) ". Reading " (text::counted(total, "dead letter", "dead letters"))
                " takes " (took.as_secs().max(1)) " s, so the list is read anew at most every "
                (age.interval().unwrap_or_default().as_secs().max(1)) " s."
                @if read < total { " Only the oldest " (text::count(read)) " of " (text::count(total)) " are shown." }
            } @else {
                "Reading: the oldest " (text::count(read)) " of " (text::count(total)) " dead letters so far."
            }
        }
    }
}

/// Renders the groups of one reason; the advice appears once.
fn card(reason: Option<&str>, groups: &[&DeadLetterGroup], it: &DeadLetterList<'_>) -> Markup {
    let meaning = words::by_name(reason);
    let filter = FilterForm(SelectionText { reason: reason.map(str::to_owned), ..SelectionText::default() });
    let sum: u64 = groups.iter().map(|group| group.count).sum();
    html! {
        article class="card" {
            h3 { span class="value" { (text::count(sum)) } " "
                @if reason.is_some() { a href=(filter.address("/dead-letters", &[])) { (meaning.title) } } @else { (meaning.title) }
            }
            p { (text::prose(meaning.means)) }
            p class="advice" { (text::prose(meaning.advice)) }
            table class="stack inner" {
                thead { tr {
                    th scope="col" { "Organization" } th scope="col" class="number" { "Count" } th scope="col" { "Error" }
                    th scope="col" { "Most recent" }
                    @if it.session.may_change() { th scope="col" { span class="unseen" { "Actions" } } }
                } }
                tbody { @for group in groups { (group_row(group, it)) } }
            }
        }
    }
}

fn group_row(group: &DeadLetterGroup, it: &DeadLetterList<'_>) -> Markup {
    let filter = FilterForm::group(&group.handle);
    let act = |act| filter.address("/dead-letters/confirm", &[("act", act)]);
    html! {
        tr {
            th scope="row" data-name="Organization" {
                a href=(filter.address("/dead-letters", &[])) {
                    @match &group.organization_id { Some(id) => (text::id(id)), None => "unreadable" }
                }
            }
            td class="number" data-name="Count" { (text::count(group.count)) }
            td data-name="Error" { @match &group.error { Some(error) => (text::foreign_text(error)), None => (text::dash()) } }
            td class="when" data-name="Most recent" { @match group.last { Some(last) => (text::moment(last, it.now)), None => (text::dash()) } }
            @if it.session.may_change() {
                td class="act" {
                    a class="button" href=(act("replay")) { (all("Replay", group)) }
                    @if it.session.may_discard() { a class="button danger" href=(act("discard")) { (all("Discard", group)) } }
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
    let total = it.survey.found.total;
    html! {
        section aria-labelledby="list" {
            h2 id="list" { (text::counted(total, "dead letter", "dead letters")) @if total > 1 { ", newest first" } }
            @if it.survey.found.entries.is_empty() {
                p class="empty" role="status" { "No matching dead letters" @if it.page > 1 { " on this page" } "." }
                @if it.page > 1 { p class="actions" { a class="button" href=(it.filter.address("/dead-letters", &[])) { "Newest" } } }
            } @else {
                (all_that_match(it))
                form method="get" action="/dead-letters/confirm" {
                    input type="hidden" name="picking" value="yes";
                    (it.filter.hidden())
                    @for pick in it.picks.iter().filter(|pick| !is_shown(it, pick)) { input type="hidden" name="pick" value=(pick); }
                    @if it.session.may_change() { (tools(it)) }
                    (table(&it.survey.found.entries, it.now, if it.session.may_change() { CheckBoxes::Shown(it.picks) } else { CheckBoxes::Left }))
                    (pager(it))
                }
            }
        }
    }
}

fn is_shown(it: &DeadLetterList<'_>, pick: &str) -> bool {
    it.survey.found.entries.iter().any(|entry| entry.letter_id == pick)
}

fn tools(it: &DeadLetterList<'_>) -> Markup {
    let elsewhere = it.picks.iter().filter(|pick| !is_shown(it, pick)).count() as u64;
    html! {
        div class="tools" {
            span { "Selected" @if elsewhere > 0 { ", with " (text::count(elsewhere)) " on other pages" } ":" }
            button name="act" value="replay" { "Replay…" }
            @if it.session.may_discard() { button class="danger" name="act" value="discard" { "Discard…" } }
        }
    }
}

/// Renders the buttons to other pages. They are buttons of the form, so that what is selected stays selected.
fn pager(it: &DeadLetterList<'_>) -> Markup {
    let (first, total) = ((it.page - 1) * PER_PAGE, it.survey.found.total);
    let last = first + it.survey.found.entries.len();
    let to = |page: usize, word: &str| html! { button formaction="/dead-letters" name="page" value=(page) { (word) } };
    html! {
        @if total > PER_PAGE as u64 {
            div class="actions" {
                @if it.page > 1 { (to(1, "Newest")) (to(it.page - 1, "Newer")) }
                span { (text::count(first as u64 + 1)) " to " (text::count(last as u64)) " of " (text::count(total)) }
                @if (last as u64) < total { (to(it.page + 1, "Older")) }
            }
        }
    }
}

fn all_that_match(it: &DeadLetterList<'_>) -> Markup {
    let filter = it.filter.or_all();
    html! {
        p class="actions" {
            span { "All " (text::count(it.survey.found.total)) ":" }
            @if it.session.may_change() {
                a class="button" href=(filter.address("/dead-letters/confirm", &[("act", "replay")])) { "Replay all…" }
                @if it.session.may_discard() {
                    a class="button danger" href=(filter.address("/dead-letters/confirm", &[("act", "discard")])) { "Discard all…" }
                }
            }
            a class="button" href=(filter.address("/dead-letters/export", &[("format", "csv")])) { "Export CSV" }
            a class="button" href=(filter.address("/dead-letters/export", &[("format", "json")])) { "Export JSON" }
        }
    }
}

/// Presence of check boxes to select single dead letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CheckBoxes<'a> {
    /// Shown, those of these dead letters checked.
    Shown(&'a [String]),
    /// Omitted.
    Left,
}

/// Renders a row for each entry; on a narrow screen, a card.
pub(crate) fn table(entries: &[DeadLetterEntry], now: Timestamp, boxes: CheckBoxes<'_>) -> Markup {
    let results = entries.iter().any(|entry| entry.result.is_some());
    html! {
        table class="stack" {
            thead { tr {
                @if boxes != CheckBoxes::Left { th scope="col" { span class="unseen" { "Select" } } }
                @if results { th scope="col" { "Result" } }
                th scope="col" { "Event" } th scope="col" { "Organization" } th scope="col" { "Session" }
                th scope="col" { "Reason" } th scope="col" { "Failed at" }
            } }
            tbody { @for entry in entries { (row(entry, now, boxes, results)) } }
        }
    }
}

fn row(entry: &DeadLetterEntry, now: Timestamp, boxes: CheckBoxes<'_>, results: bool) -> Markup {
    let organization = entry.organization_id.as_deref();
    html! {
        tr {
            @if let CheckBoxes::Shown(picks) = boxes {
                td class="choose" {
                    label {
                        input type="checkbox" name="pick" value=(entry.letter_id) checked[picks.contains(&entry.letter_id)];
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
