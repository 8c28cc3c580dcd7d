//! Concurrency limit of one organization. Pure: every method takes the time as an argument.
//!
//! The limit follows additive increase and multiplicative decrease (AIMD), as in TCP's congestion control, as the capacity of an
//! environment is unknown. It doubles each round until the first decrease, and never exceeds `dynamics.max_concurrency` or the
//! concurrency that Dynamics recommends.

use std::time::{Duration, Instant};

/// Initial limit: enough for a quiet environment, harmless for one that already throttles.
const FIRST: usize = 8;
/// Initial limit of an organization that another worker owned.
const LOW: usize = 2;
/// Longest wait for a permit for which an event is worth having in flight.
const WORTH_WAITING: Duration = Duration::from_millis(250);
/// Latency assumed before the first answer: slow for Dynamics, where 50 to 200 ms are common.
const LATENCY_UNKNOWN: Duration = Duration::from_millis(250);
/// Time without any answer after which an environment with requests under way counts as hanging.
const SILENCE: Duration = Duration::from_secs(5);
/// Limit of requests and events in flight for a hanging environment: enough to notice its recovery.
const SILENT: usize = 4;
/// Most events in flight without a request under way: those between two steps, and the next ones.
pub(super) const WAITING: usize = 12;
/// Inverse weight of one answer in the moving average of latency, as in TCP (RFC 6298).
const SMOOTHING: u32 = 8;

/// Adaptive limit of an organization, with the observations it depends on.
#[derive(Clone, Debug)]
pub(super) struct Aimd {
    /// Value of `dynamics.max_concurrency`.
    maximum: usize,
    /// Latest `x-ms-dop-hint`.
    recommended: usize,
    limit: usize,
    rise: Rise,
    /// Time of the last decrease. Answers to requests sent earlier reflect the earlier load.
    decreased_at: Option<Instant>,
    latency: Option<Duration>,
    /// Time since which requests are under way without an answer. A time-out is no answer, so silence outlasts an idle hour.
    silent_since: Option<Instant>,
}

/// Mode of increase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rise {
    /// One more for each answer, which doubles the limit each round. Applies until the first decrease.
    Doubling,
    /// One more for each round. Holds the number of answers in this round.
    Steady(usize),
}

impl Aimd {
    /// Creates the limit of a new organization.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        let limit = FIRST.min(most);
        Self {
            maximum: most,
            recommended: most,
            limit,
            rise: Rise::Doubling,
            decreased_at: None,
            latency: None,
            silent_since: None,
        }
    }

    /// Creates the limit of an organization that another worker owned, whose last requests may still be under way.
    pub(super) fn low(most: usize, recommended: Option<usize>) -> Self {
        let limit = Self::new(most);
        let recommended = recommended.unwrap_or(limit.maximum);
        Self { limit: LOW.min(limit.maximum).min(recommended.max(1)), recommended, ..limit }
    }

    /// Returns the concurrency that Dynamics recommends, if it does.
    pub(super) fn recommended(&self) -> Option<usize> {
        (self.recommended < self.maximum).then_some(self.recommended)
    }

    /// Returns the current limit of concurrent requests.
    pub(super) fn places(&self, now: Instant) -> usize {
        if self.is_silent(now) { self.limit.min(SILENT) } else { self.limit }
    }

    /// Number of events worth having in flight: those with a request under way and those that get a permit soon. A fast
    /// environment gets the maximum, as events are then not held up by Dynamics.
    pub(super) fn room(&self, now: Instant) -> usize {
        if self.is_silent(now) {
            return self.places(now);
        }
        let latency = self.latency.unwrap_or(LATENCY_UNKNOWN).as_micros().max(1);
        let waiting = WORTH_WAITING.as_micros() * self.limit as u128 / latency;
        // A slow environment gets its whole limit and one event for the first free permit.
        let waiting = usize::try_from(waiting).unwrap_or(usize::MAX).max(1);
        self.limit.saturating_add(waiting).min(self.maximum + WAITING)
    }

    /// Records the start of a request.
    pub(super) fn began(&mut self, now: Instant) {
        self.silent_since.get_or_insert(now);
    }

    /// Records a successful answer to a request that began at `began`. `under_way` counts the concurrent requests, including it.
    pub(super) fn answered(&mut self, began: Instant, under_way: usize, now: Instant) {
        self.heard(began, under_way, now);
        // An unused limit proves nothing: a trickle of requests does not show that fifty concurrent ones are accepted.
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

    /// Records an answer with a failure unrelated to load, such as a 500.
    pub(super) fn failed(&mut self, began: Instant, under_way: usize, now: Instant) {
        self.heard(began, under_way, now);
    }

    /// Records a 429 or an equivalent answer.
    pub(super) fn throttled(&mut self, began: Instant, under_way: usize, now: Instant) {
        self.heard(began, under_way, now);
        self.decrease(began, now);
    }

    /// Records a time-out.
    pub(super) fn unanswered(&mut self, began: Instant, now: Instant) {
        self.decrease(began, now);
    }

    /// Applies the concurrency that Dynamics recommends. Ignores 0.
    pub(super) fn advise(&mut self, concurrency: usize) {
        if concurrency > 0 {
            self.recommended = concurrency;
            self.limit = self.limit.min(self.ceiling());
        }
    }

    /// Returns true if the environment has not answered for [`SILENCE`].
    fn is_silent(&self, now: Instant) -> bool {
        self.silent_since.is_some_and(|since| now.saturating_duration_since(since) >= SILENCE)
    }

    fn heard(&mut self, began: Instant, under_way: usize, now: Instant) {
        self.silent_since = (under_way > 1).then_some(now);
        let took = now.saturating_duration_since(began);
        self.latency = Some(self.latency.map_or(took, |mean| (mean * (SMOOTHING - 1) + took) / SMOOTHING));
    }

    /// Halves the limit, once for all requests sent before.
    fn decrease(&mut self, began: Instant, now: Instant) {
        if !self.is_stale(began) {
            self.limit = (self.limit / 2).max(1);
            self.rise = Rise::Steady(0);
            self.decreased_at = Some(now);
        }
    }

    fn is_stale(&self, began: Instant) -> bool {
        self.decreased_at.is_some_and(|fallen| began <= fallen)
    }

    fn ceiling(&self) -> usize {
        self.maximum.min(self.recommended)
    }
}

#[cfg(test)]
mod tests;
