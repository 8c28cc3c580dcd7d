//! Events of each organization in the last hours, from the readings of every second, in bounded memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::organizations::OrganizationView;

/// Number of slots, which cover six hours.
pub(super) const SLOTS: usize = 72;
const SLOT: Duration = Duration::from_secs(300);
/// Interval between two samples for the present rate.
const EVERY: Duration = Duration::from_secs(10);
/// Samples that cover a minute.
const SAMPLES: usize = 7;

/// Histories of all organizations.
pub struct OrganizationHistories {
    start: Instant,
    all: Mutex<BTreeMap<String, OrganizationHistory>>,
}

/// Counts of five minutes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct EventSlot {
    /// Events that succeeded or were skipped.
    pub(crate) done: u64,
    /// Events that became dead letters.
    pub(crate) dead: u64,
}

/// Events of an organization that are over since the start of the worker that counts them.
#[derive(Clone, Copy, Default)]
struct FinishedCounts {
    finished: u64,
    dead: u64,
}

#[derive(Default)]
struct OrganizationHistory {
    /// Worker whose counters these are; `None` without other workers, or while there is none.
    worker: Option<String>,
    /// Counters of the last reading.
    last: FinishedCounts,
    /// Slots with their numbers, oldest first; those without a reading are missing.
    slots: VecDeque<(u64, EventSlot)>,
    samples: VecDeque<(Instant, u64)>,
}

impl Default for OrganizationHistories {
    fn default() -> Self {
        Self { start: Instant::now(), all: Mutex::default() }
    }
}

impl OrganizationHistories {
    /// Adds a reading of all organizations, and forgets those that are gone.
    pub(super) fn add(&self, views: &[OrganizationView], now: Instant) {
        let (slot, mut all) = (self.slot(now), self.lock());
        let mut before = std::mem::take(&mut *all);
        for view in views {
            let id = &view.organization_id;
            let counts = FinishedCounts { finished: view.finished, dead: view.dead };
            let mut history = before.remove(id).unwrap_or_else(|| OrganizationHistory::starting(view, counts));
            history.follow(view.worker.as_deref(), counts);
            history.add(counts, slot, now);
            all.insert(id.clone(), history);
        }
    }

    /// Returns the events of an organization that were finished per minute, in the last minute.
    pub(super) fn rate(&self, organization: &str) -> Option<f64> {
        self.lock().get(organization)?.rate()
    }

    /// Returns the last hours of an organization, oldest first; `None` where the worker did not run.
    pub(super) fn slots(&self, organization: &str, now: Instant) -> [Option<EventSlot>; SLOTS] {
        let mut found = [None; SLOTS];
        let current = self.slot(now);
        for (number, slot) in self.lock().get(organization).into_iter().flat_map(|history| &history.slots) {
            let back = usize::try_from(current.saturating_sub(*number)).unwrap_or(usize::MAX);
            if back < SLOTS {
                found[SLOTS - 1 - back] = Some(*slot);
            }
        }
        found
    }

    fn slot(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs() / SLOT.as_secs()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, OrganizationHistory>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OrganizationHistory {
    /// Begins with the first reading. What another worker has counted before is no part of it.
    fn starting(view: &OrganizationView, counts: FinishedCounts) -> Self {
        let last = if view.blocked_elsewhere.is_some() { counts } else { FinishedCounts::default() };
        Self { worker: view.worker.clone(), last, ..Self::default() }
    }

    /// Goes on with the counters of another worker, which began to count at another time.
    fn follow(&mut self, worker: Option<&str>, counts: FinishedCounts) {
        if self.worker.as_deref() != worker {
            (self.worker, self.last) = (worker.map(str::to_owned), counts);
            self.samples.clear();
        }
    }

    fn add(&mut self, counts: FinishedCounts, slot: u64, now: Instant) {
        if self.slots.back().is_none_or(|(last, _)| *last != slot) {
            self.slots.push_back((slot, EventSlot::default()));
            if self.slots.len() > SLOTS {
                self.slots.pop_front();
            }
        }
        // Smaller counters are those of an organization that was removed and added again.
        let more = counts.finished.saturating_sub(self.last.finished);
        let died = counts.dead.saturating_sub(self.last.dead);
        if let Some((_, slot)) = self.slots.back_mut() {
            slot.dead += died;
            slot.done += more.saturating_sub(died);
        }
        self.last = counts;
        let is_due = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) >= EVERY;
        if self.samples.back().is_none_or(is_due) {
            self.samples.push_back((now, counts.finished));
            if self.samples.len() > SAMPLES {
                self.samples.pop_front();
            }
        }
    }

    #[allow(clippy::cast_precision_loss)] // a minute's events are few
    fn rate(&self) -> Option<f64> {
        let ((began, before), (ended, after)) = self.samples.front().zip(self.samples.back())?;
        let seconds = ended.saturating_duration_since(*began).as_secs_f64();
        (seconds > 0.0).then(|| after.saturating_sub(*before) as f64 / seconds * 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(finished: u64, dead: u64) -> FinishedCounts {
        FinishedCounts { finished, dead }
    }

    #[test]
    fn another_workers_earlier_events_are_not_counted() {
        let (start, mut history) = (Instant::now(), OrganizationHistory::default());
        let done = |history: &OrganizationHistory| history.slots.back().map(|(_, slot)| slot.done);
        for (second, worker, finished, expected) in [
            (0, None, 2, 2),
            (1, Some("b"), 1000, 2),
            (2, Some("b"), 1003, 5),
            (3, Some("a"), 7, 5),
            (4, Some("a"), 8, 6),
        ] {
            history.follow(worker, counts(finished, 0));
            history.add(counts(finished, 0), 0, start + Duration::from_secs(second));
            assert_eq!(done(&history), Some(expected), "second {second}");
        }
    }

    #[test]
    fn events_are_counted_by_slot_and_rated_by_the_minute() {
        let (start, mut history) = (Instant::now(), OrganizationHistory::default());
        for second in 0..=600u64 {
            history.add(counts(second * 2, second / 10), second / SLOT.as_secs(), start + Duration::from_secs(second));
        }
        let slots: Vec<EventSlot> = history.slots.iter().map(|(_, slot)| *slot).collect();
        assert_eq!(slots[1], EventSlot { done: 570, dead: 30 });
        assert_eq!((slots.len(), history.rate().map(f64::round)), (3, Some(120.0)));
        assert_eq!(history.samples.len(), SAMPLES);
        history.add(counts(5, 0), 2, start + Duration::from_secs(601));
        assert_eq!(history.slots.back().map(|(_, slot)| slot.done), Some(1), "added again, it counts from anew");
    }

    #[test]
    fn memory_is_bounded_and_unknown_minutes_are_missing() {
        let histories = OrganizationHistories::default();
        let mut history = OrganizationHistory::default();
        for slot in 10..200 {
            history.add(counts(slot, 0), slot, histories.start);
        }
        assert_eq!((history.slots.len(), history.rate()), (SLOTS, None), "no time has passed");
        histories.lock().insert("org_acme".to_owned(), history);
        let slots = histories.slots("org_acme", histories.start + SLOT * 201);
        assert_eq!((slots[SLOTS - 1], slots[SLOTS - 3]), (None, Some(EventSlot { done: 1, dead: 0 })));
        assert_eq!(histories.slots("org_other", histories.start), [None; SLOTS]);
        histories.add(&[], histories.start);
        assert_eq!(histories.slots("org_acme", histories.start + SLOT * 201), [None; SLOTS]);
    }
}
