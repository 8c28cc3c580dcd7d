//! Takes messages from the work queue and hands them on, one line after another.

use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::backlogs::Hold;
use super::envelope::{delivery_count, envelope, original_routing_key};
use super::line::Line;
use super::lock;
use super::options::Options;
use super::settle::{InHand, Way};
use crate::bus::Delivery;

/// Starts to consume on a line. The prefetch is set anew each time: the client's buffer has no other bound.
pub(super) async fn consume(line: &Line, options: &Options) -> lapin::Result<Subscription> {
    let channel = line.deliveries().clone();
    let consumer = subscribe(&channel, &options.queue, options.prefetch).await?;
    Ok(Subscription { channel, consumer })
}

/// A consumer of a queue under a name of its own, with so many messages in hand at most.
pub(super) async fn subscribe(channel: &Channel, queue: &str, prefetch: u16) -> lapin::Result<Consumer> {
    channel.basic_qos(prefetch, BasicQosOptions { global: false }).await?;
    let tag = format!("handoffd-{}", uuid::Uuid::new_v4());
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    channel.basic_consume(queue.into(), tag.into(), options, none).await
}

/// Where deliveries go, on every line, until it is shut.
pub(super) struct Outlet(Mutex<Option<mpsc::Sender<Delivery>>>);

impl Outlet {
    pub(super) fn new(to: mpsc::Sender<Delivery>) -> Self {
        Self(Mutex::new(Some(to)))
    }

    /// The way out, while it is open.
    fn open(&self) -> Option<mpsc::Sender<Delivery>> {
        self.lock().clone()
    }

    /// Ends the stream, once those in it are taken.
    pub(super) fn shut(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<mpsc::Sender<Delivery>>> {
        lock(&self.0)
    }
}

/// Why a subscription hands nothing on any more.
pub(super) enum End {
    /// Something broke.
    Broken(String),
    /// It was told to stop; what the broker has sent and nobody has taken comes again with the next connection.
    Stopped,
    /// It was told to pause; everything that the broker has sent is handed on.
    Paused,
}

/// One consumer and its channel.
pub(super) struct Subscription {
    channel: Channel,
    consumer: Consumer,
}

impl Subscription {
    /// Hands on what comes.
    pub(super) async fn forward(
        &mut self,
        way: &Way,
        outlet: &Outlet,
        stop: &CancellationToken,
        pause: &mut watch::Receiver<Option<String>>,
    ) -> End {
        let Some(to) = outlet.open() else { return End::Stopped };
        let mut cancelled = false;
        loop {
            let message = tokio::select! {
                message = self.consumer.next() => message,
                () = stop.cancelled() => return End::Stopped,
                () = asked_for(pause), if !cancelled => {
                    self.cancel().await;
                    cancelled = true;
                    continue;
                }
            };
            let message = match message {
                Some(Ok(message)) => message,
                Some(Err(error)) => return End::Broken(super::refusal::in_words(&error)),
                None if cancelled => return End::Paused,
                // Its queue was deleted, or moved to another node.
                None => return End::Broken("the broker cancelled the consumer".to_owned()),
            };
            tokio::select! {
                sent = to.send(delivery(message, way, None)) => {
                    if sent.is_err() {
                        // Nobody takes deliveries any more.
                        stop.cancelled().await;
                        return End::Stopped;
                    }
                }
                () = stop.cancelled() => return End::Stopped,
            }
        }
    }

    /// Tells the broker to send no more; what was sent can still be settled.
    pub(super) async fn cancel(&self) {
        // Failing, the line is broken anyway.
        let _ = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await;
    }
}

/// Waits until a pause is asked for.
async fn asked_for(pause: &mut watch::Receiver<Option<String>>) {
    if pause.wait_for(Option::is_some).await.is_err() {
        // Nobody can ask any more.
        std::future::pending::<()>().await;
    }
}

/// A message of the work queue's, or (held) of a backlog's.
pub(super) fn delivery(message: lapin::message::Delivery, way: &Way, hold: Option<Hold>) -> Delivery {
    let body = Bytes::from(message.data);
    let routing_key = original_routing_key(&message.properties, message.routing_key.as_str());
    let envelope = envelope(&message.properties);
    let count = delivery_count(&message.properties);
    let settle = InHand {
        way: way.clone(),
        hold,
        acker: message.acker,
        properties: message.properties,
        body: body.clone(),
        routing_key: routing_key.clone(),
    };
    Delivery::new(envelope, body, routing_key, count, Box::new(settle))
}
