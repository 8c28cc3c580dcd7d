//! Consumer of one queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::time::timeout;

use super::held_channel::HeldChannel;
use super::settle::ConsumeContext;
use crate::rabbit::link::Link;
use crate::rabbit::refusal;

/// Longest wait for the answer to `basic.consume` and `basic.cancel`. Just after its restart RabbitMQ (3.10) may leave
/// the first unanswered while a quorum queue has no leader, and end the connection with INTERNAL_ERROR after 65 s
/// (measured); a repeated request is answered.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Number of consumers that this process has started.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// Consumer of one queue, with its channel.
pub(in crate::rabbit) struct Subscription {
    pub channel: Channel,
    pub consumer: Consumer,
}

/// Reason for which a consumer was not started.
#[derive(Debug, thiserror::Error)]
pub(in crate::rabbit) enum SubscribeError {
    /// The broker did not answer in time.
    #[error("the broker did not answer `basic.consume` in time")]
    Unanswered,
    /// The broker refused.
    #[error("{}", refusal::in_words(.0))]
    Refused(#[from] lapin::Error),
}

impl Subscription {
    /// Starts a consumer of an organization's queue, on the channel that still holds messages of an earlier one, or else on
    /// another; closing it returns the unsettled messages. After a start that was not answered they are back when this
    /// returns.
    pub(in crate::rabbit) async fn organization(
        context: &ConsumeContext,
        queue: &str,
        prefetch: u16,
    ) -> Result<(Self, Arc<HeldChannel>), SubscribeError> {
        let held = match context.channels.of(queue) {
            Some(held) => held,
            None => in_time(context.channels.open(&context.link, queue)).await?,
        };
        let subscribed = in_time(subscribe(held.channel(), queue, prefetch)).await;
        if matches!(subscribed, Err(SubscribeError::Unanswered)) {
            let closed = held.closed();
            drop(held);
            closed.cancelled().await;
            return Err(SubscribeError::Unanswered);
        }
        Ok((subscribed?, held))
    }

    /// Starts a consumer of the inbox.
    pub(in crate::rabbit) async fn inbox(link: &Link, queue: &str, prefetch: u16) -> Result<Self, SubscribeError> {
        in_time(subscribe(link.inbox(), queue, prefetch)).await
    }

    /// Cancels the consumer; messages already received can still be settled. Returns the reason if it could not be
    /// cancelled; it may then receive messages until its channel is closed.
    pub(in crate::rabbit) async fn cancel(&self) -> Result<(), String> {
        let cancelling = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        match timeout(ANSWER_LIMIT, cancelling).await {
            Ok(cancelled) => cancelled.map_err(|error| refusal::in_words(&error)),
            Err(_) => Err("the broker did not answer `basic.cancel` in time".to_owned()),
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = lapin::Result<T>>) -> Result<T, SubscribeError> {
    Ok(timeout(ANSWER_LIMIT, answer).await.map_err(|_| SubscribeError::Unanswered)??)
}

/// Starts a consumer with a unique tag, and with at most `prefetch` unacked messages. The tags of a channel's consumers are
/// in the order of their starts: RabbitMQ (3.10) returns the messages of a lost channel in the order of its tags.
async fn subscribe(channel: &Channel, queue: &str, prefetch: u16) -> lapin::Result<Subscription> {
    channel.basic_qos(prefetch, BasicQosOptions { global: false }).await?;
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let tag = format!("handoffd-{number:016x}-{}", uuid::Uuid::new_v4());
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.into(), tag.into(), options, none).await?;
    Ok(Subscription { channel: channel.clone(), consumer })
}
