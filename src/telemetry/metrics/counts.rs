//! The numbers of now, for those who do not read Prometheus' text.

use prometheus::core::Collector;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ENDS, Metrics};

/// The numbers of now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counts {
    /// How events ended since the start, both types together.
    pub ends: Ends<u64>,
    /// Events in hand.
    pub in_flight: i64,
    /// Whether the broker is there.
    pub broker_connected: bool,
    /// Messages ready, by queue.
    pub queues: Vec<(String, u64)>,
}

/// A number for each way in which an event ends, for good or for now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, JsonSchema)]
pub struct Ends<T> {
    /// Done.
    pub succeeded: T,
    /// Nothing to do.
    pub skipped: T,
    /// Given up.
    pub dead_lettered: T,
    /// Answered from the store.
    pub duplicate: T,
    /// Put into a retry queue.
    pub retried: T,
}

impl Metrics {
    /// The numbers of now.
    pub fn counts(&self) -> Counts {
        let [succeeded, skipped, dead_lettered, duplicate, retried] =
            std::array::from_fn::<u64, { ENDS.len() }, _>(|end| self.events.iter().map(|kind| kind[end].get()).sum());
        Counts {
            ends: Ends { succeeded, skipped, dead_lettered, duplicate, retried },
            in_flight: self.families.in_flight.get(),
            broker_connected: self.families.broker_connected.get() > 0,
            queues: self.queues(),
        }
    }

    fn queues(&self) -> Vec<(String, u64)> {
        let families = self.families.queue_messages.collect();
        let series = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        let depths = series.filter_map(|series| {
            let queue = series.get_label().first()?.value().to_owned();
            // A gauge of whole numbers that are not negative.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Some((queue, series.get_gauge().get_value() as u64))
        });
        depths.collect()
    }
}

impl<T: Copy> Ends<T> {
    /// Joined with another, end by end.
    pub fn zip<R>(self, other: Self, join: impl Fn(T, T) -> R) -> Ends<R> {
        Ends {
            succeeded: join(self.succeeded, other.succeeded),
            skipped: join(self.skipped, other.skipped),
            dead_lettered: join(self.dead_lettered, other.dead_lettered),
            duplicate: join(self.duplicate, other.duplicate),
            retried: join(self.retried, other.retried),
        }
    }
}
