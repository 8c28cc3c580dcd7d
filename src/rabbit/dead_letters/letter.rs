//! One dead letter held for an operator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use handoffd_engine::ports::bus::{Announced, BusError, DeadLetter, DeadLetterError, Replay, Resolve};
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, BasicProperties};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::death::{broker_death, first_routing_key};
use super::letter_digest::letter_digest;
use super::session::DeadLetterSession;
use crate::rabbit::envelope::{envelope, original_routing_key};
use crate::rabbit::publish::address::Address;
use crate::rabbit::publish::copy;
use crate::rabbit::refusal;

/// Longest time to send an acknowledgement. lapin (4.12.3) never completes one that comes in just as its connection dies.
const ACK_LIMIT: Duration = Duration::from_secs(30);

/// Message of the dead-letter queue, held until it is acked or its channel ends.
struct HeldMessage {
    desk: Arc<DeadLetterSession>,
    acker: Acker,
    /// Number of messages held on the same channel.
    on_channel: Arc<AtomicU64>,
    properties: BasicProperties,
    routing_key: String,
}

/// Converts a delivery to a dead letter.
pub(in crate::rabbit) fn letter(
    delivery: Delivery,
    desk: &Arc<DeadLetterSession>,
    held: &Arc<AtomicU64>,
) -> DeadLetter {
    let Delivery { properties, routing_key, data, acker, .. } = delivery;
    let (envelope, death) = (envelope(&properties), broker_death(&properties, |queue| desk.is_event_queue(queue)));
    let published = first_routing_key(&properties).unwrap_or_else(|| routing_key.to_string());
    let routing_key = original_routing_key(&properties, &published);
    let digest = letter_digest(&properties, &data);
    let held = HeldMessage { desk: Arc::clone(desk), acker, on_channel: Arc::clone(held), properties, routing_key };
    DeadLetter::new(envelope, Bytes::from(data), digest, death, Box::new(held))
}

#[async_trait]
impl Resolve for HeldMessage {
    async fn replay(&self, body: &Bytes, replay: Replay) -> Result<(), DeadLetterError> {
        if !self.acker.usable() {
            return Err(self.desk.broken("the channel closed"));
        }
        let copy = copy::for_replay(&self.properties, &self.routing_key, replay.without, &replay.headers);
        let body = replay.body.as_ref().unwrap_or(body);
        let to = Address::queue(self.desk.work_queue());
        let publisher = self.desk.publisher().await?;
        match publisher.send(to, body.clone(), copy).await.map_err(|failure| failure.at(to)) {
            Ok(Announced::Routed) => {}
            Ok(Announced::Unrouted) => return Err(self.desk.missing(self.desk.work_queue())),
            Err(BusError::Broken { source, .. }) => return Err(self.desk.broken(&source.to_string())),
            Err(error) => return Err(error.into()),
        }
        self.take_out().await.map_err(DeadLetterError::Twice)
    }

    async fn discard(&self) -> Result<(), DeadLetterError> {
        self.take_out().await.map_err(|problem| self.desk.broken(&problem))
    }

    fn details(&self) -> Value {
        let mut details = properties(&self.properties);
        details.insert("routing_key".to_owned(), json!(self.routing_key));
        let headers = self.properties.headers().as_ref().map(table).unwrap_or_default();
        json!({ "properties": details, "headers": headers })
    }
}

impl HeldMessage {
    async fn take_out(&self) -> Result<(), String> {
        match timeout(ACK_LIMIT, self.acker.ack(BasicAckOptions::default())).await {
            Ok(Ok(true)) => {
                self.on_channel.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            }
            Ok(Ok(false)) => Err("the channel closed".to_owned()),
            Ok(Err(error)) => Err(refusal::in_words(&error)),
            Err(_) => Err("the acknowledgement was not sent in time".to_owned()),
        }
    }
}

fn properties(of: &BasicProperties) -> Map<String, Value> {
    let texts = [
        ("content_type", of.content_type()),
        ("content_encoding", of.content_encoding()),
        ("correlation_id", of.correlation_id()),
        ("reply_to", of.reply_to()),
        ("message_id", of.message_id()),
        ("type", of.kind()),
        ("app_id", of.app_id()),
        ("cluster_id", of.cluster_id()),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, json!(text.as_ref()?.as_str()))));
    let numbers = [
        ("delivery_mode", of.delivery_mode().map(u64::from)),
        ("priority", of.priority().map(u64::from)),
        ("timestamp", *of.timestamp()),
    ];
    let numbers = numbers.into_iter().filter_map(|(name, number)| Some((name, json!(number?))));
    texts.chain(numbers).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn table(headers: &FieldTable) -> Map<String, Value> {
    headers.inner().iter().map(|(name, value)| (name.to_string(), as_json(value))).collect()
}

/// Converts a value to the closest JSON; bytes that are not UTF-8 become an array of numbers.
fn as_json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(it) => json!(it),
        AMQPValue::ShortShortInt(it) => json!(it),
        AMQPValue::ShortShortUInt(it) => json!(it),
        AMQPValue::ShortInt(it) => json!(it),
        AMQPValue::ShortUInt(it) => json!(it),
        AMQPValue::LongInt(it) => json!(it),
        AMQPValue::LongUInt(it) => json!(it),
        AMQPValue::LongLongInt(it) => json!(it),
        AMQPValue::Float(it) => json!(it),
        AMQPValue::Double(it) => json!(it),
        AMQPValue::DecimalValue(it) => json!({ "scale": it.scale, "value": it.value }),
        AMQPValue::ShortString(it) => json!(it.as_str()),
        AMQPValue::LongString(it) => {
            std::str::from_utf8(it.as_bytes()).map_or_else(|_| json!(it.as_bytes()), |text| json!(text))
        }
        AMQPValue::FieldArray(it) => it.as_slice().iter().map(as_json).collect(),
        AMQPValue::Timestamp(it) => json!(it),
        AMQPValue::FieldTable(it) => Value::Object(table(it)),
        AMQPValue::ByteArray(it) => json!(it.as_slice()),
        AMQPValue::Void => Value::Null,
    }
}
