//! Totals of requests to Dynamics, for readers other than Prometheus.

use std::time::Duration;

use prometheus::Histogram;

use super::Metrics;

/// Requests to Dynamics and Entra ID.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Answers {
    /// Number of requests.
    pub count: u64,
    /// Total duration in seconds.
    pub seconds: f64,
}

impl Metrics {
    /// Returns the totals since the start.
    pub fn answers(&self) -> Answers {
        Answers {
            count: self.request_seconds.iter().map(Histogram::get_sample_count).sum(),
            seconds: self.request_seconds.iter().map(Histogram::get_sample_sum).sum(),
        }
    }
}

impl Answers {
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
    use handoffd_engine::ports::metrics::{Sighting, Watch};
    use handoffd_engine::workflow::StepName;

    #[test]
    fn all_requests_count() {
        let metrics = Metrics::new();
        assert_eq!(metrics.answers().mean(), None);
        for (step, status, seconds) in [(StepName::Token, 200, 1), (StepName::PostIncident, 0, 3)] {
            metrics.saw(Sighting::Answered { step, status, elapsed: Duration::from_secs(seconds) });
        }
        assert_eq!(metrics.answers(), Answers { count: 2, seconds: 4.0 });
        assert_eq!(metrics.answers().mean(), Some(Duration::from_secs(2)));
    }
}
