//! Interprets the broker's refusals.

use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::AMQPValue;
use lapin::{Error, ErrorKind};

/// Error of the set-up that does not pass with time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StartError {
    /// The URL can't be parsed.
    #[error("broker.url is not an AMQP URL: {problem}; expected amqp://user:password@host:5672/%2f")]
    Url {
        /// Problem with the URL.
        problem: String,
    },
    /// A queue or exchange exists with another argument.
    #[error(
        "{}; delete it (a queue only when it is empty) so that it can be declared again, or configure another name",
        self.difference()
    )]
    Differs {
        /// Kind: `queue` or `exchange`.
        what: String,
        /// Name of the queue or exchange.
        name: String,
        /// Name of the argument or property, such as `x-delivery-limit`.
        argument: String,
        /// Value that the worker requires, in quotes, or `none`.
        wanted: String,
        /// Value at the broker, in quotes, or `none`.
        found: String,
    },
    /// The broker rejects the declaration.
    #[error("the broker rejects the declaration of {what}: {problem}")]
    Refused {
        /// Object, such as ``the queue `handoffd.retry.60d` ``.
        what: String,
        /// Message of the broker.
        problem: String,
    },
    /// No connection could be opened; only for callers that don't wait for one.
    #[error("can't reach the broker at {place}: {problem}")]
    Away {
        /// Host, port and virtual host.
        place: String,
        /// Reason.
        problem: String,
    },
}

impl StartError {
    /// Describes the error, without advice if it is a difference.
    pub(super) fn difference(&self) -> String {
        match self {
            Self::Differs { what, name, argument, wanted, found } => {
                format!("the {what} `{name}` exists with another {argument}: expected {wanted}, found {found}")
            }
            other => other.to_string(),
        }
    }
}

/// Parses the broker's answer to a declaration that differs from the existing object:
///
/// `PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'handoffd.events' in vhost '/': received the
/// value '20' of type 'signedint' but current is none` (RabbitMQ 3.10; for a property it is `received 'topic' but
/// current is 'direct'`).
pub(super) fn differs(text: &str) -> Option<StartError> {
    let rest = text.split_once("inequivalent arg '")?.1;
    let (argument, rest) = rest.split_once("' for ")?;
    let (what, rest) = rest.split_once(" '")?;
    let (name, rest) = rest.split_once("' in vhost '")?;
    let (wanted, found) = rest.split_once("received ")?.1.split_once(" but current is ")?;
    Some(StartError::Differs {
        what: what.to_owned(),
        name: name.to_owned(),
        argument: argument.to_owned(),
        wanted: value(wanted),
        found: value(found),
    })
}

/// Parses the argument that differs, and its value at the broker if it has one there; `None` for a property such as
/// `durable`, which is no argument.
pub(super) fn argument_at_broker(text: &str) -> Option<(String, Option<AMQPValue>)> {
    let Some(StartError::Differs { argument, .. }) = differs(text) else { return None };
    let current = text.split_once(" but current is ")?.1;
    if !argument.starts_with("x-") || current.trim() == "none" {
        return argument.starts_with("x-").then_some((argument, None));
    }
    // If both sides have a value, the broker writes no type: `received '' but current is 'elsewhere'` (3.10.8).
    let mut parts = current.split('\'');
    let (value, kind) = (parts.nth(1)?, parts.nth(1));
    let text = || AMQPValue::LongString(value.into());
    let value = match kind {
        Some("longstr") => text(),
        Some("bool") => AMQPValue::Boolean(value == "true"),
        _ => value.parse().map_or_else(|_| text(), AMQPValue::LongLongInt),
    };
    Some((argument, Some(value)))
}

/// Returns the broker's error code and text, if the broker refused the call.
pub(super) fn said(error: &Error) -> Option<(u16, &str)> {
    match error.kind() {
        ErrorKind::ProtocolError(said) => Some((said.get_id(), said.get_message().as_str())),
        _ => None,
    }
}

