//! Quotes that open and close a quoted part of a message.

/// Pairs of opening and closing quotes in the languages of environments.
const QUOTES: [(char, char); 6] = [
    ('\'', '\''),
    ('"', '"'),
    ('\u{2018}', '\u{2019}'),
    ('\u{201c}', '\u{201d}'),
    ('\u{201e}', '\u{201c}'),
    ('«', '»'),
];

/// Finds the first opening quote and returns it with its closing counterpart.
pub(super) fn opening(text: &str) -> Option<(usize, char, char)> {
    text.char_indices().find_map(|(at, open)| {
        let (_, close) = QUOTES.iter().find(|(quote, _)| *quote == open)?;
        Some((at, open, *close))
    })
}
