//! Lanes: one event at a time per lane, in order of arrival. There are lanes for the events of a session, the copies of
//! an event, and the events of a new contact.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::event::{EventKey, OrganizationId, SessionId};

/// Key of a lane.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Lane {
    /// Events of one conversation.
    Session(OrganizationId, SessionId),
    /// Copies of one event.
    Event(EventKey),
    /// Lookup and creation of the contact of one email (lower-cased).
    Contact(OrganizationId, String),
}

/// All lanes in use.
#[derive(Clone, Default)]
pub(super) struct Lanes {
    /// Last ticket of each lane.
    tails: Arc<Mutex<HashMap<Lane, Ahead>>>,
}

/// Ticket ahead in a lane.
struct Ahead {
    number: u64,
    /// Channel that closes when the ticket leaves after its turn. A ticket that leaves before its turn sends the one
    /// ahead of itself.
    left: oneshot::Receiver<Left>,
}

/// Message of a leaving ticket, sent if the next one may not simply proceed.
struct Left {
    /// Ticket ahead of it, if it left before its turn.
    ahead: Option<Ahead>,
    requeued: bool,
}

/// Place in a lane. Dropping it lets the next ticket proceed; if it is dropped before its turn, the next one waits for
/// the one ahead.
pub(super) struct Ticket {
    lanes: Lanes,
    lane: Lane,
    number: u64,
    ahead: Option<Ahead>,
    /// Sender that is taken when the ticket ends, which the next ticket waits for.
    leaves: Option<oneshot::Sender<Left>>,
}

/// Error: the ticket ahead was returned to its queue unprocessed, and those behind must not overtake it.
#[derive(Debug)]
pub(super) struct Returned;

impl Lanes {
    /// Takes the last place, without waiting: the order of calls is the order of turns.
    pub(super) fn queue(&self, lane: Lane) -> Ticket {
        let (leaves, left) = oneshot::channel();
        let mut tails = self.lock();
        let number = tails.get(&lane).map_or(0, |tail| tail.number + 1);
        let ahead = tails.insert(lane.clone(), Ahead { number, left });
        Ticket { lanes: self.clone(), lane, number, ahead, leaves: Some(leaves) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lane, Ahead>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Returns true if nobody was in the lane when this place was taken.
    pub(super) fn is_first(&self) -> bool {
        self.ahead.is_none()
    }

    /// Waits until all tickets ahead have left.
    pub(super) async fn turn(&mut self) -> Result<(), Returned> {
        while let Some(ahead) = &mut self.ahead {
            // An error means that the other ticket was dropped after its turn.
            let left = (&mut ahead.left).await.unwrap_or(Left { ahead: None, requeued: false });
            self.ahead = left.ahead;
            if left.requeued {
                return Err(Returned);
            }
        }
        Ok(())
    }

    /// Leaves the lane unprocessed, so that those behind are returned too.
    pub(super) fn requeue(mut self) {
        self.leave(true);
    }

    /// Skips tickets ahead that have left, so that a completed return does not affect later tickets.
    fn forget_who_is_gone(&mut self) {
        while let Some(ahead) = &mut self.ahead {
            self.ahead = match ahead.left.try_recv() {
                Ok(left) => left.ahead,
                Err(TryRecvError::Closed) => None,
                Err(TryRecvError::Empty) => return,
            };
        }
    }

    fn leave(&mut self, requeued: bool) {
        let Some(leaves) = self.leaves.take() else { return };
        self.forget_who_is_gone();
        let mut tails = self.lanes.lock();
        let is_last = tails.get(&self.lane).is_some_and(|tail| tail.number == self.number);
        match self.ahead.take() {
            Some(ahead) if is_last => _ = tails.insert(self.lane.clone(), ahead),
            None if is_last => _ = tails.remove(&self.lane),
            ahead if ahead.is_some() || requeued => _ = leaves.send(Left { ahead, requeued }),
            _ => {}
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave(false);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn lane() -> Lane {
        Lane::Contact("org_a".into(), "ann@x.org".to_owned())
    }

    fn has_turn(ticket: &mut Ticket) -> bool {
        ticket.turn().now_or_never().is_some_and(|turn| turn.is_ok())
    }

    #[test]
    fn tickets_behind_a_returned_one_are_returned_and_the_next_waits_for_the_first() {
        let lanes = Lanes::default();
        let first = lanes.queue(lane());
        let (second, mut third) = (lanes.queue(lane()), lanes.queue(lane()));
        second.requeue();
        assert!(matches!(third.turn().now_or_never(), Some(Err(Returned))));
        third.requeue();
        let mut again = lanes.queue(lane());
        assert!(!has_turn(&mut again), "the first ticket has not left");
        drop(first);
        assert!(has_turn(&mut again));
        drop(again);
        assert!(lanes.lock().is_empty());
    }

    #[test]
    fn a_completed_return_does_not_affect_later_tickets() {
        let lanes = Lanes::default();
        // None of them has waited in this lane yet: they are returned because of another lane.
        for ticket in [lanes.queue(lane()), lanes.queue(lane()), lanes.queue(lane())] {
            ticket.requeue();
        }
        assert!(lanes.lock().is_empty());
        assert!(has_turn(&mut lanes.queue(lane())));
    }

    #[test]
    fn a_ticket_dropped_before_its_turn_lets_no_other_pass() {
        let lanes = Lanes::default();
        let (first, second) = (lanes.queue(lane()), lanes.queue(lane()));
        let (third, mut fourth) = (lanes.queue(lane()), lanes.queue(lane()));
        drop(second);
        assert!(!has_turn(&mut fourth));
        drop(third);
        assert!(!has_turn(&mut fourth), "the first ticket has not left");
        drop(first);
        assert!(has_turn(&mut fourth));
        drop(fourth);
        assert!(lanes.lock().is_empty());
    }

    #[test]
    fn the_last_ticket_dropped_before_its_turn_lets_no_other_pass() {
        let lanes = Lanes::default();
        let (first, second) = (lanes.queue(lane()), lanes.queue(lane()));
        drop(second);
        let mut third = lanes.queue(lane());
        assert!(!has_turn(&mut third));
        drop(first);
        assert!(has_turn(&mut third));
        drop(third);
        assert!(lanes.lock().is_empty());
        let (first, second) = (lanes.queue(lane()), lanes.queue(lane()));
        drop(second);
        drop(first);
        assert!(lanes.lock().is_empty());
    }
}
