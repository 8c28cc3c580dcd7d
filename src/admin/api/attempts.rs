//! Failed authentications: counted for each address, logged seldom, and answered with a pause.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

/// Failures within [`WINDOW`] after which an address has to wait.
const MOST: u32 = 10;
/// Time in which failures are counted, and the length of the pause.
const WINDOW: Duration = Duration::from_secs(60);
/// Limit of addresses remembered.
const ADDRESSES: usize = 1024;
/// Least time between two lines of the log.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Failed authentications of the last minute.
#[derive(Default)]
pub(super) struct FailedAttempts {
    table: HashMap<IpAddr, Failures>,
    logged: Option<Instant>,
    unlogged: u64,
}

struct Failures {
    since: Instant,
    count: u32,
    blocked: Option<Instant>,
}

impl FailedAttempts {
    /// Returns the rest of an address's pause, if it has one.
    pub(super) fn pause(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let until = self.table.get(&network(peer))?.blocked?;
        until.checked_duration_since(now).filter(|rest| !rest.is_zero())
    }

    /// Counts a failure. Returns the number of failures since the last line of the log if one is due.
    pub(super) fn count(&mut self, peer: IpAddr, now: Instant) -> Option<u64> {
        let peer = network(peer);
        if !self.table.contains_key(&peer) {
            self.make_room(now);
        }
        let failures = self.table.entry(peer).or_insert(Failures { since: now, count: 0, blocked: None });
        if failures.is_over(now) {
            *failures = Failures { since: now, count: 0, blocked: None };
        }
        failures.count += 1;
        if failures.count >= MOST {
            failures.blocked.get_or_insert(now + WINDOW);
        }
        self.unlogged += 1;
        let due = self.logged.is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL);
        due.then(|| {
            self.logged = Some(now);
            std::mem::take(&mut self.unlogged)
        })
    }

    /// Forgets what is over, else the oldest address, preferably one that does not wait.
    fn make_room(&mut self, now: Instant) {
        if self.table.len() < ADDRESSES {
            return;
        }
        self.table.retain(|_, failures| !failures.is_over(now));
        if self.table.len() >= ADDRESSES {
            let oldest =
                self.table.iter().min_by_key(|(_, it)| (it.blocked.is_some(), it.since)).map(|(peer, _)| *peer);
            oldest.map(|peer| self.table.remove(&peer));
        }
    }
}

impl Failures {
    fn is_over(&self, now: Instant) -> bool {
        self.blocked.unwrap_or(self.since + WINDOW) <= now
    }
}

/// Returns the address, or of IPv6 its /64 network, which one client has for itself.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(peer) => Ipv6Addr::from_bits(peer.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(n).into()
    }

    #[test]
    fn after_ten_failures_in_a_minute_an_address_waits_for_a_minute_at_most() {
        let (mut attempts, now) = (FailedAttempts::default(), Instant::now());
        for second in 0..9 {
            attempts.count(peer(1), now + Duration::from_secs(second));
            assert_eq!(attempts.pause(peer(1), now + Duration::from_secs(second)), None);
        }
        let tenth = now + Duration::from_secs(59);
        attempts.count(peer(1), tenth);
        assert_eq!(attempts.pause(peer(1), tenth), Some(WINDOW));
        assert_eq!(attempts.pause(peer(2), tenth), None, "another address");
        attempts.count(peer(1), tenth + Duration::from_secs(30));
        assert_eq!(attempts.pause(peer(1), tenth + Duration::from_secs(59)), Some(Duration::from_secs(1)));
        let over = tenth + WINDOW;
        assert_eq!(attempts.pause(peer(1), over), None);
        attempts.count(peer(1), over);
        assert_eq!(attempts.pause(peer(1), over), None, "it begins anew");
    }

    #[test]
    fn failures_of_different_minutes_do_not_add_up() {
        let (mut attempts, now) = (FailedAttempts::default(), Instant::now());
        for minute in 0..5 {
            for _ in 0..MOST - 1 {
                attempts.count(peer(1), now + WINDOW * minute);
            }
            assert_eq!(attempts.pause(peer(1), now + WINDOW * minute), None);
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (mut attempts, now) = (FailedAttempts::default(), Instant::now());
        for host in 0..10_u128 {
            attempts.count(Ipv6Addr::from_bits((0x2001_0db8 << 96) | host).into(), now);
        }
        assert!(attempts.pause("2001:db8::ffff".parse().unwrap(), now).is_some());
        assert!(attempts.pause("2001:db8:0:1::".parse().unwrap(), now).is_none());
    }

    #[test]
    fn addresses_are_bounded_and_those_that_wait_stay() {
        let (mut attempts, now) = (FailedAttempts::default(), Instant::now());
        for _ in 0..MOST {
            attempts.count(peer(0), now);
        }
        for n in 1..5000 {
            attempts.count(peer(n), now);
        }
        assert_eq!(attempts.table.len(), ADDRESSES);
        assert!(attempts.pause(peer(0), now).is_some());
    }

    #[test]
    fn the_log_has_a_line_a_second_at_most() {
        let (mut attempts, now) = (FailedAttempts::default(), Instant::now());
        let at = |millis| now + Duration::from_millis(millis);
        let logged: Vec<_> = [0, 1, 999, 1000, 1500, 3000].map(|it| attempts.count(peer(1), at(it))).into();
        assert_eq!(logged, [Some(1), None, None, Some(3), None, Some(2)]);
    }
}
