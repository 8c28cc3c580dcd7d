//! What an operator's look into the dead-letter queue must be able to do.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::BusError;
use super::headers::{DEAD_AT, REASON};
use crate::event::Envelope;
use crate::workflow::Reason;

/// The dead-letter queue.
#[async_trait]
pub trait LetterBox: Send + Sync {
    /// Opens it. One operator at a time: while another has it open this waits, and says so through `notice`.
    async fn open(&self, notice: Notice<'_>) -> Result<Box<dyn Letters>, LettersError>;
}

/// What a person should know meanwhile.
pub type Notice<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// The dead letters that lay there when it was opened. What comes later is not touched.
#[async_trait]
pub trait Letters: Send {
    /// How many there are.
    fn total(&self) -> u64;

    /// The next ones, oldest first, some at a time; none when all have been seen. One that is dropped stays where it is.
    async fn next(&mut self) -> Result<Vec<Letter>, LettersError>;

    /// Warning that looks drive the letters' delivery counts up, once that is so of those seen.
    fn warning(&self) -> Option<String>;

    /// Everything that was neither replayed nor discarded lies where it lay. So it does without this, if the process is
    /// killed; this waits until it is so.
    async fn close(&mut self) -> Result<(), LettersError>;
}

/// One dead letter.
pub struct Letter {
    /// Content type, message id and headers that are text.
    pub envelope: Envelope,
    /// The body, byte for byte.
    pub body: Bytes,
    death: Option<BrokerDeath>,
    resolve: Box<dyn Resolve>,
}

/// Death of a message that the broker dead-lettered by itself (contract 5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BrokerDeath {
    /// [`Reason::DeliveryLimit`] or [`Reason::Expired`].
    pub reason: Reason,
    /// Time of death in its `x-death`.
    pub at: Option<Timestamp>,
}

/// How a dead letter goes back to work.
#[derive(Clone, Default, Debug)]
pub struct Replay {
    /// Another body in place of its own.
    pub body: Option<Bytes>,
    /// Headers to set.
    pub headers: Vec<(&'static str, String)>,
    /// Headers to take out.
    pub without: &'static [&'static str],
}

/// How an adapter does away with one dead letter.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// Puts it into the inbox, confirmed, and only then takes it out of the dead-letter queue. Killed in between
    /// it is in both.
    async fn replay(&self, body: &Bytes, replay: Replay) -> Result<(), LettersError>;

    /// Takes it out.
    async fn discard(&self) -> Result<(), LettersError>;

    /// All properties and headers, of whatever type, for a person to read.
    fn details(&self) -> Value;
}

/// What could not be done about dead letters.
#[derive(Debug, thiserror::Error)]
pub enum LettersError {
    /// No connection, or not with this user.
    #[error("the broker at {place} is away: {problem}; is broker.url right?")]
    Away {
        /// Host, port and virtual host.
        place: String,
        /// Why.
        problem: String,
    },
    /// A setting of the broker's can't be used.
    #[error("{0}")]
    Settings(String),
    /// There is no such queue.
    #[error(
        "{queue} is not there at the broker {place}: a worker declares it at its start (or broker names are others)"
    )]
    Missing {
        /// Which.
        queue: String,
        /// Host, port and virtual host.
        place: String,
    },
    /// Another operator has had it open for too long.
    #[error("another `dead-letters` command has had {queue} open for {waited}: end it, or try again later")]
    InUse {
        /// Which queue.
        queue: String,
        /// How long was waited.
        waited: String,
    },
    /// The broker ended it, or does not deliver.
    #[error("reading {queue} at {place} failed: {problem}; whatever was not settled is still there: run it again")]
    Broken {
        /// Which queue.
        queue: String,
        /// Host, port and virtual host.
        place: String,
        /// Why.
        problem: String,
    },
    /// It is in the inbox, but could not be taken out of the dead-letter queue.
    #[error("it is in the inbox, and still a dead letter too, which does no harm: {0}")]
    Twice(String),
    /// The inbox did not take it; it is a dead letter as before.
    #[error(transparent)]
    Publish(#[from] BusError),
}

impl Letter {
    /// A dead letter and the way to do away with it.
    pub fn new(envelope: Envelope, body: Bytes, death: Option<BrokerDeath>, resolve: Box<dyn Resolve>) -> Self {
        Self { envelope, body, death, resolve }
    }

    /// Death by the broker, if that is what made it a dead letter. A worker's headers are believed, unless the broker's
    /// death is younger: somebody moved the letter back by hand, and there it died anew.
    pub fn broker_death(&self) -> Option<BrokerDeath> {
        let by_worker = self.envelope.header(REASON).is_some();
        let dead_at: Option<Timestamp> = self.envelope.header(DEAD_AT).and_then(|text| text.parse().ok());
        self.death.filter(|death| !by_worker || death.at > dead_at)
    }

    /// Puts it back to work.
    pub async fn replay(self, replay: Replay) -> Result<(), LettersError> {
        self.resolve.replay(&self.body, replay).await
    }

    /// Takes it out for good.
    pub async fn discard(self) -> Result<(), LettersError> {
        self.resolve.discard().await
    }

    /// All properties and headers, for a person to read.
    pub fn details(&self) -> Value {
        self.resolve.details()
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

#[cfg(any(test, feature = "samples"))]
mod samples {
    use super::{BrokerDeath, Bytes, Envelope, Letter, LettersError, Replay, Resolve, Value, async_trait};

    /// Resolves nothing.
    struct Nowhere;

    #[async_trait]
    impl Resolve for Nowhere {
        async fn replay(&self, _: &Bytes, _: Replay) -> Result<(), LettersError> {
            Ok(())
        }
        async fn discard(&self) -> Result<(), LettersError> {
            Ok(())
        }
        fn details(&self) -> Value {
            Value::Null
        }
    }

    impl Letter {
        /// A letter that lies in no queue.
        pub fn sample(envelope: Envelope, body: Bytes, death: Option<BrokerDeath>) -> Self {
            Self::new(envelope, body, death, Box::new(Nowhere))
        }
    }
}
