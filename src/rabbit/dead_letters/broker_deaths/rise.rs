//! Decides from the depths of the dead-letter queue when to scan it. Pure.
//!
//! A level is a depth without this worker's own copies. A consumer that scans the queue holds dead letters for a while,
//! so that the depth falls and recovers. So a rise counts from the highest level of the last minute. A copy that awaits
//! its confirm may or may not be part of a depth; the interpretation without a rise is assumed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Age up to which a level counts. An operator's scan takes less.
const RECENT: Duration = Duration::from_secs(60);
/// Time from a rise to the scan, so that events given up together are counted together.
const SETTLING: Duration = Duration::from_secs(10);
/// Shortest time between two scans.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);
/// Shortest time between two reports of too many dead letters.
const BETWEEN_REPORTS: Duration = Duration::from_secs(3600);

/// Depth of the queue, and own copies around the time of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    /// Messages ready for delivery.
    pub messages: u64,
    /// Own copies begun before the answer: the most that can be part of it.
    pub begun: u64,
    /// Own copies finished before the request: these are part of it.
    pub finished: u64,
}

/// Consequence of a depth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Do nothing.
    Nothing,
    /// Scan the queue.
    Look,
    /// Report that there are too many dead letters to scan.
    TooMany,
}

/// Growth of the dead-letter queue that this worker's own copies don't explain.
#[derive(Default)]
pub(super) struct Growth {
    levels: VecDeque<(Instant, i64)>,
    /// Time of the first rise since the last complete scan.
    unexplained: Option<Instant>,
    looked: Option<Instant>,
    reported: Option<Instant>,
}

impl Growth {
    /// Processes a depth. Above `most` dead letters there is no scan.
    pub(super) fn observe(&mut self, now: Instant, depth: Depth, most: u64) -> Next {
        let level = signed(depth.messages) - signed(depth.begun);
        // The first depth may include events that the broker gave up when the previous worker died.
        let highest = self.levels.iter().map(|(_, level)| *level).max().unwrap_or(0);
        self.unexplained = match self.unexplained {
            _ if depth.messages == 0 => None,
            None if level > highest => Some(now),
            since => since,
        };
        self.remember(now, signed(depth.messages) - signed(depth.finished));
        self.next(now, depth.messages, most)
    }

    /// Records the end of a scan; an incomplete one is repeated.
    pub(super) fn looked(&mut self, complete: bool) {
        if complete {
            self.unexplained = None;
        }
    }

    fn next(&mut self, now: Instant, messages: u64, most: u64) -> Next {
        if self.unexplained.is_none_or(|since| now.duration_since(since) < SETTLING) {
            return Next::Nothing;
        }
        let (last, pause, next) = if messages > most {
            (&mut self.reported, BETWEEN_REPORTS, Next::TooMany)
        } else {
            (&mut self.looked, BETWEEN_LOOKS, Next::Look)
        };
        if last.is_some_and(|last| now.duration_since(last) < pause) {
            return Next::Nothing;
        }
        *last = Some(now);
        next
    }

