//! Dry run before dead letters are replayed or discarded, with the button that does it. Pure.

use handoffd_engine::dead_letters::{DeadLetterEntry, LetterChange};
use jiff::Timestamp;
use maud::{Markup, html};

use super::filter::FilterForm;
use super::list::{CheckBoxes, aged, table};
use crate::admin::api::dead_letters::ListAge;
use crate::admin::page::text;

/// Returns the verb for buttons and headings.
pub(crate) fn verb(change: LetterChange) -> &'static str {
    match change {
        LetterChange::Replay => "Replay",
        LetterChange::Discard => "Discard",
    }
}

/// Result of a dry run.
pub(crate) struct DryRunForm<'a> {
    /// Present time.
    pub now: Timestamp,
    /// Change to confirm.
    pub act: LetterChange,
    /// Filter that selects the dead letters.
    pub filter: &'a FilterForm,
    /// Number of matching dead letters.
    pub count: u64,
    /// First of the matching dead letters.
    pub entries: &'a [DeadLetterEntry],
    /// Age of the preview, unless it is as of the request.
    pub age: Option<&'a ListAge>,
}

/// Renders the confirmation page.
pub(crate) fn confirm(it: &DryRunForm<'_>) -> Markup {
    let many = text::counted(it.count, "dead letter", "dead letters");
    html! {
        h1 { (verb(it.act)) " " (many) "?" }
        @if it.count == 0 {
            p class="empty" role="status" { "No matching dead letters." }
            @if let Some(age) = it.age { (aged(age, it.now)) }
            p class="actions" { a class="button" href="/dead-letters" { "Back" } }
        } @else {
            p {
                @match it.act {
                    LetterChange::Replay => "Each event returns to the inbox and is processed from the start; completed steps are not repeated. If its cause is not fixed, the event fails again and becomes a dead letter again.",
                    LetterChange::Discard => strong { "This permanently deletes them. It can't be undone." },
                }
            }
            form method="post" action="/dead-letters/act" class="actions" {
                input type="hidden" name="act" value=(it.act.as_str());
                (it.filter.hidden())
                button class=(if it.act == LetterChange::Discard { "danger solid" } else { "primary" }) { (verb(it.act)) " " (many) }
                a class="button" href=(it.filter.address("/dead-letters", &[])) { "Cancel" }
            }
            p class="hint" { "The same as a command: " code { (text::visible(&it.filter.command(it.act.as_str()))) } }
            h2 { "Preview" }
            @if let Some(age) = it.age { (aged(age, it.now)) }
            @if it.count > it.entries.len() as u64 { p { "Showing the first " (it.entries.len()) " of " (text::count(it.count)) ":" } }
            (table(it.entries, it.now, CheckBoxes::Left))
        }
    }
}
