//! What is to become of a message.

use jiff::Timestamp;

use crate::bus::Part;
use crate::event::{EventKey, Kind, OrganizationId, SessionId};
use crate::machine::{Outcome, Reason};

/// What is to become of a message; the shell settles accordingly.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Its outcome is durable: announce it, then ack.
    Done(Done),
    /// It was answered before: announce that again, then ack.
    Known(EventKey, Box<Outcome>),
    /// A retry queue, from this rung of the ladder.
    Later(Postponed),
    /// A retry queue, for no fault of its own: others of its session wait behind it.
    Wait(Postponed),
    /// The end of its organization's backlog; where there can't be one, that retry queue.
    Park(OrganizationId, Postponed),
    /// The dead-letter queue, with a failed outcome where an event could be read.
    Dead(Box<DeadLetter>),
    /// Several messages take its place.
    Split(Vec<Part>),
}

/// An event that is over.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Done {
    /// Which event.
    pub(super) key: EventKey,
    /// What became of it.
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
    /// Deaths of the process that the copy tells of; none: it tells of none.
    pub(super) deaths: Option<u32>,
    /// For the metric, see [`crate::watch::Sighting::Retried`].
    pub(super) why: &'static str,
}

/// A message that is given up.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct DeadLetter {
    /// Which event, when it could be read.
    pub(super) key: Option<EventKey>,
    /// Which conversation, when it could be read.
    pub(super) session_id: Option<SessionId>,
    /// Why.
    pub(super) reason: Reason,
    /// The failed outcome.
    pub(super) outcome: Outcome,
    /// When the worker first saw it.
    pub(super) first_seen: Timestamp,
    /// When OpenCX says it happened, when it could be read.
    pub(super) timestamp: Option<Timestamp>,
}
