//! Consumer of one queue.

use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tracing::warn;

use super::link::Link;
use super::refusal;

/// Consumer of one queue, with its channel.
pub(super) struct Subscription {
    pub channel: Channel,
    pub consumer: Consumer,
}

impl Subscription {
    /// Starts a consumer of an organization's queue, on a separate channel; closing it returns the unsettled messages.
    pub(super) async fn organization(line: &Link, queue: &str, prefetch: u16) -> lapin::Result<Self> {
        let channel = line.organization_channel().await?;
        subscribe(&channel, queue, prefetch).await
    }

    /// Starts a consumer of the inbox.
    pub(super) async fn inbox(line: &Link, queue: &str, prefetch: u16) -> lapin::Result<Self> {
        subscribe(line.inbox(), queue, prefetch).await
    }

    /// Cancels the consumer; messages already received can still be settled.
    pub(super) async fn cancel(&self) {
        // A failure means that the connection is broken anyway.
        if let Err(error) = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await {
            warn!(error = %refusal::in_words(&error), "could not cancel a consumer");
        }
    }
}

/// Starts a consumer with a unique tag, and with at most `prefetch` unacked messages.
async fn subscribe(channel: &Channel, queue: &str, prefetch: u16) -> lapin::Result<Subscription> {
    channel.basic_qos(prefetch, BasicQosOptions { global: false }).await?;
    let tag = format!("handoffd-{}", uuid::Uuid::new_v4());
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.into(), tag.into(), options, none).await?;
    Ok(Subscription { channel: channel.clone(), consumer })
}
