//! How old the oldest event is that is not over, as far as this worker can tell.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::event::EventKey;

/// An event that is so much too late has been taken by another worker, or by an operator: nobody asks after it.
const GRACE: Duration = Duration::from_secs(60);
/// Most events in retry queues to remember, some ten megabytes. What comes beyond it is younger than most.
const MOST: usize = 50_000;

/// Events that are not over: those in hand, those that wait for room and the first one of each backlog among them; and those
/// that this process has put into a retry queue and that are not overdue from there.
#[derive(Default)]
pub(super) struct Unfinished(Mutex<Events>);

#[derive(Default)]
struct Events {
    /// By a number of their own: a message that is no event has no key.
    in_hand: HashMap<u64, Timestamp>,
    numbers: u64,
    put_off: HashMap<EventKey, PutOff>,
}

struct PutOff {
    first_seen: Timestamp,
    /// When it must be back.
    late: Instant,
}

/// A message in hand, as long as this lives.
pub(super) struct Presence {
    all: Arc<Unfinished>,
    number: u64,
}

impl Unfinished {
    /// When a worker first saw the oldest of them; none when there is none.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let mut events = self.lock();
        events.forget_the_late();
        let put_off = events.put_off.values().map(|put_off| put_off.first_seen);
        events.in_hand.values().copied().chain(put_off).min()
    }

    /// A message comes, seen first then.
    pub(super) fn comes(self: &Arc<Self>, key: Option<&EventKey>, first_seen: Timestamp) -> Presence {
        let mut events = self.lock();
        if let Some(key) = key {
            events.put_off.remove(key);
        }
        events.numbers += 1;
        let number = events.numbers;
        events.in_hand.insert(number, first_seen);
        Presence { all: self.clone(), number }
    }

    /// An event was put into a retry queue, and is back in so long.
    pub(super) fn leaves(&self, key: &EventKey, first_seen: Timestamp, back_in: Duration) {
        let mut events = self.lock();
        if events.put_off.len() >= MOST {
            events.forget_the_late();
        }
        if events.put_off.len() < MOST {
            let late = Instant::now() + back_in + GRACE;
            events.put_off.insert(key.clone(), PutOff { first_seen, late });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Events> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Events {
    fn forget_the_late(&mut self) {
        let now = Instant::now();
        self.put_off.retain(|_, put_off| now < put_off.late);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.all.lock().in_hand.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::samples::at;

    const DELAY: Duration = Duration::from_secs(30);

    fn key(event_id: &str) -> EventKey {
        EventKey { organization_id: "org_acme".into(), event_id: event_id.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_in_hand_or_in_a_retry_queue() {
        let all = Arc::new(Unfinished::default());
        assert_eq!(all.oldest(), None);
        let (early, late) = (at("2026-11-22T10:00:00Z"), at("2026-11-22T11:00:00Z"));
        let first = all.comes(Some(&key("a")), early);
        let second = all.comes(None, late);
        assert_eq!(all.oldest(), Some(early));
        all.leaves(&key("a"), early, DELAY);
        drop(first);
        assert_eq!(all.oldest(), Some(early), "it waits");
        let again = all.comes(Some(&key("a")), early);
        drop(again);
        assert_eq!(all.oldest(), Some(late), "it came back, and is over");
        drop(second);
        assert_eq!(all.oldest(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_back_is_asked_after_no_more() {
        let all = Arc::new(Unfinished::default());
        all.leaves(&key("a"), at("2026-11-22T10:00:00Z"), DELAY);
        tokio::time::advance(DELAY + GRACE / 2).await;
        assert!(all.oldest().is_some());
        tokio::time::advance(GRACE / 2).await;
        assert_eq!(all.oldest(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_remembered_than_there_is_room_for() {
        let all = Arc::new(Unfinished::default());
        let early = at("2026-11-22T10:00:00Z");
        for number in 0..=MOST {
            all.leaves(&key(&number.to_string()), early, DELAY);
        }
        assert_eq!(all.lock().put_off.len(), MOST);
    }
}
