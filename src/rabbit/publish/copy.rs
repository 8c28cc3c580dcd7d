//! Properties of a copy: the source's, except those for which the broker would lose or refuse it.

use handoffd_engine::ports::bus::headers::ORIGINAL_ROUTING_KEY;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

/// Delivery mode of a persistent message in AMQP.
pub(in crate::rabbit) const PERSISTENT: u8 = 2;

const ORIGINAL_EXPIRATION: &str = "x-handoffd-original-expiration";
const ORIGINAL_USER_ID: &str = "x-handoffd-original-user-id";
const ORIGINAL_DEATHS: &str = "x-handoffd-original-x-death";

/// Headers that address further queues, with the names under which a copy keeps them. A copy with the original names
/// would be routed there again.
const COPIES: [(&str, &str); 2] = [("CC", "x-handoffd-original-cc"), ("BCC", "x-handoffd-original-bcc")];

/// Properties of a copy for a retry queue.
pub(in crate::rabbit) fn for_retry(source: &BasicProperties, set: &[(&'static str, String)]) -> BasicProperties {
    let mut headers = headers(source);
    hide_deaths(&mut headers);
    finish(source, headers, set)
}

/// Properties of a copy for the dead-letter queue.
pub(in crate::rabbit) fn for_dead_letters(source: &BasicProperties, set: &[(&'static str, String)]) -> BasicProperties {
    let mut headers = headers(source);
    restore_deaths(&mut headers);
    finish(source, headers, set)
}

/// Properties of a part for the inbox, under a message id of its own.
pub(in crate::rabbit) fn for_part(
    source: &BasicProperties,
    routing_key: &str,
    message_id: ShortString,
) -> BasicProperties {
    let mut headers = headers(source);
    hide_deaths(&mut headers);
    let set = [(ORIGINAL_ROUTING_KEY, routing_key.to_owned())];
    finish(source, headers, &set).with_message_id(message_id)
}

/// Properties of a replayed dead letter for the inbox: as before its death, `without` these headers.
pub(in crate::rabbit) fn for_replay(
    source: &BasicProperties,
    routing_key: &str,
    without: &[&str],
    set: &[(&'static str, String)],
) -> BasicProperties {
    let mut headers = headers(source);
    let deaths = headers.inner().keys().filter(|name| is_of_a_death(name.as_str()));
    let gone: Vec<_> = deaths.map(ToString::to_string).chain(without.iter().map(ToString::to_string)).collect();
    for name in &gone {
        remove(&mut headers, name);
    }
    headers.insert(ORIGINAL_ROUTING_KEY.into(), long(routing_key));
    finish(source, headers, set)
}

/// True for the headers in which the broker records where a message died (`x-first-death-queue`; from 4.0 on also
/// `x-last-death-…`).
fn is_of_a_death(header: &str) -> bool {
    let notes = ["x-death", "x-first-death-", "x-last-death-", ORIGINAL_DEATHS];
    notes.iter().any(|note| header.starts_with(note))
}

/// Converts text headers to a table.
pub(in crate::rabbit) fn table(headers: &[(impl AsRef<str>, String)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(name.as_ref().into(), long(value));
    }
    table
}

/// Returns the source's headers without those that take effect on a copy.
fn headers(source: &BasicProperties) -> FieldTable {
    let mut headers = FieldTable::default();
    for (name, value) in source.headers().iter().flat_map(FieldTable::inner) {
        // The broker's own count for this queue is wrong in any other.
        if name.as_str() == "x-delivery-count" {
            continue;
        }
        let renamed = COPIES.iter().find(|(from, _)| *from == name.as_str());
        let name = renamed.map_or_else(|| name.clone(), |(_, to)| (*to).into());
        headers.insert(name, value.clone());
    }
    // A copy must not expire before its time, and in the dead-letter queue never.
    if let Some(expiration) = source.expiration() {
        headers.insert(ORIGINAL_EXPIRATION.into(), long(expiration.as_str()));
    }
    // The broker refuses a user id other than the publishing connection's.
    if let Some(user) = source.user_id() {
        headers.insert(ORIGINAL_USER_ID.into(), long(user.as_str()));
    }
    headers
}

/// Moves `x-death` to a header that the broker ignores.
///
/// The broker assumes a cycle, and drops the message, when it expires towards a queue that its `x-death` already names.
/// A message that had once exceeded the delivery limit of the inbox, and was replayed, could then never return from a
/// retry queue.
fn hide_deaths(headers: &mut FieldTable) {
    let Some(deaths) = headers.inner().get("x-death").cloned() else {
        return;
    };
    remove(headers, "x-death");
    // The first `x-death` is the source's own; later ones list only the worker's retry queues.
    let been_here = [ORIGINAL_DEATHS, ORIGINAL_ROUTING_KEY];
    if !been_here.iter().any(|name| headers.contains_key(name)) {
        headers.insert(ORIGINAL_DEATHS.into(), deaths);
    }
}

fn restore_deaths(headers: &mut FieldTable) {
    if let Some(deaths) = headers.inner().get(ORIGINAL_DEATHS).cloned() {
        remove(headers, ORIGINAL_DEATHS);
        headers.insert("x-death".into(), deaths);
    }
}

/// Removes a header; a table has no method for that.
fn remove(headers: &mut FieldTable, name: &str) {
    let mut inner = headers.inner().clone();
    inner.remove(name);
    *headers = FieldTable::from(inner);
}

type SetText = fn(BasicProperties, ShortString) -> BasicProperties;

/// Copies all properties except `expiration` and `user_id`; lapin can't remove a property.
fn finish(source: &BasicProperties, mut headers: FieldTable, set: &[(&'static str, String)]) -> BasicProperties {
    for (name, value) in set {
        headers.insert((*name).into(), long(value));
    }
    let mut copy = BasicProperties::default().with_headers(headers).with_delivery_mode(PERSISTENT);
    let texts: [(_, SetText); 8] = [
        (source.content_type(), BasicProperties::with_content_type),
        (source.content_encoding(), BasicProperties::with_content_encoding),
        (source.correlation_id(), BasicProperties::with_correlation_id),
        (source.reply_to(), BasicProperties::with_reply_to),
        (source.message_id(), BasicProperties::with_message_id),
        (source.kind(), BasicProperties::with_type),
        (source.app_id(), BasicProperties::with_app_id),
        (source.cluster_id(), BasicProperties::with_cluster_id),
    ];
    for (value, set) in texts {
        if let Some(value) = value {
            copy = set(copy, value.clone());
        }
    }
    if let Some(priority) = source.priority() {
        copy = copy.with_priority(*priority);
    }
    if let Some(timestamp) = source.timestamp() {
        copy = copy.with_timestamp(*timestamp);
    }
    copy
}

fn long(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(headers: &[(&str, AMQPValue)]) -> BasicProperties {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        BasicProperties::default().with_headers(table)
    }

    fn headers(of: &BasicProperties) -> Vec<(String, AMQPValue)> {
        let headers = of.headers().iter().flat_map(FieldTable::inner);
        headers.map(|(name, value)| (name.to_string(), value.clone())).collect()
    }

    #[test]
    fn properties_that_take_effect_on_a_copy_are_renamed() {
        let source = with(&[
            ("CC", long("a")),
            ("BCC", long("b")),
            ("x-delivery-count", AMQPValue::LongLongInt(3)),
            ("kept", AMQPValue::Boolean(true)),
        ])
        .with_expiration("5".into())
        .with_user_id("guest".into());
        let copy = for_dead_letters(&source, &[("x-handoffd-reason", "r".to_owned())]);
        let expected = [
            ("kept", AMQPValue::Boolean(true)),
            ("x-handoffd-original-bcc", long("b")),
            ("x-handoffd-original-cc", long("a")),
            ("x-handoffd-original-expiration", long("5")),
            ("x-handoffd-original-user-id", long("guest")),
            ("x-handoffd-reason", long("r")),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(headers(&copy), expected);
        assert_eq!((copy.expiration(), copy.user_id()), (&None, &None));
        assert_eq!(*copy.delivery_mode(), Some(PERSISTENT));
    }

    /// Only the first `x-death` is the source's own, and it is restored at the end.
    #[test]
    fn deaths_are_hidden_during_retries_and_restored() {
        let source = with(&[("x-death", long("the inbox"))]);
        let first = for_retry(&source, &[]);
        assert_eq!(headers(&first), [(ORIGINAL_DEATHS.to_owned(), long("the inbox"))]);
        let mut back = first.headers().clone().unwrap();
        back.insert("x-death".into(), long("a retry queue"));
        let second = for_retry(&BasicProperties::default().with_headers(back), &[]);
        assert_eq!(headers(&second), headers(&first));
        let dead = for_dead_letters(&second, &[]);
        assert_eq!(headers(&dead), headers(&source));
    }

    #[test]
    fn a_replay_restores_the_properties_before_its_death() {
        let kept = [("kept", AMQPValue::LongInt(7)), ("x-handoffd-original-expiration", long("5"))];
        let died = [
            ("x-death", long("d")),
            ("x-first-death-queue", long("q")),
            ("x-last-death-reason", long("r")),
            (ORIGINAL_DEATHS, long("d")),
            ("x-delivery-count", AMQPValue::LongLongInt(3)),
            ("x-handoffd-reason", long("r")),
        ];
        let source = with(&[&kept[..], &died[..]].concat()).with_message_id("evt".into());
        let replay = for_replay(&source, "session.handoff.web", &["x-handoffd-reason"], &[("x-new", "1".to_owned())]);
        let expected = [
            ("kept", AMQPValue::LongInt(7)),
            ("x-handoffd-original-expiration", long("5")),
            (ORIGINAL_ROUTING_KEY, long("session.handoff.web")),
            ("x-new", long("1")),
        ];
        assert_eq!(headers(&replay), expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(replay.message_id(), &Some("evt".into()));
    }

    #[test]
    fn a_part_keeps_its_routing_key_and_gets_an_id() {
        let source = BasicProperties::default().with_message_id("whole".into());
        let part = for_part(&source, "conversation.closed", "whole/1".into());
        assert_eq!(part.message_id(), &Some("whole/1".into()));
        let key = (ORIGINAL_ROUTING_KEY.to_owned(), long("conversation.closed"));
        assert_eq!(headers(&part), [key]);
    }
}
