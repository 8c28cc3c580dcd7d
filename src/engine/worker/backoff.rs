//! Backoff between attempts in this process.

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// First pause: longer than a brief outage, shorter than a person notices.
const FIRST: Duration = Duration::from_millis(200);
/// Longest pause in the process; longer waits are spent in the retry queues.
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double, each varied randomly between half and one and a half of its length.
pub(super) struct Backoff(ExponentialBackoff);

impl Backoff {
    pub(super) fn new() -> Self {
        // The crate's own jitter is off: the random number is passed in, so that a simulation is reproducible.
        let builder = ExponentialBackoffBuilder::new()
            .with_initial_interval(FIRST)
            .with_multiplier(2.0)
            .with_randomization_factor(0.0)
            .with_max_interval(LONGEST)
            .with_max_elapsed_time(None)
            .build();
        Self(builder)
    }

    /// Returns the next pause; `dice` is a random number from 0 to 1.
    pub(super) fn next(&mut self, dice: f64) -> Duration {
        let pause = self.0.next_backoff().unwrap_or(LONGEST);
        pause.mul_f64(0.5 + dice.clamp(0.0, 1.0))
    }
}
