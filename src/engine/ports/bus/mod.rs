//! In: messages from the broker.
//! Out: deliveries that are settled exactly once by being consumed; announcements, confirmed.
//! Absent: the meaning of a message. Attempts, reasons and headers are decided elsewhere.

mod dead_letters;
pub mod headers;
#[cfg(any(test, feature = "samples"))]
pub mod samples;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::Stream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event::{Envelope, OrganizationId};
pub use dead_letters::{
    BrokerDeath, DeadLetter, DeadLetterError, DeadLetterQueue, DeadLetters, Notice, Replay, Resolve,
};

/// Message broker. Reconnects by itself; messages in flight are then redelivered.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Consumes the inbox. The stream continues across lost connections; it ends after [`Bus::stop`].
    async fn inbox(&self) -> mpsc::Receiver<Delivery>;

    /// Returns the organizations whose queues are to be consumed: the configured ones, and former ones whose queues may
    /// still hold events.
    fn organizations(&self) -> watch::Receiver<Vec<OrganizationId>>;

    /// Consumes an organization's queue with this prefetch. Waits until that is possible: for a connection, for the
    /// queue, for the end of a pause.
    async fn consume(&self, organization: &OrganizationId, prefetch: u16) -> Consumption;

    /// Publishes an outcome and waits for the broker's confirm.
    async fn announce(&self, announcement: Announcement) -> Result<Announced, BusError>;

    /// Stops consuming; deliveries in flight can still be settled and their outcomes announced.
    async fn stop(&self);

    /// Closes the connections. Must be the last call.
    async fn close(&self);

    /// Returns the broker's reasons that the worker is not ready; empty while it consumes.
    fn unready(&self) -> Vec<String>;
}

/// Consumer of one organization's queue.
pub struct Consumption {
    /// Deliveries in the queue's order. Ends with the connection, with a pause, and after `cancel` once all deliveries
    /// that the broker had sent are taken.
    pub deliveries: Pin<Box<dyn Stream<Item = Delivery> + Send>>,
    /// Token that asks the broker to send no more.
    pub cancel: CancellationToken,
    /// Token that is cancelled once every delivery of this consumer is settled or back in the queue, some time after
    /// the last delivery and `deliveries` were dropped.
    pub closed: CancellationToken,
}

/// Message in flight. Settling consumes it; a dropped delivery stays unacked until its connection ends.
#[must_use = "a delivery that is not settled stays unacked until its connection ends"]
pub struct Delivery {
    /// Content type, message id and headers.
    pub envelope: Envelope,
    /// Body, shared with the settlement.
    pub body: Bytes,
    /// Routing key of the original publish, before any queue of the worker's own.
    pub routing_key: String,
    /// True if the broker has delivered this copy before.
    pub redelivered: bool,
    /// Time of receipt.
    pub received: Instant,
    /// Token that is cancelled once the delivery can't be settled, because its connection is gone. The broker
    /// redelivers it.
    pub lost: CancellationToken,
    settle: Box<dyn Settle>,
}

/// Settlement of one message, implemented by an adapter.
#[async_trait]
pub trait Settle: Send + Sync {
    /// Acknowledges the message.
    async fn ack(&self) -> Settled;
    /// Returns the message to its queue. In an organization's queue it is back at its old place once its
    /// [`Consumption`] is closed: RabbitMQ (3.10, measured) puts a rejected message at the end of a queue without a
    /// delivery limit, but one left by a closed channel at its old place.
    async fn requeue(&self) -> Settled;
    /// Publishes a copy elsewhere, with these headers set. Returns once the broker has confirmed the copy.
    async fn copy(&self, to: CopyTo, headers: Vec<(&'static str, String)>) -> Result<(), BusError>;
    /// Publishes these parts to the inbox in place of the message. Returns once the broker has confirmed all of them.
    async fn split(&self, parts: Vec<Part>) -> Result<(), BusError>;
    /// Publishes a copy to the organization's queue, and acknowledges the message once the broker has confirmed the
    /// copy. The order of calls is the order in that queue. If that queue can't be used yet, the copy goes to the retry
    /// queue of the rung `otherwise`.
    fn forward(&self, organization: &OrganizationId, otherwise: usize) -> Forwarding;
}

/// Pending move of a message to its organization's queue.
pub type Forwarding = Pin<Box<dyn Future<Output = Result<Forwarded, BusError>> + Send>>;

/// Destination of a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyTo {
    /// Retry queue of this rung of the retry ladder.
    Retry(usize),
    /// The dead-letter queue.
    DeadLetters,
}

/// One of several messages that replace a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// AMQP `message-id`.
    pub message_id: String,
    /// Body.
    pub body: Bytes,
}

