//! Search for an event's texts in a message.
//!
//! The message is indexed, not the event: a message has 4 KiB, an event 1 MiB or more. All spans of the message that may be
//! customer text are hashed; the event's texts then pass once through a rolling hash, whatever their number.

use std::collections::HashMap;
use std::ops::Range;

use super::fold::{fold, has_words, is_dense, is_ideograph, is_invisible, is_unspaced, weight};
use super::names::{is_own_phrase, is_own_word};
use super::reading::Reading;
use super::texts::TextKind;

/// Length of the shortest part of a text that is found anywhere, in units: eight letters and digits, four kana, three ideographs.
/// Shorter texts are found as whole words, and short parts of names in scripts without words.
pub(super) const SPAN: usize = 8;
/// Fewest letters of Thai and its neighbours that a message has of a text by more than chance. Four are a common word.
const UNSPACED: usize = 5;
/// Base of the rolling hash: odd, with bits all over.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
/// Weight of the unit that leaves the rolling hash.
const LEAVING: u64 = {
    let (mut weight, mut count) = (1_u64, 0);
    while count < SPAN {
        weight = weight.wrapping_mul(BASE);
        count += 1;
    }
    weight
};
/// Words of the filter, which rules out most hashes without a look into the index.
const FILTER: usize = 1 << 10;

/// Index of a message.
pub(super) struct TextSearch {
    index: HashMap<u64, Indexed>,
    filter: Vec<u64>,
    window: PassingText,
}

/// Spans of the message with one hash.
#[derive(Default)]
struct Indexed {
    spans: Vec<(usize, Range<usize>)>,
    /// `Some(true)` if a private text has it, `Some(false)` if any other text has.
    found: Option<bool>,
}

/// Letter or digit of the message, or a part of a letter that counts as several.
struct Unit {
    value: u32,
    place: Range<usize>,
    /// True within a word.
    is_joined: bool,
}

/// Last units of the text that is passing.
#[derive(Default)]
struct PassingText {
    hash: u64,
    units: [u32; SPAN],
    length: usize,
    letters: usize,
}

impl TextSearch {
    /// Indexes the readings of a message.
    pub(super) fn of(readings: &[Reading]) -> Self {
        let mut search = Self { index: HashMap::new(), filter: vec![0; FILTER], window: PassingText::default() };
        for (number, reading) in readings.iter().enumerate() {
            let units = units(&reading.text);
            (0..units.len()).for_each(|start| search.add(number, &units[start..]));
        }
        search
    }

    /// Returns true if the message has no span to find.
    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Takes in a piece of the current text.
    pub(super) fn pass(&mut self, piece: &str, kind: TextKind) {
        for character in piece.chars() {
            fold(character, |letter| {
                self.window.letters += 1;
                for value in values(letter) {
                    self.window.push(value);
                    if self.window.length >= SPAN {
                        self.find(self.window.hash, kind);
                    }
                }
                if let Some(shortest) = shortest_part(letter, kind) {
                    self.find_parts(shortest, kind);
                }
            });
        }
    }

    /// Ends the current text.
    pub(super) fn end(&mut self, kind: TextKind) {
        if self.window.length < SPAN && self.window.letters > 1 {
            self.find(self.window.hash, kind);
        }
        self.window = PassingText::default();
    }

