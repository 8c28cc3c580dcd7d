//! Decisions about deliveries.

use std::time::Duration;

use jiff::Timestamp;

use crate::event::{EventKey, Kind, SessionId};
use crate::ports::bus::Part;
use crate::workflow::{Outcome, Reason, Record};

/// A decision about a delivery; the shell settles it accordingly.
#[derive(Debug)]
pub(super) enum Settlement {
    /// Its outcome is durable: announce it, then acknowledge.
    Done(Done),
    /// It was answered before: announce that again, then acknowledge.
    Known(EventKey, Box<Outcome>),
    /// Put a copy into a retry queue, from this rung of the ladder.
    Later(Postponed),
    /// It was not begun: give it back to its queue, at its old place.
    GiveBack,
    /// Announce the failed outcome, where an event could be read, and put a copy into the dead-letter queue.
    Dead(Box<DeadLetter>),
    /// Put several messages in its place.
    Split(Vec<Part>),
}

/// An event that is over.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Done {
    /// Its key.
    pub(super) key: EventKey,
    /// Its outcome.
    pub(super) outcome: Box<Outcome>,
    /// When OpenCX says it happened.
    pub(super) timestamp: Option<Timestamp>,
}

/// A message that goes to a retry queue.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Postponed {
    /// Of the ladder.
    pub(super) rung: usize,
    /// The kind of event, when it could be read.
    pub(super) kind: Kind,
    /// Attempts spent.
    pub(super) attempts: u32,
    /// When the worker first saw it.
    pub(super) first_seen: Timestamp,
    /// Age when it comes back; none before its first failed attempt.
    pub(super) age: Option<Duration>,
    /// Number of times that a destination has refused it since it was decided.
    pub(super) refusals: u32,
    /// For the metric, see [`crate::ports::metrics::Sighting::Retried`].
    pub(super) why: &'static str,
}

/// A message that is given up.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct DeadLetter {
    /// The event's key, when it could be read.
    pub(super) key: Option<EventKey>,
    /// The conversation, when it could be read.
    pub(super) session_id: Option<SessionId>,
    /// Why.
    pub(super) reason: Reason,
    /// The failed outcome.
    pub(super) outcome: Outcome,
    /// When the worker first saw it.
    pub(super) first_seen: Timestamp,
    /// When OpenCX says it happened, when it could be read.
    pub(super) timestamp: Option<Timestamp>,
    /// The event's record, which says that it is dead; none of a message whose key is none, or another message's.
    pub(super) record: Option<Box<Record>>,
}
