//! Delivery counts of dead letters.
//!
//! Each scan of the dead-letter queue counts as a delivery of every message in it. That is harmless because the queue
//! has no delivery limit, unless a policy of the broker sets one: the broker then deletes dead letters. Clients can't
//! see policies, so high counts are reported, with the command that lists them.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use lapin::BasicProperties;
use tracing::warn;

use crate::rabbit::envelope::delivery_count;
use crate::rabbit::shared::lock;

/// RabbitMQ's own limit of deliveries, since 4.0. A dead letter that was delivered more often shows that it is not in
/// force.
const DEFAULT_LIMIT: u64 = 20;
/// Number of deliveries that triggers a warning.
const MANY: u64 = DEFAULT_LIMIT / 2;
/// Shortest time between two log lines.
const EVERY: Duration = Duration::from_secs(3600);

/// Highest delivery count among dead letters.
#[derive(Default)]
pub(super) struct DeliveryCounts {
    most: u64,
}

impl DeliveryCounts {
    /// Adds the delivery count of a dead letter.
    pub(super) fn add(&mut self, properties: &BasicProperties) {
        self.most = self.most.max(delivery_count(properties));
    }

    /// Returns a warning for an operator if the count is high.
    pub(super) fn warning(&self, queue: &str) -> Option<String> {
        let most = self.most;
        (MANY..=DEFAULT_LIMIT).contains(&most).then(|| {
            format!(
                "dead letters in {queue} have been delivered up to {most} times, for each listing is a delivery. That is harmless \
                 unless a policy sets `delivery-limit` for this queue: the broker would then delete them. Check `rabbitmqctl list_policies`"
            )
        })
    }
}

/// Logs a warning at most once an hour per process.
pub(super) fn log_hourly(warning: &str) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    if is_due(&mut lock(&LAST), Instant::now()) {
        warn!("{warning}");
    }
}

fn is_due(last: &mut Option<Instant>, now: Instant) -> bool {
    let due = last.is_none_or(|last| now.duration_since(last) >= EVERY);
    if due {
        *last = Some(now);
    }
    due
}

#[cfg(test)]
mod tests {
    use lapin::types::{AMQPValue, FieldTable};

    use super::*;

    fn delivered(times: i64) -> BasicProperties {
        let mut headers = FieldTable::default();
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(times));
        BasicProperties::default().with_headers(headers)
    }

    #[test]
    fn ten_to_twenty_deliveries_of_a_dead_letter_trigger_a_warning() {
        let mut counts = DeliveryCounts::default();
        for properties in [BasicProperties::default(), delivered(9), delivered(2)] {
            counts.add(&properties);
            assert_eq!(counts.warning("dead"), None);
        }
        counts.add(&delivered(10));
        counts.add(&delivered(1));
        let warning = counts.warning("dead").unwrap();
        assert!(warning.starts_with("dead letters in dead have been delivered up to 10 times"), "{warning}");
        // No limit of 20 is in force.
        counts.add(&delivered(21));
        assert_eq!(counts.warning("dead"), None);
    }

    #[test]
    fn the_warning_is_logged_once_an_hour() {
        let (mut last, start) = (None, Instant::now());
        let mut due = |seconds| is_due(&mut last, start + Duration::from_secs(seconds));
        assert_eq!([due(0), due(1), due(3599), due(3600), due(3601)], [true, false, false, true, false]);
    }
}
