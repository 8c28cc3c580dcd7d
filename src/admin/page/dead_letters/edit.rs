//! Editor of a dead letter's body, which is replayed with the edited text. Shows customer text. Pure.

use handoffd_engine::dead_letters::DeadLetterEntry;
use handoffd_engine::text::visible_json;
use maud::{Markup, html};
use serde_json::Value;

use super::filter::FilterForm;
use crate::admin::page::text;

/// Editor of one dead letter.
pub(crate) struct EditForm<'a> {
    /// Id of the dead letter.
    pub letter_id: &'a str,
    /// Text of the body, as it is or as edited.
    pub body: &'a str,
    /// Result of the check of an edited text.
    pub checked: Option<Result<(), &'a str>>,
}

/// Returns the body of a shown dead letter for the editor; `None` if it is no text.
pub(crate) fn body_of(entry: &DeadLetterEntry) -> Option<String> {
    match entry.message.as_ref()?.get("body")? {
        Value::String(text) => Some(text.clone()),
        // A hidden character becomes its JSON escape, which stands for the same.
        value => Some(visible_json(&format!("{value:#}")).to_string()),
    }
}

/// Renders the page.
pub(crate) fn edit(it: &EditForm<'_>) -> Markup {
    let filter = FilterForm::letter(it.letter_id);
    html! {
        h1 { "Edit dead letter " (text::id(it.letter_id)) }
        p class="hint" {
            "The event returns to the inbox with the edited body. The original is kept in its header "
            code { "x-replaced-body" } ". The text below is customer text."
        }
        @match it.checked {
            None => {}
            Some(Ok(())) => p class="verdict good" role="status" { "The edited event is valid. Nothing was changed yet." },
            Some(Err(problem)) => p class="verdict bad" role="alert" { "Not replayed: " (text::foreign_text(problem)) },
        }
        form method="post" action="/dead-letters/edit" {
            input type="hidden" name="letter" value=(it.letter_id);
            label for="body" { "Body (JSON)" }
            // A parser drops the first line break.
            textarea id="body" name="body" rows="24" spellcheck="false" autocomplete="off" { "\n" (it.body) }
            p class="actions" {
                button name="act" value="check" { "Check" }
                button class="primary" name="act" value="replay" { "Replay with this body" }
                a class="button" href=(filter.address("/dead-letters/show", &[])) { "Cancel" }
            }
        }
    }
}
