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
        Place { room: self.clone(), carrying: true }
    }

    /// Completes once something has changed since the last time.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// The place of one event that is begun. It is given up when the event is settled, or ends by a panic.
pub(super) struct Place {
    room: Arc<Room>,
    carrying: bool,
}

impl Place {
    /// The event needs nothing more of Dynamics: another one may have its turn.
    pub(super) fn carried(&mut self) {
        if std::mem::take(&mut self.carrying) {
            self.room.carrying.fetch_sub(1, Ordering::Relaxed);
            self.room.carried.fetch_add(1, Ordering::Relaxed);
            self.room.changed.notify_one();
        }
    }
}

impl Place {
    /// The event goes back to its queue.
    pub(super) fn gave_back(&self) {
        self.room.gave_back.store(true, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.carried();
        self.room.under_way.fetch_sub(1, Ordering::Relaxed);
        self.room.changed.notify_one();
    }
}
