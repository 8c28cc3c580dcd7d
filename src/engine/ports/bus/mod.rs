//! In: messages from the broker.
//! Out: deliveries that are settled exactly once by being consumed; announcements, confirmed.
//! Absent: what a message means; attempts, reasons and headers are decided elsewhere.

pub mod headers;
mod letters;

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
pub use letters::{BrokerDeath, Letter, LetterBox, Letters, LettersError, Notice, Replay, Resolve};

/// The broker, as the worker sees it. It reconnects by itself; what was in flight then comes again.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Consumes the inbox. The stream continues across lost connections; it ends after [`Bus::stop`].
    async fn inbox(&self) -> mpsc::Receiver<Delivery>;

    /// Organizations whose queues are to be consumed: those that are configured, and former ones whose queues may still
    /// hold events.
    fn organizations(&self) -> watch::Receiver<Vec<OrganizationId>>;

    /// Consumes an organization's queue with this prefetch. Waits until the broker allows it: for a connection, for the
    /// queue, for the end of a pause.
    async fn consume(&self, organization: &OrganizationId, prefetch: u16) -> Consumption;

    /// Publishes an outcome and waits for the broker's confirm.
    async fn announce(&self, announcement: Announcement) -> Result<Announced, BusError>;

    /// Stops consuming; what is in flight can still be settled and announced.
    async fn stop(&self);

    /// Closes the connections; the last call.
    async fn close(&self);

    /// Why the worker is not ready, as far as the broker is concerned; empty when it consumes.
    fn unready(&self) -> Vec<String>;
}

/// A consumer of one organization's queue.
pub struct Consumption {
    /// Deliveries in the queue's order. Ends with the connection, with a pause, and after `cancel` once everything that the
    /// broker had sent is through.
    pub deliveries: Pin<Box<dyn Stream<Item = Delivery> + Send>>,
    /// Asks the broker to send no more.
    pub cancel: CancellationToken,
    /// Cancelled once everything that came by it is settled, or is back in the queue: some time after the last delivery and
    /// `deliveries` were dropped.
    pub closed: CancellationToken,
}

/// One message in flight. Settling consumes it; dropping it leaves it unacked until its connection ends.
#[must_use = "a delivery that is not settled stays unacked until its connection ends"]
pub struct Delivery {
    /// Content type, message id and headers.
    pub envelope: Envelope,
    /// The body, shared with the settlement.
    pub body: Bytes,
    /// As published first, before any queue of the worker's own.
    pub routing_key: String,
    /// True when the broker has delivered this very copy before.
    pub redelivered: bool,
    /// When it was received.
    pub received: Instant,
    /// Cancelled once it can't be settled any more: its connection is gone, and it comes again.
    pub lost: CancellationToken,
    settle: Box<dyn Settle>,
}

/// Settles one message, in the way of an adapter.
#[async_trait]
pub trait Settle: Send + Sync {
    /// Acknowledges it.
    async fn ack(&self) -> Settled;
    /// Gives it back to its queue. One of an organization's queue is back at its old place once its [`Consumption`] is closed:
    /// RabbitMQ (3.10, measured) puts what is rejected to the end of a queue without a delivery limit, what a closed channel leaves
    /// behind to its old place.
    async fn give_back(&self) -> Settled;
    /// Puts a copy of it, with these headers set, elsewhere; returns once the broker has confirmed that copy.
    async fn copy(&self, to: CopyTo, headers: Vec<(&'static str, String)>) -> Result<(), BusError>;
    /// Puts these in its place into the inbox, each a message of its own; returns once the broker has confirmed all of them.
    async fn split(&self, parts: Vec<Part>) -> Result<(), BusError>;
    /// Puts a copy of it into its organization's queue, and acknowledges it once the broker has confirmed that. The order of
    /// calls is the order in that queue. A queue that can't be used yet: the retry queue of the rung `otherwise` takes it.
    fn forward(&self, organization: &OrganizationId, otherwise: usize) -> Forwarding;
}

/// A message on its way to its organization's queue.
pub type Forwarding = Pin<Box<dyn Future<Output = Result<Forwarded, BusError>> + Send>>;

/// Where a copy goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyTo {
    /// The retry queue of this rung of the ladder.
    Retry(usize),
    /// The dead-letter queue.
    DeadLetters,
}

/// One of several messages that take the place of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Its AMQP `message-id`.
    pub message_id: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// What became of an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// The broker has taken it.
    Taken,
    /// The connection it came by is gone: the message comes again.
    Lost,
}

