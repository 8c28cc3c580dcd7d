//! Pauses between attempts to connect.

use std::time::Duration;

use rand::Rng;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Exponential backoff with jitter. Each pause is between half of its nominal length and all of it, so that many
/// workers don't reconnect at once.
pub(super) struct ReconnectBackoff {
    next: Duration,
}

impl ReconnectBackoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// Starts over after a connection that lasted longer than the longest pause.
    pub(super) fn reset_after(&mut self, lasted: Duration) {
        if lasted > LONGEST {
            self.next = FIRST;
        }
    }

    /// Returns the next pause.
    pub(super) fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        whole.mul_f64(rand::rng().random_range(0.5..1.0))
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
