//! Formats dead letters as text.

use std::fmt::Write;

use handoffd_engine::dead_letters::DeadLetterEntry;
use serde_json::{Map, Value};

/// Columns of a list and their widths. A wider value shifts the rest of its line: a list of 100,000 is not kept in
/// memory to be measured.
const COLUMNS: [(&str, usize); 5] =
    [("dead_at", 24), ("reason", 20), ("organization_id", 16), ("event_id", 24), ("session_id", 20)];
/// First column of the output of a command that changes dead letters.
const RESULT: (&str, usize) = ("result", 13);

/// Header line of a list.
pub(super) fn head(listing: bool) -> String {
    let mut names: Vec<(String, usize)> = COLUMNS.map(|(name, width)| (name.to_owned(), width)).to_vec();
    if !listing {
        names.insert(0, (RESULT.0.to_owned(), RESULT.1));
    }
    line(&names, "error")
}

/// Line of one entry.
pub(super) fn row(entry: &DeadLetterEntry) -> String {
    let dead_at = entry.dead_at.map(|time| time.to_string());
    let texts = [&dead_at, &entry.reason, &entry.organization_id, &entry.event_id, &entry.session_id];
    let mut cells: Vec<(String, usize)> =
        texts.into_iter().zip(COLUMNS).map(|(text, (_, width))| (plain(text.as_deref()), width)).collect();
    if let Some(result) = entry.result {
        cells.insert(0, (result.as_str().to_owned(), RESULT.1));
    }
    line(&cells, &plain(entry.problem.as_deref().or(entry.error.as_deref())))
}

/// Full description of a dead letter, one property a line.
pub(super) fn story(whole: &Map<String, Value>) -> String {
    let mut output = String::new();
    for (name, value) in whole {
        match value {
            Value::Object(fields) if matches!(name.as_str(), "properties" | "headers") => {
                // Writing to a string can't fail, here and below.
                _ = writeln!(output, "{name}");
                for (name, value) in fields {
                    _ = writeln!(output, "  {:<34} {}", plain(Some(name)), text(value));
                }
            }
            value if name.ends_with("body") => _ = writeln!(output, "{name}\n{value:#}"),
            value => _ = writeln!(output, "{name:<16} {}", text(value)),
        }
    }
    output
}

fn line(cells: &[(String, usize)], last: &str) -> String {
    let mut line = String::new();
    for (cell, width) in cells {
        // Writing to a string can't fail.
        _ = write!(line, "{cell:<width$}  ");
    }
    line + last + "\n"
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(Some(text)),
        other => other.to_string(),
    }
}

/// Escapes control characters, which a terminal would interpret.
fn plain(text: Option<&str>) -> String {
    let text = text.unwrap_or("-").chars();
    text.map(|char| if char.is_control() { char.escape_default().to_string() } else { char.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use handoffd_engine::dead_letters::OperationResult;

    fn entry() -> DeadLetterEntry {
        DeadLetterEntry {
            event_id: Some("evt_1".to_owned()),
            organization_id: Some("org_acme".to_owned()),
            reason: Some("invalid_event".to_owned()),
            error: Some("data.session_id: \u{1b}[2J".to_owned()),
            dead_at: "2026-11-22T10:15:00.5Z".parse().ok(),
            ..DeadLetterEntry::default()
        }
    }

    #[test]
    fn a_list_is_aligned_and_control_characters_are_escaped() {
        let output = format!("{}{}", head(true), row(&entry()));
        assert_eq!(
            output,
            "dead_at                   reason                organization_id   event_id                  session_id            error\n\
             2026-11-22T10:15:00.5Z    invalid_event         org_acme          evt_1                     -                     \
             data.session_id: \\u{1b}[2J\n"
        );
    }

    #[test]
    fn the_result_comes_first_and_the_error_last() {
        assert!(head(false).starts_with("result         dead_at "));
        assert!(row(&entry().with(OperationResult::WouldReplay)).starts_with("would_replay   2026-11-22"));
        let failed = row(&entry().failed("no such queue".to_owned()));
        assert!(failed.starts_with("failed ") && failed.ends_with("  no such queue\n"), "{failed}");
    }
}
