//! Dead letters by reason and organization, and one by one. Ids, reasons and errors; never a customer's text. Pure.

use handoffd_engine::dead_letters::{Entry, Fate};
use handoffd_engine::workflow::Reason;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::filter::Filter;
use crate::admin::page::{badge, link, text, words};

/// Dead letters of one reason and one organization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Group {
    /// Why they were given up.
    pub reason: Option<String>,
    /// Whose they are.
    pub organization: Option<String>,
    /// How many.
    pub count: u64,
    /// When the last of them was given up.
    pub last: Option<Timestamp>,
    /// What went wrong with that one.
    pub error: Option<String>,
}

/// What the page shows.
pub(crate) struct Letters<'a> {
    /// The present.
    pub now: Timestamp,
    /// Which were asked for.
    pub filter: &'a Filter,
    /// All of them counted, when nothing in particular was asked for.
    pub groups: Option<&'a [Group]>,
    /// Those that match, oldest first.
    pub entries: &'a [Entry],
    /// Whether more match than are shown.
    pub more: bool,
}

/// The page.
pub(crate) fn letters(it: &Letters<'_>) -> Markup {
    html! {
        h1 { "Dead letters" }
        p class="hint" { "Events that were given up, kept whole until you decide. A replayed event starts afresh and still makes nothing twice." }
        @if let Some(groups) = it.groups {
            @if groups.is_empty() {
                p class="empty good" role="status" { "There are none." }
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

/// Groups of one reason, with what to do about it said once.
fn card(reason: Option<&str>, groups: &[&Group], now: Timestamp) -> Markup {
    let meaning = words::by_name(reason);
    let filter = Filter { reason: reason.unwrap_or_default().to_owned(), ..Filter::default() };
    let sum: u64 = groups.iter().map(|group| group.count).sum();
    html! {
        article class="card" {
            h3 { span class="value" { (text::count(sum)) } " " a href=(filter.address("/dead-letters", &[])) { (meaning.title) } }
            p { (text::prose(meaning.means)) }
            p class="advice" { (text::prose(meaning.advice)) }
            table class="stack inner" {
                thead { tr {
                    th scope="col" { "Organization" } th scope="col" class="number" { "Letters" } th scope="col" { "The last" }
                    th scope="col" { span class="unseen" { "What to do" } }
                } }
                tbody { @for group in groups { (of_organization(group, &filter, now)) } }
            }
        }
    }
}

fn of_organization(group: &Group, reason: &Filter, now: Timestamp) -> Markup {
    let filter = Filter { organization: group.organization.clone().unwrap_or_default(), ..reason.clone() };
    let act = |act| filter.address("/dead-letters/confirm", &[("act", act)]);
    html! {
        tr {
            th scope="row" data-name="Organization" {
                @match &group.organization {
                    Some(id) => a href=(filter.address("/dead-letters", &[])) { (text::id(id)) },
                    None => "could not be read",
                }
            }
            td class="number" data-name="Letters" { (text::count(group.count)) }
            td data-name="The last" {
                @if let Some(last) = group.last { (text::moment(last, now)) }
                @if let Some(error) = &group.error { p class="error" { (text::said(error)) } }
            }
            td class="act" {
                // Without an organization, or a reason, the others of the same would be meant too.
                @if group.organization.is_some() && group.reason.is_some() {
                    a class="button" href=(act("replay")) { (all("Replay", group)) }
                    a class="button danger" href=(act("discard")) { (all("Discard", group)) }
                }
            }
        }
    }
}

/// The rest of the sentence is for those who hear one link after the other.
fn all(word: &str, group: &Group) -> Markup {
    let of = group.organization.as_deref().map(text::visible).unwrap_or_default();
    html! {
        (word) @if group.count > 1 { " all " (text::count(group.count)) } "…" span class="unseen" { " of " (of) }
    }
}

/// By reason, in the order of the runbook.
fn by_reason(groups: &[Group]) -> Vec<(Option<&str>, Vec<&Group>)> {
    let reasons = Reason::DEAD.into_iter().map(|reason| Some(reason.as_str()));
    let of = |reason: Option<&'static str>| {
        let known = |group: &&Group| Reason::DEAD.iter().any(|reason| Some(reason.as_str()) == group.reason.as_deref());
        let is = |group: &&Group| if reason.is_some() { group.reason.as_deref() == reason } else { !known(group) };
        (reason, groups.iter().filter(is).collect::<Vec<_>>())
    };
    reasons.chain([None]).map(of).filter(|(_, groups)| !groups.is_empty()).collect()
}

fn list(it: &Letters<'_>) -> Markup {
    let selectable = it.entries.iter().any(|entry| entry.event_id.is_some());
    html! {
        section aria-labelledby="list" {
            h2 id="list" {
                @if it.groups.is_some() && it.entries.is_empty() { "One by one" }
                @else { (text::counted(it.entries.len() as u64, "dead letter", "dead letters")) @if it.more { ", the oldest" } }
            }
            @if it.entries.is_empty() {
                @if it.groups.is_some() { p { a href="/dead-letters?all=yes" { "Show the oldest of them" } } }
                @else { p class="empty" role="status" { "None matches." } }
            } @else {
                form method="get" action="/dead-letters/confirm" {
                    @for (name, value) in it.filter.pairs().into_iter().filter(|(name, _)| !["id", "all"].contains(name)) {
                        input type="hidden" name=(name) value=(value);
                    }
                    @if selectable { (tools()) }
                    (table(it.entries, it.now, Boxes::Shown))
                }
                @if !it.filter.pairs().is_empty() { (all_that_match(it)) }
            }
        }
    }
}

fn tools() -> Markup {
    html! {
        div class="tools" {
            span { "Those that are ticked:" }
            button name="act" value="replay" { "Replay…" }
            button class="danger" name="act" value="discard" { "Discard…" }
        }
    }
}

fn all_that_match(it: &Letters<'_>) -> Markup {
    html! {
        p class="actions" {
            span { "All that match, " (if it.more { "more than are shown here:" } else { "ticked or not:" }) }
            a class="button" href=(it.filter.address("/dead-letters/confirm", &[("act", "replay")])) { "Replay all…" }
            a class="button danger" href=(it.filter.address("/dead-letters/confirm", &[("act", "discard")])) { "Discard all…" }
        }
    }
}

/// Whether letters can be chosen one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Boxes {
    /// They can.
    Shown,
    /// They can't.
    Left,
}

/// A row for each; on a narrow screen a card.
pub(crate) fn table(entries: &[Entry], now: Timestamp, boxes: Boxes) -> Markup {
    let results = entries.iter().any(|entry| entry.result.is_some());
    html! {
        table class="stack" {
            thead { tr {
                @if boxes == Boxes::Shown { th scope="col" { span class="unseen" { "Choose" } } }
                @if results { th scope="col" { "Result" } }
                th scope="col" { "Event" } th scope="col" { "Organization" } th scope="col" { "Session" }
                th scope="col" { "Reason" } th scope="col" { "Died" }
            } }
            tbody { @for entry in entries { (row(entry, now, boxes, results)) } }
        }
    }
}

fn row(entry: &Entry, now: Timestamp, boxes: Boxes, results: bool) -> Markup {
    let organization = entry.organization_id.as_deref();
    html! {
        tr {
            @if boxes == Boxes::Shown {
                td class="choose" {
                    @if let Some(id) = &entry.event_id {
                        label { input type="checkbox" name="id" value=(id); span class="unseen" { "Choose " (text::visible(id)) } }
                    }
                }
            }
            @if results { td data-name="Result" { @if let Some(fate) = entry.result { (badge::badge(colour(fate), said(fate))) } } }
            th scope="row" data-name="Event" {
                @match &entry.event_id {
                    Some(id) => a href=(link::with("/dead-letters/show", &[("id", id), ("organization", organization.unwrap_or_default())])) { (text::id(id)) },
                    None => (unnamed(entry)),
                }
            }
            td data-name="Organization" { (text::maybe_id(organization)) }
            td data-name="Session" {
                @match &entry.session_id {
                    Some(id) => a href=(link::with("/find", &[("q", id)])) { (text::id(id)) },
                    None => (text::nothing()),
                }
            }
            td data-name="Reason" { (words::by_name(entry.reason.as_deref()).title) (why(entry)) }
            td class="when" data-name="Died" { @match entry.dead_at { Some(at) => (text::moment(at, now)), None => (text::nothing()) } }
        }
    }
}

/// One whose id could not be read is found by its reason and the moment of its death.
fn unnamed(entry: &Entry) -> Markup {
    let moment = entry.dead_at.and_then(|at| Some((at, at.checked_add(SignedDuration::from_millis(1)).ok()?)));
    let filter = moment.map(|(from, until)| Filter {
        reason: entry.reason.clone().unwrap_or_default(),
        after: from.to_string(),
        before: until.to_string(),
        ..Filter::default()
    });
    html! {
        @match filter {
            Some(filter) => a href=(filter.address("/dead-letters/show", &[])) { "no id" },
            None => (text::nothing()),
        }
    }
}

fn why(entry: &Entry) -> Markup {
    html! {
        @if let Some(problem) = &entry.problem { p class="error" { (text::said(problem)) } }
        @else if let Some(error) = &entry.error { p class="error" { (text::said(error)) } }
    }
}

fn said(fate: Fate) -> &'static str {
    match fate {
        Fate::Replayed => "replayed",
        Fate::WouldReplay => "would be replayed",
        Fate::Discarded => "discarded",
        Fate::WouldDiscard => "would be discarded",
        Fate::Failed => "failed",
    }
}

fn colour(fate: Fate) -> &'static str {
    match fate {
        Fate::Replayed | Fate::Discarded => "good",
        Fate::WouldReplay | Fate::WouldDiscard => "calm",
        Fate::Failed => "bad",
    }
}
