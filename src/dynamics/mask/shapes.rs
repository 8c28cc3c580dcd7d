//! Parts of a message that are masked by their shape, whoever they belong to: email addresses, numbers, access tokens, emoji.

use std::ops::Range;

use uuid::Uuid;

use super::fold::is_picture;
use super::names::{is_code, is_own_number};

/// Fewest digits of a number that is masked. Statuses, limits and years have four.
const DIGITS: usize = 5;
/// Fewest digits of a part of the event's own telephone number that is masked. Statuses have three.
const PHONE_DIGITS: usize = 4;
/// Characters between the digits of one number.
const BETWEEN: &str = "+-()./ \u{a0}\u{202f}\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}";
/// Characters beside an email address.
const BESIDE: &str = "\"<>()[]{},;:=|&?#«»“”„‘’、。，；：";
/// Shortest token, in bytes; an ordinary word after "bearer" is shorter.
const SHORTEST_TOKEN: usize = 16;
/// Length of a GUID with hyphens.
const GUID: usize = 36;

/// Finds every email address. Names of OData's annotations (`queueid@odata.bind`) are none.
pub(super) fn emails(text: &str) -> Vec<Range<usize>> {
    let beside = |c: char| c.is_whitespace() || c.is_control() || BESIDE.contains(c);
    let found = text.match_indices(['@', '＠', '﹫']).filter_map(|(at, sign)| {
        let (name, domain) = (&text[..at], &text[at + sign.len()..]);
        let name = name.rsplit(beside).next().unwrap_or_default().trim_start_matches(['\'', '.']);
        let domain = domain.split(beside).next().unwrap_or_default().trim_end_matches(['\'', '.']);
        let is_address = !name.is_empty() && domain.contains(char::is_alphanumeric) && !domain.starts_with("odata.");
        is_address.then(|| at - name.len()..at + sign.len() + domain.len())
    });
    found.collect()
}

/// Finds every number of five or more digits, as of a telephone or a card, with blanks and hyphens between the digits. GUIDs and
/// error codes are none.
pub(super) fn numbers(text: &str) -> Vec<Range<usize>> {
    numbers_where(text, |digits, number| digits.chars().count() >= DIGITS && !is_own_number(number))
}

/// Finds every number of four or more digits that is a part of this telephone number, such as its end.
pub(super) fn parts_of_phone(text: &str, phone: &str) -> Vec<Range<usize>> {
    let whole = digits(phone);
    numbers_where(text, |digits, _| digits.len() >= PHONE_DIGITS && whole.contains(digits))
}

fn digits(text: &str) -> String {
    text.chars().filter(|c| c.is_numeric()).collect()
}

fn numbers_where(text: &str, is_masked: impl Fn(&str, &str) -> bool) -> Vec<Range<usize>> {
    let blanked = without_ids(text);
    let other = |c: char| !(c.is_numeric() || BETWEEN.contains(c));
    let runs = pieces(&blanked, other).map(|run| {
        let piece = &blanked[run.clone()];
        let start = run.end - piece.trim_start_matches(|c| c != '+' && BETWEEN.contains(c)).len();
        start..run.start + piece.trim_end_matches(|c| BETWEEN.contains(c)).len()
    });
    runs.filter(|run| {
        let number = text.get(run.clone()).unwrap_or_default();
        is_masked(&digits(number), number)
    })
    .collect()
}

/// Finds the text after `Bearer`, and text that begins as the base64 of a signed token's JSON does.
pub(super) fn tokens(text: &str) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let named = lower.match_indices("bearer ").map(|(at, word)| at + word.len());
    let begun = text.match_indices("eyJ").map(|(at, _)| at);
    let length = |at: usize| {
        let ends = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '~' | '+' | '/' | '=');
        text[at..].find(ends).unwrap_or(text.len() - at)
    };
    named.chain(begun).map(|at| at..at + length(at)).filter(|range| range.len() >= SHORTEST_TOKEN).collect()
}

/// Finds every emoji. Customers' texts have them, messages of Dynamics have none.
pub(super) fn pictures(text: &str) -> Vec<Range<usize>> {
    pieces(text, |c| !is_picture(c)).collect()
}

/// Returns the text with `x` in place of GUIDs and error codes.
pub(super) fn without_ids(text: &str) -> String {
    let mut blanked = text.to_owned();
    for word in pieces(text, |c| !(c.is_alphanumeric() || c == '-')) {
        let said = &text[word.clone()];
        if is_code(said) || (said.len() == GUID && Uuid::parse_str(said).is_ok()) {
            blanked.replace_range(word.clone(), &"x".repeat(word.len()));
        }
    }
    blanked
}

/// Splits a text at separators and returns the ranges of the pieces.
pub(super) fn pieces(text: &str, apart: impl Fn(char) -> bool) -> impl Iterator<Item = Range<usize>> {
    text.split(apart).filter(|piece| !piece.is_empty()).map(move |piece| {
        // A piece is a slice of the text, so its address yields its position.
        let start = piece.as_ptr().addr() - text.as_ptr().addr();
        start..start + piece.len()
    })
}
