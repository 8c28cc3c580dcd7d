//! Lengths of text in UTF-16 units, as Dynamics counts them.

/// Returns the length of a text in UTF-16 units.
pub(super) fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// Returns the longest prefix of `text` of at most `limit` UTF-16 units, ending on a character boundary.
pub(super) fn cut(text: &str, limit: usize) -> &str {
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
}
