//! Interface to the dead-letter queue for operators.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::BusError;
use super::headers::{DEAD_AT, REASON};
use crate::event::Envelope;
use crate::workflow::Reason;

/// Dead-letter queue.
#[async_trait]
pub trait DeadLetterQueue: Send + Sync {
    /// Opens the queue. Only one operator can have it open: while another has, this waits, and reports that through
    /// `notice`.
    async fn open(&self, notice: Notice<'_>) -> Result<Box<dyn DeadLetters>, DeadLetterError>;

    /// Returns the number of dead letters that no operator has taken.
    async fn ready(&self) -> Result<u64, DeadLetterError>;
}

/// Callback that shows a message to the operator.
pub type Notice<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Dead letters that were in the queue when it was opened. Later ones are not touched.
#[async_trait]
pub trait DeadLetters: Send {
    /// Returns the number of dead letters.
    fn total(&self) -> u64;

    /// Lets the queue read a batch ahead of the one that was returned, for orders that change nothing.
    fn read_ahead(&mut self) {}

    /// Returns the next batch, oldest first; empty when all have been returned. A dropped letter stays in the queue.
    async fn next(&mut self) -> Result<Vec<DeadLetter>, DeadLetterError>;

    /// Returns a warning if reading the queue has raised the delivery counts of the letters seen so far.
    fn warning(&self) -> Option<String>;

    /// Waits until every letter that was neither replayed nor discarded is back in the queue. The broker returns them
    /// also if the process is killed first.
    async fn close(&mut self) -> Result<(), DeadLetterError>;
}

/// Dead letter.
pub struct DeadLetter {
    /// Content type, message id and text headers.
    pub envelope: Envelope,
    /// Body, byte for byte.
    pub body: Bytes,
    /// Digest of everything in the message that stays the same as long as it is in the queue.
    pub digest: u64,
    death: Option<BrokerDeath>,
    resolve: Box<dyn Resolve>,
}

/// Dead-lettering of a message by the broker itself (contract 5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BrokerDeath {
    /// [`Reason::DeliveryLimit`] or [`Reason::Expired`].
    pub reason: Reason,
    /// Time given in its `x-death`.
    pub at: Option<Timestamp>,
}

/// Changes to a dead letter when it is replayed.
#[derive(Clone, Default, Debug)]
pub struct Replay {
    /// Body that replaces its own.
    pub body: Option<Bytes>,
    /// Headers to set.
    pub headers: Vec<(&'static str, String)>,
    /// Headers to remove.
    pub without: &'static [&'static str],
}

/// Resolution of one dead letter, implemented by an adapter.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// Publishes the letter to the inbox and, only once that is confirmed, removes it from the dead-letter queue. If
    /// the process is killed in between, it is in both.
    async fn replay(&self, body: &Bytes, replay: Replay) -> Result<(), DeadLetterError>;

    /// Removes the letter.
    async fn discard(&self) -> Result<(), DeadLetterError>;

    /// Returns all properties and headers, of any type, for display.
    fn details(&self) -> Value;
}

/// Failure of an operation on dead letters.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// No connection can be made, or not with this user.
    #[error("can't reach the broker at {place}: {problem}; check that RabbitMQ runs and accepts broker.url")]
    Away {
        /// Host, port and virtual host.
        place: String,
        /// Error of the connection.
        problem: String,
    },
    /// A setting of the broker can't be used.
    #[error("{0}")]
    Settings(String),
    /// The queue does not exist.
    #[error(
        "{queue} does not exist at the broker {place}; start a worker to declare it, or check the queue names in [broker]"
    )]
    Missing {
        /// Name of the queue.
        queue: String,
        /// Host, port and virtual host.
        place: String,
    },
    /// The user lacks a permission.
    #[error(
        "the broker at {place} refuses access to {queue}: {problem}; give the user of broker.url this permission (docs/SECURITY.md)"
    )]
    Forbidden {
        /// Name of the queue.
        queue: String,
        /// Host, port and virtual host.
        place: String,
        /// Error of the broker.
        problem: String,
    },
    /// Another operator has had the queue open for too long.
    #[error("another `dead-letters` command has had {queue} open for {waited}; stop it, or try again later")]
    InUse {
        /// Name of the queue.
        queue: String,
        /// Time waited.
        waited: String,
    },
    /// The broker ended the consumer, or does not deliver.
    #[error(
        "reading {queue} at {place} failed: {problem}; unsettled dead letters are still there; run the command again"
    )]
    Broken {
        /// Name of the queue.
        queue: String,
        /// Host, port and virtual host.
        place: String,
        /// Error of the broker.
        problem: String,
    },
    /// The letter was published to the inbox, but could not be removed from the dead-letter queue.
    #[error("the event is in the inbox, but could not be removed from the dead letters, which is harmless: {0}")]
    Twice(String),
    /// The inbox refused the letter, which stays in the dead-letter queue.
    #[error(transparent)]
    Publish(#[from] BusError),
}

impl DeadLetter {
    /// Creates a dead letter with the means to resolve it.
    pub fn new(
        envelope: Envelope,
        body: Bytes,
        digest: u64,
        death: Option<BrokerDeath>,
        resolve: Box<dyn Resolve>,
    ) -> Self {
        Self { envelope, body, digest, death, resolve }
    }

    /// Returns the broker's dead-lettering, if that is why the message is here. Headers of a worker take precedence,
    /// unless the broker's time is later: then someone moved the letter back manually, and the broker dead-lettered it
    /// again.
    pub fn broker_death(&self) -> Option<BrokerDeath> {
        let by_worker = self.envelope.header(REASON).is_some();
        let dead_at: Option<Timestamp> = self.envelope.header(DEAD_AT).and_then(|text| text.parse().ok());
        self.death.filter(|death| !by_worker || death.at > dead_at)
    }

    /// Replays the letter.
    pub async fn replay(self, replay: Replay) -> Result<(), DeadLetterError> {
        self.resolve.replay(&self.body, replay).await
    }

    /// Removes the letter permanently.
    pub async fn discard(self) -> Result<(), DeadLetterError> {
        self.resolve.discard().await
    }

    /// Returns all properties and headers, for display.
    pub fn details(&self) -> Value {
        self.resolve.details()
    }
}

impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

#[cfg(any(test, feature = "samples"))]
mod samples {
    use super::{BrokerDeath, Bytes, DeadLetter, DeadLetterError, Envelope, Replay, Resolve, Value, async_trait};

    /// Resolver that does nothing.
    struct Nowhere;

    #[async_trait]
    impl Resolve for Nowhere {
        async fn replay(&self, _: &Bytes, _: Replay) -> Result<(), DeadLetterError> {
            Ok(())
        }
        async fn discard(&self) -> Result<(), DeadLetterError> {
            Ok(())
        }
        fn details(&self) -> Value {
            Value::Null
        }
    }

    impl DeadLetter {
        /// Creates a letter that is in no queue.
        pub fn sample(envelope: Envelope, body: Bytes, death: Option<BrokerDeath>) -> Self {
            Self::new(envelope, body, 0, death, Box::new(Nowhere))
        }
    }
}
