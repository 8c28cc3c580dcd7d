//! Access tokens: they open an environment to whoever reads them.

use std::ops::Range;

/// Shortest token, in bytes; a word after "bearer" is none.
const SHORTEST: usize = 16;

/// What follows `Bearer`, and what begins as a signed token's JSON does in base64.
pub(super) fn tokens(message: &str) -> Vec<Range<usize>> {
    let lower = message.to_ascii_lowercase();
    let named = lower.match_indices("bearer ").map(|(at, word)| at + word.len());
    let begun = message.match_indices("eyJ").map(|(at, _)| at);
    let length = |at: usize| {
        let ends = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '~' | '+' | '/' | '=');
        message[at..].find(ends).unwrap_or(message.len() - at)
    };
    named.chain(begun).map(|at| at..at + length(at)).filter(|range| range.len() >= SHORTEST).collect()
}
