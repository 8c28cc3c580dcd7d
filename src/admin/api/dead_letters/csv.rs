//! Dead letters as lines of CSV (RFC 4180). Pure.

use handoffd_engine::dead_letters::DeadLetterEntry;

/// First line.
pub(super) const HEAD: &str = "letter_id,event_id,organization_id,session_id,reason,error,dead_at\r\n";

/// Returns the line of a dead letter.
pub(super) fn line(entry: &DeadLetterEntry) -> String {
    let dead_at = entry.dead_at.map(|at| at.to_string());
    let fields = [
        Some(&entry.letter_id),
        entry.event_id.as_ref(),
        entry.organization_id.as_ref(),
        entry.session_id.as_ref(),
        entry.reason.as_ref(),
        entry.error.as_ref(),
        dead_at.as_ref(),
    ];
    fields.map(|field| quoted(field.map_or("", String::as_str))).join(",") + "\r\n"
}

/// Quotes a field. What a spreadsheet would take for a formula gets an apostrophe in front, because publishers choose
/// ids and remote servers choose messages.
fn quoted(field: &str) -> String {
    let is_formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let mark = if is_formula { "'" } else { "" };
    if field.contains(['"', ',', '\r', '\n']) || is_formula {
        format!("\"{mark}{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_formulas_defused() {
        let entry = DeadLetterEntry {
            letter_id: "dl_1".to_owned(),
            event_id: Some("=HYPERLINK(\"x\")".to_owned()),
            error: Some("a, \"b\"\nc".to_owned()),
            dead_at: "2026-11-22T10:15:00Z".parse().ok(),
            ..DeadLetterEntry::default()
        };
        let expected = "dl_1,\"'=HYPERLINK(\"\"x\"\")\",,,,\"a, \"\"b\"\"\nc\",2026-11-22T10:15:00Z\r\n";
        assert_eq!(line(&entry), expected);
        assert_eq!(HEAD.matches(',').count(), line(&DeadLetterEntry::default()).matches(',').count());
    }
}
