//! Detection of access tokens, which grant access to an environment.

use std::ops::Range;

/// Shortest token, in bytes; an ordinary word after "bearer" is shorter.
const SHORTEST: usize = 16;

/// Finds the text after `Bearer`, and text that begins as the base64 of a signed token's JSON does.
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
