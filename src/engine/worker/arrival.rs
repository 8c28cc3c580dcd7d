//! A message in flight, from its receipt until it is settled.

use std::time::Instant;

use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::caught_panic::CaughtPanic;
use super::core::MAX_HOLD;
use super::headers::{self, MessageHistory};
use super::lanes::Ticket;
use super::organization_load::LoadSlot;
use super::pending::PendingEntry;
use crate::event::{Decoded, Event, Rejection};
use crate::ports::bus::Delivery;
use crate::ports::fleet::Claim;
use crate::ports::store::Change;
use crate::workflow::Record;

/// Message in flight, decoded, with its places in the lanes.
pub(super) struct Arrival {
    pub(super) delivery: Delivery,
    pub(super) received: Instant,
    pub(super) decoded: Result<Decoded, Undecodable>,
    /// Past of the message as its headers give it.
    pub(super) message_history: MessageHistory,
    pub(super) tickets: Vec<Ticket>,
    /// Span from its receipt until it is settled.
    pub(super) span: Span,
    /// Entry among the unfinished events.
    pub(super) pending: PendingEntry,
    /// Place among the events of its organization; `None` for a message from the inbox.
    pub(super) slot: Option<LoadSlot>,
    /// Term for which its organization is owned; `None` without other workers, and for a message from the inbox.
    pub(super) claim: Option<Claim>,
    /// Token that ends its pauses, because the worker stops or gives the organization back.
    pub(super) ending: CancellationToken,
}

impl Arrival {
    /// Returns changes that are made only while the organization is owned.
    pub(super) fn guarded(&self, changes: impl IntoIterator<Item = Change>) -> Vec<Change> {
        self.claim.iter().cloned().map(Change::Guard).chain(changes).collect()
    }

    /// Returns the event, if the message is one.
    pub(super) fn event(&self) -> Option<&Event> {
        event_in(&self.decoded)
    }

    /// Waits until all tickets ahead in its lanes have left.
    pub(super) async fn turn(&mut self) -> LaneTurn {
        let until = self.delivery.received + MAX_HOLD;
        for ticket in &mut self.tickets {
            let turn = tokio::select! {
                biased;
                turn = timeout_at(until, ticket.turn()) => turn,
                () = self.delivery.lost.cancelled() => return LaneTurn::Lost,
            };
            if !matches!(turn, Ok(Ok(()))) {
                return LaneTurn::Requeue;
            }
        }
        if self.delivery.is_lost() { LaneTurn::Lost } else { LaneTurn::Now }
    }
}

/// Result of the wait in the lanes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LaneTurn {
    Now,
    /// The delivery can't be settled. The broker redelivers it.
    Lost,
    /// The delivery has been held for too long, or the event ahead was returned.
    Requeue,
}

/// Reason that a message is no event.
pub(super) enum Undecodable {
    /// The message is invalid.
    Rejected(Box<Rejection>),
    /// The worker panicked while decoding it.
    Defect(CaughtPanic),
}

/// Returns the event in a decoded message, if it is one.
pub(super) fn event_in(decoded: &Result<Decoded, Undecodable>) -> Option<&Event> {
    match decoded {
        Ok(Decoded::Event(event)) => Some(event),
        Ok(Decoded::Split(_)) | Err(_) => None,
    }
}

/// Returns true if the record belongs to the event's current run. A replay begins a new run.
pub(super) fn is_current_run(arrival: &Arrival, record: &Record) -> bool {
    headers::is_current_run(&arrival.delivery.envelope, record.first_seen)
}
