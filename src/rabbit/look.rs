//! A look at a queue that changes nothing.

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

/// What is in a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Look {
    /// Messages that nobody has in hand.
    pub ready: u32,
    /// Consumers.
    pub consumers: u32,
}

impl Look {
    /// Asks the broker. A queue that is not there is an error, over which the broker closes the channel.
    pub(super) async fn at(queue: &str, channel: &Channel) -> lapin::Result<Self> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
        Ok(Self { ready: queue.message_count(), consumers: queue.consumer_count() })
    }
}