/// Result of an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// The broker was sent the acknowledgement.
    Taken,
    /// The delivery's connection is gone. The broker redelivers the message.
    Lost,
}

/// Result of moving a message to its organization's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forwarded {
    /// The message is in the organization's queue.
    Moved,
    /// The message is in a retry queue, because its organization's queue can't be used yet.
    Waits,
    /// The delivery's connection is gone. The broker redelivers the message.
    Lost,
}

/// Outcome to publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// `dynamics365.<kind>.<status>`
    pub routing_key: String,
    /// Id of the outcome, the same every time.
    pub message_id: String,
    /// Body, as JSON.
    pub body: Vec<u8>,
    /// Headers, such as the W3C `traceparent`.
    pub headers: Vec<(&'static str, String)>,
}

/// Result of an announcement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Announced {
    /// At least one queue has received the outcome.
    Routed,
    /// No queue is bound for the outcome. It is only in the store.
    Unrouted,
}

/// Failure of a bus operation.
///
/// If the connection is gone, the broker redelivers the message in flight. If only a publish was refused or not
/// confirmed, the message stays unacked until it is settled or the connection ends.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BusError {
    /// The bus is not connected.
    #[error("no connection to the broker")]
    Away,
    /// The broker refused a publish (`basic.nack`), or could not route it.
    #[error("the broker refused a message for {to}: {problem}")]
    Refused {
        /// Exchange or queue of the publish.
        to: String,
        /// Error text of the broker.
        problem: String,
    },
    /// The broker has not confirmed a publish for minutes, so it is unknown if it has the message.
    #[error("the broker has not confirmed a message for {to}")]
    Unconfirmed {
        /// Exchange or queue.
        to: String,
    },
    /// The connection broke before the broker confirmed.
    #[error("the connection broke while publishing to {to}: {source}")]
    Broken {
        /// Exchange or queue.
        to: String,
        /// Error of the connection.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl BusError {
    /// Returns true if the connection still works, so that the message can be published elsewhere.
    pub fn is_of_destination(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Unconfirmed { .. })
    }
}

/// Message as an adapter received it.
pub struct Received {
    /// Content type, message id and headers.
    pub envelope: Envelope,
    /// The body.
    pub body: Bytes,
    /// Routing key of the original publish.
    pub routing_key: String,
    /// True if the broker has delivered this copy before.
    pub redelivered: bool,
    /// Token that is cancelled once the message can't be settled.
    pub lost: CancellationToken,
}

impl Delivery {
    /// Creates a delivery that was received now, with the means to settle it.
    pub fn new(received: Received, settle: Box<dyn Settle>) -> Self {
        let Received { envelope, body, routing_key, redelivered, lost } = received;
        Self { envelope, body, routing_key, redelivered, received: Instant::now(), lost, settle }
    }

    /// Acknowledges the message.
    pub async fn ack(self) -> Settled {
        self.settle.ack().await
    }

    /// Returns the message to its queue.
    pub async fn requeue(self) -> Settled {
        self.settle.requeue().await
    }

    /// Publishes a copy elsewhere.
    pub async fn copy(&self, to: CopyTo, headers: Vec<(&'static str, String)>) -> Result<(), BusError> {
        self.settle.copy(to, headers).await
    }

    /// Publishes several messages in place of this one.
    pub async fn split(&self, parts: Vec<Part>) -> Result<(), BusError> {
        self.settle.split(parts).await
    }

    /// Moves the message to its organization's queue.
    pub fn forward(&self, organization: &OrganizationId, otherwise: usize) -> Forwarding {
        self.settle.forward(organization, otherwise)
    }

    /// Returns true if the message can't be settled, because its connection is gone.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}
