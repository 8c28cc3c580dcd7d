//! Last minute of the worker's counters, from which rates are computed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::telemetry::metrics::{OutcomeCounts, PrometheusMetrics};

/// Interval between samples.
const EVERY: Duration = Duration::from_secs(5);
/// Number of samples kept: one minute.
const KEPT: usize = 12;

/// Event rates of this worker, by its own counters.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Rates {
    /// Length of the measured period; less than a minute after a start.
    pub over_seconds: f64,
    /// Events per second by outcome; `retried` ones are not finished.
    pub per_second: OutcomeCounts<f64>,
}

/// Samples of the counters, oldest first.
pub struct Recent(Mutex<VecDeque<(Instant, OutcomeCounts<u64>)>>);

impl Recent {
    /// Starts with a sample of zero.
    pub fn new() -> Self {
        Self(Mutex::new(VecDeque::from([(Instant::now(), OutcomeCounts::default())])))
    }

    /// Samples the counters forever.
    pub(super) async fn follow(self: Arc<Self>, metrics: Arc<PrometheusMetrics>) {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            self.note(Instant::now(), metrics.counts().ends);
        }
    }

    /// Returns the event rates between the oldest sample and now.
    pub(super) fn rates(&self, now: OutcomeCounts<u64>) -> Rates {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, then) = looks.front().copied().unwrap_or_else(|| (Instant::now(), now));
        let seconds = since.elapsed().as_secs_f64();
        let rate = |now: u64, then: u64| if seconds > 0.0 { difference(now, then) / seconds } else { 0.0 };
        Rates { over_seconds: seconds, per_second: now.zip(then, rate) }
    }

    fn note(&self, at: Instant, ends: OutcomeCounts<u64>) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() >= KEPT {
            looks.pop_front();
        }
        looks.push_back((at, ends));
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns a difference; exact up to 2^32 events per minute.
fn difference(now: u64, then: u64) -> f64 {
    f64::from(u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rates_cover_the_last_minute() {
        let recent = Recent::new();
        assert_eq!(told(&recent.rates(OutcomeCounts::default())), "0 succeeded, 0 retried in 0 s");
        for second in (5..=120).step_by(5) {
            tokio::time::advance(EVERY).await;
            recent.note(
                Instant::now(),
                OutcomeCounts { succeeded: if second > 60 { 600 } else { 0 }, ..OutcomeCounts::default() },
            );
        }
        let rates = recent.rates(OutcomeCounts { succeeded: 600, retried: 55, ..OutcomeCounts::default() });
        assert_eq!(told(&rates), "0 succeeded, 1 retried in 55 s");
    }

    fn told(rates: &Rates) -> String {
        let OutcomeCounts { succeeded, retried, .. } = rates.per_second;
        format!("{succeeded} succeeded, {retried} retried in {} s", rates.over_seconds)
    }
}
