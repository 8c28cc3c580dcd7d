//! Publisher for commands: without a consumer, and without waiting for an unreachable broker.

use bytes::Bytes;
use handoffd_engine::ports::bus::{Announced, BusError};
use lapin::BasicProperties;

use super::address::{Address, short};
use super::copy;
use super::lane::PublishPolicy;
use super::publisher::ConfirmedPublisher;
use crate::rabbit::connection::addresses::{Reached, connect_once};
use crate::rabbit::options::RabbitOptions;
use crate::rabbit::refusal::StartError;

/// Connection for publishing. Publishes may run concurrently; a limited number is in flight.
pub struct Publisher(ConfirmedPublisher);

/// Persistent message to publish.
#[derive(Clone, Debug)]
pub struct PersistentMessage<'a> {
    /// Exchange; empty for the default one, whose routing keys are queue names.
    pub exchange: &'a str,
    /// Routing key.
    pub routing_key: &'a str,
    /// Body.
    pub body: &'a [u8],
    /// AMQP `content-type`.
    pub content_type: &'a str,
    /// AMQP `message-id`.
    pub message_id: Option<&'a str>,
    /// Headers, all text.
    pub headers: &'a [(String, String)],
}

impl Publisher {
    /// Connects once.
    ///
    /// # Errors
    /// If the broker is unreachable or refuses the user.
    pub async fn connect(options: &RabbitOptions) -> Result<Self, StartError> {
        let policy = PublishPolicy { confirm_timeout: options.confirm_timeout, faults: None };
        let connect = async |reached: Reached| ConfirmedPublisher::connect(&reached, "publish", policy).await;
        connect_once(options, connect).await.map(Self)
    }

    /// Publishes, waits for the broker's confirm, and returns whether a queue has the message.
    pub async fn publish(&self, message: PersistentMessage<'_>) -> Result<Announced, BusError> {
        let to = Address { exchange: message.exchange, routing_key: message.routing_key };
        let short = |text| short(text).map_err(|failure| failure.at(to));
        let mut properties = BasicProperties::default()
            .with_content_type(short(message.content_type)?)
            .with_delivery_mode(copy::PERSISTENT)
            .with_headers(copy::table(message.headers));
        if let Some(message_id) = message.message_id {
            properties = properties.with_message_id(short(message_id)?);
        }
        let sent = self.0.send(to, Bytes::copy_from_slice(message.body), properties);
        sent.await.map_err(|failure| failure.at(to))
    }

    /// Closes the connection in good order.
    pub async fn close(&self) {
        self.0.channels().close().await;
    }
}
