//! Copies of messages in the retry and dead-letter queues.

use handoffd_engine::ports::bus::{Bus, BusError, Part, Settled};
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};

use crate::rabbit::{Rig, dead, later};

const KEY_HEADER: &str = "x-handoffd-original-routing-key";

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

/// Headers of every AMQP type.
fn odd_headers() -> FieldTable {
    table(&[
        ("text", text("Grüße")),
        ("bytes that are no text", AMQPValue::LongString(vec![0, 159, 146, 150].into())),
        ("number", AMQPValue::LongInt(-7)),
        ("long", AMQPValue::LongLongInt(i64::MAX)),
        ("small", AMQPValue::ShortShortInt(-1)),
        ("double", AMQPValue::Double(0.1)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("truth", AMQPValue::Boolean(true)),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
        ("void", AMQPValue::Void),
        ("array", AMQPValue::FieldArray(FieldArray::from(vec![text("a"), AMQPValue::Void]))),
        ("table", AMQPValue::FieldTable(table(&[("inner", text("x"))]))),
    ])
}

fn all_properties() -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("identity".into())
        .with_headers(odd_headers())
        .with_delivery_mode(1)
        .with_priority(3)
        .with_correlation_id("correlation".into())
        .with_reply_to("reply".into())
        .with_message_id("message".into())
        .with_timestamp(1_700_000_001)
        .with_type("type".into())
        .with_app_id("app".into())
        .with_cluster_id("cluster".into())
}

fn header<'a>(message: &'a Delivery, name: &str) -> Option<&'a AMQPValue> {
    message.properties.headers().as_ref()?.inner().get(name)
}

/// Asserts that every header of the source is present and unchanged.
fn assert_kept(headers: &FieldTable, message: &Delivery) {
    for (name, value) in headers.inner() {
        assert_eq!(header(message, name.as_str()), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_dead_letter_keeps_everything_and_has_its_reason() {
    let mut rig = Rig::shared().await;
    let body = "{\"odd\": \"\u{0}\u{1F600}\"}\n";
    rig.publish(body, all_properties()).await;
    let headers = vec![("x-handoffd-reason", "invalid_event".to_owned())];
    let settled = dead(rig.next().await, headers).await.unwrap();
    assert_eq!(settled, Settled::Taken);
    let letter = rig.client.take(&rig.options.dead_letter_queue).await;
    assert_eq!(letter.data, body.as_bytes());
    assert_kept(&odd_headers(), &letter);
    assert_eq!(header(&letter, "x-handoffd-reason"), Some(&text("invalid_event")));
    let expected = all_properties().with_delivery_mode(2).with_headers(letter.properties.headers().clone().unwrap());
    assert_eq!(letter.properties, expected);
    rig.bus.close().await;
    assert_eq!(rig.client.depth(&rig.options.queue).await, Some(0));
    rig.finish().await;
}

#[tokio::test]
async fn a_retry_returns_complete_after_its_delay() {
    let mut rig = Rig::shared().await;
    rig.publish("again", all_properties()).await;
    let first = rig.next().await;
    let headers = vec![("x-handoffd-attempts", "1".to_owned()), (KEY_HEADER, first.routing_key.clone())];
    let before = std::time::Instant::now();
    assert_eq!(later(first, 0, headers).await.unwrap(), Settled::Taken);
    let second = rig.next().await;
    assert!(before.elapsed() >= rig.options.delays[0].1);
    assert_eq!(&second.body[..], b"again");
    assert_eq!(second.routing_key, "session.handoff.email");
    assert_eq!(second.envelope.header("x-handoffd-attempts"), Some("1"));
    assert_eq!(second.envelope.message_id.as_deref(), Some("message"));
    assert!(!second.redelivered);
    // Replaced, not duplicated.
    let headers = vec![("x-handoffd-attempts", "2".to_owned())];
    later(second, 0, headers).await.unwrap();
    let third = rig.next().await;
    assert_eq!(third.envelope.header("x-handoffd-attempts"), Some("2"));
    assert_eq!(third.routing_key, "session.handoff.email");
    dead(third, Vec::new()).await.unwrap();
    let letter = rig.client.take(&rig.options.dead_letter_queue).await;
    assert_kept(&odd_headers(), &letter);
    rig.finish().await;
}

/// The ladder's last step repeats.
#[tokio::test]
async fn attempts_beyond_the_ladder_use_its_last_rung() {
    let mut rig = Rig::shared().await;
    rig.publish("far", BasicProperties::default()).await;
    later(rig.next().await, 99, Vec::new()).await.unwrap();
    let last = rig.options.retry_queue(1);
    assert_eq!(rig.client.take(&last).await.data, b"far");
    rig.finish().await;
}

#[tokio::test]
async fn properties_that_would_expire_refuse_or_misroute_a_copy_are_moved_to_headers() {
    let mut rig = Rig::shared().await;
    let astray = format!("{}.astray", rig.options.queue);
    let options =
        lapin::options::QueueDeclareOptions { exclusive: true, ..lapin::options::QueueDeclareOptions::default() };
    let channel = rig.client.channel();
    channel.queue_declare(astray.as_str().into(), options, FieldTable::default()).await.unwrap();
    let copies = AMQPValue::FieldArray(FieldArray::from(vec![text(&astray)]));
    let properties = BasicProperties::default()
        .with_expiration("86400000".into())
        // On the events exchange this is a routing key without a binding; on the default exchange, which copies use, a
        // queue's name.
        .with_headers(table(&[("CC", copies.clone())]))
        // Only user id that the broker accepts from this connection.
        .with_user_id("guest".into());
    rig.publish("x", properties).await;
    later(rig.next().await, 0, Vec::new()).await.unwrap();
    dead(rig.next().await, Vec::new()).await.unwrap();
    let letter = rig.client.take(&rig.options.dead_letter_queue).await;
    assert_eq!(letter.properties.expiration(), &None);
    assert_eq!(letter.properties.user_id(), &None);
    let kept = |name: &str| header(&letter, name).cloned();
    assert_eq!(kept("x-handoffd-original-expiration"), Some(text("86400000")));
    assert_eq!(kept("x-handoffd-original-user-id"), Some(text("guest")));
    assert_eq!(kept("x-handoffd-original-cc"), Some(copies));
    assert_eq!(kept("CC"), None);
    assert_eq!(rig.client.depth(&astray).await, Some(0));
    rig.finish().await;
}

/// A message that once exceeded the delivery limit names the inbox in its `x-death`. If it expired towards that queue,
/// the broker would treat it as a cycle and drop it.
#[tokio::test]
async fn a_replayed_message_returns_from_a_retry_queue_too() {
    let mut rig = Rig::shared().await;
    let death = table(&[
        ("queue", text(&rig.options.queue)),
        ("reason", text("delivery_limit")),
        ("count", AMQPValue::LongLongInt(1)),
        ("exchange", text(&rig.options.events_exchange)),
        ("routing-keys", AMQPValue::FieldArray(FieldArray::from(vec![text("k")]))),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
    ]);
    let deaths = AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::FieldTable(death)]));
    let headers = table(&[("x-death", deaths.clone())]);
    rig.publish("replayed", BasicProperties::default().with_headers(headers)).await;
    for _ in 0..2 {
        later(rig.next().await, 0, Vec::new()).await.unwrap();
    }
    let back = rig.next().await;
    assert_eq!(&back.body[..], b"replayed");
    dead(back, Vec::new()).await.unwrap();
    let letter = rig.client.take(&rig.options.dead_letter_queue).await;
    assert_eq!(header(&letter, "x-death"), Some(&deaths));
    rig.finish().await;
}

