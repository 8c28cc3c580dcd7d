//! Details of one dead letter; its content only on request. Pure.

use handoffd_engine::dead_letters::DeadLetterEntry;
use handoffd_engine::text::visible_lines;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::filter::FilterForm;
use crate::admin::page::layout::SignIn;
use crate::admin::page::{link, text, words};

/// Dead letter, or the first of several with the same ID.
pub(crate) struct OneDeadLetter<'a> {
    /// Present time.
    pub now: Timestamp,
    /// Rights of the reader.
    pub session: SignIn,
    /// Filter that selects it.
    pub filter: &'a FilterForm,
    /// Entry, with the full message and customer text only if requested.
    pub entry: &'a DeadLetterEntry,
}

/// Renders the page.
pub(crate) fn one(it: &OneDeadLetter<'_>) -> Markup {
    let entry = it.entry;
    let meaning = words::by_name(entry.reason.as_deref());
    let event = entry.event_id.as_deref();
    let organization = entry.organization_id.as_deref();
    html! {
        h1 { "Dead letter " (text::id(event.unwrap_or(&entry.letter_id))) }
        section class="verdict bad" {
            h2 { (meaning.title) }
            p { (text::prose(meaning.means)) }
            @if let Some(error) = &entry.error { p class="error" { (text::foreign_text(error)) } }
            p class="advice" { (text::prose(meaning.advice)) }
        }
        dl class="facts" {
            div { dt { "Organization" } dd { (text::maybe_id(organization)) } }
            div { dt { "Session" } dd {
                @match &entry.session_id {
                    Some(id) => a href=(link::with("/find", &[("q", id)])) { (text::id(id)) },
                    None => (text::dash()),
                }
            } }
            div { dt { "Dead letter" } dd { (text::id(&entry.letter_id)) } }
            div { dt { "Failed at" } dd { @match entry.dead_at { Some(at) => (text::moment(at, it.now)), None => (text::dash()) } } }
        }
        p class="actions" {
            @if it.session.may_change() {
                a class="button primary" href=(it.filter.address("/dead-letters/confirm", &[("act", "replay")])) { "Replay…" }
            }
            @if it.session.may_read_text() {
                a class="button" href=(FilterForm::letter(&entry.letter_id).address("/dead-letters/edit", &[])) { "Edit and replay…" }
            }
            @if it.session.may_discard() {
                a class="button danger" href=(it.filter.address("/dead-letters/confirm", &[("act", "discard")])) { "Discard…" }
            }
            @if let (Some(event), Some(organization)) = (event, organization) {
                a class="button" href=(link::event(organization, event)) { "Event details" }
            }
        }
        (content(it))
    }
}

fn content(it: &OneDeadLetter<'_>) -> Markup {
    html! {
        section aria-labelledby="content" {
            h2 id="content" { "Message content" }
            @match &it.entry.message {
                None if !it.session.may_read_text() => p { "Contains text that the customer wrote; it is shown only to who signs in with http.token." },
                None => {
                    p { "Contains text that the customer wrote. It is displayed only on request and not cached." }
                    p class="actions" { a class="button" href=(it.filter.address("/dead-letters/show", &[("content", "shown")])) { "Show customer text" } }
                }
                Some(whole) => {
                    p class="actions" { a class="button" href=(it.filter.address("/dead-letters/show", &[])) { "Hide" } }
                    @for (name, value) in whole.iter().filter(|(name, _)| ["properties", "headers"].contains(&name.as_str()) || name.contains("body")) {
                        h3 { (text::visible(name)) }
                        pre tabindex="0" { (text_of(value)) }
                    }
                }
            }
        }
    }
}

/// Escapes hidden characters but keeps line breaks.
fn text_of(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => format!("{other:#}"),
    };
    visible_lines(&text).to_string()
}
