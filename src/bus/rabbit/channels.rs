//! Confirmed publishing, many messages at a time, each sure of its own answer.

use std::sync::{Arc, Mutex};

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::Semaphore;

use super::lock;
use super::refusal;
use crate::bus::{Announced, BusError};

/// Publishes outstanding at once on one connection; more wait their turn.
///
/// Enough for one confirm of 5 ms to let 12,000 messages a second through.
const OUTSTANDING: usize = 64;

/// Where a message goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address<'a> {
    /// Exchange; empty for the default one, which routes by queue name.
    pub exchange: &'a str,
    /// Routing key, or queue name.
    pub routing_key: &'a str,
}

/// A set of channels on one connection, each with one message in flight at most.
///
/// The broker sends a returned message before its confirm, but other confirms may come in between, and
/// lapin (4.12.3) hands a returned message to whichever confirm comes next. With many messages in flight
/// on one channel a copy that reached no queue could so pass for a copy that is safe, and its source be
/// acked. With one in flight per channel the answer can only be its own.
pub(super) struct Channels {
    connection: Connection,
    idle: Mutex<Vec<Channel>>,
    turns: Semaphore,
}

impl Channels {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, idle: Mutex::new(Vec::new()), turns: Semaphore::new(OUTSTANDING) }
    }

    /// The connection they belong to.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Publishes, mandatory, and waits for the broker's confirm.
    pub(super) async fn publish(
        &self,
        to: Address<'_>,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Announced, Failure> {
        let exchange = short(to.exchange)?;
        let routing_key = short(to.routing_key)?;
        // Never closed: it lives as long as `self`.
        let _turn = self.turns.acquire().await;
        let channel = match self.take() {
            Some(channel) => channel,
            None => self.open().await?,
        };
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        // A channel is put back only after its answer: one whose answer is still to come (this future
        // was dropped) would give it to the next message.
        let answer = channel.basic_publish(exchange, routing_key, options, body, properties).await?.await?;
        self.put_back(channel);
        read(&answer)
    }

    fn take(&self) -> Option<Channel> {
        lock(&self.idle).pop()
    }

    fn put_back(&self, channel: Channel) {
        lock(&self.idle).push(channel);
    }

    async fn open(&self) -> lapin::Result<Channel> {
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }
}

impl<'a> Address<'a> {
    /// One queue, by the default exchange.
    pub(super) fn queue(name: &'a str) -> Self {
        Self { exchange: "", routing_key: name }
    }

    /// For messages: the exchange, or the queue where the default exchange is used.
    pub(super) fn name(&self) -> String {
        if self.exchange.is_empty() { self.routing_key.to_owned() } else { self.exchange.to_owned() }
    }
}

/// Why a message was not confirmed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The broker, or AMQP itself, does not take this message; others may pass.
    Refused(String),
    /// The channel or the connection broke over it, or before it.
    Broken(lapin::Error),
}

impl Failure {
    /// In the words of the seam.
    pub(super) fn at(self, to: Address<'_>) -> BusError {
        let to = to.name();
        match self {
            Self::Refused(problem) => BusError::Refused { to, problem },
            // The broker closed the channel over this very message: no such exchange, no permission.
            Self::Broken(error) if error.is_amqp_soft_error() => {
                BusError::Refused { to, problem: refusal::in_words(&error) }
            }
            Self::Broken(error) => BusError::Broken { to, source: Arc::new(error) },
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

/// What a confirm says.
pub(super) fn read(answer: &Confirmation) -> Result<Announced, Failure> {
    match answer {
        Confirmation::Ack(None) => Ok(Announced::Routed),
        Confirmation::Ack(Some(_)) => Ok(Announced::Unrouted),
        Confirmation::Nack(_) => Err(Failure::Refused("basic.nack".to_owned())),
        Confirmation::NotRequested => Err(Failure::Refused("its channel does not confirm".to_owned())),
    }
}
