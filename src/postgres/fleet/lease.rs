//! Lease of this worker, as it judges it by its own clock. Pure.
//!
//! A worker counts from the moment it sent its last good renewal. The server counts from its receipt, which is later. So
//! the worker stops before anybody takes over, unless its clock runs slower than the server's by half.

use std::time::{Duration, Instant};

/// Lease of this worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseClock {
    lease: Duration,
    /// Time at which the last good renewal was sent.
    renewed: Option<Instant>,
    /// Time since which no renewal has failed or been late.
    live_since: Option<Instant>,
}

impl LeaseClock {
    /// Creates the lease of a worker that has not joined.
    pub(super) fn new(lease: Duration) -> Self {
        Self { lease, renewed: None, live_since: None }
    }

    /// Returns the time between two renewals: several in each lease, and at least one a second, since each of them asks
    /// for what operators have changed.
    pub(super) fn interval(&self) -> Duration {
        (self.lease / 5).min(Duration::from_secs(1))
    }

    /// Records a renewal that was sent at this time.
    pub(super) fn renewed(&mut self, sent: Instant) {
        let is_late = self.renewed.is_none_or(|last| sent.duration_since(last) > self.interval() * 5 / 2);
        if is_late {
            self.live_since = None;
        }
        self.live_since.get_or_insert(sent);
        self.renewed = Some(sent);
    }

    /// Records a renewal that failed.
    pub(super) fn failed(&mut self) {
        self.live_since = None;
    }

    /// Records that the life is over.
    pub(super) fn lost(&mut self) {
        (self.renewed, self.live_since) = (None, None);
    }

    /// Returns true while requests may begin.
    pub(super) fn may_act(&self, now: Instant) -> bool {
        self.renewed.is_some_and(|renewed| now.duration_since(renewed) < self.lease * 7 / 10)
    }

    /// Returns true once others may have taken over.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.end().is_none_or(|end| now >= end)
    }

    /// Returns the time from which others may have taken over; `None` before the first renewal.
    pub(super) fn end(&self) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + self.lease)
    }

    /// Returns true once the worker has been live for a whole lease, so that it may declare others lost: after the
    /// server was away, they have had as much time to come back.
    pub(super) fn is_established(&self, now: Instant) -> bool {
        self.live_since.is_some_and(|since| now.duration_since(since) >= self.lease)
    }

    /// Returns the time since the last good renewal was sent.
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.renewed.map(|renewed| now.duration_since(renewed)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_worker_stops_before_its_lease_ends() {
        let (mut lease, start) = (LeaseClock::new(5 * SECOND), Instant::now());
        assert!(!lease.may_act(start) && lease.is_expired(start), "it has not joined");
        lease.renewed(start);
        assert!(lease.may_act(start + Duration::from_millis(3_499)));
        assert!(!lease.may_act(start + Duration::from_millis(3_500)));
        assert!(!lease.is_expired(start + Duration::from_millis(4_999)));
        assert!(lease.is_expired(start + 5 * SECOND));
        lease.lost();
        assert!(!lease.may_act(start));
    }

    #[test]
    fn only_a_worker_without_a_gap_for_a_lease_declares_others_lost() {
        let (mut lease, start) = (LeaseClock::new(5 * SECOND), Instant::now());
        let renew = |lease: &mut LeaseClock, from: u32, to: u32| {
            (from..=to).for_each(|second| lease.renewed(start + second * SECOND));
        };
        renew(&mut lease, 0, 4);
        assert!(!lease.is_established(start + 4 * SECOND));
        renew(&mut lease, 5, 5);
        assert!(lease.is_established(start + 5 * SECOND));
        // The server was away, and did not even refuse.
        renew(&mut lease, 8, 12);
        assert!(!lease.is_established(start + 12 * SECOND));
        renew(&mut lease, 13, 13);
        assert!(lease.is_established(start + 13 * SECOND));
        lease.failed();
        renew(&mut lease, 14, 18);
        assert!(!lease.is_established(start + 18 * SECOND));
    }

    #[test]
    fn what_operators_change_is_asked_for_every_second_at_least() {
        assert_eq!(LeaseClock::new(60 * SECOND).interval(), SECOND);
        assert_eq!(LeaseClock::new(2 * SECOND).interval(), Duration::from_millis(400));
    }
}
