//! Totals of requests to Dynamics, for readers other than Prometheus.

use std::time::Duration;

use prometheus::Histogram;

use super::PrometheusMetrics;

/// Requests to Dynamics and Entra ID.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct RequestTotals {
    /// Number of requests.
    pub count: u64,
    /// Total duration in seconds.
    pub seconds: f64,
}

impl PrometheusMetrics {
    /// Returns the totals since the start.
    pub fn answers(&self) -> RequestTotals {
        RequestTotals {
            count: self.request_seconds.iter().map(Histogram::get_sample_count).sum(),
            seconds: self.request_seconds.iter().map(Histogram::get_sample_sum).sum(),
        }
    }
}

impl RequestTotals {
    /// Returns the average duration; `None` without requests.
    pub fn mean(&self) -> Option<Duration> {
        // The count is small enough for a float's precision.
        #[allow(clippy::cast_precision_loss)]
        let mean = (self.count > 0).then(|| self.seconds / self.count as f64);
        mean.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handoffd_engine::ports::metrics::{Measurement, Metrics};
    use handoffd_engine::workflow::StepName;

    #[test]
    fn all_requests_count() {
        let metrics = PrometheusMetrics::new();
        assert_eq!(metrics.answers().mean(), None);
        for (step, status, seconds) in [(StepName::Token, 200, 1), (StepName::PostIncident, 0, 3)] {
            metrics.record(Measurement::Answered { step, status, elapsed: Duration::from_secs(seconds) });
        }
        assert_eq!(metrics.answers(), RequestTotals { count: 2, seconds: 4.0 });
        assert_eq!(metrics.answers().mean(), Some(Duration::from_secs(2)));
    }
}
