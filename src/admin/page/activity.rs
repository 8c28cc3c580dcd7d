//! *Activity*: actions of operators, newest first. Pure.

use jiff::Timestamp;
use maud::{Markup, html};

use super::text;
use crate::admin::audit::{AuditEntry, Identity};

/// Renders the page.
pub(super) fn activity(entries: &[AuditEntry], now: Timestamp) -> Markup {
    html! {
        h1 { "Activity" }
        p class="hint" { "Actions of operators since this worker started, at most the last 1,000." }
        @if entries.is_empty() {
            p class="empty" { "No actions yet." }
        } @else {
            div class="scroll" {
                table {
                    thead { tr {
                        th scope="col" { "Time" } th scope="col" { "Action" } th scope="col" { "Subject" }
                        th scope="col" class="number" { "Count" } th scope="col" { "Operator" }
                    } }
                    tbody { @for entry in entries { (row(entry, now)) } }
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
