//! Text normalized for comparison: without differences in case and in line breaks.

use std::ops::Range;

/// Message in lower case, with each run of white space, control characters and written escapes (`\n`) as one space, and with the
/// origin of each byte.
pub(super) struct Folded {
    pub(super) text: String,
    /// Position in the original for each byte of `text` and for its end.
    origins: Vec<usize>,
}

/// Folds a text without keeping the origins.
pub(super) fn fold(text: &str) -> String {
    Folded::of(text.trim()).text
}

impl Folded {
    pub(super) fn of(original: &str) -> Self {
        let mut folded = Self { text: String::with_capacity(original.len()), origins: Vec::new() };
        let mut characters = original.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let escape = character == '\\' && characters.next_if(|(_, next)| matches!(next, 'n' | 'r' | 't')).is_some();
            if escape || character.is_whitespace() || character.is_control() {
                if !folded.text.ends_with(' ') {
                    folded.push(' ', at);
                }
            } else {
                character.to_lowercase().for_each(|small| folded.push(small, at));
            }
        }
        folded.origins.push(original.len());
        folded
    }

    /// Maps a range of the folded text to the original.
    pub(super) fn unfolded(&self, range: &Range<usize>) -> Range<usize> {
        self.origins[range.start]..self.origins[range.end]
    }

    fn push(&mut self, character: char, origin: usize) {
        self.text.push(character);
        self.origins.extend(std::iter::repeat_n(origin, character.len_utf8()));
    }
}
