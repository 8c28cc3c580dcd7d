//! How many requests an organization may have under way, and since when none at all.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};

/// One organization's gate. Dataverse's limits count per application user: all senders share it.
pub(super) struct Gate {
    places: Semaphore,
    shut_until: Mutex<Option<Timestamp>>,
}

impl Gate {
    pub(super) fn new(concurrency: usize) -> Self {
        Self { places: Semaphore::new(concurrency), shut_until: Mutex::new(None) }
    }

    /// A place among the requests under way; the time to come back when the gate is shut.
    pub(super) async fn enter(&self, now: impl Fn() -> Timestamp) -> Result<SemaphorePermit<'_>, Timestamp> {
        self.open(now())?;
        // The semaphore is never closed.
        let place = self.places.acquire().await.map_err(|_| now())?;
        self.open(now())?;
        Ok(place)
    }

    /// Nobody enters before this time.
    pub(super) fn shut(&self, until: Timestamp) {
        let mut shut = self.shut_until.lock().unwrap_or_else(PoisonError::into_inner);
        *shut = (*shut).max(Some(until));
    }

    /// Until when nobody enters, if so.
    pub(super) fn shut_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.shut_until.lock().unwrap_or_else(PoisonError::into_inner).filter(|until| *until > now)
    }

    fn open(&self, now: Timestamp) -> Result<(), Timestamp> {
        self.shut_until(now).map_or(Ok(()), Err)
    }
}
