//! Problem with a message, before its ids are read.

use crate::text::{shorten, visible};

use super::rejection::{Rejection, RejectionReason, Seen};

/// Longest part of an id or event name quoted in a problem, in UTF-16 units.
const SHOWN: usize = 64;

/// Rejection without the ids of the message.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct DecodeProblem {
    reason: RejectionReason,
    path: Option<String>,
    text: String,
}

impl DecodeProblem {
    /// Reports a field that breaks a rule.
    pub(super) fn at(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { reason: RejectionReason::InvalidEvent, path: Some(path.into()), text: text.into() }
    }

    /// Reports a message that can't be read as a whole.
    pub(super) fn of_message(text: impl Into<String>) -> Self {
        Self { reason: RejectionReason::InvalidEvent, path: None, text: text.into() }
    }

    /// Reports an unsupported event.
    pub(super) fn unsupported(path: &str, name: &str) -> Self {
        Self {
            reason: RejectionReason::UnsupportedEvent,
            path: Some(path.to_owned()),
            text: format!(
                "unsupported event \"{}\"; expected session.handoff, session.resolved or conversation.closed",
                printable(name)
            ),
        }
    }

    /// Completes the rejection with the ids that could be read.
    pub(super) fn reject(self, seen: Seen) -> Rejection {
        Rejection { reason: self.reason, path: self.path, problem: self.text, seen }
    }
}

/// Formats an id or event name for a log line or header: short and without hidden characters.
/// Must never be called with customer text.
pub(super) fn printable(text: &str) -> String {
    visible(&shorten(text, SHOWN)).to_string()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn shows_short_and_printable_text_only() {
        assert_eq!(printable("session.paused"), "session.paused");
        assert_eq!(printable("a\u{0}b\nc\u{85}"), "a\\u{0}b\\nc\\u{85}");
        assert_eq!(printable(&"é".repeat(65)), format!("{}…", "é".repeat(64)));
        assert_eq!(printable(&"é".repeat(64)), "é".repeat(64));
    }
}
