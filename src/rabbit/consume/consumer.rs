//! Receives messages from the inbox and from organizations' queues, and passes them on as deliveries.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use handoffd_engine::ports::bus::{Consumption, Delivery, Received};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::held_channel::HeldChannel;
use super::settle::{ConsumeContext, RabbitMessage, Unacked};
use super::subscription::Subscription;
use crate::rabbit::envelope::{delivery_count, envelope, original_routing_key};
use crate::rabbit::refusal;
use crate::rabbit::shared::lock;

/// Silence after which the messages that may have killed an earlier process count as handled.
const QUIET: Duration = Duration::from_millis(500);

/// Sender of the inbox's deliveries on every line, until it is shut.
pub(in crate::rabbit) struct DeliverySender(Mutex<Option<mpsc::Sender<Delivery>>>);

impl DeliverySender {
    pub(in crate::rabbit) fn new(to: mpsc::Sender<Delivery>) -> Self {
        Self(Mutex::new(Some(to)))
    }

    /// Returns the sender while it is open.
    fn open(&self) -> Option<mpsc::Sender<Delivery>> {
        self.lock().clone()
    }

    /// Ends the stream once the deliveries in it have been received.
    pub(in crate::rabbit) fn shut(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<mpsc::Sender<Delivery>>> {
        lock(&self.0)
    }
}

/// Degree of caution when consuming the inbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::rabbit) enum Caution {
    /// One message at a time, while messages have been delivered before. One of them may have killed the process, and
    /// the delivery count of its neighbours in the prefetch would rise with its own.
    OneAtATime,
    /// As many messages as the prefetch allows.
    None,
}

/// Reason for which a subscription ended.
pub(in crate::rabbit) enum SubscriptionEnd {
    /// Something broke.
    Broken(String),
    /// The bus stops. The broker redelivers unreceived messages on the next connection.
    Stopped,
    /// The bus pauses. Every message received from the broker has been passed on.
    Paused,
    /// The messages that had been delivered before are handled.
    BacklogHandled,
}

/// Passes on the messages of the inbox.
pub(in crate::rabbit) async fn forward(
    subscription: &mut Subscription,
    context: &Arc<ConsumeContext>,
    outlet: &DeliverySender,
    care: Caution,
    (stop, pause): (&CancellationToken, &mut watch::Receiver<Option<String>>),
) -> SubscriptionEnd {
    let Some(to) = outlet.open() else { return SubscriptionEnd::Stopped };
    let mut ends = None;
    loop {
        let message = tokio::select! {
            message = subscription.consumer.next() => message,
            () = stop.cancelled() => return SubscriptionEnd::Stopped,
            end = over(care, pause), if ends.is_none() => {
                if let Err(why) = subscription.cancel().await {
                    return SubscriptionEnd::Broken(why);
                }
                ends = Some(end);
                continue;
            }
        };
        let message = match (message, ends.take()) {
            (Some(Ok(message)), end) => {
                ends = end;
                message
            }
            (Some(Err(error)), _) => return SubscriptionEnd::Broken(refusal::in_words(&error)),
            (None, Some(end)) => return end,
            // The queue was deleted, or moved to another node.
            (None, None) => return SubscriptionEnd::Broken("the broker cancelled the consumer".to_owned()),
        };
        let delivery = delivery(message, context, None);
        let is_new = care == Caution::OneAtATime && !delivery.redelivered && ends.is_none();
        tokio::select! {
            sent = to.send(delivery) => {
                if sent.is_err() {
                    // The receiver is gone.
                    stop.cancelled().await;
                    return SubscriptionEnd::Stopped;
                }
            }
            () = stop.cancelled() => return SubscriptionEnd::Stopped,
        }
        if is_new {
            if let Err(why) = subscription.cancel().await {
                return SubscriptionEnd::Broken(why);
            }
            ends = Some(SubscriptionEnd::BacklogHandled);
        }
    }
}

/// Waits for a reason to end without a message: a request to pause, or silence after messages that had been delivered
/// before.
async fn over(care: Caution, pause: &mut watch::Receiver<Option<String>>) -> SubscriptionEnd {
    // An error means that the sender is gone and nobody can request a pause.
    let asked = async { pause.wait_for(Option::is_some).await.is_ok() };
    match care {
        Caution::None => {
            if !asked.await {
                std::future::pending::<()>().await;
            }
            SubscriptionEnd::Paused
        }
        Caution::OneAtATime => match timeout(QUIET, asked).await {
            Ok(true) => SubscriptionEnd::Paused,
            Ok(false) | Err(_) => SubscriptionEnd::BacklogHandled,
        },
    }
}

/// Returns the deliveries of an organization's queue. They end with the connection, with `until`, and on cancellation.
pub(in crate::rabbit) fn consumption(
    (subscription, held): (Subscription, Arc<HeldChannel>),
    context: Arc<ConsumeContext>,
    until: CancellationToken,
) -> Consumption {
    let (cancel, closed) = (CancellationToken::new(), held.closed());
    let state = (subscription, context, until, cancel.clone(), Some(held), false);
    let deliveries = unfold(state, async |(mut subscription, context, until, cancel, held, mut cancelled)| {
        loop {
            let ended = context.link.ended().clone();
            let message = tokio::select! {
                biased;
                () = ended.cancelled() => return None,
                message = subscription.consumer.next() => message,
                () = async { tokio::select! { () = until.cancelled() => {}, () = cancel.cancelled() => {} } }, if !cancelled => {
                    // The channel is closed with the last of its messages, which returns the others.
                    subscription.cancel().await.ok()?;
                    cancelled = true;
                    continue;
                }
            };
            // An error ends the channel, and with it the line.
            let message = message?.inspect_err(|error| context.link.end(&refusal::in_words(error))).ok()?;
            let delivery = delivery(message, &context, held.clone());
            return Some((delivery, (subscription, context, until, cancel, held, cancelled)));
        }
    });
    Consumption { deliveries: Box::pin(deliveries), cancel, closed }
}

/// Converts a message to a delivery.
fn delivery(
    message: lapin::message::Delivery,
    context: &Arc<ConsumeContext>,
    held: Option<Arc<HeldChannel>>,
) -> Delivery {
    let body = Bytes::from(message.data);
    let routing_key = original_routing_key(&message.properties, message.routing_key.as_str());
    let received = Received {
        envelope: envelope(&message.properties),
        body: body.clone(),
        routing_key: routing_key.clone(),
        redelivered: message.redelivered || delivery_count(&message.properties) > 0,
        lost: context.link.ended().clone(),
    };
    let in_flight = RabbitMessage {
        context: context.clone(),
        acker: message.acker,
        properties: message.properties,
        body,
        routing_key,
        held,
        _mark: context.link.unsettled(),
    };
    Delivery::new(received, Box::new(Unacked(Arc::new(in_flight))))
}
