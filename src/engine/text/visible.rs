//! Escaping of characters that disguise a text, break its line or command a terminal.
//!
//! Everything that a person reads on a terminal, a page or a log line passes this writer: an id may hold characters that
//! hide others or reverse their order, and must never be displayed as a different id.

use std::fmt;

/// Text with escapes, written by its `Display`.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a> {
    text: &'a str,
    form: EscapeForm,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum EscapeForm {
    Line,
    Lines,
    Json,
}

/// Escapes a text that stands on one line, with `\n` for a line break and `\u{202e}` for a code point.
pub fn visible(text: &str) -> Visible<'_> {
    Visible { text, form: EscapeForm::Line }
}

/// Escapes a text of several lines, as [`visible`] does, but keeps its line breaks.
pub fn visible_lines(text: &str) -> Visible<'_> {
    Visible { text, form: EscapeForm::Lines }
}

/// Escapes a JSON document by JSON's own `\u202e`, so that its meaning stays. Keeps the line breaks, which stand only
/// between values.
pub fn visible_json(json: &str) -> Visible<'_> {
    Visible { text: json, form: EscapeForm::Json }
}

/// Reports whether a character disguises text: a control character, direction mark, joiner, filler or selector, or a
/// space without width.
pub fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

impl Visible<'_> {
    fn is_escaped(&self, char: char) -> bool {
        is_hidden(char) && (char != '\n' || self.form == EscapeForm::Line)
    }

    fn escape(&self, char: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.form != EscapeForm::Json {
            return write!(f, "{}", char.escape_default());
        }
        char.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(f, "\\u{unit:04x}"))
    }
}

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.text;
        while let Some((at, char)) = rest.char_indices().find(|(_, char)| self.is_escaped(*char)) {
            let (shown, hidden) = rest.split_at(at);
            f.write_str(shown)?;
            self.escape(char, f)?;
            rest = &hidden[char.len_utf8()..];
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn invisible_and_reversing_characters_are_escaped() {
        assert_eq!(visible("ses_\u{202e}gpj.exe").to_string(), r"ses_\u{202e}gpj.exe");
        assert_eq!(
            visible("a\u{200b}b\u{0}c\nd\u{2066}e\u{feff}").to_string(),
            r"a\u{200b}b\u{0}c\nd\u{2066}e\u{feff}"
        );
        assert_eq!(visible("\u{1b}[2J\u{7f}\u{85}").to_string(), r"\u{1b}[2J\u{7f}\u{85}");
        assert_eq!(visible("مرحبا שלום 漢字 é").to_string(), "مرحبا שלום 漢字 é");
    }

    #[test]
    fn texts_of_several_lines_keep_their_line_breaks_only() {
        assert_eq!(visible_lines("a\nb\r\u{9b}c").to_string(), "a\nb\\r\\u{9b}c");
    }

    /// Characters that no output may hold (contract 8), whatever else is escaped.
    fn is_forbidden(char: char) -> bool {
        let bidirectional =
            matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        bidirectional || char.is_control()
    }

    /// Characters of all kinds, the hidden ones often.
    fn texts() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec![
            '\n',
            '\t',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{202e}',
            '\u{2066}',
            '\u{200f}',
            '\u{feff}',
            '\u{e0041}',
        ]);
        prop::collection::vec(prop_oneof![any::<char>(), odd], 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_written(text in texts()) {
            let line = visible(&text).to_string();
            prop_assert!(!line.contains(is_forbidden), "{line:?}");
            prop_assert_eq!(visible(&line).to_string(), line.clone(), "escaping twice changes nothing");
            let lines = visible_lines(&text).to_string();
            prop_assert!(!lines.contains(|char| is_forbidden(char) && char != '\n'), "{lines:?}");
            if !text.contains(is_hidden) {
                prop_assert_eq!(line, text);
            }
        }

        #[test]
        fn escaped_json_means_the_same(text in texts(), name in texts()) {
            let value = serde_json::json!({ name: [text] });
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let json = visible_json(&pretty).to_string();
            prop_assert!(!json.contains(|char| is_forbidden(char) && char != '\n'), "{json:?}");
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
        }
    }
}
