//! What the broker says when it refuses, understood.

use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::{Error, ErrorKind};

/// A fault of the set-up that waiting can't mend.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StartError {
    /// The URL can't be read.
    #[error("broker.url is no AMQP URL: {problem}; expected amqp://user:password@host:5672/%2f")]
    Url {
        /// Why not.
        problem: String,
    },
    /// It is there, but not as it must be.
    #[error(
        "the {what} `{name}` exists with another {argument}: {wanted} is needed, {found} is there; \
         delete it (a queue: once it is empty) so that it can be declared again, or configure another name"
    )]
    Differs {
        /// `queue` or `exchange`.
        what: String,
        /// Its name.
        name: String,
        /// The argument or property, such as `x-delivery-limit`.
        argument: String,
        /// What this worker asks for.
        wanted: String,
        /// What the broker has.
        found: String,
    },
    /// The broker does not accept how it is to be declared.
    #[error("the broker refuses {what}: {problem}")]
    Refused {
        /// Such as ``the queue `handoffd.retry.60d` ``.
        what: String,
        /// In the broker's words.
        problem: String,
    },
    /// There is no connection to be had; only where nobody waits for one.
    #[error("the broker at {place} is away: {problem}")]
    Away {
        /// Host, port and virtual host.
        place: String,
        /// Why.
        problem: String,
    },
}

/// Reads the broker's answer to a declaration that does not fit what is there:
///
/// `PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'handoffd.events' in vhost
/// '/': received the value '20' of type 'signedint' but current is none` (RabbitMQ 3.10; a property
/// reads `received 'topic' but current is 'direct'`).
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

/// The broker's error code and text, if it was the broker that failed the call.
pub(super) fn said(error: &Error) -> Option<(u16, &str)> {
    match error.kind() {
        ErrorKind::ProtocolError(said) => Some((said.get_id(), said.get_message().as_str())),
        _ => None,
    }
}

/// Whether the broker says that a queue or exchange is not there (404).
pub(super) fn is_missing(error: &Error) -> bool {
    is_soft(error, &AMQPSoftError::NOTFOUND)
}

/// Whether the broker says that a declaration is wrong in itself (406).
pub(super) fn is_wrong(error: &Error) -> bool {
    is_soft(error, &AMQPSoftError::PRECONDITIONFAILED)
}

/// Whether the broker says that this user may not (403).
pub(super) fn is_forbidden(error: &Error) -> bool {
    is_soft(error, &AMQPSoftError::ACCESSREFUSED)
}

/// Whether the broker says that another connection has it for itself (405).
pub(super) fn is_locked(error: &Error) -> bool {
    is_soft(error, &AMQPSoftError::RESOURCELOCKED)
}

/// An error in words for a log line: what it is and, where there is one, what to do.
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

/// `the value '20' of type 'signedint'` is `20`; `none` is `none`.
fn value(text: &str) -> String {
    match text.split('\'').nth(1) {
        Some(quoted) => quoted.to_owned(),
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

    /// As RabbitMQ 3.10.8 says it.
    #[test]
    fn a_difference_is_read() {
        let texts = [
            (
                "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'handoffd.events' \
                 in vhost '/': received the value '20' of type 'long' but current is none",
                ["queue", "handoffd.events", "x-delivery-limit", "20", "none"],
            ),
            (
                "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost 'a b': \
                 received the value '5000' of type 'long' but current is the value '7000' of type 'long'",
                ["queue", "q", "x-message-ttl", "5000", "7000"],
            ),
            (
                "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'opencx.events' in vhost \
                 '/': received 'topic' but current is 'direct'",
                ["exchange", "opencx.events", "type", "topic", "direct"],
            ),
        ];
        for (text, expected) in texts {
            assert_eq!(read(text), expected, "{text}");
        }
        assert_eq!(differs("NOT_FOUND - no queue 'x' in vhost '/'"), None);
    }
}
