//! Destination of a publish, and the reasons for which it fails.

use std::sync::Arc;

use handoffd_engine::ports::bus::BusError;
use lapin::types::ShortString;

use crate::rabbit::refusal;

/// Destination of a publish.
#[derive(Clone, Copy, Debug)]
pub(in crate::rabbit) struct Address<'a> {
    /// Exchange; empty for the default one, which routes by queue name.
    pub exchange: &'a str,
    /// Routing key, or queue name.
    pub routing_key: &'a str,
}

impl<'a> Address<'a> {
    /// Returns the address of a queue, by the default exchange.
    pub(in crate::rabbit) fn queue(name: &'a str) -> Self {
        Self { exchange: "", routing_key: name }
    }

    /// Name for messages: the exchange, or the queue if the default exchange is used.
    pub(in crate::rabbit) fn name(&self) -> &'a str {
        if self.exchange.is_empty() { self.routing_key } else { self.exchange }
    }
}

/// Reason for which a message was not confirmed.
#[derive(Debug)]
pub(in crate::rabbit) enum PublishFailure {
    /// The broker, or AMQP itself, rejects this message; others may pass.
    Refused(String),
    /// The channel or the connection broke before or during the publish.
    Broken(lapin::Error),
    /// The publisher has ended.
    Gone,
}

impl PublishFailure {
    /// Converts to the error of the [`Bus`](handoffd_engine::ports::bus::Bus) port.
    pub(in crate::rabbit) fn at(self, to: Address<'_>) -> BusError {
        let to = to.name().to_owned();
        match self {
            Self::Refused(problem) => BusError::Refused { to, problem },
            // The broker closed the channel because of this message: there is no such exchange.
            Self::Broken(error) if error.is_amqp_soft_error() => {
                BusError::Refused { to, problem: refusal::in_words(&error) }
            }
            Self::Broken(error) => BusError::Broken { to, source: Arc::new(error) },
            Self::Gone => BusError::Away,
        }
    }
}

impl From<lapin::Error> for PublishFailure {
    fn from(error: lapin::Error) -> Self {
        Self::Broken(error)
    }
}

/// Converts to an AMQP short string, or refuses a text of more than 255 bytes.
pub(in crate::rabbit) fn short(text: &str) -> Result<ShortString, PublishFailure> {
    ShortString::try_new(text).map_err(|error| PublishFailure::Refused(error.to_string()))
}
