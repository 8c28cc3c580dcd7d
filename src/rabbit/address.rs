//! Where a message goes, and why it did not get there.

use std::sync::Arc;

use handoffd_engine::ports::bus::BusError;
use lapin::types::ShortString;

use super::refusal;

/// Where a message goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address<'a> {
    /// Exchange; empty for the default one, which routes by queue name.
    pub exchange: &'a str,
    /// Routing key, or queue name.
    pub routing_key: &'a str,
}

impl<'a> Address<'a> {
    /// One queue, by the default exchange.
    pub(super) fn queue(name: &'a str) -> Self {
        Self { exchange: "", routing_key: name }
    }

    /// For messages: the exchange, or the queue where the default exchange is used.
    pub(super) fn name(&self) -> &'a str {
        if self.exchange.is_empty() { self.routing_key } else { self.exchange }
    }
}

/// Why a message was not confirmed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The broker, or AMQP itself, does not take this message; others may pass.
    Refused(String),
    /// This user may not write there; the next message for it waits until it may be tried again.
    Forbidden,
    /// The channel or the connection broke over it, or before it.
    Broken(lapin::Error),
    /// The publisher has ended.
    Gone,
}

impl Failure {
    /// In the words of the seam.
    pub(super) fn at(self, to: Address<'_>) -> BusError {
        let to = to.name().to_owned();
        match self {
            Self::Refused(problem) => BusError::Refused { to, problem },
            Self::Forbidden => BusError::Refused { to, problem: "this user may not write there".to_owned() },
            // The broker closed the channel over this very message: no such exchange.
            Self::Broken(error) if error.is_amqp_soft_error() => {
                BusError::Refused { to, problem: refusal::in_words(&error) }
            }
            Self::Broken(error) => BusError::Broken { to, source: Arc::new(error) },
            Self::Gone => BusError::Away,
        }
    }
}

impl From<lapin::Error> for Failure {
    fn from(error: lapin::Error) -> Self {
        Self::Broken(error)
    }
}

/// A short string, or a refusal: AMQP has no room for more than 255 bytes.
pub(super) fn short(text: &str) -> Result<ShortString, Failure> {
    ShortString::try_new(text).map_err(|error| Failure::Refused(error.to_string()))
}
