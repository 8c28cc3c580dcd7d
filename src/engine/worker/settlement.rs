//! Decisions about deliveries.

use std::time::Duration;

use jiff::Timestamp;

use crate::event::{EventId, EventKey, Kind, OrganizationId, SessionId};
use crate::ports::bus::Part;
use crate::workflow::{Outcome, Reason, Record};

/// Reason of a wait for the store.
pub(super) const STORE_FAILED: &str = "store";

/// Decision about a delivery.
#[derive(Debug)]
pub(super) enum Settlement {
    /// The outcome is durable: announce it, then acknowledge.
    Done(FinishedEvent),
    /// The event was answered before: announce that outcome again, then acknowledge.
    Known(EventKey, Box<Outcome>),
    /// Publish a copy to the retry queue of a rung of the ladder.
    Later(Postponed),
    /// The event was not started: return it to its old place in its queue.
    Requeue,
    /// Announce the failed outcome, if an event could be read, and publish a copy to the dead-letter queue.
    Dead(Box<NewDeadLetter>),
    /// Publish several messages in place of the delivery.
    Split(Vec<Part>),
}

/// Finished event.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct FinishedEvent {
    /// Key of the event.
    pub(super) key: EventKey,
    /// Outcome of the event.
    pub(super) outcome: Box<Outcome>,
    /// Time of the event as given by OpenCX.
    pub(super) timestamp: Option<Timestamp>,
}

/// Message that goes to a retry queue.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Postponed {
    /// Rung of the retry ladder.
    pub(super) rung: usize,
    /// Kind of the event, if it could be read.
    pub(super) kind: Kind,
    /// Attempts spent so far.
    pub(super) attempts: u32,
    /// Time a worker first received the message.
    pub(super) first_seen: Timestamp,
    /// Age at the end of the wait; `None` before its first failed attempt.
    pub(super) age: Option<Duration>,
    /// Number of times a destination has refused it since its outcome was decided.
    pub(super) refusals: u32,
    /// True if its failed outcome is announced.
    pub(super) announced: bool,
    /// Label of the metric, see [`crate::ports::metrics::Measurement::Retried`].
    pub(super) why: &'static str,
}

/// Message that goes to the dead-letter queue.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct NewDeadLetter {
    /// Id of the event, if it could be read.
    pub(super) event_id: Option<EventId>,
    /// Organization of the event, if it could be read.
    pub(super) organization_id: Option<OrganizationId>,
    /// Conversation of the event, if it could be read.
    pub(super) session_id: Option<SessionId>,
    /// Reason that it is dead-lettered.
    pub(super) reason: Reason,
    /// Failed outcome.
    pub(super) outcome: Outcome,
    /// Time a worker first received the message.
    pub(super) first_seen: Timestamp,
    /// Time of the event as given by OpenCX, if it could be read.
    pub(super) timestamp: Option<Timestamp>,
    /// Record of the event with the phase `Dead`; `None` without a key, or if the key belongs to another message.
    pub(super) record: Option<Box<Record>>,
}

impl NewDeadLetter {
    /// Returns the key of the event, if both of its parts could be read.
    pub(super) fn key(&self) -> Option<EventKey> {
        let (organization_id, event_id) = self.organization_id.clone().zip(self.event_id.clone())?;
        Some(EventKey { organization_id, event_id })
    }
}