/// Returns true if the queue or exchange is missing (404).
pub(super) fn is_missing(error: &Error) -> bool {
    is_soft(error, &AMQPSoftError::NOTFOUND)
}

/// Returns true if the queue does not exist. A node that is down makes queues missing too, in other words.
pub(super) fn is_deleted(error: &Error) -> bool {
    is_missing(error) && said(error).is_some_and(|(_, text)| text.contains("no queue"))
}

/// Returns true if the declaration itself is wrong (406).
pub(super) fn is_wrong(error: &Error) -> bool {
    is_soft(error, &AMQPSoftError::PRECONDITIONFAILED)
}

/// Returns true if the user lacks a permission (403).
pub(super) fn is_forbidden(error: &Error) -> bool {
    is_soft(error, &AMQPSoftError::ACCESSREFUSED)
}

/// Returns true if another connection has exclusive access (405).
pub(super) fn is_locked(error: &Error) -> bool {
    is_soft(error, &AMQPSoftError::RESOURCELOCKED)
}

/// Describes an error for a log line, with the setting to check if there is one.
pub(super) fn in_words(error: &Error) -> String {
    let text = said(error).map_or_else(|| error.to_string(), |(_, text)| text.to_owned());
    if text.starts_with("ACCESS_REFUSED - Login was refused") {
        return format!("it refuses the user or password of broker.url ({text})");
    }
    if text.starts_with("NOT_ALLOWED") {
        return format!("it refuses the virtual host of broker.url ({text})");
    }
    text
}

fn is_soft(error: &Error, wanted: &AMQPSoftError) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(said)
        if matches!(said.kind(), AMQPErrorKind::Soft(kind) if kind == wanted))
}

/// Extracts a value: `"20"` from `the value '20' of type 'signedint'`, `none` from `none`. In quotes, because it may be
/// empty.
fn value(text: &str) -> String {
    match text.split('\'').nth(1) {
        Some(quoted) => format!("\"{quoted}\""),
        None => text.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> [String; 5] {
        match differs(text) {
            Some(StartError::Differs { what, name, argument, wanted, found }) => [what, name, argument, wanted, found],
            other => panic!("{other:?}"),
        }
    }

    /// Answers of RabbitMQ 3.10.8.
    #[test]
    fn a_difference_is_read() {
        let texts = [
            (
                "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'handoffd.events' \
                 in vhost '/': received the value '20' of type 'long' but current is none",
                ["queue", "handoffd.events", "x-delivery-limit", "\"20\"", "none"],
            ),
            (
                "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost 'a b': \
                 received the value '5000' of type 'long' but current is the value '7000' of type 'long'",
                ["queue", "q", "x-message-ttl", "\"5000\"", "\"7000\""],
            ),
            (
                "PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue 'q' in vhost '/': received the \
                 value '' of type 'longstr' but current is none",
                ["queue", "q", "x-dead-letter-exchange", "\"\"", "none"],
            ),
            (
                "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'opencx.events' in vhost \
                 '/': received 'topic' but current is 'direct'",
                ["exchange", "opencx.events", "type", "\"topic\"", "\"direct\""],
            ),
        ];
        for (text, expected) in &texts {
            assert_eq!(read(text), *expected, "{text}");
        }
        let at_broker = |index: usize| argument_at_broker(texts[index].0);
        assert_eq!(at_broker(0), Some(("x-delivery-limit".to_owned(), None)));
        assert_eq!(at_broker(1), Some(("x-message-ttl".to_owned(), Some(AMQPValue::LongLongInt(7000)))));
        assert_eq!(at_broker(3), None, "a property");
        let both = "inequivalent arg 'x-a' for queue 'q' in vhost '/': received '' but current is 'elsewhere'";
        assert_eq!(argument_at_broker(both), Some(("x-a".to_owned(), Some(AMQPValue::LongString("elsewhere".into())))));
        assert_eq!(differs("NOT_FOUND - no queue 'x' in vhost '/'"), None);
    }
}
