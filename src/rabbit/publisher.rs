//! Publishing for commands: without a consumer, without waiting for a broker that is away.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use handoffd_engine::ports::bus::{Announced, BusError};
use lapin::BasicProperties;
use tokio::time::timeout;

use super::address::{Address, short};
use super::addresses::reach;
use super::channels::Channels;
use super::copy;
use super::options::Options;
use super::publish::ConfirmedPublisher;
use super::refusal::StartError;
use super::troubles::Troubles;

/// A command does not keep its user waiting longer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A connection to publish on. Many publishes may run at once; a bounded number is outstanding.
pub struct Publisher {
    channels: Arc<Channels>,
    publisher: ConfirmedPublisher,
}

/// A message to publish, persistent.
#[derive(Clone, Debug)]
pub struct Message<'a> {
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
    /// Connects once. A broker that is away, or refuses the user, is an error.
    pub async fn connect(options: &Options) -> Result<Self, StartError> {
        options.uris()?;
        let connected = async { Channels::connect(&reach(options).await?, "publish").await };
        let channels = timeout(CONNECT_LIMIT, connected)
            .await
            .unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
            .map_err(|problem| StartError::Away { place: options.place(), problem })?;
        let channels = Arc::new(channels);
        let troubles = Arc::new(Troubles::new());
        let publisher = ConfirmedPublisher::new(channels.clone(), options.confirm_timeout, troubles);
        Ok(Self { channels, publisher })
    }

    /// Publishes and waits for the broker's confirm; says whether a queue has it.
    pub async fn publish(&self, message: Message<'_>) -> Result<Announced, BusError> {
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

    /// Says good-bye.
    pub async fn close(&self) {
        self.channels.hang_up().await;
    }
}
