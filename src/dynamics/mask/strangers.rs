//! Detection of personal text of an unknown customer. A resolution closes a case whose customer it does not name, so anything
//! that looks personal is masked, and only words that are plainly Dynamics' own remain.

use std::ops::Range;

use uuid::Uuid;

use super::quotes::opening;

/// Fewest digits of a telephone number.
const DIGITS: usize = 7;
/// Words of Dynamics' own messages that appear in quotes or capitalized within a sentence.
const OWN: &[&str] = &[
    "account",
    "activity",
    "activities",
    "administrator",
    "api",
    "bad",
    "case",
    "cases",
    "closeincident",
    "closeincidentrequest",
    "code",
    "contact",
    "crm",
    "customer",
    "customerid",
    "description",
    "does",
    "dynamics",
    "entity",
    "error",
    "exception",
    "exist",
    "failed",
    "field",
    "id",
    "incident",
    "incidentid",
    "incidentresolution",
    "incidents",
    "invalid",
    "isv",
    "message",
    "microsoft",
    "not",
    "odata",
    "otc",
    "ownerid",
    "parent",
    "platform",
    "plugin",
    "power",
    "principal",
    "property",
    "queue",
    "queueid",
    "request",
    "resolved",
    "service",
    "sql",
    "state",
    "statecode",
    "status",
    "statuscode",
    "subject",
    "system",
    "systemuser",
    "the",
    "title",
    "user",
    "web",
    "with",
    "xrm",
];

/// Finds every email address.
pub(super) fn emails(message: &str) -> Vec<Range<usize>> {
    let apart = |c: char| c.is_whitespace() || c.is_control() || "\"<>()[]{},;:=«»“”„‘’".contains(c);
    let address = |range: &Range<usize>| {
        let (name, domain) = message[range.clone()].split_once('@').unwrap_or_default();
        !name.trim_matches('\'').is_empty() && domain.contains('.') && !domain.starts_with("odata.")
    };
    pieces(message, apart).map(|range| trimmed(message, range, &['\'', '.'])).filter(address).collect()
}

/// Finds parts that may be personal: quoted parts, telephone numbers, names.
pub(super) fn suspects(message: &str) -> Vec<Range<usize>> {
    let mut found = quoted(message);
    found.extend(numbers(message));
    found.extend(names(message));
    found
}

/// Finds quoted parts other than names of tables, columns, requests and privileges.
fn quoted(message: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some((start, open, close)) = opening(&message[from..]) {
        let apostrophe = open == '\'' && message[..from + start].ends_with(char::is_alphanumeric);
        from += start + open.len_utf8();
        if apostrophe {
            continue;
        }
        let end = from + closing(&message[from..], close);
        if !is_own(&message[from..end]) {
            found.push(from..end);
        }
        from = end + message[end..].chars().next().map_or(0, char::len_utf8);
    }
    found
}

/// Finds the end of a quoted part: a quote that is no apostrophe (`'Ann O'Brien'`), or the end of the message.
fn closing(text: &str, close: char) -> usize {
    let inside = |at: usize| text[at + close.len_utf8()..].starts_with(char::is_alphanumeric);
    text.char_indices().find(|(at, c)| *c == close && !inside(*at)).map_or(text.len(), |(at, _)| at)
}

/// Finds numbers long enough for a telephone number, other than GUIDs.
fn numbers(message: &str) -> Vec<Range<usize>> {
    let of_number = |c: char| c.is_ascii_digit() || "+-(). /".contains(c);
    let callable = |range: &Range<usize>| {
        let number = &message[range.clone()];
        let alone = !message[..range.start].ends_with(char::is_alphanumeric)
            && !message[range.end..].starts_with(char::is_alphanumeric);
        alone && number.chars().filter(char::is_ascii_digit).count() >= DIGITS && Uuid::parse_str(number).is_err()
    };
    let runs = pieces(message, |c| !of_number(c));
    runs.map(|range| trimmed(message, range, &[' ', '.', '-', '(', ')', '/'])).filter(callable).collect()
}

/// Finds runs of two or more capitalized words, at least one of them not Dynamics' own.
fn names(message: &str) -> Vec<Range<usize>> {
    let apart = |c: char| !(c.is_alphanumeric() || "'’-_".contains(c));
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut run: Vec<Range<usize>> = Vec::new();
    let mut end_run = |run: &mut Vec<Range<usize>>| {
        let strange = run.len() > 1 && run.iter().any(|word| !is_own(&message[word.clone()]));
        if let (true, Some(first), Some(last)) = (strange, run.first(), run.last()) {
            found.push(first.start..last.end);
        }
        run.clear();
    };
    for word in pieces(message, apart) {
        let joined = run.last().is_none_or(|last| message[last.end..word.start].trim().is_empty());
        let capital = message[word.clone()].starts_with(char::is_uppercase);
        if !(joined && capital) {
            end_run(&mut run);
        }
        if capital {
            run.push(word);
        }
    }
    end_run(&mut run);
    found
}

/// Returns true for a word of Dynamics: a known word, a schema name with an underscore, a privilege, a GUID, a short number.
fn is_own(part: &str) -> bool {
    let word = part.trim();
    let simple = word.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    let schema = word.contains('_') || word.starts_with("prv") || word.starts_with("Microsoft.");
    let number = word.starts_with("0x") || word.chars().all(|c| c.is_ascii_digit()) && word.len() < DIGITS;
    simple && (schema || number || OWN.contains(&word.to_lowercase().as_str()) || Uuid::parse_str(word).is_ok())
}

/// Splits a text at separators and returns the ranges of the pieces.
fn pieces(text: &str, apart: impl Fn(char) -> bool) -> impl Iterator<Item = Range<usize>> {
    text.split(apart).filter(|piece| !piece.is_empty()).map(move |piece| {
        // A piece is a slice of the text, so its address yields its position.
        let start = piece.as_ptr().addr() - text.as_ptr().addr();
        start..start + piece.len()
    })
}

fn trimmed(text: &str, range: Range<usize>, ends: &[char]) -> Range<usize> {
    let piece = &text[range.clone()];
    let start = range.start + (piece.len() - piece.trim_start_matches(ends).len());
    let end = range.end - (piece.len() - piece.trim_end_matches(ends).len());
    start..end.max(start)
}
