//! Quarantine of poison messages. An event that ends the process (out of memory, a stack overflow, an abort) is
//! redelivered together with all others in flight, and would end every later process too.
//!
//! A redelivered event is recorded as quarantined before its first request, with the number of deaths it has seen. A
//! record quarantined by an earlier process identifies an event that was in flight when that process died, so it counts
//! one more death. A few other events were in flight too. So from the second death on, quarantined events are processed
//! one at a time: a further death is then that event's own, and the waiting ones count none. An event that gets an
//! answer, or waits long for one, admits the next one.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Place of the one quarantined event that is processed alone.
pub(super) struct Quarantine(pub(super) Arc<Semaphore>);

impl Default for Quarantine {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// Guard held while a quarantined event is processed.
pub(super) struct Isolation {
    /// Exclusive place; `None` after few deaths, when others are processed at the same time.
    pub(super) _alone: Option<OwnedSemaphorePermit>,
}