/// Fate of a message that was to be moved to its organization's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forwarded {
    /// It is there.
    Moved,
    /// It waits in a retry queue: its organization's queue can't be used yet.
    Waits,
    /// The connection it came by is gone: the message comes again.
    Lost,
}

/// An outcome for the bus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// `dynamics365.<kind>.<status>`
    pub routing_key: String,
    /// The outcome's own id, the same every time.
    pub message_id: String,
    /// JSON.
    pub body: Vec<u8>,
    /// W3C `traceparent` and the like.
    pub headers: Vec<(&'static str, String)>,
}

/// What became of an announcement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Announced {
    /// At least one queue holds it.
    Routed,
    /// No queue is bound for it; the store has it.
    Unrouted,
}

/// A bus that could not do what it was asked. When the connection is gone the message in flight comes again; when only a
/// publish was refused or not confirmed, it stays unacked until somebody settles it or the connection ends.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BusError {
    /// There is no connection at the moment.
    #[error("the broker is away")]
    Away,
    /// The broker refused a publish (`basic.nack`), or could not route it.
    #[error("the broker refused a message for {to}: {problem}")]
    Refused {
        /// Exchange or queue.
        to: String,
        /// The broker's words.
        problem: String,
    },
    /// The broker has not confirmed a publish for minutes: nobody knows whether it has the message.
    #[error("the broker has not confirmed a message for {to}")]
    Unconfirmed {
        /// Exchange or queue.
        to: String,
    },
    /// The connection broke while the broker was to confirm.
    #[error("the connection broke while publishing to {to}: {source}")]
    Broken {
        /// Exchange or queue.
        to: String,
        /// Why.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl BusError {
    /// True while the connection still stands, so that the message can be put elsewhere.
    pub fn is_of_destination(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Unconfirmed { .. })
    }
}

/// A message as an adapter received it.
pub struct Received {
    /// Content type, message id and headers.
    pub envelope: Envelope,
    /// The body.
    pub body: Bytes,
    /// As published first.
    pub routing_key: String,
    /// True when the broker has delivered this very copy before.
    pub redelivered: bool,
    /// Cancelled once it can't be settled any more.
    pub lost: CancellationToken,
}

impl Delivery {
    /// A message, received now, and the way to settle it.
    pub fn new(received: Received, settle: Box<dyn Settle>) -> Self {
        let Received { envelope, body, routing_key, redelivered, lost } = received;
        Self { envelope, body, routing_key, redelivered, received: Instant::now(), lost, settle }
    }

    /// Acknowledges it.
    pub async fn ack(self) -> Settled {
        self.settle.ack().await
    }

    /// Gives it back to its queue.
    pub async fn give_back(self) -> Settled {
        self.settle.give_back().await
    }

    /// Puts a copy of it elsewhere.
    pub async fn copy(&self, to: CopyTo, headers: Vec<(&'static str, String)>) -> Result<(), BusError> {
        self.settle.copy(to, headers).await
    }

    /// Puts several messages in its place.
    pub async fn split(&self, parts: Vec<Part>) -> Result<(), BusError> {
        self.settle.split(parts).await
    }

    /// Moves it to its organization's queue.
    pub fn forward(&self, organization: &OrganizationId, otherwise: usize) -> Forwarding {
        self.settle.forward(organization, otherwise)
    }

    /// True when it can't be settled any more.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}
