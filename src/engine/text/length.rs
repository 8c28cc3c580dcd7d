//! Length of text in UTF-16 units, as Dynamics counts it, and truncation.

use std::borrow::Cow;

/// Returns the length of a text in UTF-16 units.
pub fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// Returns the longest prefix of a text of at most `limit` UTF-16 units, ending on a character boundary.
pub fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += character.len_utf16();
        if used > limit {
            return &text[..at];
        }
    }
    text
}

/// Cuts a text to `limit` UTF-16 units and appends `…`, which is not counted. Returns a shorter text unchanged.
pub fn shorten(text: &str, limit: usize) -> Cow<'_, str> {
    let kept = cut(text, limit);
    if kept.len() == text.len() { Cow::Borrowed(text) } else { Cow::Owned(format!("{kept}…")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_on_character_boundaries_in_utf16_units() {
        for (text, limit, expected) in [
            ("", 0, ""),
            ("abc", 3, "abc"),
            ("abc", 2, "ab"),
            ("åäö", 2, "åä"),
            ("a😀b", 2, "a"),
            ("a😀b", 3, "a😀"),
            ("😀", 1, ""),
        ] {
            assert_eq!(cut(text, limit), expected, "{text:?} cut to {limit}");
            assert!(units(cut(text, limit)) <= limit);
        }
    }

    #[test]
    fn a_shortened_text_ends_with_an_ellipsis() {
        assert_eq!(shorten("åäö", 3), "åäö");
        assert_eq!(shorten("åäö", 2), "åä…");
        assert_eq!(shorten("😀", 1), "…");
    }
}
