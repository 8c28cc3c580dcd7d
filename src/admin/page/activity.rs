//! *Activity*: actions of operators, replays and discards, troubles and takeovers, newest first. Pure.

use jiff::Timestamp;
use maud::{Markup, html};

use super::dead_letters::jobs::jobs;
use super::organizations::list;
use super::{badge, text};
use crate::admin::api::dead_letters::jobs::JobView;
use crate::admin::audit::{AuditEntry, Identity};
use crate::admin::journal::{ActivityEntry, JournalChange};

/// Content of the page; each list newest first.
pub(super) struct ActivityView<'a> {
    /// Actions of operators.
    pub actions: &'a [AuditEntry],
    /// Replays and discards.
    pub jobs: &'a [JobView],
    /// Troubles and takeovers.
    pub happened: &'a [ActivityEntry],
    /// Present time.
    pub now: Timestamp,
}

/// Renders the page.
pub(super) fn activity(it: &ActivityView<'_>) -> Markup {
    html! {
        h1 { "Activity" }
        p class="hint" { "The last 1,000 actions of operators at every worker that shares the store, and the last 5,000 troubles and takeovers since this worker started." }
        (jobs(it.jobs, it.now))
        (section("actions", "Actions of operators", "No actions yet.", &html! {
            th scope="col" { "Time" } th scope="col" { "Action" } th scope="col" { "Subject" }
            th scope="col" class="number" { "Count" } th scope="col" { "Operator" }
        }, it.actions.iter().map(|entry| row(entry, it.now)).collect()))
        (section("happened", "Troubles and takeovers", "None.", &html! {
            th scope="col" { "Time" } th scope="col" { "Organization" } th scope="col" { "Change" }
        }, it.happened.iter().map(|entry| happened(entry, it.now)).collect()))
    }
}

/// Renders a table under a heading; without rows, a sentence in its place.
fn section(id: &str, heading: &str, empty: &str, head: &Markup, rows: Vec<Markup>) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (heading) }
            @if rows.is_empty() {
                p class="empty" { (empty) }
            } @else {
                div class="scroll" tabindex="0" role="group" aria-labelledby=(id) {
                    table {
                        thead { tr { (head) } }
                        tbody { @for row in rows { (row) } }
                    }
                }
            }
        }
    }
}

fn happened(entry: &ActivityEntry, now: Timestamp) -> Markup {
    let organization = match &entry.change {
        JournalChange::Began(reason) | JournalChange::Ended(reason, _) => reason.organization_id.as_deref(),
        JournalChange::Owner { organization, .. } => Some(organization.as_str()),
    };
    html! {
        tr {
            td class="when" { (text::moment(entry.at, now)) }
            td { @match organization { Some(id) => a href=(list::address(id)) { (text::id(id)) }, None => "all" } }
            td {
                @match &entry.change {
                    JournalChange::Began(reason) => { (badge::badge("bad", "began")) " " (text::foreign_text(&reason.cause)) },
                    JournalChange::Ended(reason, began) => {
                        (badge::badge("good", "over")) " " (text::foreign_text(&reason.cause)) " (after " (text::lasting(*began, entry.at)) ")"
                    },
                    JournalChange::Owner { from, to, .. } => { (badge::badge("calm", "takeover")) " now processed by " (text::id(to)) ", before by " (text::id(from)) },
                }
            }
        }
    }
}

fn row(entry: &AuditEntry, now: Timestamp) -> Markup {
    html! {
        tr {
            td { (text::moment(entry.at, now)) }
            td { (entry.action.in_words().trim_start_matches("operator ")) }
            td { (text::foreign_text(&entry.subject)) }
            td class="number" { (text::count(entry.count)) }
            td {
                (who(entry.who))
                @if let Some(user) = &entry.user { ", " (text::foreign_text(user)) }
                @if let Some(from) = entry.from { ", " (text::foreign_text(&from.to_string())) }
            }
        }
    }
}

fn who(identity: Identity) -> &'static str {
    match identity {
        Identity::Token => "http.token",
        Identity::ReaderToken => "http.reader_token",
        Identity::Local => "no token",
    }
}
