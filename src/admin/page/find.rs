//! *Find*: events by any of their identifiers. Pure.

use handoffd_engine::event::EventKey;
use handoffd_engine::ports::store::StoredEvent;
use maud::{Markup, html};

use super::layout::{Size, search};
use super::text;
use super::timeline::{StoryContext, history_view};

/// Renders the search page, with the results if a search was made.
pub(super) fn find(query: &str, found: Option<&FindAnswer<'_>>) -> Markup {
    html! {
        h1 { "Find an event" }
        (search(query, Size::Large))
        @match found {
            None => p class="hint" {
                "Enter the ID of a session, an event, a case (GUID) or a live work item, or a ticket number. The result lists all "
                "related events with every request made for them."
            },
            Some(answer) => (answered(query, answer)),
        }
    }
}

/// Result of a search.
pub(super) struct FindAnswer<'a> {
    /// Kind of identifier that matched: `session`, `ticket number`, …
    pub by: &'static str,
    /// Events found, oldest first.
    pub found: &'a [(StoredEvent, StoryContext<'a>)],
    /// Queued handoffs without an attempt.
    pub untried: &'a [EventKey],
    /// Completeness of the result.
    pub more: More,
}

/// Completeness of a result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum More {
    /// More events match; the newest are shown.
    Left,
    /// All matching events are shown.
    None,
}

fn answered(query: &str, answer: &FindAnswer<'_>) -> Markup {
    let count = (answer.found.len() + answer.untried.len()) as u64;
    html! {
        @if count == 0 {
            div class="empty" role="status" {
                p { "No events found for " (text::id(query)) "." }
                ul {
                    li { "Enter the complete ID; search is case-sensitive." }
                    li { "An event that could not be decoded is not listed under its session; check the " a href="/dead-letters" { "dead letters" } "." }
                    li { "Events older than store.retention are deleted." }
                    li { "The worker may never have received it." }
                }
            }
        } @else {
            p class="sum" role="status" {
                (text::counted(count, "event", "events")) " of the " (answer.by) " " (text::id(query))
                @if answer.more == More::Left { ", newest only; older ones not shown" }
            }
            @for (found, around) in answer.found { (history_view(found, around)) }
            @for key in answer.untried { (waits(key)) }
        }
    }
}

/// Renders an event without an attempt; the store holds nothing else about it.
fn waits(key: &EventKey) -> Markup {
    html! {
        article class="story" {
            header { h2 { "Handoff " (text::id(key.event_id.as_str())) } }
            section class="verdict warn" {
                h3 { "Queued" }
                p {
                    "Received but not attempted yet: " (text::id(key.organization_id.as_str()))
                    " is paused, blocked, throttled or busy (see " a href="/organizations" { "organizations" } "). The event is not lost."
                }
            }
        }
    }
}
