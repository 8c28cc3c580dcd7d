//! Dry run before dead letters are replayed or discarded, with the button that does it. Pure.

use handoffd_engine::dead_letters::{Action, DeadLetterEntry, RunMode};
use jiff::Timestamp;
use maud::{Markup, html};

use super::filter::FilterForm;
use super::list::{CheckBoxes, table};
use crate::admin::page::text;

/// Action on dead letters that the page offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DeadLetterAction {
    /// Returns dead letters to the inbox.
    Replay,
    /// Deletes dead letters.
    Discard,
}

impl DeadLetterAction {
    /// Parses the name used in forms.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Replay, Self::Discard].into_iter().find(|act| act.name() == name)
    }

    /// Returns the name used in forms.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }

    /// Returns the action as the engine defines it.
    pub(crate) fn action(self, effect: RunMode) -> Action {
        match self {
            Self::Replay => Action::Replay(effect),
            Self::Discard => Action::Discard(effect),
        }
    }

    /// Returns the verb for buttons and headings.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Replay => "Replay",
            Self::Discard => "Discard",
        }
    }
}

/// Result of a dry run.
pub(crate) struct DryRunForm<'a> {
    /// Present time.
    pub now: Timestamp,
    /// Action to confirm.
    pub act: DeadLetterAction,
    /// Filter that selects the dead letters.
    pub filter: &'a FilterForm,
    /// Number of matching dead letters.
    pub count: u64,
    /// First of the matching dead letters.
    pub entries: &'a [DeadLetterEntry],
}

/// Renders the confirmation page.
pub(crate) fn confirm(it: &DryRunForm<'_>) -> Markup {
    let many = text::counted(it.count, "dead letter", "dead letters");
    html! {
        h1 { (it.act.word()) " " (many) "?" }
        @if it.count == 0 {
            p class="empty" role="status" { "No matching dead letters." }
            p class="actions" { a class="button" href="/dead-letters" { "Back" } }
        } @else {
            p {
                @match it.act {
                    DeadLetterAction::Replay => "Each event returns to the inbox and is processed from the start; completed steps are not repeated. If its cause is not fixed, the event fails again and becomes a dead letter again.",
                    DeadLetterAction::Discard => strong { "This permanently deletes them. It can't be undone." },
                }
            }
            form method="post" action="/dead-letters/act" class="actions" {
                input type="hidden" name="act" value=(it.act.name());
                (it.filter.hidden())
                button class=(if it.act == DeadLetterAction::Discard { "danger solid" } else { "primary" }) { (it.act.word()) " " (many) }
                a class="button" href=(it.filter.address("/dead-letters", &[])) { "Cancel" }
            }
            h2 { "Preview" }
            @if it.count > it.entries.len() as u64 { p { "Showing the first " (it.entries.len()) " of " (text::count(it.count)) ":" } }
            (table(it.entries, it.now, CheckBoxes::Left))
        }
    }
}