    /// Adds a level. The newest one is kept however old, to detect a rise while the broker was away.
    fn remember(&mut self, now: Instant, level: i64) {
        self.levels.push_back((now, level));
        while self.levels.len() > 1 && self.levels.front().is_some_and(|(at, _)| now.duration_since(*at) > RECENT) {
            self.levels.pop_front();
        }
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 1000;

    /// Queue over time, measured every five seconds.
    struct Story {
        growth: Growth,
        now: Instant,
    }

    impl Story {
        /// Creates a queue that has long held this number of dead letters.
        fn at(messages: u64) -> Self {
            let mut story = Self { growth: Growth::default(), now: Instant::now() };
            story.sees(messages, 0, 0);
            story.growth.looked(true);
            story.passes(600);
            story.sees(messages, 0, 0);
            story
        }

        fn passes(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        /// Returns the consequence if the depth stays the same until a rise has settled.
        fn keeps(&mut self, messages: u64, begun: u64, finished: u64) -> Next {
            let next = [(); 3].map(|()| self.sees(messages, begun, finished));
            next.into_iter().find(|next| *next != Next::Nothing).unwrap_or(Next::Nothing)
        }

        fn sees(&mut self, messages: u64, begun: u64, finished: u64) -> Next {
            self.passes(5);
            self.growth.observe(self.now, Depth { messages, begun, finished }, MOST)
        }
    }

    #[test]
    fn a_steady_or_shrinking_queue_is_left_alone() {
        let mut story = Story::at(7);
        for messages in [7, 7, 3, 0, 0] {
            assert_eq!(story.sees(messages, 0, 0), Next::Nothing, "{messages}");
        }
    }

    #[test]
    fn own_copies_explain_a_rise_even_before_their_confirms() {
        let mut story = Story::at(7);
        for (messages, begun, finished) in [(8, 1, 1), (8, 2, 1), (9, 2, 1), (9, 2, 2), (11, 5, 4), (12, 5, 5)] {
            assert_eq!(story.sees(messages, begun, finished), Next::Nothing, "{messages}");
        }
        story.passes(60);
        assert_eq!((story.sees(12, 5, 5), story.keeps(13, 5, 5)), (Next::Nothing, Next::Look));
    }

    #[test]
    fn one_more_than_the_own_copies_triggers_one_scan() {
        let mut story = Story::at(7);
        assert_eq!([(); 3].map(|()| story.sees(10, 2, 2)), [Next::Nothing, Next::Nothing, Next::Look]);
        story.growth.looked(true);
        story.passes(60);
        assert_eq!(story.keeps(10, 2, 2), Next::Nothing);
    }

    #[test]
    fn dead_letters_returned_by_an_operator_are_no_rise() {
        let mut story = Story::at(7);
        for messages in [0, 0, 4, 7, 7] {
            assert_eq!(story.sees(messages, 0, 0), Next::Nothing, "{messages}");
        }
        assert_eq!(story.keeps(8, 0, 0), Next::Look);
    }

    #[test]
    fn after_a_minute_a_lower_level_counts() {
        let mut story = Story::at(7);
        story.sees(0, 0, 0);
        story.passes(60);
        story.sees(0, 0, 0);
        assert_eq!(story.keeps(1, 0, 0), Next::Look);
    }

    #[test]
    fn scans_are_a_minute_apart_and_none_is_skipped() {
        let mut story = Story::at(0);
        assert_eq!(story.keeps(1, 0, 0), Next::Look);
        story.growth.looked(true);
        let next: Vec<Next> = (0..12).map(|_| story.sees(2, 0, 0)).collect();
        assert_eq!(next[..11], [Next::Nothing; 11]);
        assert_eq!(next[11], Next::Look);
    }

    #[test]
    fn an_incomplete_scan_is_repeated_unless_the_queue_is_empty() {
        let mut story = Story::at(0);
        assert_eq!(story.keeps(1, 0, 0), Next::Look);
        story.growth.looked(false);
        assert_eq!(story.keeps(1, 0, 0), Next::Nothing);
        story.passes(60);
        assert_eq!(story.sees(1, 0, 0), Next::Look);
        story.growth.looked(false);
        assert_eq!((story.sees(0, 0, 0), story.keeps(1, 0, 0)), (Next::Nothing, Next::Nothing));
    }

    #[test]
    fn dead_letters_present_at_the_start_are_scanned() {
        let mut story = Story { growth: Growth::default(), now: Instant::now() };
        assert_eq!(story.keeps(1, 0, 0), Next::Look);
        let mut story = Story { growth: Growth::default(), now: Instant::now() };
        assert_eq!(story.keeps(0, 0, 0), Next::Nothing);
    }

    #[test]
    fn too_many_dead_letters_are_reported_and_scanned_once_there_are_fewer() {
        let mut story = Story::at(MOST);
        assert_eq!(story.keeps(MOST + 1, 0, 0), Next::TooMany);
        assert_eq!(story.keeps(MOST + 1, 0, 0), Next::Nothing);
        assert_eq!(story.sees(MOST, 0, 0), Next::Look);
    }

    #[test]
    fn a_rise_while_the_broker_was_away_is_detected() {
        let mut story = Story::at(3);
        story.passes(3600);
        assert_eq!(story.keeps(4, 0, 0), Next::Look);
    }
}
