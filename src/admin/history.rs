//! Counters of the last hour, from samples in memory: each minute of it, and the rates of the last one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::telemetry::metrics::{OutcomeCounts, PrometheusMetrics, RequestTotals};

/// Interval between samples.
const EVERY: Duration = Duration::from_secs(10);
/// Number of minutes shown.
pub(super) const MINUTES: usize = 60;
const MINUTE: Duration = Duration::from_secs(60);
/// Samples of an hour, and the one before it, from which its first minute counts.
const SAMPLES: usize = 60 * 6 + 1;

/// Counters at one point in time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Sample {
    /// Time of the sample.
    pub at: Instant,
    /// Outcomes since the start.
    pub ends: OutcomeCounts<u64>,
    /// Events in progress.
    pub in_flight: u64,
    /// Requests to Dynamics since the start.
    pub answers: RequestTotals,
}

impl Sample {
    /// Takes a sample now.
    pub(super) fn of(metrics: &PrometheusMetrics) -> Self {
        let counts = metrics.counts();
        let in_flight = u64::try_from(counts.in_flight).unwrap_or(0);
        Self { at: Instant::now(), ends: counts.ends, in_flight, answers: metrics.answers() }
    }
}

/// Counts of one minute.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Minute {
    /// Events that succeeded.
    pub succeeded: u64,
    /// Events that were skipped.
    pub skipped: u64,
    /// Events that became dead letters.
    pub dead: u64,
    /// Highest sampled number of events in progress at once.
    pub in_flight: u64,
    /// Average duration of a request to Dynamics; `None` without requests.
    pub request: Option<Duration>,
}

/// Event rates of this worker, by its own counters.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Rates {
    /// Length of the measured period; less than a minute after a start.
    pub over_seconds: f64,
    /// Events per second by outcome; `retried` ones are not finished.
    pub per_second: OutcomeCounts<f64>,
}

/// Samples of the last hour. Cheap to clone.
#[derive(Clone, Default, Debug)]
pub struct History(Arc<Mutex<VecDeque<Sample>>>);

impl History {
    /// Adds a sample and drops the oldest if there are too many.
    pub(super) fn add(&self, sample: Sample) {
        let mut samples = self.samples();
        if samples.len() >= SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// Returns the event rates of the last minute up to now.
    pub(super) fn rates(&self, now: &Sample) -> Rates {
        let samples = self.samples();
        let recent = |sample: &&Sample| now.at.saturating_duration_since(sample.at) <= MINUTE;
        let first = samples.iter().find(recent).unwrap_or(now);
        let seconds = now.at.saturating_duration_since(first.at).as_secs_f64();
        let rate = |now: u64, then: u64| if seconds > 0.0 { difference(now, then) / seconds } else { 0.0 };
        Rates { over_seconds: seconds, per_second: now.ends.zip(first.ends, rate) }
    }

    /// Returns the last hour up to now, oldest minute first; `None` for minutes before the start.
    pub(super) fn minutes(&self, now: &Sample) -> [Option<Minute>; MINUTES] {
        let mut samples: Vec<Sample> = self.samples().iter().copied().collect();
        samples.push(*now);
        minutes(&samples, now.at)
    }

    fn samples(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes samples forever.
    pub(super) async fn keep(self, metrics: Arc<PrometheusMetrics>) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            self.add(Sample::of(&metrics));
        }
    }
}

/// Aggregates samples into the minutes before `now`, oldest first.
fn minutes(samples: &[Sample], now: Instant) -> [Option<Minute>; MINUTES] {
    let mut found = [None; MINUTES];
    for pair in samples.windows(2) {
        let [before, after] = pair else { continue };
        let age = now.saturating_duration_since(after.at);
        let back = usize::try_from(age.as_secs() / MINUTE.as_secs()).unwrap_or(usize::MAX);
        if back < MINUTES {
            let minute = found[MINUTES - 1 - back].get_or_insert_with(MinuteCounts::default);
            minute.take(before, after);
        }
    }
    found.map(|change| change.map(MinuteCounts::into_minute))
}

