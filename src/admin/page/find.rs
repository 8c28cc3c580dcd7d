//! *Find*: what is known by any of an event's names. Pure.

use handoffd_engine::event::EventKey;
use handoffd_engine::ports::store::Found;
use maud::{Markup, html};

use super::layout::{Size, search};
use super::text;
use super::timeline::{Around, story};

/// The page, before or after a question.
pub(super) fn find(query: &str, found: Option<&Answer<'_>>) -> Markup {
    html! {
        h1 { "Find an event" }
        (search(query, Size::Large))
        @match found {
            None => p class="hint" {
                "Type what you have: the id of a session or an event, of a case (GUID) or its ticket number, of a live work item. "
                "All events it belongs to are shown, with every request made for them."
            },
            Some(answer) => (answered(query, answer)),
        }
    }
}

/// What was found.
pub(super) struct Answer<'a> {
    /// What the name turned out to be: `session`, `ticket number`, …
    pub by: &'static str,
    /// Oldest first.
    pub found: &'a [(Found, Around<'a>)],
    /// Handoffs that wait and were never tried.
    pub untried: &'a [EventKey],
    /// Whether there are more than are shown.
    pub more: More,
}

/// Whether there are more than are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum More {
    /// There are; the newest are shown.
    Left,
    /// These are all.
    None,
}

fn answered(query: &str, answer: &Answer<'_>) -> Markup {
    let count = (answer.found.len() + answer.untried.len()) as u64;
    html! {
        @if count == 0 {
            div class="empty" role="status" {
                p { "Nothing is known of " (text::id(query)) "." }
                ul {
                    li { "Is it whole? Only the whole id or number is found, capitals included." }
                    li { "A session whose event could not be read is known by its event at most: see the " a href="/dead-letters" { "dead letters" } "." }
                    li { "What is older than the store's retention is forgotten." }
                    li { "It may not have come at all: then no worker has seen it." }
                }
            }
        } @else {
            p class="sum" role="status" {
                (text::counted(count, "event", "events")) " of the " (answer.by) " " (text::id(query))
                @if answer.more == More::Left { "; these are the newest, there are older ones" }
            }
            @for (found, around) in answer.found { (story(found, around)) }
            @for key in answer.untried { (waits(key)) }
        }
    }
}

/// It has not had its turn: nothing is remembered of it but that it is on its way.
fn waits(key: &EventKey) -> Markup {
    html! {
        article class="story" {
            header { h2 { "Handoff " (text::id(key.event_id.as_str())) } }
            section class="verdict warn" {
                h3 { "It waits for its turn" }
                p {
                    "It came, is without an outcome so far and was not tried yet: " (text::id(key.organization_id.as_str()))
                    " is paused, blocked, throttled or busy (" a href="/organizations" { "organizations" } "). Nothing is lost."
                }
            }
        }
    }
}
