//! Lines of an export: a header, an entry each, an end. Pure.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::PortableEntry;

/// Version of the format. A newer one is refused.
const FORMAT: u32 = 1;
/// Kinds of the first line and of the last.
const FIRST: &str = "handoffd_store";
const LAST: &str = "end";

/// Header of an export.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExportHeader {
    /// Version of the format.
    pub format: u32,
    /// Version of the program that exported.
    pub version: String,
    /// Kind of the exported store.
    pub store: String,
    /// Time of the export.
    pub exported_at: Timestamp,
}

/// End of an export. A file without it was cut off.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExportEnd {
    /// Number of entries.
    pub entries: u64,
}

/// Line of an export.
#[derive(Clone, PartialEq, Debug)]
pub enum ExportLine {
    /// First line.
    Header(ExportHeader),
    /// Entry.
    Entry(PortableEntry),
    /// Last line.
    End(ExportEnd),
}

/// Line that can't be read. Its text is not quoted, since the file may be any.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LineError {
    /// Line that is no JSON, or no object with a kind.
    #[error("expected a JSON object with the field `kind`")]
    NoObject,
    /// Line of an unknown kind.
    #[error(
        "unknown `kind`; expected one of {}, or a newer version of handoffd",
        PortableEntry::KINDS.join(", ")
    )]
    Kind,
    /// Line with a missing or invalid field.
    #[error("expected the fields of kind {kind:?}: {problem}")]
    Fields {
        /// Kind of the line.
        kind: String,
        /// Problem with a field.
        problem: String,
    },
    /// Header of a newer format.
    #[error(
        "format {found}, expected {FORMAT}; the file was exported by handoffd {version}: import it with that version"
    )]
    Format {
        /// Format of the file.
        found: u32,
        /// Version of the program that exported.
        version: String,
    },
}

impl ExportHeader {
    /// Creates the header of an export.
    pub fn new(version: &str, store: &str, exported_at: Timestamp) -> Self {
        Self { format: FORMAT, version: version.to_owned(), store: store.to_owned(), exported_at }
    }
}

/// Appends a line with its end.
#[expect(clippy::missing_panics_doc, reason = "it never does, see below")]
pub fn write_line(text: &mut Vec<u8>, line: &ExportLine) {
    #[derive(Serialize)]
    struct Tagged<'a, T> {
        kind: &'static str,
        #[serde(flatten)]
        content: &'a T,
    }
    let written = match line {
        ExportLine::Header(content) => serde_json::to_writer(&mut *text, &Tagged { kind: FIRST, content }),
        ExportLine::Entry(entry) => serde_json::to_writer(&mut *text, entry),
        ExportLine::End(content) => serde_json::to_writer(&mut *text, &Tagged { kind: LAST, content }),
    };
    written.expect("text keys and plain data always serialize, and a Vec takes every byte");
    text.push(b'\n');
}

/// Reads a line.
///
/// # Errors
/// If it is not a line of an export.
pub fn parse_line(line: &[u8]) -> Result<ExportLine, LineError> {
    #[derive(Deserialize)]
    struct KindOnly<'a> {
        #[serde(borrow)]
        kind: Cow<'a, str>,
    }
    let KindOnly { kind } = serde_json::from_slice(line).map_err(|_| LineError::NoObject)?;
    let fields = |error: serde_json::Error| LineError::Fields { kind: kind.to_string(), problem: problem(&error) };
    match &*kind {
        FIRST => {
            let header: ExportHeader = serde_json::from_slice(line).map_err(fields)?;
            if header.format != FORMAT {
                let version: String = header.version.chars().filter(char::is_ascii_graphic).take(40).collect();
                return Err(LineError::Format { found: header.format, version });
            }
            Ok(ExportLine::Header(header))
        }
        LAST => serde_json::from_slice(line).map(ExportLine::End).map_err(fields),
        kind if PortableEntry::KINDS.contains(&kind) => {
            serde_json::from_slice(line).map(ExportLine::Entry).map_err(fields)
        }
        _ => Err(LineError::Kind),
    }
}

/// Describes an error without the text of the line, which other errors of the library quote.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    if text.starts_with("missing field") { text.to_owned() } else { "a field has an invalid value".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause() -> PortableEntry {
        PortableEntry::Pause { organization_id: "o".into(), since: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_line_reads_back() {
        for line in [
            ExportLine::Header(ExportHeader::new("0.1.0", "sled", Timestamp::UNIX_EPOCH)),
            ExportLine::Entry(pause()),
            ExportLine::End(ExportEnd { entries: 1 }),
        ] {
            let mut text = Vec::new();
            write_line(&mut text, &line);
            assert_eq!(text.split(|byte| *byte == b'\n').count(), 2);
            assert_eq!(parse_line(&text), Ok(line));
        }
    }

    #[test]
    fn an_unreadable_line_names_what_was_expected_and_never_its_text() {
        for (line, expected) in [
            ("", "a JSON object"),
            ("Ann", "a JSON object"),
            ("[]", "a JSON object"),
            (r#"{"organization_id":"Ann"}"#, "`kind`"),
            (r#"{"kind":7}"#, "`kind`"),
            (r#"{"kind":"Ann"}"#, "one of record, queued, session"),
            (r#"{"kind":"pause","organization_id":"Ann"}"#, "missing field `since`"),
            (r#"{"kind":"pause","organization_id":"Ann","since":"Ann"}"#, "invalid value"),
            (r#"{"kind":"pause","organization_id":"Ann""#, "a JSON object"),
            (
                r#"{"kind":"handoffd_store","format":9,"version":"2.0","store":"x","exported_at":"1970-01-01T00:00:00Z"}"#,
                "handoffd 2.0",
            ),
        ] {
            let problem = parse_line(line.as_bytes()).unwrap_err().to_string();
            assert!(problem.contains(expected) && !problem.contains("Ann"), "{line}: {problem}");
        }
    }
}
