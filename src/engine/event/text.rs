//! Cleaning of text for Dynamics.

use super::lax::Text;

impl Text {
    /// Returns the text trimmed, for values that stand on a line of their own.
    pub(super) fn trimmed(self) -> Option<String> {
        let text = self.0?;
        let trimmed = text.trim();
        if trimmed.len() == text.len() { Some(clean(text)) } else { Some(clean(trimmed.to_owned())) }
    }

    /// Returns the text untrimmed, because white space is part of a message.
    pub(super) fn verbatim(self) -> Option<String> {
        self.0.map(clean)
    }
}

/// Replaces characters that XML 1.0 can't hold. Dynamics refuses a whole record for one of them.
fn clean(text: String) -> String {
    if text.chars().any(is_unfit) { text.replace(is_unfit, "\u{fffd}") } else { text }
}

fn is_unfit(char: char) -> bool {
    matches!(char, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn trims_and_replaces() {
        let text = |text: &str| Text(Some(text.to_owned()));
        assert_eq!(text("  Ann\u{a0}").trimmed().as_deref(), Some("Ann"));
        assert_eq!(text("  a\n ").verbatim().as_deref(), Some("  a\n "));
        assert_eq!(
            text("a\0b\u{1f}c\td\r\ne\u{7f}\u{ffff}").verbatim().as_deref(),
            Some("a\u{fffd}b\u{fffd}c\td\r\ne\u{7f}\u{fffd}")
        );
        assert_eq!(Text(None).trimmed(), None);
    }
}