#[tokio::test]
async fn several_messages_replace_one() {
    let mut rig = Rig::shared().await;
    rig.publish("[1,2]", all_properties()).await;
    let part = |number: &str| Part { message_id: format!("message/{number}"), body: number.to_owned().into() };
    let whole = rig.next().await;
    whole.split(vec![part("1"), part("2")]).await.unwrap();
    assert_eq!(whole.ack().await, Settled::Taken);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let part = rig.next().await;
        let body = String::from_utf8(part.body.to_vec()).unwrap();
        assert_eq!(part.envelope.message_id, Some(format!("message/{body}")));
        assert_eq!(part.envelope.content_type.as_deref(), Some("application/json"));
        assert_eq!(part.routing_key, "session.handoff.email");
        part.ack().await;
        seen.push(body);
    }
    seen.sort();
    assert_eq!(seen, ["1", "2"]);
    rig.bus.close().await;
    assert_eq!(rig.client.depth(&rig.options.queue).await, Some(0));
    rig.finish().await;
}

/// An unrouted copy does not count: the source stays, and the queue is declared again.
#[tokio::test]
async fn a_vanished_queue_costs_no_message() {
    for give_up in [true, false] {
        let mut rig = Rig::shared().await;
        let gone = if give_up { rig.options.dead_letter_queue.clone() } else { rig.options.retry_queue(0) };
        rig.client.delete_queue(&gone).await;
        rig.publish("precious", BasicProperties::default()).await;
        let delivery = rig.next().await;
        let settled = if give_up { dead(delivery, Vec::new()).await } else { later(delivery, 0, Vec::new()).await };
        assert!(matches!(settled, Err(BusError::Away)), "{settled:?}");
        let again = rig.next().await;
        assert_eq!(&again.body[..], b"precious");
        assert!(again.redelivered);
        dead(again, Vec::new()).await.unwrap();
        assert_eq!(rig.client.take(&rig.options.dead_letter_queue).await.data, b"precious");
        rig.finish().await;
    }
}
