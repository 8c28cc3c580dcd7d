//! Publisher for commands: without a consumer, and without waiting for an unreachable broker.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use handoffd_engine::ports::bus::{Announced, BusError};
use lapin::BasicProperties;
use tokio::time::timeout;

use super::address::{Address, short};
use super::addresses::reach;
use super::confirm_pool::ConfirmPool;
use super::copy;
use super::destination_faults::DestinationFaults;
use super::options::RabbitOptions;
use super::publish::ConfirmedPublisher;
use super::refusal::StartError;

/// Longest time to connect; a command does not keep its user waiting longer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Connection for publishing. Publishes may run concurrently; a limited number is in flight.
pub struct Publisher {
    channels: Arc<ConfirmPool>,
    publisher: ConfirmedPublisher,
}

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
        options.uris()?;
        let connected = async { ConfirmPool::connect(&reach(options).await?, "publish").await };
        let channels = timeout(CONNECT_LIMIT, connected)
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
            .map_err(|problem| StartError::Away { place: options.place(), problem })?;
        let channels = Arc::new(channels);
        let troubles = Arc::new(DestinationFaults::new());
        let publisher = ConfirmedPublisher::new(channels.clone(), options.confirm_timeout, troubles);
        Ok(Self { channels, publisher })
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
        let sent = self.publisher.send(to, Bytes::copy_from_slice(message.body), properties);
        sent.await.map_err(|failure| failure.at(to))
    }

    /// Closes the connection in good order.
    pub async fn close(&self) {
        self.channels.close().await;
    }
}
