//! The age of an event that fails: what `retry.max_age` bounds.

use std::time::Duration;

use tokio::time::Instant;

/// Time since an event's first failed attempt, without the time that it waited for its organization.
pub(super) struct Age {
    spent: Duration,
    /// None before the first failure.
    since: Option<Instant>,
}

impl Age {
    /// As the message says; none of one that has not failed yet.
    pub(super) fn new(past: Option<Duration>) -> Self {
        Self { spent: past.unwrap_or_default(), since: past.map(|_| Instant::now()) }
    }

    pub(super) fn now(&self) -> Duration {
        self.spent + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// It counts from here, if it does not yet.
    pub(super) fn begins(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// The wait for the organization is over: the age is what it was when that began.
    pub(super) fn resumes_at(&mut self, age: Option<Duration>) {
        *self = Self::new(age);
    }

    pub(super) fn told(&self) -> Option<Duration> {
        self.since.map(|_| self.now())
    }
}
