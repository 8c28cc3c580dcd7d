//! Dynamics quotes what it refuses. What a customer wrote must reach no log, list or header.

mod folded;
mod spellings;
mod strangers;
mod tokens;

use std::ops::Range;

use handoffd_engine::event::{Body, Event, Handoff};

use super::description::whole;
use super::request::title;
use folded::{Folded, fold};

/// Most of a message that is kept, in bytes: a store's value has to stay small.
const MESSAGE_LIMIT: usize = 500;
/// Most of a message in an event's history, in bytes: there may be sixteen of them, in one value of 4 KiB.
const HISTORY_LIMIT: usize = 160;
/// Longest message that is looked through, in bytes; Dynamics' own have some hundred.
const LONGEST_READ: usize = 4 * 1024;
const MASK: &str = "***";
/// What opens a quoted part and what closes it, in the languages that environments speak.
const QUOTES: [(char, char); 6] = [
    ('\'', '\''),
    ('"', '"'),
    ('\u{2018}', '\u{2019}'),
    ('\u{201c}', '\u{201d}'),
    ('\u{201e}', '\u{201c}'),
    ('«', '»'),
];
/// A quoted part of a composed text (a title, a description) counts from this length on, or when the text begins with
/// it: shorter, it may be a column's name that the text happens to hold.
const LONG_ENOUGH: usize = 12;

/// Dynamics' message with every piece of customer text replaced by `***`, on one line and cut to size.
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
        // A resolution has no text of the customer's to compare with; its case has.
        Body::Resolution(_) => ranges.extend(strangers::suspects(message)),
    }
    one_line(&without(message, ranges))
}

/// A message that can't hold customer text, on one line and cut to size.
pub(super) fn one_line(message: &str) -> String {
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut_to(line.trim(), MESSAGE_LIMIT)
}

/// A message that was masked, cut to what an event's history keeps of each request.
pub(super) fn brief(message: &str) -> String {
    cut_to(message, HISTORY_LIMIT)
}

/// Where a message holds what is in this handoff.
fn of_customer(message: &str, handoff: &Handoff) -> Vec<Range<usize>> {
    let message = Folded::of(message);
    let texts = customer_texts(handoff);
    let known = Known { pieces: texts.join("\n"), composed: [fold(&title(handoff)), fold(&whole(handoff))] };
    // All are found in the message as it stands: one that is masked first could hide what another is a part of.
    let mut ranges = quoted(&message.text, &known);
    ranges.extend(texts.iter().flat_map(|text| occurrences(&message.text, text)));
    ranges.into_iter().map(|range| message.unfolded(&range)).collect()
}

/// What a quoted part is compared with; folded.
struct Known {
    /// What the customer, or an agent about one, wrote; a line each.
    pieces: String,
    /// What the worker made of it.
    composed: [String; 2],
}

impl Known {
    fn holds(&self, part: &str) -> bool {
        let long = part.chars().count() >= LONG_ENOUGH;
        let made_of = |text: &String| text.starts_with(part) || (long && text.contains(part));
        self.pieces.contains(part) || self.composed.iter().any(made_of)
    }
}

/// Everything a customer (or an agent, about one) wrote in this event, in every spelling, folded, longest first.
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
    // Spelled first, folded then: `%2B` is in capitals, and what a line break is spelled as is no white space.
    texts.extend(written.iter().flat_map(|text| spellings::of(text.trim())).map(|spelling| fold(&spelling)));
    texts.retain(|text| text.chars().count() > 1);
    texts.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    texts.dedup();
    texts
}

/// Every quoted part that is a piece of what is known: Dynamics shortens what it quotes.
fn quoted(message: &str, known: &Known) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some((start, open, close)) = opening(&message[from..]) {
        let apostrophe = message[..from + start].ends_with(char::is_alphanumeric);
        from += start + open.len_utf8();
        let cut_off = if apostrophe { None } else { Some(message.len() - from) };
        // Where it is none, the next quote may open another part: `'a' is not 'b'`, or this one is an apostrophe.
        if let Some(length) = piece_until(&message[from..], close, cut_off, known) {
            found.push(from..from + length);
            from += length;
            from += message[from..].chars().next().map_or(0, char::len_utf8);
        }
    }
    found
}

/// The first quote, and what closes it.
fn opening(text: &str) -> Option<(usize, char, char)> {
    text.char_indices().find_map(|(at, open)| {
        let (_, close) = QUOTES.iter().find(|(quote, _)| *quote == open)?;
        Some((at, open, *close))
    })
}

/// How long the quoted part is, if it is a piece of customer text. The longest counts: a text may hold quotes of
/// its own (`'ann.o'brien@example.com'`). A part may be cut off before its closing quote: then it is `cut_off` long.
fn piece_until(text: &str, close: char, cut_off: Option<usize>, known: &Known) -> Option<usize> {
    let ends = text.char_indices().filter(|(_, c)| *c == close).map(|(at, _)| at);
    let parts = ends.chain(cut_off).map(|end| (end, spoken(&text[..end])));
    let long_enough = parts.filter(|(_, part)| part.chars().count() > 2);
    // What begins with no piece is none.
    long_enough.take_while(|(_, part)| known.holds(part)).map(|(end, _)| end).last()
}

/// A quoted text as it was written: Dynamics ends a shortened one with dots, and OData doubles a quote within.
fn spoken(quoted: &str) -> String {
    quoted.trim_end_matches(['.', '…']).trim().replace("''", "'")
}

/// Where a text stands as whole words.
fn occurrences(message: &str, text: &str) -> Vec<Range<usize>> {
    let all = message.match_indices(text).map(|(at, found)| at..at + found.len());
    all.filter(|range| is_word(message, range.start, range.end)).collect()
}

fn is_word(text: &str, start: usize, end: usize) -> bool {
    let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !touches(text[..start].chars().next_back()) && !touches(text[end..].chars().next())
}

/// The message with `***` in the place of these ranges.
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