/// Counts of one minute so far.
#[derive(Clone, Copy, Default)]
struct MinuteCounts {
    minute: Minute,
    answers: RequestTotals,
}

impl MinuteCounts {
    fn take(&mut self, before: &Sample, after: &Sample) {
        let more = after.ends.zip(before.ends, u64::saturating_sub);
        self.minute.succeeded += more.succeeded;
        self.minute.skipped += more.skipped;
        self.minute.dead += more.dead_lettered;
        self.minute.in_flight = self.minute.in_flight.max(after.in_flight);
        self.answers.count += after.answers.count.saturating_sub(before.answers.count);
        self.answers.seconds += (after.answers.seconds - before.answers.seconds).max(0.0);
    }

    fn into_minute(self) -> Minute {
        Minute { request: self.answers.mean(), ..self.minute }
    }
}

/// Returns a difference; exact up to 2^32 events per minute.
fn difference(now: u64, then: u64) -> f64 {
    f64::from(u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(start: Instant, seconds: u64, succeeded: u64) -> Sample {
        let answers = RequestTotals { count: succeeded, seconds: f64::from(u32::try_from(succeeded).unwrap()) / 4.0 };
        let ends = OutcomeCounts { succeeded, ..OutcomeCounts::default() };
        Sample { at: start + Duration::from_secs(seconds), ends, in_flight: succeeded % 7, answers }
    }

    #[test]
    fn a_minute_is_what_was_counted_in_it() {
        let start = Instant::now();
        let samples: Vec<Sample> = (0..=18).map(|at| sample(start, at * 10, at * 5)).collect();
        let now = samples.last().unwrap();
        let found = minutes(&samples, now.at);
        let last: Vec<Option<u64>> = found[MINUTES - 4..].iter().map(|it| it.map(|it| it.succeeded)).collect();
        assert_eq!(last, [None, Some(30), Some(30), Some(30)]);
        assert_eq!(found[MINUTES - 1].unwrap().request, Some(Duration::from_millis(250)));
        assert_eq!(found[MINUTES - 1].unwrap().in_flight, 6);
    }

    #[test]
    fn minutes_before_the_start_and_without_requests_have_no_values() {
        let start = Instant::now();
        assert_eq!(minutes(&[], start), [None; MINUTES]);
        assert_eq!(minutes(&[sample(start, 0, 9)], start), [None; MINUTES]);
        let still = [sample(start, 0, 9), sample(start, 10, 9)];
        let found = minutes(&still, still[1].at)[MINUTES - 1].unwrap();
        assert_eq!((found.succeeded, found.request), (0, None));
    }

    #[test]
    fn rates_cover_the_last_minute() {
        let (history, start) = (History::default(), Instant::now());
        let rates = |seconds, succeeded| {
            let rates = history.rates(&sample(start, seconds, succeeded));
            (rates.per_second.succeeded, rates.over_seconds)
        };
        assert_eq!(rates(3, 3), (0.0, 0.0), "without a sample");
        for at in 0..=12 {
            history.add(sample(start, at * 10, if at < 6 { 0 } else { 600 }));
        }
        assert_eq!(rates(124, 654), (1.0, 54.0), "from the sample after 70 s");
        assert_eq!(rates(60, 600), (10.0, 60.0));
    }

    #[test]
    fn samples_of_one_hour_are_kept() {
        let (history, start) = (History::default(), Instant::now());
        for at in 0..1000 {
            history.add(sample(start, at * 10, at));
        }
        assert_eq!(history.0.lock().unwrap().len(), SAMPLES);
        let found = history.minutes(&sample(start, 10_000, 1001));
        assert!(found.iter().all(Option::is_some));
        assert_eq!(found[MINUTES - 1].unwrap().succeeded, 7, "six samples and the present one");
    }
}
