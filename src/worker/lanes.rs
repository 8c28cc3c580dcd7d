//! One at a time per lane, in order of arrival: events of one session, copies of one event, events of one new contact.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::event::{EventKey, OrganizationId, SessionId};

/// What must be done one at a time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Lane {
    /// The events of one conversation.
    Session(OrganizationId, SessionId),
    /// Of those, the ones that go to the backlog.
    Backlog(OrganizationId, SessionId),
    /// The copies of one event.
    Event(EventKey),
    /// Looking up and creating the contact of one email (lower-cased).
    Contact(OrganizationId, String),
}

/// All lanes that somebody is in.
#[derive(Clone, Default)]
pub(super) struct Lanes {
    tails: Arc<Mutex<HashMap<Lane, Tail>>>,
}

/// The last one in a lane: whoever comes next waits for it.
struct Tail {
    number: u64,
    gone: oneshot::Receiver<()>,
}

/// A place in a lane. Dropping it lets the next one go.
pub(super) struct Ticket {
    lanes: Lanes,
    lane: Lane,
    number: u64,
    ahead: Option<oneshot::Receiver<()>>,
    /// Dropped with the ticket, which is what the next one waits for.
    _gone: oneshot::Sender<()>,
}

impl Lanes {
    /// Takes the last place, at once: the order of calls is the order of turns.
    pub(super) fn queue(&self, lane: Lane) -> Ticket {
        let (leave, gone) = oneshot::channel();
        let mut tails = self.lock();
        let number = tails.get(&lane).map_or(0, |tail| tail.number + 1);
        let ahead = tails.insert(lane.clone(), Tail { number, gone }).map(|tail| tail.gone);
        Ticket { lanes: self.clone(), lane, number, ahead, _gone: leave }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lane, Tail>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Waits until everyone ahead is gone.
    pub(super) async fn turn(&mut self) {
        if let Some(ahead) = &mut self.ahead {
            // An error is the other one's ticket being dropped: that is how it leaves.
            _ = ahead.await;
            self.ahead = None;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A ticket is dropped after its turn (nothing cancels a task of the worker's), so whoever is behind may go.
        let mut tails = self.lanes.lock();
        let last = tails.get(&self.lane).is_some_and(|tail| tail.number == self.number);
        if last {
            tails.remove(&self.lane);
        }
    }
}
