//! Age of a failing event, which `retry.max_age` limits.

use std::time::Duration;

use tokio::time::Instant;

/// Time since the event's first failed attempt, without the time spent waiting for its organization.
pub(super) struct Age {
    spent: Duration,
    /// Start of the present count; `None` before the first failure.
    since: Option<Instant>,
}

impl Age {
    /// Starts from the age in the message's headers; `None` if the event has not failed yet.
    pub(super) fn new(past: Option<Duration>) -> Self {
        Self { spent: past.unwrap_or_default(), since: past.map(|_| Instant::now()) }
    }

    pub(super) fn now(&self) -> Duration {
        self.spent + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Starts counting, unless it counts already.
    pub(super) fn start(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Restores the age from before a wait for the organization.
    pub(super) fn resume_at(&mut self, age: Option<Duration>) {
        *self = Self::new(age);
    }

    pub(super) fn if_started(&self) -> Option<Duration> {
        self.since.map(|_| self.now())
    }
}
