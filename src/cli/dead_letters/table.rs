//! Formats dead letters as text.

use handoffd_engine::dead_letters::{DeadLetterEntry, OperationResult};
use serde_json::{Map, Value};

use crate::cli::table::{cell, line};

/// Columns of a list. Their widths are fixed: a list of 100,000 is not kept in memory to be measured.
const COLUMNS: [&str; 7] = ["letter_id", "dead_at", "reason", "organization_id", "event_id", "session_id", "error"];
const WIDTHS: [usize; 6] = [19, 24, 20, 16, 24, 20];
/// First column of the output of a command that changes dead letters.
const RESULT: (&str, usize) = ("result", 13);

/// Header line of a list.
pub(super) fn head(listing: bool) -> String {
    row_of((!listing).then_some(RESULT.0), COLUMNS)
}

/// Line of one entry.
pub(super) fn row(entry: &DeadLetterEntry) -> String {
    let dead_at = entry.dead_at.map(|time| time.to_string());
    let error = entry.problem.as_ref().or(entry.error.as_ref());
    let cells = [
        Some(&entry.letter_id),
        dead_at.as_ref(),
        entry.reason.as_ref(),
        entry.organization_id.as_ref(),
        entry.event_id.as_ref(),
        entry.session_id.as_ref(),
        error,
    ];
    row_of(entry.result.map(OperationResult::as_str), cells.map(|text| text.map_or("-", String::as_str)))
}

fn row_of(result: Option<&str>, cells: [&str; 7]) -> String {
    let widths: Vec<usize> = result.iter().map(|_| RESULT.1).chain(WIDTHS).collect();
    line(&result.into_iter().chain(cells).collect::<Vec<_>>(), &widths)
}

/// Full description of a dead letter, one property a line.
pub(super) fn story(whole: &Map<String, Value>) -> String {
    let property = |(name, value): (&String, &Value)| match value {
        Value::Object(fields) if matches!(name.as_str(), "properties" | "headers") => {
            let fields = fields.iter().map(|(name, value)| line(&[format!("  {name}"), cell(value)], &[35]));
            line(&[name], &[]) + &fields.collect::<String>()
        }
        value if name.ends_with("body") => format!("{name}\n{value:#}\n"),
        value => line(&[name, &cell(value)], &[15]),
    };
    whole.iter().map(property).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> DeadLetterEntry {
        DeadLetterEntry {
            letter_id: "dl_9f2c41d07be3a655".to_owned(),
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
            "letter_id            dead_at                   reason                organization_id   event_id                  \
             session_id            error\n\
             dl_9f2c41d07be3a655  2026-11-22T10:15:00.5Z    invalid_event         org_acme          evt_1                     -                     \
             data.session_id: \\u{1b}[2J\n"
        );
    }

    #[test]
    fn the_result_comes_first_and_the_error_last() {
        assert!(head(false).starts_with("result         letter_id "));
        assert!(
            row(&entry().with(OperationResult::WouldReplay))
                .starts_with("would_replay   dl_9f2c41d07be3a655  2026-11-22")
        );
        let failed = row(&entry().failed("no such queue".to_owned()));
        assert!(failed.starts_with("failed ") && failed.ends_with("  no such queue\n"), "{failed}");
    }
}
