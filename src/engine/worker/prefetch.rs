//! Prefetch of an organization's consumer. Pure.
//!
//! It grows only with success, to limit the damage of a bad message or a hanging organization. A consumer starts with
//! one delivery, since the process may have died of the first message of the queue. After a message that was never
//! delivered before it asks for two, because the organization may not answer at all: 200 such organizations, with two more
//! events of 20 KB each, would take 25 MB more. From then on it grows each time as many events were processed as it asked for.

/// Prefetch after the first message that was never delivered before.
const FEW: u16 = 2;
/// Factor by which it grows and shrinks.
const STEP: u16 = 4;

/// Change of the prefetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PrefetchChange {
    None,
    Grown,
    Shrunk,
}

/// Prefetch of one organization's consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Prefetch {
    most: u16,
    now: u16,
    /// Events processed since the prefetch was set.
    completed: u16,
}

impl Prefetch {
    /// Starts with one delivery, until it is clear that the process did not die of it.
    pub(super) fn new(most: u16) -> Self {
        Self { most: most.max(1), now: 1, completed: 0 }
    }

    /// Returns the prefetch to request from the broker.
    pub(super) fn now(self) -> u16 {
        self.now
    }

    /// Counts a delivery. Returns true if the prefetch has changed.
    pub(super) fn on_delivery(&mut self, redelivered: bool) -> bool {
        let proven = self.now == 1 && !redelivered && self.most > 1;
        if proven {
            self.set(FEW.min(self.most));
        }
        proven
    }

    /// Counts events that were processed.
    pub(super) fn completed(&mut self, events: usize) {
        self.completed = self.completed.saturating_add(u16::try_from(events).unwrap_or(u16::MAX));
    }

    /// Adapts to the room that the organization has for events. `starved` is true while it has room left and no
    /// delivery waits to be started.
    pub(super) fn adjust(&mut self, room: usize, unacked: usize, starved: bool) -> PrefetchChange {
        let room = u16::try_from(room).unwrap_or(u16::MAX);
        if self.now == 1 {
            return PrefetchChange::None;
        }
        let saturated = unacked >= usize::from(self.now) && self.completed >= self.now;
        if saturated && starved && self.now < self.most {
            self.set(self.now.saturating_mul(STEP).min(self.most));
            return PrefetchChange::Grown;
        }
        if self.now > FEW && room <= self.now / STEP {
            self.set((self.now / STEP).max(FEW.min(self.most)));
            return PrefetchChange::Shrunk;
        }
        PrefetchChange::None
    }

    fn set(&mut self, prefetch: u16) {
        (self.now, self.completed) = (prefetch, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proven() -> Prefetch {
        let mut prefetch = Prefetch::new(64);
        assert!(prefetch.on_delivery(false));
        prefetch
    }

    #[test]
    fn prefetch_is_one_until_the_first_new_message() {
        let mut prefetch = Prefetch::new(64);
        assert_eq!(prefetch.now(), 1);
        assert!(!prefetch.on_delivery(true));
        assert_eq!(prefetch.adjust(64, 1, true), PrefetchChange::None);
        assert!(prefetch.on_delivery(false));
        assert_eq!(prefetch.now(), FEW);
        assert!(!prefetch.on_delivery(true), "all redelivered messages have been processed");
    }

    #[test]
    fn prefetch_grows_only_with_processed_events() {
        let mut prefetch = proven();
        assert_eq!(prefetch.adjust(64, 4, true), PrefetchChange::None, "nothing was processed, so it may hang");
        prefetch.completed(2);
        assert_eq!(prefetch.adjust(64, 1, true), PrefetchChange::None, "the queue has no more");
        assert_eq!(prefetch.adjust(64, 2, false), PrefetchChange::None, "there is no room for more");
        assert_eq!(prefetch.adjust(64, 2, true), PrefetchChange::Grown);
        assert_eq!(prefetch.now(), 8);
        prefetch.completed(8);
        assert_eq!(prefetch.adjust(20, 8, true), PrefetchChange::Grown);
        assert_eq!(prefetch.now(), 32);
        prefetch.completed(32);
        assert_eq!(prefetch.adjust(64, 32, true), PrefetchChange::Grown);
        assert_eq!(prefetch.now(), 64);
        prefetch.completed(64);
        assert_eq!(prefetch.adjust(1000, 64, true), PrefetchChange::None, "never above the maximum");
    }

    #[test]
    fn prefetch_shrinks_with_the_room_down_to_a_minimum() {
        let mut prefetch = Prefetch { most: 64, now: 64, completed: 0 };
        assert_eq!(prefetch.adjust(17, 64, false), PrefetchChange::None);
        assert_eq!(prefetch.adjust(16, 64, false), PrefetchChange::Shrunk);
        assert_eq!(prefetch.now(), 16);
        assert_eq!(prefetch.adjust(1, 16, false), PrefetchChange::Shrunk);
        assert_eq!(prefetch.adjust(1, 4, false), PrefetchChange::Shrunk);
        assert_eq!(prefetch.now(), FEW);
        assert_eq!(prefetch.adjust(0, 2, false), PrefetchChange::None);
    }

    #[test]
    fn a_maximum_of_one_never_changes() {
        let mut prefetch = Prefetch::new(1);
        assert!(!prefetch.on_delivery(false));
        prefetch.completed(9);
        assert_eq!(prefetch.adjust(9, 9, true), PrefetchChange::None);
        assert_eq!(prefetch.now(), 1);
    }
}
