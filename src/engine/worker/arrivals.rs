//! Arrivals of one organization's unfinished events: of those in flight, in retry queues, and in its own queue.
//!
//! The worker does not look into queues, so it remembers what it put there: when, and how many. That is bounded, and it
//! is lost with the process. What another worker moves, or moved earlier, is unknown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;

use crate::event::EventId;

/// Most periods of arrival that are told apart. Neighbours are joined when there are more.
const PERIODS: usize = 64;
/// Events that arrive within this time belong to one period.
const PERIOD: Duration = Duration::from_secs(1);
/// Most messages in retry queues that are remembered: the oldest ones.
const RETRIED: usize = 10_000;
/// Time after the end of its delay at which a message in a retry queue is forgotten. It may have been removed there, or
/// another worker may have taken it.
const OVERDUE: Duration = Duration::from_secs(600);

/// Longest time from the taking of an event to the record of its arrival: the broker delivers it as soon as it has it, and
/// confirms it later.
const EARLY: Duration = Duration::from_secs(5);
/// Most events taken so early that are remembered.
const MOST_EARLY: usize = 1000;

/// Arrivals of one organization's unfinished events.
#[derive(Default)]
pub(super) struct OrganizationArrivals {
    held: BTreeSet<(Timestamp, u64)>,
    /// Messages in retry queues, each with the time at which it is forgotten.
    retried: BTreeMap<RetriedMessage, Timestamp>,
    /// Events in the organization's queue, oldest first: the first arrival of each period and its number of events.
    waiting: VecDeque<(Timestamp, u64)>,
    /// Times at which events were taken whose arrival was not recorded: they come from another worker, or are to arrive.
    early: VecDeque<Timestamp>,
}

/// Arrivals of an organization's oldest unfinished events, as far as this worker knows them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EventAges {
    /// Oldest of those in flight and in retry queues.
    pub held: Option<Timestamp>,
    /// Oldest of those that this worker has moved to the organization's queue and not taken from it.
    pub waiting: Option<Timestamp>,
}

/// Identity of a message that goes through a retry queue and returns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct RetriedMessage {
    pub(super) first_seen: Timestamp,
    digest: u64,
}

impl RetriedMessage {
    pub(super) fn new(first_seen: Timestamp, event: &EventId) -> Self {
        let mut hasher = DefaultHasher::new();
        event.hash(&mut hasher);
        Self { first_seen, digest: hasher.finish() }
    }
}

impl OrganizationArrivals {
    /// Records that a message is in flight. It is in no retry queue any more.
    pub(super) fn hold(&mut self, number: u64, message: RetriedMessage) {
        self.retried.remove(&message);
        self.held.insert((message.first_seen, number));
    }

    /// Records that a message is no longer in flight.
    pub(super) fn release(&mut self, number: u64, first_seen: Timestamp) {
        self.held.remove(&(first_seen, number));
    }

    /// Records that a message is in a retry queue until this time.
    pub(super) fn retry(&mut self, message: RetriedMessage, until: Timestamp) {
        self.retried.insert(message, until.saturating_add(OVERDUE).unwrap_or(Timestamp::MAX));
        if self.retried.len() > RETRIED {
            self.retried.pop_last();
        }
    }

    /// Records that a message was in a retry queue when the store was read. It may be in flight by now, or over.
    pub(super) fn recall(&mut self, message: RetriedMessage, until: Timestamp) {
        let of_it = (message.first_seen, 0)..=(message.first_seen, u64::MAX);
        if self.held.range(of_it).next().is_none() {
            self.retry(message, until);
        }
    }

    /// Records that a message is in no retry queue any more.
    pub(super) fn returned(&mut self, message: &RetriedMessage) {
        self.retried.remove(message);
    }

    /// Forgets the events in queues, which another worker takes from now on: nothing would ever correct these.
    pub(super) fn forget_queued(&mut self) {
        self.retried.clear();
        self.waiting.clear();
        self.early.clear();
    }

    /// Records that an event was moved to the organization's queue.
    pub(super) fn arrive(&mut self, now: Timestamp) {
        self.forget_early(now);
        if self.early.pop_front().is_some() {
            return;
        }
        match self.waiting.back_mut() {
            Some((first, count)) if now.duration_since(*first).unsigned_abs() < PERIOD => *count += 1,
            _ => self.waiting.push_back((now, 1)),
        }
        if self.waiting.len() > PERIODS {
            self.join();
        }
    }

    /// Records that an event was taken from the organization's queue, which is in the order of arrival.
    pub(super) fn take(&mut self, now: Timestamp) {
        let Some((_, count)) = self.waiting.front_mut() else {
            self.forget_early(now);
            if self.early.len() < MOST_EARLY {
                self.early.push_back(now);
            }
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.waiting.pop_front();
        }
    }

    /// Records that an event was returned to the front of the organization's queue.
    pub(super) fn requeue(&mut self, first_seen: Timestamp) {
        match self.waiting.front_mut() {
            Some((first, count)) => (*first, *count) = ((*first).min(first_seen), *count + 1),
            None => self.waiting.push_front((first_seen, 1)),
        }
    }

