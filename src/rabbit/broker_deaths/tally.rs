//! Decides which letters of a look have not been counted. Pure.
//!
//! A letter counts if it died since the last look and was not in it. Neither suffices: times are of two clocks and come in
//! whole seconds, and a letter may reach the queue minutes after its death; one that an operator moves aside and back is not
//! in the last look, but died long before it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use handoffd_engine::ports::bus::{BrokerDeath, DeadLetter};
use jiff::{SignedDuration, Timestamp};

/// Longest time before the last look of a death that counts: clocks differ, and the broker may be slow to move a letter.
const LATE: SignedDuration = SignedDuration::from_mins(5);
/// The same before the start of the process: a worker that died of an event is replaced within this.
const BEFORE_START: SignedDuration = SignedDuration::from_mins(1);

/// Letters that were counted.
pub(super) struct Tally {
    /// Earliest death that counts.
    since: Timestamp,
    /// Letters of the last look.
    last: HashSet<u64>,
    /// Letters of this look so far.
    now: HashSet<u64>,
}

impl Tally {
    /// Nothing counted, by a process that started then.
    pub(super) fn new(start: Timestamp) -> Self {
        Self { since: earlier(start, BEFORE_START), last: HashSet::new(), now: HashSet::new() }
    }

    /// True for a letter that has not been counted.
    pub(super) fn is_new(&mut self, letter: &DeadLetter, death: BrokerDeath) -> bool {
        let mark = mark(letter, death);
        let first = self.now.insert(mark);
        first && !self.last.contains(&mark) && death.at.is_some_and(|at| at >= self.since)
    }

    /// Ends the look that began then. One that is not complete may have missed letters of the look before.
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

/// The same for the same letter in each look of a process.
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

    /// Looks at letters, each with its body and the second of its death; the bodies of those that are counted.
    fn look<'a>(tally: &mut Tally, began: i64, complete: bool, letters: &[(&'a str, i64)]) -> Vec<&'a str> {
        let is_new = |(body, died): &&(&str, i64)| {
            let death = BrokerDeath { reason: Reason::Expired, at: Some(at(*died)) };
            tally.is_new(&letter(body), death)
        };
        let new = letters.iter().filter(is_new).map(|(body, _)| *body).collect();
        tally.end(at(began), complete);
        new
    }

    #[test]
    fn no_letter_is_counted_twice() {
        let mut tally = Tally::new(at(0));
        assert_eq!(look(&mut tally, 10, true, &[("a", 9), ("b", 9)]), ["a", "b"]);
        assert_eq!(look(&mut tally, 80, true, &[("a", 9), ("b", 9), ("c", 9), ("d", 70)]), ["c", "d"]);
        assert_eq!(look(&mut tally, 150, true, &[("a", 9), ("b", 9), ("c", 9), ("d", 70)]), [""; 0]);
    }

    #[test]
    fn the_same_event_that_dies_again_counts_again() {
        let mut tally = Tally::new(at(0));
        assert_eq!(look(&mut tally, 10, true, &[("a", 9)]), ["a"]);
        assert_eq!(look(&mut tally, 80, true, &[("a", 70)]), ["a"]);
    }

    #[test]
    fn what_died_with_the_worker_before_counts_and_older_ones_do_not() {
        let mut tally = Tally::new(at(0));
        assert_eq!(look(&mut tally, 10, true, &[("old", -61), ("just now", -60)]), ["just now"]);
    }

    #[test]
    fn a_letter_that_is_moved_aside_and_back_is_not_counted_again() {
        let mut tally = Tally::new(at(0));
        assert_eq!(look(&mut tally, 10, true, &[("a", 9)]), ["a"]);
        assert_eq!(look(&mut tally, 1000, true, &[]), [""; 0]);
        assert_eq!(look(&mut tally, 2000, true, &[("a", 9)]), [""; 0]);
    }

    #[test]
    fn an_incomplete_look_forgets_nothing() {
        let mut tally = Tally::new(at(0));
        assert_eq!(look(&mut tally, 10, true, &[("a", 9), ("b", 9)]), ["a", "b"]);
        assert_eq!(look(&mut tally, 500, false, &[("a", 9), ("c", 400)]), ["c"]);
        assert_eq!(look(&mut tally, 600, true, &[("a", 9), ("c", 400), ("b", 9), ("d", 20)]), ["d"]);
    }
}
