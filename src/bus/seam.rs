//! What any bus must be able to do.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::event::{Envelope, OrganizationId};

/// The broker, as the worker sees it. It reconnects by itself; what was in hand then comes again.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Starts to consume. The stream goes on across lost connections; it ends after [`Bus::stop`].
    async fn deliveries(&self) -> mpsc::Receiver<Delivery>;

    /// Every backlog of an organization that this worker takes from, as soon as it does: those it has found at the
    /// broker, before the first delivery; those it opened itself, before [`Delivery::park`] has returned.
    async fn backlogs(&self) -> mpsc::UnboundedReceiver<Backlog>;

    /// How many messages wait in an organization's backlog; nothing when that can't be told.
    async fn waiting(&self, organization: &OrganizationId) -> Option<u64>;

    /// Publishes an outcome and waits for the broker's confirm.
    async fn announce(&self, announcement: Announcement) -> Result<Announced, BusError>;

    /// Stops consuming; what is in hand can still be settled and announced.
    async fn stop(&self);

    /// Closes the connections; the last call.
    async fn close(&self);

    /// Why the worker is not ready, as far as the broker is concerned; empty when it consumes.
    fn unready(&self) -> Vec<String>;
}

/// One message in hand. Settling consumes it; dropping it means that the broker delivers it again
/// once this connection is gone.
#[must_use = "a delivery that is not settled holds its prefetch slot until the connection ends"]
pub struct Delivery {
    /// Content type, message id and headers.
    pub envelope: Envelope,
    /// The body, shared with the settlement.
    pub body: Bytes,
    /// As published first, before any retry queue.
    pub routing_key: String,
    /// How often the broker delivered it before (quorum queues count), 0 the first time.
    pub delivery_count: u64,
    settle: Box<dyn Settle>,
}

/// The messages of one organization for which there was no room. They wait in the broker, first in, first out.
#[derive(Debug)]
pub struct Backlog {
    /// Whose.
    pub organization: OrganizationId,
    /// How many waited when it was opened.
    pub waiting: u64,
    /// They come as they are taken, and hold no prefetch slot of anybody else's. It ends with the connection, or when
    /// there has been nothing in it for long.
    pub deliveries: mpsc::Receiver<Delivery>,
}

/// How an adapter settles one message. Every call returns after the broker has confirmed the copy, if
/// there is one, and the source message is acked.
#[async_trait]
pub trait Settle: Send + Sync {
    /// It is done.
    async fn ack(self: Box<Self>) -> Result<Settled, BusError>;
    /// Its copy, with these headers set, goes to the retry queue of this rung of the ladder.
    async fn later(self: Box<Self>, rung: usize, headers: Vec<(&'static str, String)>) -> Result<Settled, BusError>;
    /// Its copy, with these headers set, goes to the end of its organization's backlog; where the broker has none and
    /// this worker may not declare one, to the retry queue of the rung `otherwise`.
    async fn park(
        self: Box<Self>,
        organization: &OrganizationId,
        otherwise: usize,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Parked, BusError>;
    /// Its copy, with these headers set, goes to the dead-letter queue.
    async fn dead(self: Box<Self>, headers: Vec<(&'static str, String)>) -> Result<Settled, BusError>;
    /// These take its place in the work queue.
    async fn split(self: Box<Self>, parts: Vec<Part>) -> Result<Settled, BusError>;
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

/// Where a message waits that there was no room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parked {
    /// At the end of its organization's backlog.
    Behind,
    /// In a retry queue.
    Later,
    /// The connection it came by is gone: the message comes again.
    Lost,
}

/// An outcome on its way to the bus.
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

/// A bus that could not do what it was asked. When the connection is gone the message in hand comes again; when only a
/// publish was refused, it stays in hand, unacked, until somebody settles it or the connection ends. A copy that the broker
/// refuses is offered again by whoever settles; what is refused then is what can't be addressed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BusError {
    /// There is no connection at the moment.
    #[error("the broker is away")]
    Away,
    /// The broker refused a publish (`basic.nack`), or could not route it.
    #[error("the broker did not take a message for {to}: {problem}")]
    Refused {
        /// Exchange or queue.
        to: String,
        /// What it said.
        problem: String,
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

impl Delivery {
    /// A message and the way to settle it.
    pub fn new(
        envelope: Envelope,
        body: Bytes,
        routing_key: String,
        delivery_count: u64,
        settle: Box<dyn Settle>,
    ) -> Self {
        Self { envelope, body, routing_key, delivery_count, settle }
    }

    /// It is done.
    pub async fn ack(self) -> Result<Settled, BusError> {
        self.settle.ack().await
    }

    /// Tries again later, from the retry queue of this rung.
    pub async fn later(self, rung: usize, headers: Vec<(&'static str, String)>) -> Result<Settled, BusError> {
        self.settle.later(rung, headers).await
    }

    /// Puts it behind all others of its organization.
    pub async fn park(
        self,
        organization: &OrganizationId,
        otherwise: usize,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Parked, BusError> {
        self.settle.park(organization, otherwise, headers).await
    }

    /// Gives it up.
    pub async fn dead(self, headers: Vec<(&'static str, String)>) -> Result<Settled, BusError> {
        self.settle.dead(headers).await
    }

    /// Puts several messages in its place.
    pub async fn split(self, parts: Vec<Part>) -> Result<Settled, BusError> {
        self.settle.split(parts).await
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}
