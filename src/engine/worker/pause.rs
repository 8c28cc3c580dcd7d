//! The short pauses between attempts in this process. The only place that knows the crate `backoff`.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// The first pause: longer than a hiccup, shorter than a person notices.
const FIRST: Duration = Duration::from_millis(200);
/// No pause in the process is longer; beyond it the retry queues are the place to wait.
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double, each somewhere between half and one and a half of its length.
pub(super) struct Pauses(ExponentialBackoff);

impl Pauses {
    pub(super) fn new() -> Self {
        // No jitter of the crate's own: dice are handed in, so that a simulation repeats exactly.
        let builder = ExponentialBackoffBuilder::new()
            .with_initial_interval(FIRST)
            .with_multiplier(2.0)
            .with_randomization_factor(0.0)
            .with_max_interval(LONGEST)
            .with_max_elapsed_time(None)
            .build();
        Self(builder)
    }

    /// The next pause; `dice` is a number from 0 to 1.
    pub(super) fn next(&mut self, dice: f64) -> Duration {
        let pause = self.0.next_backoff().unwrap_or(LONGEST);
        pause.mul_f64(0.5 + dice.clamp(0.0, 1.0))
    }
}
