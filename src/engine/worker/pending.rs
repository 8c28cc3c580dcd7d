//! Unfinished events that this worker has taken from a queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// Registry of the messages in flight, by a number of their own, because an invalid message has no key.
#[derive(Default)]
pub(super) struct PendingEvents(Mutex<Messages>);

#[derive(Default)]
struct Messages {
    first_seen: HashMap<u64, Timestamp>,
    numbers: u64,
}

/// Entry of the registry; dropping it removes it.
pub(super) struct PendingEntry {
    all: Arc<PendingEvents>,
    number: u64,
}

impl PendingEvents {
    /// Returns the time a worker first received the oldest of them; `None` if there is none.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.lock().first_seen.values().copied().min()
    }

    /// Registers a message that a worker first received at this time.
    pub(super) fn register(self: &Arc<Self>, first_seen: Timestamp) -> PendingEntry {
        let mut messages = self.lock();
        messages.numbers += 1;
        let number = messages.numbers;
        messages.first_seen.insert(number, first_seen);
        PendingEntry { all: self.clone(), number }
    }

    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PendingEntry {
    fn drop(&mut self) {
        self.all.lock().first_seen.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::samples::at;

    #[test]
    fn the_oldest_is_the_one_that_was_seen_first() {
        let all = Arc::new(PendingEvents::default());
        assert_eq!(all.oldest(), None);
        let (early, late) = (at("2026-11-22T10:00:00Z"), at("2026-11-22T11:00:00Z"));
        let (first, second) = (all.register(early), all.register(late));
        assert_eq!(all.oldest(), Some(early));
        drop(first);
        assert_eq!(all.oldest(), Some(late));
        drop(second);
        assert_eq!(all.oldest(), None);
    }
}
