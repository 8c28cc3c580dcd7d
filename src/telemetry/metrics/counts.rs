//! Present values of counters and gauges, for readers other than Prometheus.

use schemars::JsonSchema;
use serde::Serialize;

use super::{ENDS, PrometheusMetrics};

/// Present values of counters and gauges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetricCounts {
    /// Ends of events since the start, both types together.
    pub ends: OutcomeCounts<u64>,
    /// Events in progress.
    pub in_flight: i64,
    /// True while the broker is connected.
    pub broker_connected: bool,
}

/// One value for each way in which processing of an event ends, finally or for now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, JsonSchema)]
pub struct OutcomeCounts<T> {
    /// Succeeded.
    pub succeeded: T,
    /// Skipped.
    pub skipped: T,
    /// Dead-lettered.
    pub dead_lettered: T,
    /// Duplicate, answered from the store.
    pub duplicate: T,
    /// Moved to a retry queue.
    pub retried: T,
}

impl PrometheusMetrics {
    /// Returns the present values.
    pub fn counts(&self) -> MetricCounts {
        let [succeeded, skipped, dead_lettered, duplicate, retried] =
            std::array::from_fn::<u64, { ENDS.len() }, _>(|end| self.events.iter().map(|kind| kind[end].get()).sum());
        MetricCounts {
            ends: OutcomeCounts { succeeded, skipped, dead_lettered, duplicate, retried },
            in_flight: self.families.in_flight.get(),
            broker_connected: self.families.broker_connected.get() > 0,
        }
    }
}

impl<T: Copy> OutcomeCounts<T> {
    /// Combines two sets of values, one by one.
    pub fn zip<R>(self, other: Self, join: impl Fn(T, T) -> R) -> OutcomeCounts<R> {
        OutcomeCounts {
            succeeded: join(self.succeeded, other.succeeded),
            skipped: join(self.skipped, other.skipped),
            dead_lettered: join(self.dead_lettered, other.dead_lettered),
            duplicate: join(self.duplicate, other.duplicate),
            retried: join(self.retried, other.retried),
        }
    }
}
