//! *Find*: events by any of their identifiers. Pure.

use maud::{Markup, html};

use super::layout::{Size, search};
use super::timeline::{StoryContext, history_view, underway};
use super::{badge, link, text};
use crate::admin::events::{EventAnswer, EventState, FoundEvent};

/// Renders the search page, with the results if a search was made.
pub(super) fn find(query: &str, found: Option<&FindAnswer<'_>>) -> Markup {
    html! {
        h1 { "Find an event" }
        (search(query, Size::Large))
        @match found {
            None => p class="hint" {
                "Enter the ID of a session, an event, a case (GUID) or a live work item, a ticket number, or a request ID of "
                "Dynamics; or its first four or more characters. The result lists all related events with every request made for "
                "them. " a href="/events" { "Browse events by state" } "."
            },
            Some(answer) => (answered(query, answer)),
        }
    }
}

/// Result of a search.
pub(super) struct FindAnswer<'a> {
    /// Events found, each with its context.
    pub found: &'a [(FoundEvent, StoryContext<'a>)],
    /// Reasons why the answer may be incomplete.
    pub incomplete: &'a [String],
}

fn answered(query: &str, answer: &FindAnswer<'_>) -> Markup {
    let count = answer.found.len() as u64;
    html! {
        @if count == 0 {
            div class="empty" role="status" {
                p { "No events found for " (text::id(query)) "." }
                ul {
                    li { "Enter the complete ID, or at least its first four characters." }
                    li { "An event that could not be decoded is not listed under its session; check the " a href="/dead-letters" { "dead letters" } "." }
                    li { "Events older than store.retention are deleted." }
                    li { "The worker may never have received it." }
                }
            }
        } @else {
            p class="sum" role="status" { (text::counted(count, "event", "events")) " found for " (text::id(query)) }
        }
        @for reason in answer.incomplete { p class="verdict warn" { "This answer may be incomplete: " (text::foreign_text(reason)) "." } }
        @for (found, around) in answer.found { (event(found, around)) }
        p class="hint" { "The same as a command: " code { "handoffd why " (text::visible(query)) } }
    }
}

/// Renders what is known of an event: its history, if a worker has begun it.
pub(super) fn event(found: &FoundEvent, around: &StoryContext<'_>) -> Markup {
    match &found.stored {
        Some(stored) => history_view(stored, &found.answer, around),
        None => unrecorded(&found.answer, around),
    }
}

/// Renders an event that the store has no record of: it was not begun, or is a dead letter.
fn unrecorded(answer: &EventAnswer, around: &StoryContext<'_>) -> Markup {
    html! {
        article class="story" {
            header {
                h2 { "Event " (text::maybe_id(answer.event_id.as_deref())) " " (badge::event(answer)) }
                dl class="facts" {
                    div { dt { "Organization" } dd { (text::maybe_id(answer.organization_id.as_deref())) } }
                    div { dt { "Session" } dd { (text::maybe_id(answer.session_id.as_deref())) } }
                }
            }
            @if answer.state == EventState::Dead {
                section class="verdict bad" {
                    h3 { "Dead letter" }
                    @if let Some(reason) = &answer.reason { p { (text::id(reason)) } }
                    @if let Some(error) = &answer.error { p class="error" { (text::foreign_text(error)) } }
                    @if let Some(id) = &answer.event_id {
                        p class="actions" { a class="button" href=(link::with("/dead-letters", &[("id", id)])) { "View dead letter" } }
                    }
                }
            } @else { (underway(answer, around.now)) }
        }
    }
}
