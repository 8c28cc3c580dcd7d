//! How many requests of one organization may be under way: pure, time comes in as an argument.
//!
//! Additive increase, multiplicative decrease, as TCP finds out what a road carries that nobody has measured for it.

use std::time::{Duration, Instant};

/// Places to begin with: enough for a quiet environment, harmless to one that is throttling already.
const FIRST: usize = 8;
/// How long an event may wait for its turn and still be worth having in hand.
const WORTH_WAITING: Duration = Duration::from_millis(250);
/// What an answer is taken to need until one was seen: slow for Dynamics, where 50 to 200 ms are common.
const LATENCY_UNKNOWN: Duration = Duration::from_millis(250);
/// Requests are under way and nothing was answered for this long: the environment hangs, or is as good as that.
const SILENCE: Duration = Duration::from_secs(5);
/// Places, and events in hand, of an environment that hangs: enough to notice that it is back.
const SILENT: usize = 4;
/// Events in flight beyond those with a request under way, at most: those between two of their steps, and the next ones.
pub(super) const WAITING: usize = 12;
/// The weight of one answer in the moving average of latency, as its inverse: TCP's own (RFC 6298).
const SMOOTHING: u32 = 8;

/// An organization's limit, and what it is found by.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// `dynamics.max_concurrency`
    most: usize,
    /// `x-ms-dop-hint` of the last answer that had one.
    advised: usize,
    limit: usize,
    rise: Rise,
    /// When it fell last. An answer to what was sent before tells of the load before.
    fallen: Option<Instant>,
    latency: Option<Duration>,
    /// Since when requests are under way without an answer. A time-out is none: silence goes on over an idle hour.
    unheard_since: Option<Instant>,
}

/// How the limit rises while all is well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rise {
    /// One more for each answer: twice as many each round. Until the first fall.
    Doubling,
    /// One more for each round; so many answers of this one are there.
    Steady(usize),
}

impl Pace {
    /// The pace of an organization that was never asked anything.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        let limit = FIRST.min(most);
        Self { most, advised: most, limit, rise: Rise::Doubling, fallen: None, latency: None, unheard_since: None }
    }

    /// How many requests may be under way.
    pub(super) fn places(&self, now: Instant) -> usize {
        if self.is_silent(now) { self.limit.min(SILENT) } else { self.limit }
    }

    /// Number of events that are worth having in flight: those with a request under way, and those whose turn comes in a moment. An
    /// environment that is quick is given as many as ever: what holds an event up then is not Dynamics.
    pub(super) fn room(&self, now: Instant) -> usize {
        if self.is_silent(now) {
            return self.places(now);
        }
        let latency = self.latency.unwrap_or(LATENCY_UNKNOWN).as_micros().max(1);
        let waiting = WORTH_WAITING.as_micros() * self.limit as u128 / latency;
        // A slow environment has all its places, and somebody to take the first that is free.
        let waiting = usize::try_from(waiting).unwrap_or(usize::MAX).max(1);
        self.limit.saturating_add(waiting).min(self.most + WAITING)
    }

    /// A request gets under way.
    pub(super) fn began(&mut self, now: Instant) {
        self.unheard_since.get_or_insert(now);
    }

    /// A request that began then was answered, and all is well; so many were under way with it.
    pub(super) fn answered(&mut self, began: Instant, under_way: usize, now: Instant) {
        self.heard(began, under_way, now);
        // What was not used has not been tried: a trickle does not show that fifty at once are welcome.
        if self.is_stale(began) || under_way.saturating_mul(2) < self.limit {
            return;
        }
        self.limit = match self.rise {
            Rise::Doubling => self.limit + 1,
            Rise::Steady(answers) if answers + 1 >= self.limit => {
                self.rise = Rise::Steady(0);
                self.limit + 1
            }
            Rise::Steady(answers) => {
                self.rise = Rise::Steady(answers + 1);
                self.limit
            }
        }
        .min(self.ceiling());
    }

    /// It was answered with trouble that says nothing of the load: a 500, say.
    pub(super) fn failed(&mut self, began: Instant, under_way: usize, now: Instant) {
        self.heard(began, under_way, now);
    }

    /// It was answered 429, or as good as that.
    pub(super) fn throttled(&mut self, began: Instant, under_way: usize, now: Instant) {
        self.heard(began, under_way, now);
        self.fall(began, now);
    }

    /// Nothing came back in time.
    pub(super) fn unanswered(&mut self, began: Instant, now: Instant) {
        self.fall(began, now);
    }

    /// Dynamics advises a concurrency. Nonsense (0) is none.
    pub(super) fn advise(&mut self, concurrency: usize) {
        if concurrency > 0 {
            self.advised = concurrency;
            self.limit = self.limit.min(self.ceiling());
        }
    }

    /// Whether nothing has been heard for too long.
    fn is_silent(&self, now: Instant) -> bool {
        self.unheard_since.is_some_and(|since| now.saturating_duration_since(since) >= SILENCE)
    }

    fn heard(&mut self, began: Instant, under_way: usize, now: Instant) {
        self.unheard_since = (under_way > 1).then_some(now);
        let took = now.saturating_duration_since(began);
        self.latency = Some(self.latency.map_or(took, |mean| (mean * (SMOOTHING - 1) + took) / SMOOTHING));
    }

    /// Half as many, once for all that were sent before.
    fn fall(&mut self, began: Instant, now: Instant) {
        if !self.is_stale(began) {
            self.limit = (self.limit / 2).max(1);
            self.rise = Rise::Steady(0);
            self.fallen = Some(now);
        }
    }

    fn is_stale(&self, began: Instant) -> bool {
        self.fallen.is_some_and(|fallen| began <= fallen)
    }

    fn ceiling(&self) -> usize {
        self.most.min(self.advised)
    }
}

#[cfg(test)]
mod tests;
