//! Digest of a dead letter, by which it is recognized in every scan. Pure.

use lapin::BasicProperties;
use lapin::types::FieldTable;
use sha2::{Digest, Sha256};

/// Headers in which a quorum queue counts deliveries.
const COUNTS: [&str; 2] = ["x-delivery-count", "x-acquired-count"];

/// Returns a digest of everything that a queue keeps unchanged for as long as a message is in it: properties, headers
/// and body. The routing key is left out, because a dead letter that was moved aside and back has another one.
pub(super) fn letter_digest(of: &BasicProperties, body: &[u8]) -> u64 {
    let texts = [
        of.content_type(),
        of.content_encoding(),
        of.correlation_id(),
        of.reply_to(),
        of.message_id(),
        of.kind(),
        of.app_id(),
        of.cluster_id(),
        of.expiration(),
        of.user_id(),
    ];
    let headers = of.headers().iter().flat_map(FieldTable::inner);
    let headers: Vec<_> = headers.filter(|(name, _)| !COUNTS.contains(&name.as_str())).collect();
    // Text, numbers and bytes always serialize.
    let around = serde_json::to_vec(&(texts, of.delivery_mode(), of.priority(), of.timestamp(), headers));
    // The body's length separates it from the rest.
    let length = (body.len() as u64).to_be_bytes();
    let digest =
        Sha256::new().chain_update(length).chain_update(body).chain_update(around.unwrap_or_default()).finalize();
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use lapin::types::AMQPValue;

    use super::*;

    fn with(headers: &[(&str, AMQPValue)]) -> BasicProperties {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        BasicProperties::default().with_headers(table)
    }

    #[test]
    fn deliveries_do_not_change_the_digest() {
        let died = ("x-handoffd-dead-at", AMQPValue::LongString("2026-11-22T10:16:00Z".into()));
        let first = letter_digest(&with(std::slice::from_ref(&died)), b"body");
        for count in COUNTS {
            let again = with(&[died.clone(), (count, AMQPValue::LongLongInt(3))]);
            assert_eq!(letter_digest(&again, b"body"), first, "{count}");
        }
    }

    #[test]
    fn everything_else_changes_the_digest() {
        let text = |text: &str| AMQPValue::LongString(text.into());
        let letters = [
            (BasicProperties::default(), "body"),
            (BasicProperties::default(), "other"),
            (BasicProperties::default().with_message_id("a".into()), "body"),
            (BasicProperties::default().with_correlation_id("a".into()), "body"),
            (BasicProperties::default().with_expiration("50".into()), "body"),
            (BasicProperties::default().with_timestamp(1), "body"),
            (with(&[("x", text("ab"))]), "body"),
            (with(&[("x", text("a")), ("y", text("b"))]), "body"),
            (with(&[("x-death", AMQPValue::FieldArray(vec![text("a")].into()))]), "body"),
        ];
        let mut digests = letters.map(|(properties, body)| letter_digest(&properties, body.as_bytes())).to_vec();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 9);
    }
}
