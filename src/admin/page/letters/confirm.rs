//! The dry run before something is done: what would happen to which, and the button that does it. Pure.

use handoffd_engine::dead_letters::{Action, Effect, Entry};
use jiff::Timestamp;
use maud::{Markup, html};

use super::filter::Filter;
use super::list::{Boxes, table};
use crate::admin::page::text;

/// What can be done about dead letters from the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// Back to work.
    Replay,
    /// Out for good.
    Discard,
}

impl Act {
    /// By its name in a form.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Replay, Self::Discard].into_iter().find(|act| act.name() == name)
    }

    /// Its name in a form.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }

    /// As the letters' room says it.
    pub(crate) fn action(self, effect: Effect) -> Action {
        match self {
            Self::Replay => Action::Replay(effect),
            Self::Discard => Action::Discard(effect),
        }
    }

    /// As the beginning of a sentence.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Replay => "Replay",
            Self::Discard => "Discard",
        }
    }
}

/// What would happen.
pub(crate) struct Rehearsal<'a> {
    /// The present.
    pub now: Timestamp,
    /// What is to be done.
    pub act: Act,
    /// To which.
    pub filter: &'a Filter,
    /// How many match.
    pub count: u64,
    /// The first of them.
    pub entries: &'a [Entry],
}

/// The page that asks.
pub(crate) fn confirm(it: &Rehearsal<'_>) -> Markup {
    let many = text::counted(it.count, "dead letter", "dead letters");
    html! {
        h1 { (it.act.word()) " " (many) "?" }
        @if it.count == 0 {
            p class="empty" role="status" { "None matches: nothing would happen." }
            p class="actions" { a class="button" href="/dead-letters" { "Back" } }
        } @else {
            p {
                @match it.act {
                    Act::Replay => "Each goes back into the inbox and starts afresh. What was done before is not done again. If its cause is not mended, it fails again and is a dead letter again.",
                    Act::Discard => strong { "They are gone for good, with their text. There is no way back." },
                }
            }
            form method="post" action="/dead-letters/act" class="actions" {
                input type="hidden" name="act" value=(it.act.name());
                (it.filter.hidden())
                button class=(if it.act == Act::Discard { "danger solid" } else { "primary" }) { (it.act.word()) " " (many) }
                a class="button" href=(it.filter.address("/dead-letters", &[])) { "Cancel" }
            }
            h2 { "What would happen" }
            @if it.count > it.entries.len() as u64 { p { "The first " (it.entries.len()) " of " (text::count(it.count)) ":" } }
            (table(it.entries, it.now, Boxes::Left))
        }
    }
}
