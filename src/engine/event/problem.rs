//! What is wrong with a message, before it is known whose message it is.

use std::fmt::Write as _;

use super::rejection::{Rejection, RejectionReason, Seen};

/// Longest piece of an id or event name that a problem shows, in characters.
const SHOWN: usize = 64;

/// A rejection without what could be seen of the message.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Problem {
    reason: RejectionReason,
    path: Option<String>,
    text: String,
}

impl Problem {
    /// One field breaks a rule.
    pub(super) fn at(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { reason: RejectionReason::InvalidEvent, path: Some(path.into()), text: text.into() }
    }

    /// The message as a whole can't be read.
    pub(super) fn whole(text: impl Into<String>) -> Self {
        Self { reason: RejectionReason::InvalidEvent, path: None, text: text.into() }
    }

    /// An event nobody here knows.
    pub(super) fn unsupported(path: &str, name: &str) -> Self {
        Self {
            reason: RejectionReason::UnsupportedEvent,
            path: Some(path.to_owned()),
            text: format!(
                "\"{}\" is not an event this worker knows; expected session.handoff, session.resolved or conversation.closed",
                shown(name)
            ),
        }
    }

    /// Completes the rejection.
    pub(super) fn reject(self, seen: Seen) -> Rejection {
        Rejection { reason: self.reason, path: self.path, problem: self.text, seen }
    }
}

/// An id or event name, fit to stand in a log line and a header: short, without control characters.
/// Never for what a customer wrote.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (index, char) in text.chars().enumerate() {
        if index == SHOWN {
            out.push('…');
            break;
        }
        if char.is_control() {
            // Writing to a String can't fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(char));
        } else {
            out.push(char);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn shows_short_and_printable_text_only() {
        assert_eq!(shown("session.paused"), "session.paused");
        assert_eq!(shown("a\u{0}b\nc\u{85}"), "a\\u{0}b\\u{a}c\\u{85}");
        assert_eq!(shown(&"é".repeat(65)), format!("{}…", "é".repeat(64)));
        assert_eq!(shown(&"é".repeat(64)), "é".repeat(64));
    }
}
