//! Decides from the depths of the dead-letter queue when to look through it. Pure.
//!
//! A level is a depth without this worker's own copies. Somebody who looks through the queue holds letters for a while: the
//! depth falls and comes back. So a rise counts from the highest level of the last minute. A copy whose confirm is awaited may
//! be in a depth or not; either is taken for what makes no rise.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Age up to which a level counts. An operator's look takes less.
const RECENT: Duration = Duration::from_secs(60);
/// Time from a rise to the look: what the broker gives up at once is counted at once.
const SETTLING: Duration = Duration::from_secs(10);
/// Shortest time between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);
/// Shortest time between two reports that there are too many letters.
const BETWEEN_REPORTS: Duration = Duration::from_secs(3600);

/// Depth of the queue, and own copies around the moment when it was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    /// Ready messages.
    pub messages: u64,
    /// Own copies that were begun until the answer came: no more than these can be in it.
    pub begun: u64,
    /// Own copies whose fate was known before the question: these are in it.
    pub finished: u64,
}

/// Consequence of a depth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// Look through the queue.
    Look,
    /// Report that there are too many letters to look through.
    TooMany,
}

/// Growth of the dead-letter queue that this worker's own copies don't explain.
#[derive(Default)]
pub(super) struct Growth {
    levels: VecDeque<(Instant, i64)>,
    /// Time of the first rise that was not looked at.
    unexplained: Option<Instant>,
    looked: Option<Instant>,
    reported: Option<Instant>,
}

impl Growth {
    /// Takes a depth. With more letters than `most` there is no look.
    pub(super) fn observe(&mut self, now: Instant, depth: Depth, most: u64) -> Next {
        let level = signed(depth.messages) - signed(depth.begun);
        // The first depth of all may hold what the broker gave up when the worker before this one died.
        let highest = self.levels.iter().map(|(_, level)| *level).max().unwrap_or(0);
        self.unexplained = match self.unexplained {
            _ if depth.messages == 0 => None,
            None if level > highest => Some(now),
            since => since,
        };
        self.remember(now, signed(depth.messages) - signed(depth.finished));
        self.next(now, depth.messages, most)
    }

    /// Takes the end of a look; one that was not complete is due again.
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

    /// Keeps the newest level, however old, for what happens while the broker is away.
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

    /// A queue over time, asked every five seconds.
    struct Story {
        growth: Growth,
        now: Instant,
    }

    impl Story {
        /// A queue that held so many letters for long.
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

        /// The consequence when it stays so until a rise has settled.
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
    fn own_copies_explain_a_rise_also_while_their_confirms_are_awaited() {
        let mut story = Story::at(7);
        for (messages, begun, finished) in [(8, 1, 1), (8, 2, 1), (9, 2, 1), (9, 2, 2), (11, 5, 4), (12, 5, 5)] {
            assert_eq!(story.sees(messages, begun, finished), Next::Nothing, "{messages}");
        }
        story.passes(60);
        assert_eq!((story.sees(12, 5, 5), story.keeps(13, 5, 5)), (Next::Nothing, Next::Look));
    }

    #[test]
    fn one_more_than_the_own_copies_is_looked_at_once() {
        let mut story = Story::at(7);
        assert_eq!([(); 3].map(|()| story.sees(10, 2, 2)), [Next::Nothing, Next::Nothing, Next::Look]);
        story.growth.looked(true);
        story.passes(60);
        assert_eq!(story.keeps(10, 2, 2), Next::Nothing);
    }

    #[test]
    fn letters_in_an_operators_hands_come_back_unnoticed() {
        let mut story = Story::at(7);
        for messages in [0, 0, 4, 7, 7] {
            assert_eq!(story.sees(messages, 0, 0), Next::Nothing, "{messages}");
        }
        assert_eq!(story.keeps(8, 0, 0), Next::Look);
    }

    #[test]
    fn after_a_minute_a_lower_level_is_the_level() {
        let mut story = Story::at(7);
        story.sees(0, 0, 0);
        story.passes(60);
        story.sees(0, 0, 0);
        assert_eq!(story.keeps(1, 0, 0), Next::Look);
    }

    #[test]
    fn looks_are_a_minute_apart_and_none_is_forgotten() {
        let mut story = Story::at(0);
        assert_eq!(story.keeps(1, 0, 0), Next::Look);
        story.growth.looked(true);
        let next: Vec<Next> = (0..12).map(|_| story.sees(2, 0, 0)).collect();
        assert_eq!(next[..11], [Next::Nothing; 11]);
        assert_eq!(next[11], Next::Look);
    }

    #[test]
    fn an_incomplete_look_is_due_again_unless_the_letters_are_gone() {
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
    fn letters_that_are_there_at_first_are_looked_at() {
        let mut story = Story { growth: Growth::default(), now: Instant::now() };
        assert_eq!(story.keeps(1, 0, 0), Next::Look);
        let mut story = Story { growth: Growth::default(), now: Instant::now() };
        assert_eq!(story.keeps(0, 0, 0), Next::Nothing);
    }

    #[test]
    fn too_many_letters_are_reported_and_looked_at_once_they_are_fewer() {
        let mut story = Story::at(MOST);
        assert_eq!(story.keeps(MOST + 1, 0, 0), Next::TooMany);
        assert_eq!(story.keeps(MOST + 1, 0, 0), Next::Nothing);
        assert_eq!(story.sees(MOST, 0, 0), Next::Look);
    }

    #[test]
    fn what_the_broker_gave_up_while_it_was_away_shows_afterwards() {
        let mut story = Story::at(3);
        story.passes(3600);
        assert_eq!(story.keeps(4, 0, 0), Next::Look);
    }
}
