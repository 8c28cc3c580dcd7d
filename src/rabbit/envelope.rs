//! Converts AMQP properties to an envelope.

use handoffd_engine::event::Envelope;
use handoffd_engine::ports::bus::headers::ORIGINAL_ROUTING_KEY;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

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

/// Converts numbers, booleans and bytes of UTF-8 to text, and times to RFC 3339 as in CloudEvents' `time`. Tables and arrays
/// are not converted.
fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ByteArray(bytes) => String::from_utf8(bytes.as_slice().to_vec()).ok(),
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
        AMQPValue::DecimalValue(_) | AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) | AMQPValue::Void => None,
    }
}

fn time(seconds: u64) -> Option<String> {
    let seconds = i64::try_from(seconds).ok()?;
    jiff::Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use lapin::types::{ByteArray, DecimalValue, FieldArray, LongString, ShortString};
    use proptest::prelude::*;

    use super::*;

    fn of(name: &str, value: AMQPValue) -> BasicProperties {
        let mut table = FieldTable::default();
        table.insert(name.into(), value);
        BasicProperties::default().with_headers(table)
    }

    /// One value of every kind, at the edges of its range.
    fn values() -> Vec<(AMQPValue, Option<&'static str>)> {
        let bytes = |bytes: &[u8]| AMQPValue::LongString(LongString::from(bytes.to_vec()));
        vec![
            (AMQPValue::Boolean(true), Some("true")),
            (AMQPValue::ShortShortInt(i8::MIN), Some("-128")),
            (AMQPValue::ShortShortUInt(u8::MAX), Some("255")),
            (AMQPValue::ShortInt(i16::MIN), Some("-32768")),
            (AMQPValue::ShortUInt(u16::MAX), Some("65535")),
            (AMQPValue::LongInt(i32::MIN), Some("-2147483648")),
            (AMQPValue::LongUInt(u32::MAX), Some("4294967295")),
            (AMQPValue::LongLongInt(i64::MIN), Some("-9223372036854775808")),
            (AMQPValue::Float(f32::NAN), Some("NaN")),
            (AMQPValue::Double(f64::NEG_INFINITY), Some("-inf")),
            (AMQPValue::DecimalValue(DecimalValue { scale: 255, value: u32::MAX }), None),
            (AMQPValue::ShortString(ShortString::from("short")), Some("short")),
            (bytes("text\n\0\u{202e}".as_bytes()), Some("text\n\0\u{202e}")),
            (bytes(b""), Some("")),
            (bytes(b"\xff\xfe"), None),
            (AMQPValue::FieldArray(FieldArray::default()), None),
            (AMQPValue::FieldTable(FieldTable::default()), None),
            (AMQPValue::ByteArray(ByteArray::from(b"text".to_vec())), Some("text")),
            (AMQPValue::ByteArray(ByteArray::from(vec![0xff])), None),
            (AMQPValue::Timestamp(0), Some("1970-01-01T00:00:00Z")),
            (AMQPValue::Timestamp(1_764_000_000), Some("2025-11-24T16:00:00Z")),
            (AMQPValue::Timestamp(u64::MAX), None),
            (AMQPValue::Void, None),
        ]
    }

    #[test]
    fn every_kind_of_header_is_text_or_nothing() {
        for (value, expected) in values() {
            let properties = of("x", value.clone());
            assert_eq!(envelope(&properties).header("x"), expected, "{value:?}");
        }
    }

    #[test]
    fn a_routing_key_is_taken_from_a_header_only_if_it_can_be_one() {
        for (value, expected) in values() {
            let key = original_routing_key(&of(ORIGINAL_ROUTING_KEY, value), "own");
            assert_eq!(key, expected.unwrap_or("own"));
        }
        let long = |length: usize| of(ORIGINAL_ROUTING_KEY, AMQPValue::LongString("k".repeat(length).into()));
        assert_eq!(original_routing_key(&long(255), "own").len(), 255);
        assert_eq!(original_routing_key(&long(256), "own"), "own");
    }

    #[test]
    fn a_delivery_count_is_a_number_or_none() {
        for (value, _) in values() {
            let count = delivery_count(&of("x-delivery-count", value.clone()));
            let expected = match value {
                AMQPValue::ShortShortUInt(number) => u64::from(number),
                AMQPValue::ShortUInt(number) => u64::from(number),
                AMQPValue::LongUInt(number) => u64::from(number),
                _ => 0,
            };
            assert_eq!(count, expected, "{value:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_kept(name in "\\PC{0,50}", text in any::<String>()) {
            let properties = of(&name, AMQPValue::LongString(text.clone().into()));
            let envelope = envelope(&properties);
            prop_assert_eq!(envelope.header(&name), Some(text.as_str()));
        }
    }
}