    /// Returns the ranges of the message to mask.
    pub(super) fn ranges(&self, readings: &[Reading]) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        for (number, reading) in readings.iter().enumerate() {
            let found = |private: bool| {
                let hits = self.index.values().filter(move |indexed| indexed.found == Some(private));
                let spans = hits.flat_map(|indexed| &indexed.spans).filter(|(of, _)| *of == number);
                joined(spans.map(|(_, range)| range.clone()).collect())
            };
            let others = found(false).into_iter().map(|range| to_words(&reading.text, range));
            let telling = others.filter(|range| is_telling(&reading.text[range.clone()]));
            ranges.extend(found(true).into_iter().chain(telling).map(|range| reading.origin(&range)));
        }
        ranges
    }

    /// Indexes the spans that begin at the first of these units.
    fn add(&mut self, reading: usize, units: &[Unit]) {
        let mut hash = 0;
        for (at, unit) in units.iter().take(SPAN).enumerate() {
            hash = next(hash, unit.value);
            let is_whole = !units[0].is_joined && units.get(at + 1).is_none_or(|after| !after.is_joined);
            if at + 1 == SPAN || (at > 0 && is_whole) {
                let span = (reading, units[0].place.start..unit.place.end);
                self.index.entry(hash).or_default().spans.push(span);
                let (word, bit) = slot(hash);
                self.filter[word] |= bit;
            }
        }
    }

    fn find(&mut self, hash: u64, kind: TextKind) {
        let (word, bit) = slot(hash);
        if self.filter[word] & bit != 0
            && let Some(indexed) = self.index.get_mut(&hash)
        {
            indexed.found = indexed.found.max(Some(kind.is_identifying()));
        }
    }

    /// Finds the last units of the current text, from this many on, that are fewer than a span.
    fn find_parts(&mut self, shortest: usize, kind: TextKind) {
        let (mut hash, mut power) = (0_u64, 1_u64);
        for count in 1..SPAN.min(self.window.length + 1) {
            let unit = self.window.units[(self.window.length - count) % SPAN];
            hash = hash.wrapping_add((u64::from(unit) + 1).wrapping_mul(power));
            power = power.wrapping_mul(BASE);
            if count >= shortest {
                self.find(hash, kind);
            }
        }
    }
}

/// Returns the length of the shortest part of a name that ends with this letter, in units, or `None` in scripts with words: one
/// ideograph of the customer's name, two of anybody's, two kana, three letters of Thai and its neighbours.
fn shortest_part(letter: char, kind: TextKind) -> Option<usize> {
    if weight(letter) == 1 || !kind.is_name() {
        return None;
    }
    Some(match is_ideograph(letter) {
        true if kind == TextKind::Name => 3,
        false if is_dense(letter) => 4,
        _ => 6,
    })
}

impl PassingText {
    fn push(&mut self, value: u32) {
        let at = self.length % SPAN;
        let left = if self.length >= SPAN { u64::from(self.units[at]) + 1 } else { 0 };
        self.hash = next(self.hash, value).wrapping_sub(left.wrapping_mul(LEAVING));
        self.units[at] = value;
        self.length += 1;
    }
}

fn next(hash: u64, value: u32) -> u64 {
    hash.wrapping_mul(BASE).wrapping_add(u64::from(value) + 1)
}

/// Returns the place of a hash in the filter.
fn slot(hash: u64) -> (usize, u64) {
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(BASE) >> 48;
    (usize::try_from(mixed >> 6).unwrap_or_default(), 1 << (mixed & 63))
}

/// Returns the units of a letter.
fn values(letter: char) -> impl Iterator<Item = u32> {
    (0..weight(letter)).map(move |part| u32::from(letter) | part << 24)
}

/// Returns the units of a text, without blanks and punctuation.
fn units(text: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut within_word = false;
    for (at, character) in text.char_indices() {
        let place = at..at + character.len_utf8();
        let known = units.len();
        fold(character, |letter| {
            let joins = has_words(letter);
            for (half, value) in values(letter).enumerate() {
                units.push(Unit { value, place: place.clone(), is_joined: half > 0 || (within_word && joins) });
            }
            within_word = joins;
        });
        if units.len() > known {
            continue;
        }
        match units.last_mut() {
            Some(last) if is_invisible(character) && last.place.end == at => last.place.end = place.end,
            _ => within_word = false,
        }
    }
    units
}

/// Joins ranges that overlap or touch.
pub(super) fn joined(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// Extends a range to the words that it begins and ends in.
pub(super) fn to_words(text: &str, range: Range<usize>) -> Range<usize> {
    let begun: usize = text[..range.start].chars().rev().take_while(|c| has_words(*c)).map(char::len_utf8).sum();
    let rest: usize = text[range.end..].chars().take_while(|c| has_words(*c)).map(char::len_utf8).sum();
    range.start - begun..range.end + rest
}

/// Returns true for what discloses something of a text: not for words of Dynamics only, such as "does not exist", nor for a word of
/// a script without blanks.
fn is_telling(text: &str) -> bool {
    let is_word = || text.chars().all(is_unspaced) && text.chars().filter(|c| c.is_alphanumeric()).count() < UNSPACED;
    !is_own_phrase(text, is_own_word) && !is_word()
}
