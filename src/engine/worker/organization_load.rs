//! Counts of one organization's events in flight, shared by its consumer and those events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::ports::fleet::Claim;

/// Counts of one organization. All access is from one runtime, and the order of single operations does not matter.
pub(super) struct OrganizationLoad {
    /// Term for which the organization is owned; `None` without other workers.
    claim: Option<Claim>,
    /// Cancelled when the organization is given back: its events pause no more.
    ending: CancellationToken,
    /// Events that were started and still have or need a request to Dynamics.
    requesting: AtomicUsize,
    /// Events that were started and are not settled yet.
    unsettled: AtomicUsize,
    /// Events processed since the count was last taken.
    completed: AtomicUsize,
    /// True if an event was returned to its queue, so that its channel has to be closed.
    requeued: AtomicBool,
    /// Events that wait for a refused step, while others can be started.
    waiting: AtomicUsize,
    /// Wakes the event that has waited longest for a step, to make room.
    evict: Notify,
    changed: Notify,
}

impl OrganizationLoad {
    /// Creates the counts of an organization whose events pause until `ending`.
    pub(super) fn new(claim: Option<Claim>, ending: CancellationToken) -> Self {
        Self {
            claim,
            ending,
            requesting: AtomicUsize::default(),
            unsettled: AtomicUsize::default(),
            completed: AtomicUsize::default(),
            requeued: AtomicBool::default(),
            waiting: AtomicUsize::default(),
            evict: Notify::new(),
            changed: Notify::new(),
        }
    }

    /// Returns true if the organization is owned for a term, so that its end is awaited by others.
    pub(super) fn is_of_term(&self) -> bool {
        self.claim.is_some()
    }

    /// Ends the pauses of all events.
    pub(super) fn stop_pausing(&self) {
        self.ending.cancel();
    }

    pub(super) fn requesting(&self) -> usize {
        self.requesting.load(Ordering::Relaxed)
    }

    pub(super) fn unsettled(&self) -> usize {
        self.unsettled.load(Ordering::Relaxed)
    }

    /// Takes the count of events processed since the last call.
    pub(super) fn take_completed(&self) -> usize {
        self.completed.swap(0, Ordering::Relaxed)
    }

    /// Returns true if an event was returned to its queue since the last call.
    pub(super) fn take_requeued(&self) -> bool {
        self.requeued.swap(false, Ordering::Relaxed)
    }

    /// Counts an event that is started.
    pub(super) fn start(self: &Arc<Self>) -> LoadSlot {
        self.requesting.fetch_add(1, Ordering::Relaxed);
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        LoadSlot { load: self.clone(), requesting: AtomicBool::new(true) }
    }

    /// Returns the number of events that wait for a refused step.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Makes all events that wait for a step make room.
    pub(super) fn clear(&self) {
        self.evict.notify_waiters();
    }

    /// Makes the event that has waited longest for a step make room.
    pub(super) fn make_room(&self) {
        self.evict.notify_one();
    }

    /// Completes once a count has changed since the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Place of one started event. It is released when the event is settled, or ends by a panic.
pub(super) struct LoadSlot {
    load: Arc<OrganizationLoad>,
    requesting: AtomicBool,
}

impl LoadSlot {
    /// Returns the term for which the organization is owned; `None` without other workers.
    pub(super) fn claim(&self) -> Option<&Claim> {
        self.load.claim.as_ref()
    }

    /// Returns the token that ends the pauses of the event.
    pub(super) fn ending(&self) -> &CancellationToken {
        &self.load.ending
    }

    /// Marks that the event needs no more requests to Dynamics, so that another one may start.
    pub(super) fn mark_completed(&self) {
        if self.stop_requesting() {
            self.load.completed.fetch_add(1, Ordering::Relaxed);
            self.load.changed.notify_one();
        }
    }

    /// Waits for a refused step without keeping others out. Completes when the event is to make room.
    pub(super) async fn wait_for_step(&self) {
        self.stop_requesting();
        let _waiting = Waiting::new(&self.load.waiting);
        self.load.changed.notify_one();
        self.load.evict.notified().await;
    }

    /// Marks that the event was returned to its queue.
    pub(super) fn mark_requeued(&self) {
        self.load.requeued.store(true, Ordering::Relaxed);
    }

    /// Stops counting the event as being processed. Returns true if it was counted until now.
    fn stop_requesting(&self) -> bool {
        let was_requesting = self.requesting.swap(false, Ordering::Relaxed);
        if was_requesting {
            self.load.requesting.fetch_sub(1, Ordering::Relaxed);
        }
        was_requesting
    }
}

/// Guard that counts one waiting event.
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

impl Drop for LoadSlot {
    fn drop(&mut self) {
        self.mark_completed();
        self.load.unsettled.fetch_sub(1, Ordering::Relaxed);
        self.load.changed.notify_one();
    }
}
