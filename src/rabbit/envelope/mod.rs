//! Converts AMQP properties to an envelope.

use handoffd_engine::event::Envelope;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

pub(super) use handoffd_engine::ports::bus::headers::ORIGINAL_ROUTING_KEY;

/// Longest routing key, in bytes (AMQP's short string). A worker never sets a longer header.
const LONGEST_KEY: usize = 255;

/// Returns the properties that decoding may read.
pub(super) fn envelope(properties: &BasicProperties) -> Envelope {
    Envelope {
        content_type: properties.content_type().as_ref().map(ToString::to_string),
        message_id: properties.message_id().as_ref().map(ToString::to_string),
        headers: properties.headers().as_ref().map(texts).unwrap_or_default(),
    }
}

/// Returns the routing key of the first publish, before any retry queue.
pub(super) fn original_routing_key(properties: &BasicProperties, routing_key: &str) -> String {
    let original = header(properties, ORIGINAL_ROUTING_KEY).and_then(text);
    original.filter(|key| key.len() <= LONGEST_KEY).unwrap_or_else(|| routing_key.to_owned())
}

/// Returns the number of earlier deliveries by a quorum queue.
pub(super) fn delivery_count(properties: &BasicProperties) -> u64 {
    header(properties, "x-delivery-count").and_then(text).and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

fn texts(headers: &FieldTable) -> Vec<(String, String)> {
    headers.inner().iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect()
}

/// Converts text, numbers and booleans to text, and times to RFC 3339 as in CloudEvents' `time`. Tables, arrays and
/// bytes are not converted.
fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        AMQPValue::Boolean(value) => Some(value.to_string()),
        AMQPValue::ShortShortInt(number) => Some(number.to_string()),
        AMQPValue::ShortShortUInt(number) => Some(number.to_string()),
        AMQPValue::ShortInt(number) => Some(number.to_string()),
        AMQPValue::ShortUInt(number) => Some(number.to_string()),
        AMQPValue::LongInt(number) => Some(number.to_string()),
        AMQPValue::LongUInt(number) => Some(number.to_string()),
        AMQPValue::LongLongInt(number) => Some(number.to_string()),
        AMQPValue::Timestamp(seconds) => time(*seconds),
        AMQPValue::Float(number) => Some(number.to_string()),
        AMQPValue::Double(number) => Some(number.to_string()),
        AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => None,
    }
}

fn time(seconds: u64) -> Option<String> {
    let seconds = i64::try_from(seconds).ok()?;
    jiff::Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests;
