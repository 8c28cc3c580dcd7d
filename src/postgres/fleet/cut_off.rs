//! Time for which this worker can't reach the broker while another one can. Pure.
//!
//! While the broker is away for all, nobody could do better with an organization. So the time counts only while another
//! worker can receive: after an outage of the broker itself, all have the same time to come back.

use std::time::{Duration, Instant};

/// Least time after which a worker gives its organizations up, whatever the lease. It is longer than the longest pause
/// between two attempts to connect, so that a worker which merely connects later than another one keeps what it has.
const SHORTEST: Duration = Duration::from_secs(4);

/// Time for which a worker has been cut off.
#[derive(Clone, Copy, Debug)]
pub(super) struct CutOffClock {
    limit: Duration,
    since: Option<Instant>,
}

impl CutOffClock {
    /// Creates the clock of a worker that is not cut off.
    pub(super) fn new(lease: Duration) -> Self {
        Self { limit: lease.max(SHORTEST), since: None }
    }

    /// Records whether the worker is cut off while another one can receive. Returns true once that has lasted too long.
    pub(super) fn look(&mut self, is_cut_off: bool, now: Instant) -> bool {
        if !is_cut_off {
            self.since = None;
            return false;
        }
        now.duration_since(*self.since.get_or_insert(now)) >= self.limit
    }

    /// Starts over, because nothing is known of the other workers.
    pub(super) fn reset(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_worker_gives_up_when_it_is_cut_off_for_a_lease_of_four_seconds_at_least() {
        for (lease, limit) in [(5, 5), (2, 4)] {
            let (mut clock, start) = (CutOffClock::new(lease * SECOND), Instant::now());
            assert!((0..limit).all(|second| !clock.look(true, start + second * SECOND)), "{lease}");
            assert!(clock.look(true, start + limit * SECOND) && clock.look(true, start + 2 * limit * SECOND));
        }
    }

    #[test]
    fn a_moment_in_which_it_is_not_cut_off_starts_the_time_over() {
        let (mut clock, start) = (CutOffClock::new(5 * SECOND), Instant::now());
        clock.look(true, start);
        clock.look(false, start + 4 * SECOND);
        assert!(!clock.look(true, start + 5 * SECOND));
        assert!(!clock.look(true, start + 9 * SECOND));
        clock.reset();
        assert!(!clock.look(true, start + 11 * SECOND));
    }
}
