//! Confirmed publishing of messages that may reach no queue, as many at a time as there are.

use std::collections::HashSet;
use std::sync::Mutex;

use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::OnceCell;

use super::channels::{Address, Failure, read, short};
use super::lock;
use crate::bus::Announced;

/// Returned messages whose own confirm is still to come, at most: more can't be outstanding.
const RETURNED: usize = 4096;

/// One channel with any number of messages in flight: the broker confirms many of them with one frame, which costs it
/// half of what a channel for each does.
///
/// A returned message may come with another one's confirm (see [`super::channels::Channels`]). That is no harm to an
/// outcome, which is in the store and need not reach a queue; and its id tells whose it is.
pub(super) struct Stream {
    channel: OnceCell<Channel>,
    returned: Mutex<HashSet<String>>,
}

impl Stream {
    /// Opens its channel with the first message.
    pub(super) fn new() -> Self {
        Self { channel: OnceCell::new(), returned: Mutex::default() }
    }

    /// Publishes, mandatory, and waits for the broker's confirm. `id` is the message's own `message-id`.
    pub(super) async fn publish(
        &self,
        connection: &Connection,
        to: Address<'_>,
        id: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Announced, Failure> {
        let exchange = short(to.exchange)?;
        let routing_key = short(to.routing_key)?;
        let channel = self.channel.get_or_try_init(|| open(connection)).await?;
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let answer = channel.basic_publish(exchange, routing_key, options, body, properties).await?.await?;
        if let Confirmation::Ack(Some(message)) = &answer {
            self.came_back(message);
        }
        match read(&answer)? {
            _ if lock(&self.returned).remove(id) => Ok(Announced::Unrouted),
            _ => Ok(Announced::Routed),
        }
    }

    fn came_back(&self, message: &BasicReturnMessage) {
        let mut returned = lock(&self.returned);
        if returned.len() >= RETURNED {
            returned.clear();
        }
        returned.extend(message.properties.message_id().as_ref().map(|id| id.as_str().to_owned()));
    }
}

async fn open(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}
