//! Counts the events of one organization in flight, shared by its consumer and by those events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts of one organization. Everything that reads or writes them runs on one runtime; the order of single steps does not matter.
#[derive(Default)]
pub(super) struct Room {
    /// Begun, and not carried to their end yet: they have, or need, a request under way with Dynamics.
    carrying: AtomicUsize,
    /// Begun, and not settled yet.
    under_way: AtomicUsize,
    /// Carried since the count was taken last.
    carried: AtomicUsize,
    /// An event went back to its queue: its channel has to be closed.
    gave_back: AtomicBool,
    /// Events that wait for a step which is refused, while others could be begun.
    waiting: AtomicUsize,
    /// Wakes the one of them that has waited longest: it is to make room.
    aside: Notify,
    changed: Notify,
}

impl Room {
    pub(super) fn carrying(&self) -> usize {
        self.carrying.load(Ordering::Relaxed)
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Takes the count of those that were carried since it was taken last.
    pub(super) fn take_carried(&self) -> usize {
        self.carried.swap(0, Ordering::Relaxed)
    }

    /// True when an event went back since this was asked last.
    pub(super) fn take_gave_back(&self) -> bool {
        self.gave_back.swap(false, Ordering::Relaxed)
    }

    /// An event is begun.
    pub(super) fn begin(self: &Arc<Self>) -> Place {
        self.carrying.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Place { room: self.clone(), carrying: AtomicBool::new(true) }
    }

    /// Number of events that wait for a step which is refused.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// All events that wait for a step go aside.
    pub(super) fn clear(&self) {
        self.aside.notify_waiters();
    }

    /// The one that has waited longest for a step goes aside.
    pub(super) fn make_room(&self) {
        self.aside.notify_one();
    }

    /// Completes once something has changed since the last time.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// The place of one event that is begun. It is given up when the event is settled, or ends by a panic.
pub(super) struct Place {
    room: Arc<Room>,
    carrying: AtomicBool,
}

impl Place {
    /// The event needs nothing more of Dynamics: another one may have its turn.
    pub(super) fn carried(&self) {
        if self.stops_carrying() {
            self.room.carried.fetch_add(1, Ordering::Relaxed);
            self.room.changed.notify_one();
        }
    }

    /// The event waits for a step that is refused, and keeps nobody out meanwhile; completes when it is to make room.
    pub(super) async fn waits(&self) {
        self.stops_carrying();
        let _waiting = Waiting::new(&self.room.waiting);
        self.room.changed.notify_one();
        self.room.aside.notified().await;
    }

    /// The event goes back to its queue.
    pub(super) fn gave_back(&self) {
        self.room.gave_back.store(true, Ordering::Relaxed);
    }

    /// Counts the event among those that are carried no longer. True when it was counted until now.
    fn stops_carrying(&self) -> bool {
        let was_carrying = self.carrying.swap(false, Ordering::Relaxed);
        if was_carrying {
            self.room.carrying.fetch_sub(1, Ordering::Relaxed);
        }
        was_carrying
    }
}

/// Counts one that waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.carried();
        self.room.under_way.fetch_sub(1, Ordering::Relaxed);
        self.room.changed.notify_one();
    }
}
