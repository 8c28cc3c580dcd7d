//! Reads `x-death`, in which the broker records the deaths of a message that it dead-lettered.

use handoffd_engine::ports::bus::BrokerDeath;
use handoffd_engine::workflow::Reason;
use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

/// Returns the newest death that was the broker's decision: too many deliveries, or expiry in a queue where events wait
/// for a worker. Expiry in a retry queue or in a foreign queue does not count.
pub(super) fn broker_death(properties: &BasicProperties, is_event_queue: impl Fn(&str) -> bool) -> Option<BrokerDeath> {
    deaths(properties).find_map(|death| {
        let reason = match text(death, "reason")?.as_str() {
            "delivery_limit" => Reason::DeliveryLimit,
            "expired" if text(death, "queue").is_some_and(|queue| is_event_queue(&queue)) => Reason::Expired,
            _ => return None,
        };
        Some(BrokerDeath { reason, at: time(death) })
    })
}

/// Returns the routing key of the first publish, taken from the oldest death. Later deaths carry queue names only.
pub(super) fn first_routing_key(properties: &BasicProperties) -> Option<String> {
    match deaths(properties).last()?.inner().get("routing-keys")? {
        AMQPValue::FieldArray(keys) => keys.as_slice().first().and_then(in_words),
        _ => None,
    }
}

/// Iterates over the deaths, newest first.
fn deaths(properties: &BasicProperties) -> impl DoubleEndedIterator<Item = &FieldTable> {
    let list = properties.headers().as_ref().and_then(|headers| headers.inner().get("x-death"));
    let list = match list {
        Some(AMQPValue::FieldArray(list)) => list.as_slice(),
        _ => &[],
    };
    list.iter().filter_map(|death| match death {
        AMQPValue::FieldTable(death) => Some(death),
        _ => None,
    })
}

fn text(death: &FieldTable, field: &str) -> Option<String> {
    death.inner().get(field).and_then(in_words)
}

fn time(death: &FieldTable) -> Option<Timestamp> {
    match death.inner().get("time")? {
        AMQPValue::Timestamp(seconds) => Timestamp::from_second(i64::try_from(*seconds).ok()?).ok(),
        _ => None,
    }
}

fn in_words(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldArray;

    use super::*;

    fn death(queue: &str, reason: &str, seconds: u64, key: &str) -> AMQPValue {
        let mut keys = FieldArray::default();
        keys.push(AMQPValue::LongString(key.into()));
        let mut table = FieldTable::default();
        table.insert("queue".into(), AMQPValue::LongString(queue.into()));
        table.insert("reason".into(), AMQPValue::LongString(reason.into()));
        table.insert("time".into(), AMQPValue::Timestamp(seconds));
        table.insert("routing-keys".into(), AMQPValue::FieldArray(keys));
        AMQPValue::FieldTable(table)
    }

    fn died(deaths: Vec<AMQPValue>) -> BasicProperties {
        let mut headers = FieldTable::default();
        let mut list = FieldArray::default();
        for death in deaths {
            list.push(death);
        }
        headers.insert("x-death".into(), AMQPValue::FieldArray(list));
        BasicProperties::default().with_headers(headers)
    }

    fn read(properties: &BasicProperties) -> Option<(&'static str, String)> {
        let death = broker_death(properties, |queue| queue == "events" || queue.starts_with("organization."))?;
        Some((death.reason.as_str(), death.at.map(|at| at.to_string()).unwrap_or_default()))
    }

    #[test]
    fn a_delivery_limit_is_found_among_other_deaths() {
        let properties = died(vec![
            death("retry.1h", "expired", 1_765_000_000, "retry.1h"),
            death("events", "delivery_limit", 1_764_000_000, "events"),
            death("retry.5s", "expired", 1_763_000_000, "retry.5s"),
            death("elsewhere", "rejected", 1_762_000_000, "session.handoff.web"),
        ]);
        assert_eq!(read(&properties), Some(("delivery_limit", "2025-11-24T16:00:00Z".to_owned())));
        assert_eq!(first_routing_key(&properties).as_deref(), Some("session.handoff.web"));
        let rejected = died(vec![death("elsewhere", "rejected", 1_762_000_000, "session.handoff.web")]);
        assert_eq!(read(&rejected), None);
    }

    #[test]
    fn expiry_in_an_event_queue_is_a_death() {
        for queue in ["events", "organization.org_acme"] {
            let properties = died(vec![
                death(queue, "expired", 1_764_000_000, queue),
                death("opencx.delay", "expired", 1_762_000_000, "session.handoff.web"),
            ]);
            assert_eq!(read(&properties), Some(("expired", "2025-11-24T16:00:00Z".to_owned())), "{queue}");
            assert_eq!(first_routing_key(&properties).as_deref(), Some("session.handoff.web"));
        }
    }

    #[test]
    fn expiring_in_a_retry_queue_or_elsewhere_is_no_death() {
        for queue in ["retry.5s", "retry.events", "opencx.delay"] {
            assert_eq!(read(&died(vec![death(queue, "expired", 1_764_000_000, queue)])), None, "{queue}");
        }
    }

    #[test]
    fn the_newest_death_counts() {
        let [limit, expired] = ["delivery_limit", "expired"].map(|reason| death("events", reason, 1_764_000_000, "k"));
        let reason = |deaths| read(&died(deaths)).unwrap().0;
        assert_eq!(reason(vec![limit.clone(), expired.clone()]), "delivery_limit");
        assert_eq!(reason(vec![expired, limit]), "expired");
    }

    #[test]
    fn a_message_that_never_died_has_no_death() {
        assert_eq!(read(&BasicProperties::default()), None);
        assert_eq!(first_routing_key(&BasicProperties::default()), None);
    }
}
