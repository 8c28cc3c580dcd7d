//! Masking of customer text in Dynamics' messages.
//!
//! Dynamics quotes the values that it refuses. Customer text must never reach a log, list or header, in any spelling, so every
//! message of Dynamics is masked here before it is stored. Where the customer's text is unknown, anything that may be personal is
//! masked: losing a word of Dynamics' message is cheaper than disclosing a name.

mod folded;
mod quotes;
mod spellings;
mod strangers;
mod tokens;

use std::ops::Range;

use handoffd_engine::event::{Body, Event, Handoff};

use super::description::whole;
use super::request::title;
use folded::{Folded, fold};
use quotes::opening;

/// Longest message that is kept, in bytes. Values of the store must stay small.
const MESSAGE_LIMIT: usize = 500;
/// Longest message in an event's history, in bytes. One value of 4 KiB may hold sixteen of them.
const HISTORY_LIMIT: usize = 160;
/// Longest message that is searched, in bytes. Dynamics' own have a few hundred.
const LONGEST_READ: usize = 4 * 1024;
const MASK: &str = "***";
/// Length in characters from which on a quoted part of a composed text (a title, a description) is masked wherever that text
/// contains it. A shorter part may be the name of a column, and is masked only where the text begins with it.
const LONG_ENOUGH: usize = 12;

/// Returns Dynamics' message with every piece of customer text replaced by `***`, on one line and cut to size.
pub(super) fn mask(message: &str, event: &Event) -> String {
    if message.is_empty() {
        return String::new();
    }
    if message.len() > LONGEST_READ {
        return format!("a message of {} bytes, withheld: it may quote the customer", message.len());
    }
    let mut ranges = strangers::emails(message);
    ranges.extend(tokens::tokens(message));
    match &event.body {
        Body::Handoff(handoff) => ranges.extend(of_customer(message, handoff)),
        // A resolution has no customer text to compare with, although its case has.
        Body::Resolution(_) => ranges.extend(strangers::suspects(message)),
    }
    one_line(&without(message, ranges))
}

/// Returns a message that can't contain customer text on one line, cut to size.
pub(super) fn one_line(message: &str) -> String {
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut_to(line.trim(), MESSAGE_LIMIT)
}

/// Returns a masked message, cut to the size for an event's history.
pub(super) fn brief(message: &str) -> String {
    cut_to(message, HISTORY_LIMIT)
}

/// Finds the texts of a handoff in a message.
fn of_customer(message: &str, handoff: &Handoff) -> Vec<Range<usize>> {
    let message = Folded::of(message);
    let texts = customer_texts(handoff);
    let known = QuotedText { pieces: texts.join("\n"), composed: [fold(&title(handoff)), fold(&whole(handoff))] };
    // All are located in the original message: masking one first could hide a longer text that contains it.
    let mut ranges = quoted(&message.text, &known);
    ranges.extend(texts.iter().flat_map(|text| occurrences(&message.text, text)));
    ranges.into_iter().map(|range| message.unfolded(&range)).collect()
}

/// Folded texts that a quoted part is compared with.
struct QuotedText {
    /// Texts by the customer or by an agent about the customer, one a line.
    pieces: String,
    /// Texts that the worker composed: title and description.
    composed: [String; 2],
}

impl QuotedText {
    fn holds(&self, part: &str) -> bool {
        let long = part.chars().count() >= LONG_ENOUGH;
        let made_of = |text: &String| text.starts_with(part) || (long && text.contains(part));
        self.pieces.contains(part) || self.composed.iter().any(made_of)
    }
}

/// Returns all texts of the event by the customer or by an agent about the customer, in every spelling, folded, longest first.
fn customer_texts(handoff: &Handoff) -> Vec<String> {
    let customer = &handoff.customer;
    let fields = [&customer.name, &customer.email, &customer.phone, &handoff.summary];
    let mut written: Vec<&str> = fields.into_iter().flatten().map(String::as_str).collect();
    let names = customer.name.iter().chain(handoff.transcript.iter().filter_map(|message| message.name.as_ref()));
    written.extend(names.flat_map(|name| name.split_whitespace()));
    for message in &handoff.transcript {
        written.extend(message.name.iter().chain(&message.text).map(String::as_str));
    }
    let mut texts: Vec<String> = written.iter().map(|text| fold(text)).collect();
    // Spelled first and folded afterwards: `%2B` has a capital, and an encoded line break is not white space.
    texts.extend(written.iter().flat_map(|text| spellings::of(text.trim())).map(|spelling| fold(&spelling)));
    texts.retain(|text| text.chars().count() > 1);
    texts.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    texts.dedup();
    texts
}

/// Finds every quoted part that is a piece of a known text, as Dynamics shortens its quotations.
fn quoted(message: &str, known: &QuotedText) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some((start, open, close)) = opening(&message[from..]) {
        let apostrophe = message[..from + start].ends_with(char::is_alphanumeric);
        from += start + open.len_utf8();
        let cut_off = if apostrophe { None } else { Some(message.len() - from) };
        // Otherwise the next quote may open another part, as in `'a' is not 'b'`, or this one is an apostrophe.
        if let Some(length) = piece_until(&message[from..], close, cut_off, known) {
            found.push(from..from + length);
            from += length;
            from += message[from..].chars().next().map_or(0, char::len_utf8);
        }
    }
    found
}

/// Returns the length of the quoted part if it is a piece of customer text. The longest match wins, as a text may itself contain
/// quotes (`'ann.o'brien@example.com'`). A part without a closing quote has the length `cut_off`.
fn piece_until(text: &str, close: char, cut_off: Option<usize>, known: &QuotedText) -> Option<usize> {
    let ends = text.char_indices().filter(|(_, c)| *c == close).map(|(at, _)| at);
    let parts = ends.chain(cut_off).map(|end| (end, spoken(&text[..end])));
    let long_enough = parts.filter(|(_, part)| part.chars().count() > 2);
    // A part that does not begin with a piece of customer text is not customer text.
    long_enough.take_while(|(_, part)| known.holds(part)).map(|(end, _)| end).last()
}

/// Restores a quoted text: removes the dots of a shortened one and the doubling of quotes by OData.
fn spoken(quoted: &str) -> String {
    quoted.trim_end_matches(['.', '…']).trim().replace("''", "'")
}

/// Finds the occurrences of a text as whole words.
fn occurrences(message: &str, text: &str) -> Vec<Range<usize>> {
    let all = message.match_indices(text).map(|(at, found)| at..at + found.len());
    all.filter(|range| is_word(message, range.start, range.end)).collect()
}

fn is_word(text: &str, start: usize, end: usize) -> bool {
    let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !touches(text[..start].chars().next_back()) && !touches(text[end..].chars().next())
}

/// Replaces these ranges of a message by `***`.
fn without(message: &str, mut ranges: Vec<Range<usize>>) -> String {
    ranges.sort_by_key(|range| range.start);
    let mut masked = String::with_capacity(message.len());
    let mut end = 0;
    for range in ranges {
        if range.start >= end {
            masked.push_str(&message[end..range.start]);
            masked.push_str(MASK);
        }
        end = end.max(range.end);
    }
    masked.push_str(&message[end..]);
    masked
}

fn cut_to(line: &str, limit: usize) -> String {
    if line.len() <= limit {
        return line.to_owned();
    }
    let end = (0..=limit).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &line[..end])
}

#[cfg(test)]
mod tests;
