//! One at a time per lane, in order of arrival: events of one session, copies of one event, events of one new contact.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::event::{EventKey, OrganizationId, SessionId};

/// What must be done one at a time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Lane {
    /// The events of one conversation.
    Session(OrganizationId, SessionId),
    /// The copies of one event.
    Event(EventKey),
    /// Looking up and creating the contact of one email (lower-cased).
    Contact(OrganizationId, String),
}

/// All lanes that somebody is in.
#[derive(Clone, Default)]
pub(super) struct Lanes {
    /// The last one of each lane.
    tails: Arc<Mutex<HashMap<Lane, Ahead>>>,
}

/// The one ahead in a lane.
struct Ahead {
    number: u64,
    /// Closed when it leaves after its turn. One that leaves before its turn passes on the one ahead of itself.
    left: oneshot::Receiver<Left>,
}

/// Circumstances in which a ticket left when the next one may not simply go.
struct Left {
    /// The one ahead of it, when it left before its turn.
    ahead: Option<Ahead>,
    gave_back: bool,
}

/// A place in a lane. Dropping it lets the next one go; dropped before its turn, the next one waits for the one ahead.
pub(super) struct Ticket {
    lanes: Lanes,
    lane: Lane,
    number: u64,
    ahead: Option<Ahead>,
    /// Taken with the ticket's end, which is what the next one waits for.
    leaves: Option<oneshot::Sender<Left>>,
}

/// The one ahead has gone back to its queue without being carried: those behind must not overtake it.
#[derive(Debug)]
pub(super) struct GaveBack;

impl Lanes {
    /// Takes the last place, at once: the order of calls is the order of turns.
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
    /// Waits until everyone ahead is gone.
    pub(super) async fn turn(&mut self) -> Result<(), GaveBack> {
        while let Some(ahead) = &mut self.ahead {
            // An error is the other one's ticket being dropped after its turn.
            let left = (&mut ahead.left).await.unwrap_or(Left { ahead: None, gave_back: false });
            self.ahead = left.ahead;
            if left.gave_back {
                return Err(GaveBack);
            }
        }
        Ok(())
    }

    /// Leaves without having been carried: those behind go back too.
    pub(super) fn give_back(mut self) {
        self.leave(true);
    }

    /// Passes over those ahead that are gone: a give-back that is over is told to nobody who comes later.
    fn forget_who_is_gone(&mut self) {
        while let Some(ahead) = &mut self.ahead {
            self.ahead = match ahead.left.try_recv() {
                Ok(left) => left.ahead,
                Err(TryRecvError::Closed) => None,
                Err(TryRecvError::Empty) => return,
            };
        }
    }

    fn leave(&mut self, gave_back: bool) {
        let Some(leaves) = self.leaves.take() else { return };
        self.forget_who_is_gone();
        let mut tails = self.lanes.lock();
        let is_last = tails.get(&self.lane).is_some_and(|tail| tail.number == self.number);
        match self.ahead.take() {
            Some(ahead) if is_last => _ = tails.insert(self.lane.clone(), ahead),
            None if is_last => _ = tails.remove(&self.lane),
            ahead if ahead.is_some() || gave_back => _ = leaves.send(Left { ahead, gave_back }),
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
    fn those_behind_one_that_gave_back_give_back_too_and_the_next_waits_for_the_first() {
        let lanes = Lanes::default();
        let first = lanes.queue(lane());
        let (second, mut third) = (lanes.queue(lane()), lanes.queue(lane()));
        second.give_back();
        assert!(matches!(third.turn().now_or_never(), Some(Err(GaveBack))));
        third.give_back();
        let mut again = lanes.queue(lane());
        assert!(!has_turn(&mut again), "the first one has not left");
        drop(first);
        assert!(has_turn(&mut again));
        drop(again);
        assert!(lanes.lock().is_empty());
    }

    #[test]
    fn a_give_back_that_is_over_is_told_to_nobody_who_comes_later() {
        let lanes = Lanes::default();
        // None of them has waited here yet: they give back what they wait for in another lane.
        for ticket in [lanes.queue(lane()), lanes.queue(lane()), lanes.queue(lane())] {
            ticket.give_back();
        }
        assert!(lanes.lock().is_empty());
        assert!(has_turn(&mut lanes.queue(lane())));
    }

    #[test]
    fn one_that_leaves_before_its_turn_lets_nobody_past() {
        let lanes = Lanes::default();
        let (first, second) = (lanes.queue(lane()), lanes.queue(lane()));
        let (third, mut fourth) = (lanes.queue(lane()), lanes.queue(lane()));
        drop(second);
        assert!(!has_turn(&mut fourth));
        drop(third);
        assert!(!has_turn(&mut fourth), "the first one has not left");
        drop(first);
        assert!(has_turn(&mut fourth));
        drop(fourth);
        assert!(lanes.lock().is_empty());
    }

    #[test]
    fn a_last_one_that_leaves_before_its_turn_lets_nobody_past() {
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
