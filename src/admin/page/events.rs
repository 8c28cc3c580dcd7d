//! *Events*: all events by state and organization, newest first, in pages. Pure.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{badge, link, text, words};
use crate::admin::events::{EventAnswer, EventState};

/// Page of events.
pub(super) struct EventList<'a> {
    /// Present time.
    pub now: Timestamp,
    /// State that the list is limited to.
    pub state: Option<EventState>,
    /// Organization that the list is limited to; empty for all.
    pub organization: &'a str,
    /// Events, newest first.
    pub events: &'a [EventAnswer],
    /// Position of the next page.
    pub next: Option<&'a str>,
    /// True if the list does not begin with the newest event.
    pub is_continued: bool,
}

/// Renders the page.
pub(super) fn events(list: &EventList<'_>) -> Markup {
    html! {
        h1 { "Events" }
        (filter(list))
        @if list.events.is_empty() {
            p class="empty" role="status" { "No matching events" @if list.next.is_some() { " on this page" } "." }
        } @else {
            div class="scroll" tabindex="0" role="group" aria-label="Events" {
                table {
                    thead { tr {
                        th scope="col" { "Since" } th scope="col" { "State" } th scope="col" { "Event" }
                        th scope="col" { "Organization" } th scope="col" { "Session" } th scope="col" { "Reason" }
                        th scope="col" { "Next attempt" }
                    } }
                    tbody { @for event in list.events { (row(event, list.now)) } }
                }
            }
        }
        p class="actions" {
            @if list.is_continued { a class="button" href=(address(list, "")) { "Newest" } " " }
            @if let Some(next) = list.next { a class="button" href=(address(list, next)) { "Older" } }
        }
    }
}

fn filter(list: &EventList<'_>) -> Markup {
    html! {
        form class="filter" method="get" action="/events" {
            label for="state" { "State" }
            " "
            select id="state" name="state" {
                option value="" { "All" }
                @for state in EventState::ALL {
                    option value=(state.as_str()) selected[list.state == Some(state)] { (words::state(state)) }
                }
            }
            " "
            label for="organization" { "Organization" }
            " "
            input id="organization" name="organization" value=(list.organization) autocomplete="off" spellcheck="false" maxlength="300";
            " "
            button { "Filter" }
        }
    }
}

fn row(event: &EventAnswer, now: Timestamp) -> Markup {
    let address = event.organization_id.as_deref().zip(event.event_id.as_deref());
    html! {
        tr {
            td { @match event.since { Some(since) => (text::moment(since, now)), None => (text::dash()) } }
            td { (badge::event(event)) }
            td {
                @match address {
                    Some((organization, id)) => a href=(link::event(organization, id)) { (text::id(id)) },
                    None => (text::dash()),
                }
            }
            td { (text::maybe_id(event.organization_id.as_deref())) }
            td {
                @match event.session_id.as_deref() {
                    Some(session) => a href=(link::with("/find", &[("q", session)])) { (text::id(session)) },
                    None => (text::dash()),
                }
            }
            td { (text::maybe_id(event.reason.as_deref())) }
            td { @match event.next_attempt { Some(next) => (text::moment(next, now)), None => (text::dash()) } }
        }
    }
}

fn address(list: &EventList<'_>, cursor: &str) -> String {
    let state = list.state.map_or("", EventState::as_str);
    link::with("/events", &[("state", state), ("organization", list.organization), ("cursor", cursor)])
}
