//! Statistics of a queue, read by a passive declaration, which changes nothing.

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

/// Statistics of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct QueueStats {
    /// Messages ready for delivery.
    pub ready: u32,
    /// Number of consumers.
    pub consumers: u32,
}

/// Reason that a queue has no statistics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoStats {
    /// The queue does not exist.
    Missing,
    /// The queue or the broker does not answer.
    Unknown,
}

impl QueueStats {
    /// Queries the broker. A missing queue is an error for which the broker closes the channel.
    pub(super) async fn at(queue: &str, channel: &Channel) -> lapin::Result<Self> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
        Ok(Self { ready: queue.message_count(), consumers: queue.consumer_count() })
    }
}
