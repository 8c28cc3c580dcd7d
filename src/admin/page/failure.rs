//! Failed event as lists show it, with its error and advice. Pure.

use handoffd_engine::ports::store::StoredEvent;
use handoffd_engine::workflow::Failure;
use jiff::Timestamp;
use maud::{Markup, html};

use super::{link, text, words};

/// Renders one failed event.
pub(super) fn card(found: &StoredEvent, now: Timestamp) -> Markup {
    let Some(outcome) = found.record.outcome() else { return html! {} };
    let reason = outcome.reason.map_or(words::NO_REASON, words::meaning);
    html! {
        article class="card bad" {
            h3 {
                a href=(link::event(found.key.organization_id.as_str(), found.key.event_id.as_str())) { (text::id(found.key.event_id.as_str())) }
                " " span class="why" { (reason.title) }
            }
            p class="about" {
                (text::moment(outcome.finished_at, now))
                " · " (text::maybe_id(Some(found.key.organization_id.as_str())))
                @if let Some(session) = &outcome.session_id { " · session " (text::id(session.as_str())) }
            }
            @match &outcome.error {
                Some(error) => (error_with_advice(error, reason.advice)),
                None => p class="advice" { (text::prose(reason.advice)) },
            }
        }
    }
}

/// Renders an error and advice: the error's own, or else that of the reason.
pub(super) fn error_with_advice(error: &Failure, otherwise: &str) -> Markup {
    let own = error.advice.as_deref().filter(|advice| !advice.is_empty());
    html! {
        p class="error" {
            span class="step" { (words::step(error.step)) ": " }
            @if let Some(status) = error.status { span class="id" { (status) } " " }
            @if let Some(code) = error.code.as_deref().filter(|code| !code.is_empty()) { (text::id(code)) " " }
            (text::foreign_text(&error.message))
        }
        p class="advice" { (text::prose(own.unwrap_or(otherwise))) }
    }
}
