//! Parts of secrets and tokens in a message.
//!
//! A server that quotes a secret cuts it, breaks its lines, escapes it or changes its case. So a part of a few letters is
//! enough, and it is compared as customers' texts are: without escapes, case, blanks and punctuation.

use std::collections::HashSet;
use std::ops::Range;

use super::fold::fold;
use super::names::{is_own_phrase, is_own_word_of_letters};
use super::reading::Reading;
use super::search::{joined, to_words};

/// Length of the shortest part of a secret that is found, in letters and digits. Words have as many in common with a secret by
/// chance once in a million messages.
pub(super) const PART: usize = 6;

/// Finds every part of these secrets, and each of them whole, however short it is.
pub(super) fn parts(readings: &[Reading], secrets: &[&str]) -> Vec<Range<usize>> {
    let secrets: Vec<&str> = secrets.iter().copied().filter(|secret| !secret.is_empty()).collect();
    let known: HashSet<[char; PART]> = secrets.iter().flat_map(|secret| windows(&letters(secret))).collect();
    let found = readings.iter().flat_map(|reading| {
        let text = &reading.text;
        let whole = secrets.iter().flat_map(|secret| text.match_indices(secret));
        let whole = whole.map(|(at, secret)| at..at + secret.len());
        whole.chain(shared(text, &known)).map(|range| reading.origin(&range)).collect::<Vec<_>>()
    });
    found.collect()
}

/// Finds what a text has in common with secrets. The words of "invalid client secret" may be in a secret and disclose nothing.
fn shared(text: &str, known: &HashSet<[char; PART]>) -> Vec<Range<usize>> {
    if known.is_empty() {
        return Vec::new();
    }
    let letters = letters(text);
    let hits = windows(&letters).into_iter().enumerate().filter(|(_, window)| known.contains(window));
    let ranges = joined(hits.map(|(at, _)| letters[at].1.start..letters[at + PART - 1].1.end).collect());
    ranges
        .into_iter()
        .filter(|range| !is_own_phrase(&text[to_words(text, range.clone())], is_own_word_of_letters))
        .collect()
}

fn letters(text: &str) -> Vec<(char, Range<usize>)> {
    let mut letters = Vec::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        fold(character, |letter| letters.push((letter, at..at + character.len_utf8())));
    }
    letters
}

fn windows(letters: &[(char, Range<usize>)]) -> Vec<[char; PART]> {
    letters.windows(PART).map(|window| std::array::from_fn(|at| window[at].0)).collect()
}
