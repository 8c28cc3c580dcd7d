//! What the broker writes into `x-death` of a message that it gave up by itself.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::bus::DeliveryLimit;

/// The broker's word for a message that it delivered too often.
const LIMIT: &str = "delivery_limit";

/// Whether, and when, a queue gave it up for its delivery limit: its last death of that kind.
pub(super) fn delivery_limit(properties: &BasicProperties) -> Option<DeliveryLimit> {
    let reason = |death: &FieldTable| death.inner().get("reason").and_then(in_words);
    let by_limit = |death: &&FieldTable| reason(death).is_some_and(|reason| reason == LIMIT);
    deaths(properties).find(by_limit).map(|death| DeliveryLimit { at: time(death) })
}

/// The key it was published with first: that of its oldest death, for the queues on the way have only names.
pub(super) fn first_routing_key(properties: &BasicProperties) -> Option<String> {
    match deaths(properties).last()?.inner().get("routing-keys")? {
        AMQPValue::FieldArray(keys) => keys.as_slice().first().and_then(in_words),
        _ => None,
    }
}

/// Newest first.
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

    #[test]
    fn a_delivery_limit_is_found_among_other_deaths() {
        let properties = died(vec![
            death("retry.1h", "expired", 1_765_000_000, "retry.1h"),
            death("events", "delivery_limit", 1_764_000_000, "events"),
            death("retry.5s", "expired", 1_763_000_000, "retry.5s"),
            death("elsewhere", "rejected", 1_762_000_000, "session.handoff.web"),
        ]);
        let limit = delivery_limit(&properties).unwrap();
        assert_eq!(limit.at.unwrap().to_string(), "2025-11-24T16:00:00Z");
        assert_eq!(first_routing_key(&properties).as_deref(), Some("session.handoff.web"));
        let rejected = died(vec![death("elsewhere", "rejected", 1_762_000_000, "session.handoff.web")]);
        assert_eq!(delivery_limit(&rejected), None);
    }

    #[test]
    fn a_message_that_never_died_has_no_limit() {
        assert_eq!(delivery_limit(&BasicProperties::default()), None);
        assert_eq!(first_routing_key(&BasicProperties::default()), None);
    }
}
