//! Pauses between attempts to connect.

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

const FIRST: Duration = Duration::from_millis(100);
/// Longest pause. Shorter than a worker may be cut off among others that are not: they reconnect first after an outage.
const LONGEST: Duration = Duration::from_secs(3);

/// Exponential backoff with jitter. Each pause is between half of its nominal length and all of it, so that many
/// workers don't reconnect at once.
pub(in crate::rabbit) struct ReconnectBackoff(ExponentialBackoff);

impl ReconnectBackoff {
    pub(in crate::rabbit) fn new() -> Self {
        // The library varies an interval by this factor up and down: three quarters, give or take one quarter.
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(FIRST * 3 / 4)
            .with_max_interval(LONGEST * 3 / 4)
            .with_randomization_factor(1.0 / 3.0)
            .with_multiplier(2.0)
            .with_max_elapsed_time(None)
            .build();
        Self(backoff)
    }

    /// Starts over after a connection that lasted longer than the longest pause.
    pub(in crate::rabbit) fn reset_after(&mut self, lasted: Duration) {
        if lasted > LONGEST {
            self.0.reset();
        }
    }

    /// Returns the next pause.
    pub(in crate::rabbit) fn pause(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_reset_after_a_lasting_connection() {
        let mut backoff = ReconnectBackoff::new();
        let pauses: Vec<_> = (0..20).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= FIRST && pauses[0] >= FIRST / 2);
        assert!(pauses[19] <= LONGEST && pauses[19] >= LONGEST / 2);
        backoff.reset_after(LONGEST / 2);
        assert!(backoff.pause() >= LONGEST / 2);
        backoff.reset_after(LONGEST * 2);
        assert!(backoff.pause() <= FIRST);
    }
}
