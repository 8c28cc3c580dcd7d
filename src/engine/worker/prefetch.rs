//! The number of deliveries that an organization's consumer asks for: pure.
//!
//! It grows with what is proven. A process may have died of the first message of the queue, so a consumer begins with one;
//! once a message comes that was never delivered before, with a few, for nobody knows yet whether the organization answers at
//! all, and hundreds of them may hang at once; then with ever more, each time as many were carried as it asked for.

/// After the first message that was never delivered before.
const FEW: u16 = 4;
/// By how much it grows, and shrinks.
const STEP: u16 = 4;

/// Change of the prefetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    None,
    Grown,
    Shrunk,
}

/// The prefetch of one organization's consumer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Prefetch {
    most: u16,
    now: u16,
    /// Events carried since it was set.
    carried: u16,
}

impl Prefetch {
    /// One delivery, until it is known whether the process died of it before.
    pub(super) fn new(most: u16) -> Self {
        Self { most: most.max(1), now: 1, carried: 0 }
    }

    /// The prefetch to ask the broker for.
    pub(super) fn now(self) -> u16 {
        self.now
    }

    /// A delivery came. True when the prefetch has changed.
    pub(super) fn comes(&mut self, redelivered: bool) -> bool {
        let proven = self.now == 1 && !redelivered && self.most > 1;
        if proven {
            self.set(FEW.min(self.most));
        }
        proven
    }

    /// So many more events were carried to their end.
    pub(super) fn carried(&mut self, events: usize) {
        self.carried = self.carried.saturating_add(u16::try_from(events).unwrap_or(u16::MAX));
    }

    /// Follows the room that the organization has for events. It is `starved` while it has some left and nothing waits to be begun.
    pub(super) fn follow(&mut self, room: usize, unacked: usize, starved: bool) -> Change {
        let room = u16::try_from(room).unwrap_or(u16::MAX);
        if self.now == 1 {
            return Change::None;
        }
        let saturated = unacked >= usize::from(self.now) && self.carried >= self.now;
        if saturated && starved && self.now < self.most {
            self.set(self.now.saturating_mul(STEP).min(self.most));
            return Change::Grown;
        }
        if self.now > FEW && room <= self.now / STEP {
            self.set((self.now / STEP).max(FEW.min(self.most)));
            return Change::Shrunk;
        }
        Change::None
    }

    fn set(&mut self, prefetch: u16) {
        (self.now, self.carried) = (prefetch, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proven() -> Prefetch {
        let mut prefetch = Prefetch::new(64);
        assert!(prefetch.comes(false));
        prefetch
    }

    #[test]
    fn it_begins_with_one_until_a_message_comes_for_the_first_time() {
        let mut prefetch = Prefetch::new(64);
        assert_eq!(prefetch.now(), 1);
        assert!(!prefetch.comes(true));
        assert_eq!(prefetch.follow(64, 1, true), Change::None);
        assert!(prefetch.comes(false));
        assert_eq!(prefetch.now(), FEW);
        assert!(!prefetch.comes(true), "those that were redelivered are through");
    }

    #[test]
    fn it_grows_only_with_what_was_carried() {
        let mut prefetch = proven();
        assert_eq!(prefetch.follow(64, 4, true), Change::None, "nothing was carried: it may hang");
        prefetch.carried(4);
        assert_eq!(prefetch.follow(64, 3, true), Change::None, "there are no more");
        assert_eq!(prefetch.follow(64, 4, false), Change::None, "there is no room for more");
        assert_eq!(prefetch.follow(64, 4, true), Change::Grown);
        assert_eq!(prefetch.now(), 16);
        prefetch.carried(16);
        assert_eq!(prefetch.follow(20, 16, true), Change::Grown);
        assert_eq!(prefetch.now(), 64);
        prefetch.carried(64);
        assert_eq!(prefetch.follow(1000, 64, true), Change::None, "never beyond the most");
    }

    #[test]
    fn it_shrinks_with_the_room_but_not_below_a_few() {
        let mut prefetch = Prefetch { most: 64, now: 64, carried: 0 };
        assert_eq!(prefetch.follow(17, 64, false), Change::None);
        assert_eq!(prefetch.follow(16, 64, false), Change::Shrunk);
        assert_eq!(prefetch.now(), 16);
        assert_eq!(prefetch.follow(1, 16, false), Change::Shrunk);
        assert_eq!(prefetch.follow(1, 4, false), Change::None);
        assert_eq!(prefetch.now(), FEW);
    }

    #[test]
    fn a_single_one_at_a_time_stays_so() {
        let mut prefetch = Prefetch::new(1);
        assert!(!prefetch.comes(false));
        prefetch.carried(9);
        assert_eq!(prefetch.follow(9, 9, true), Change::None);
        assert_eq!(prefetch.now(), 1);
    }
}