    pub(super) fn ages(&mut self, now: Timestamp) -> EventAges {
        self.forget_early(now);
        // The oldest one that is not forgotten.
        while let Some(entry) = self.retried.first_entry().filter(|entry| *entry.get() < now) {
            entry.remove();
        }
        let (held, retried) = (self.held.first(), self.retried.first_key_value());
        EventAges {
            held: held.map(|(at, _)| *at).into_iter().chain(retried.map(|(message, _)| message.first_seen)).min(),
            waiting: self.waiting.front().map(|(first, _)| *first),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.retried.is_empty() && self.waiting.is_empty() && self.early.is_empty()
    }

    fn forget_early(&mut self, now: Timestamp) {
        while self.early.front().is_some_and(|taken| now.duration_since(*taken).unsigned_abs() > EARLY) {
            self.early.pop_front();
        }
    }

    /// Joins each period but the first two with its neighbour: the oldest ones stay exact.
    fn join(&mut self) {
        let mut joined: VecDeque<(Timestamp, u64)> = VecDeque::with_capacity(PERIODS);
        for (at, (first, count)) in self.waiting.drain(..).enumerate() {
            match joined.back_mut() {
                Some((_, sum)) if at > 1 && at % 2 == 1 => *sum += count,
                _ => joined.push_back((first, count)),
            }
        }
        self.waiting = joined;
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;
    use crate::workflow::samples::at;

    fn start() -> Timestamp {
        at("2026-11-29T03:00:00Z")
    }

    fn after(seconds: i64) -> Timestamp {
        start() + seconds.seconds()
    }

    fn message(seconds: i64, id: &str) -> RetriedMessage {
        RetriedMessage::new(after(seconds), &EventId::from(id))
    }

    #[test]
    fn the_oldest_of_a_queue_is_the_next_that_is_taken() {
        let mut arrivals = OrganizationArrivals::default();
        let waiting = |arrivals: &mut OrganizationArrivals| arrivals.ages(after(900)).waiting;
        for seconds in [0, 0, 5, 9] {
            arrivals.arrive(after(seconds));
        }
        let mut oldest = Vec::new();
        while let Some(first) = waiting(&mut arrivals) {
            oldest.push(first);
            arrivals.take(after(9));
        }
        assert_eq!(oldest, [after(0), after(0), after(5), after(9)]);
        // More are taken than this worker has moved.
        arrivals.take(after(9));
        assert_eq!(waiting(&mut arrivals), None);
        assert!(arrivals.is_empty());
        arrivals.arrive(after(20));
        arrivals.requeue(after(9));
        assert_eq!(waiting(&mut arrivals), Some(after(9)));
    }

    #[test]
    fn an_event_that_is_taken_before_its_arrival_is_recorded_does_not_wait() {
        let mut arrivals = OrganizationArrivals::default();
        arrivals.take(after(1));
        arrivals.arrive(after(1));
        assert_eq!(arrivals.ages(after(1)).waiting, None);
        assert!(arrivals.is_empty());
        // One that another worker moved is not the next one that this worker moves.
        arrivals.take(after(1));
        arrivals.arrive(after(7));
        assert_eq!(arrivals.ages(after(7)).waiting, Some(after(7)));
        (0..10_000).for_each(|_| arrivals.take(after(8)));
        assert!(arrivals.early.len() <= MOST_EARLY);
    }

    #[test]
    fn any_number_of_arrivals_takes_bounded_memory_and_loses_no_event() {
        let mut arrivals = OrganizationArrivals::default();
        for seconds in 0..10_000 {
            arrivals.arrive(after(seconds * 2));
            assert!(arrivals.waiting.len() <= PERIODS);
        }
        assert_eq!(arrivals.ages(after(20_000)).waiting, Some(after(0)));
        assert_eq!(arrivals.waiting.iter().map(|(_, count)| count).sum::<u64>(), 10_000);
        for number in 0..10_010 {
            arrivals.retry(message(number, "evt"), after(number));
        }
        assert_eq!(arrivals.retried.len(), RETRIED);
        assert_eq!(arrivals.ages(after(5)).held, Some(after(0)), "the oldest is kept");
    }

    #[test]
    fn a_message_in_a_retry_queue_is_known_until_it_returns_or_is_long_overdue() {
        let mut arrivals = OrganizationArrivals::default();
        let held = |arrivals: &mut OrganizationArrivals, seconds| arrivals.ages(after(seconds)).held;
        arrivals.retry(message(0, "evt_a"), after(30));
        arrivals.retry(message(1, "evt_b"), after(30));
        assert_eq!(held(&mut arrivals, 600), Some(after(0)));
        arrivals.hold(7, message(0, "evt_a"));
        arrivals.release(7, after(0));
        assert_eq!(held(&mut arrivals, 600), Some(after(1)));
        assert_eq!(held(&mut arrivals, 631), None);
        assert!(arrivals.is_empty());
    }
}
