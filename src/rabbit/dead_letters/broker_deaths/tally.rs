//! Decides which dead letters of a scan have not been counted. Pure.
//!
//! A dead letter counts if it died since the last scan and was not in it. Both conditions are needed: the times come
//! from two clocks in whole seconds, and a message may reach the queue minutes after its death; a dead letter that an
//! operator moves aside and back is missing from the last scan, but died long before it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use handoffd_engine::ports::bus::{BrokerDeath, DeadLetter};
use jiff::{SignedDuration, Timestamp};

/// Longest time from a death that counts to the last scan, because clocks differ and the broker may be slow to move a
/// message.
const LATE: SignedDuration = SignedDuration::from_mins(5);
/// Longest time from a death that counts to the start of the process; a worker killed by an event is replaced within
/// this time.
const BEFORE_START: SignedDuration = SignedDuration::from_mins(1);

/// Dead letters that have been counted.
pub(super) struct DeathTally {
    /// Earliest death that counts.
    since: Timestamp,
    /// Dead letters of the last scan.
    last: HashSet<u64>,
    /// Dead letters of the current scan so far.
    now: HashSet<u64>,
}

impl DeathTally {
    /// Creates an empty tally for a process started at this time.
    pub(super) fn new(start: Timestamp) -> Self {
        Self { since: earlier(start, BEFORE_START), last: HashSet::new(), now: HashSet::new() }
    }

    /// Returns true if the dead letter has not been counted.
    pub(super) fn is_new(&mut self, letter: &DeadLetter, death: BrokerDeath) -> bool {
        let mark = mark(letter, death);
        let first = self.now.insert(mark);
        first && !self.last.contains(&mark) && death.at.is_some_and(|at| at >= self.since)
    }

    /// Ends the scan begun at this time. An incomplete scan may have missed dead letters of the previous one.
    pub(super) fn end(&mut self, began: Timestamp, complete: bool) {
        let seen = std::mem::take(&mut self.now);
        if complete {
            self.last = seen;
            self.since = earlier(began, LATE);
        } else {
            self.last.extend(seen);
        }
    }
}

fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// Identifies a dead letter across the scans of a process.
fn mark(letter: &DeadLetter, death: BrokerDeath) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&letter.envelope.message_id, death, &letter.body).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use handoffd_engine::event::Envelope;
    use handoffd_engine::workflow::Reason;

    fn letter(body: &str) -> DeadLetter {
        DeadLetter::sample(Envelope::default(), Bytes::copy_from_slice(body.as_bytes()), None)
    }

    const START: &str = "2026-11-28T03:00:00Z";

    fn at(seconds: i64) -> Timestamp {
        START.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    /// Scans dead letters, given by body and second of death, and returns the bodies of those counted.
    fn look<'a>(tally: &mut DeathTally, began: i64, complete: bool, letters: &[(&'a str, i64)]) -> Vec<&'a str> {
        let is_new = |(body, died): &&(&str, i64)| {
            let death = BrokerDeath { reason: Reason::Expired, at: Some(at(*died)) };
            tally.is_new(&letter(body), death)
        };
        let new = letters.iter().filter(is_new).map(|(body, _)| *body).collect();
        tally.end(at(began), complete);
        new
    }

    #[test]
    fn no_dead_letter_is_counted_twice() {
        let mut tally = DeathTally::new(at(0));
        assert_eq!(look(&mut tally, 10, true, &[("a", 9), ("b", 9)]), ["a", "b"]);
        assert_eq!(look(&mut tally, 80, true, &[("a", 9), ("b", 9), ("c", 9), ("d", 70)]), ["c", "d"]);
        assert_eq!(look(&mut tally, 150, true, &[("a", 9), ("b", 9), ("c", 9), ("d", 70)]), [""; 0]);
    }

    #[test]
    fn an_event_that_dies_again_counts_again() {
        let mut tally = DeathTally::new(at(0));
        assert_eq!(look(&mut tally, 10, true, &[("a", 9)]), ["a"]);
        assert_eq!(look(&mut tally, 80, true, &[("a", 70)]), ["a"]);
    }

    #[test]
    fn deaths_within_a_minute_before_the_start_count_and_older_ones_do_not() {
        let mut tally = DeathTally::new(at(0));
        assert_eq!(look(&mut tally, 10, true, &[("old", -61), ("just now", -60)]), ["just now"]);
    }

    #[test]
    fn a_dead_letter_moved_aside_and_back_is_not_counted_again() {
        let mut tally = DeathTally::new(at(0));
        assert_eq!(look(&mut tally, 10, true, &[("a", 9)]), ["a"]);
        assert_eq!(look(&mut tally, 1000, true, &[]), [""; 0]);
        assert_eq!(look(&mut tally, 2000, true, &[("a", 9)]), [""; 0]);
    }

    #[test]
    fn an_incomplete_scan_keeps_the_previous_one() {
        let mut tally = DeathTally::new(at(0));
        assert_eq!(look(&mut tally, 10, true, &[("a", 9), ("b", 9)]), ["a", "b"]);
        assert_eq!(look(&mut tally, 500, false, &[("a", 9), ("c", 400)]), ["c"]);
        assert_eq!(look(&mut tally, 600, true, &[("a", 9), ("c", 400), ("b", 9), ("d", 20)]), ["d"]);
    }
}
