//! Errors without what differs from event to event, so that equal causes have equal texts. Pure.

/// Mark for what was left out.
const LEFT_OUT: &str = "…";
/// Fewest digits of a number that is left out; shorter ones are statuses, which are part of the cause.
const LONG_NUMBER: usize = 4;
/// Fewest characters of a word with digits that is left out, as an id.
const LONG_WORD: usize = 8;

/// Returns the error with `…` in place of quoted parts, GUIDs, times, long numbers and ids. Codes (`0x80040265`) stay.
pub(super) fn normalized(error: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(error.len()), error);
    while let Some(first) = rest.chars().next() {
        let after_word = text.ends_with(|last: char| last.is_alphanumeric());
        if let Some(length) = quoted(rest).filter(|_| !after_word) {
            text.push(first);
            text.push_str(LEFT_OUT);
            text.push(first);
            rest = &rest[length..];
        } else if is_of_word(first) {
            let end = rest.find(|next| !is_of_word(next)).unwrap_or(rest.len());
            let word = rest[..end].trim_end_matches(['.', ':', '-']);
            text.push_str(if varies(word) { LEFT_OUT } else { word });
            rest = &rest[word.len().max(first.len_utf8())..];
            if word.is_empty() {
                text.push(first);
            }
        } else {
            text.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    text
}

/// Returns the length of a quoted part at the beginning, with its marks.
fn quoted(text: &str) -> Option<usize> {
    let mark = text.chars().next().filter(|mark| ['"', '\'', '`'].contains(mark))?;
    text[1..].find(mark).map(|end| end + 2)
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || ['-', '_', ':', '.', '+'].contains(&character)
}

fn varies(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let is_code = word.strip_prefix("0x").is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let is_number = digits == word.chars().count();
    !is_code && digits > 0 && word.chars().count() >= if is_number { LONG_NUMBER } else { LONG_WORD }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_event_to_event_is_left_out() {
        for (error, expected) in [
            ("400 0x80040265: The plug-in refused it.", "400 0x80040265: The plug-in refused it."),
            ("queue 44444444-4444-4444-4444-444444444444 Does Not Exist", "queue … Does Not Exist"),
            ("at 2026-11-22T10:15:00Z, after 12345 ms", "at …, after … ms"),
            (
                "evt_01JDA7: data.session_id: found \"a 'b\", expected 1-255",
                "…: data.session_id: found \"…\", expected 1-255",
            ),
            ("Ann's 'x' isn't 'y'", "Ann's '…' isn't '…'"),
            ("0x80044331: a… (200).", "0x80044331: a… (200)."),
            ("an open \" stays... -", "an open \" stays... -"),
            ("", ""),
        ] {
            assert_eq!(normalized(error), expected);
        }
    }

    #[test]
    fn normalizing_twice_changes_nothing() {
        let once = normalized("found \"x\" in 11111111-1111-1111-1111-111111111111 of `ses_01JDA7`");
        assert_eq!(normalized(&once), once);
    }
}
