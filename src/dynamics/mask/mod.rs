//! Masking of customer text in Dynamics' messages.
//!
//! Dynamics quotes the values that it refuses, and plug-ins quote what they like, in any escapes. Customer text must never reach a
//! log, list or header, so every message of Dynamics is masked here before it is kept:
//!
//! - what is quoted, unless it is a name of Dataverse (`names`),
//! - what has the shape of an email address, of a number of a telephone or card, of an access token, an encoded text, an emoji,
//! - parts of the access token that was sent (`secrets`),
//! - what the event itself contains, in any escapes, case, normal form and script: names by their words, the beginnings of
//!   words, and short parts in scripts without blanks; any text from [`SPAN`] units on.
//!
//! A resolution contains no text of the customer whose case it closes, so in a message about one every word is masked that is not
//! Dynamics' own (`stock`). Messages of Entra ID are about no customer; secrets are masked in them, and what may be one
//! ([`without_secrets`]).
//!
//! Nothing is guessed: the name of another person, neither quoted nor in the event, is not recognized. Error codes, GUIDs, privileges,
//! names of tables and columns stay, as operators need them.

mod fold;
mod names;
mod quotes;
mod reading;
mod runs;
mod search;
mod secrets;
mod shapes;
mod stock;
mod texts;

use std::ops::Range;

use handoffd_engine::event::{Body, Event};

use quotes::quoted;
use reading::Reading;
use search::{TextSearch, joined};
use texts::{PrivateText, texts};

pub(super) use names::is_code;

/// Longest message that is kept, in bytes. Values of the store must stay small.
const MESSAGE_LIMIT: usize = 500;
/// Longest message in an event's history, in bytes. One value of 4 KiB may hold sixteen of them.
const HISTORY_LIMIT: usize = 160;
/// Bytes of a message that are read; the rest is dropped. Dynamics' own messages have a few hundred.
const LONGEST_READ: usize = 4 * 1024;
/// Bytes of an event's texts that are compared in one go.
const STRIDE: usize = 32 * 1024;
/// Cost of a text beside its length, in bytes.
const COST_OF_TEXT: usize = 32;
const MASK: &str = "***";

/// Masking of one message, in steps that are short whatever the length of the event.
pub(super) struct Masking<'a> {
    message: &'a str,
    is_cut: bool,
    readings: Vec<Reading>,
    search: TextSearch,
    texts: Box<dyn Iterator<Item = PrivateText<'a>> + Send + 'a>,
    /// Telephone number of the event's customer.
    phone: Option<&'a str>,
    /// Token that the request was sent with.
    token: Option<&'a str>,
    /// True if the event is about a customer whose texts it does not hold.
    is_blind: bool,
    /// Rest of the text that the last step ended in.
    rest: Option<PrivateText<'a>>,
}

impl<'a> Masking<'a> {
    /// Prepares the masking of a message about an event, or of one that concerns no event.
    pub(super) fn new(message: &'a str, event: Option<&'a Event>) -> Self {
        let (read, dropped) = split(message, LONGEST_READ);
        let readings = Reading::all(read);
        let search = TextSearch::of(&readings);
        let phone = event.and_then(phone);
        let is_blind = event.is_some_and(|event| matches!(event.body, Body::Resolution(_)));
        let event = event.filter(|_| !search.is_empty());
        let texts = event.map_or_else(|| Box::new(std::iter::empty()) as _, texts);
        Self {
            message: read,
            is_cut: !dropped.is_empty(),
            readings,
            search,
            texts,
            phone,
            token: None,
            is_blind,
            rest: None,
        }
    }

    /// Masks parts of the token of the request too. One of a few letters is a test's, and would be in every message.
    pub(super) fn hiding(mut self, token: &'a str) -> Self {
        self.token = Some(token).filter(|token| token.len() >= secrets::PART);
        self
    }

    /// Compares the message with the next of the event's texts. Returns false after the last one.
    pub(super) fn advance(&mut self) -> bool {
        let mut budget = STRIDE;
        while budget > 0 {
            let Some((text, kind)) = self.rest.take().or_else(|| self.texts.next()) else { return false };
            let (piece, rest) = split(text, budget);
            self.search.pass(piece, kind);
            if !rest.is_empty() {
                self.rest = Some((rest, kind));
                return true;
            }
            self.search.end(kind);
            budget = budget.saturating_sub(piece.len() + COST_OF_TEXT);
        }
        true
    }

    /// Returns the message with `***` in place of all that is masked, on one line and cut to size.
    pub(super) fn finish(self) -> String {
        let mut ranges = self.search.ranges(&self.readings);
        for reading in &self.readings {
            ranges.extend(quoted(&reading.text).iter().map(|range| reading.origin(range)));
        }
        ranges.extend(secrets::parts(&self.readings, self.token.as_slice()));
        // Digits and signs of escapes are no part of numbers and addresses.
        if let Some(decoded) = self.readings.last() {
            let text = &decoded.text;
            let shapes = [
                shapes::emails(text),
                shapes::numbers(text),
                shapes::tokens(text),
                shapes::pictures(text),
                runs::encoded(text),
            ];
            let phone = self.phone.map(|phone| shapes::parts_of_phone(text, phone)).unwrap_or_default();
            let unknown = if self.is_blind { stock::unknown_words(text) } else { Vec::new() };
            ranges.extend(shapes.iter().flatten().chain(&phone).chain(&unknown).map(|range| decoded.origin(range)));
        }
        shown(self.message, ranges, self.is_cut)
    }
}

/// Returns a message of Entra ID with `***` in place of these secrets, of parts of them, and of all that may be a secret. It is
/// about no event, so its numbers are nobody's.
pub(super) fn without_secrets(message: &str, secrets: &[&str]) -> String {
    let (read, dropped) = split(message, LONGEST_READ);
    let readings = Reading::all(read);
    let mut ranges = secrets::parts(&readings, secrets);
    if let Some(decoded) = readings.last() {
        let text = &decoded.text;
        let shapes = [shapes::tokens(text), runs::encoded(text), runs::keys(text)];
        ranges.extend(shapes.iter().flatten().map(|range| decoded.origin(range)));
    }
    shown(read, ranges, !dropped.is_empty())
}

fn shown(message: &str, ranges: Vec<Range<usize>>, is_cut: bool) -> String {
    let masked = one_line(&without(message, ranges));
    if is_cut && !masked.ends_with('…') { masked + "…" } else { masked }
}

fn phone(event: &Event) -> Option<&str> {
    match &event.body {
        Body::Handoff(handoff) => handoff.customer.phone.as_deref(),
        Body::Resolution(_) => None,
    }
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

/// Replaces these ranges of a message by `***`.
fn without(message: &str, ranges: Vec<Range<usize>>) -> String {
    let mut masked = String::with_capacity(message.len());
    let mut end = 0;
    for range in joined(ranges) {
        masked.push_str(&message[end..range.start]);
        masked.push_str(MASK);
        end = range.end;
    }
    masked.push_str(&message[end..]);
    masked
}

fn cut_to(line: &str, limit: usize) -> String {
    let (kept, dropped) = split(line, limit);
    if dropped.is_empty() { line.to_owned() } else { format!("{kept}…") }
}

/// Splits a text after at most `limit` bytes, between two characters.
fn split(text: &str, limit: usize) -> (&str, &str) {
    let end = (0..=limit.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.split_at(end)
}

#[cfg(test)]
mod tests;
