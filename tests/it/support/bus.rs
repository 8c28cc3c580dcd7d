//! OpenCX's side of the bus: publishes events, receives outcomes, and inspects the queues as an operator.

use std::sync::Mutex;

use futures_util::future::join_all;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::options::{
    BasicPublishOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, LongString};
use lapin::{ExchangeKind, types::AMQPValue};
use serde_json::Value;

use super::broker::{Client, eventually};
use super::event::{Event, customer_texts};
use super::files::Files;

/// Maximum number of customers' texts to search for in logs, since each is searched for in all of them.
const PRIVATE_TEXTS: usize = 5_000;

/// OpenCX's access to the broker.
pub struct Bus {
    url: String,
    names: Files,
    client: tokio::sync::Mutex<Option<Client>>,
    outcomes: Mutex<Vec<Outcome>>,
    private: Mutex<Vec<String>>,
}

/// Outcome as received.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Routing key.
    pub routing_key: String,
    /// Message properties.
    pub properties: BasicProperties,
    /// Body as bytes.
    pub bytes: Vec<u8>,
    /// Body as JSON.
    pub body: Value,
}

impl Bus {
    /// Binds a queue for outcomes, before any worker runs.
    pub async fn open(url: &str, names: &Files) -> Self {
        let bus = Self {
            url: url.to_owned(),
            names: names.clone(),
            client: tokio::sync::Mutex::default(),
            outcomes: Mutex::default(),
            private: Mutex::default(),
        };
        let client = Client::connect(url).await;
        let channel = client.channel();
        for exchange in names.exchanges() {
            let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            let (topic, none) = (ExchangeKind::Topic, FieldTable::default());
            channel.exchange_declare(exchange.as_str().into(), topic, durable, none).await.unwrap();
        }
        let (queue, [_, exchange]) = (bus.outcomes_queue(), names.exchanges());
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        // In a cluster a classic queue would be away with its node.
        let kind = if url.contains(',') { headers(&[("x-queue-type", "quorum")]) } else { FieldTable::default() };
        channel.queue_declare(queue.as_str().into(), durable, kind).await.unwrap();
        let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(queue.as_str().into(), exchange.as_str().into(), "#".into(), bind, none).await.unwrap();
        *bus.client.lock().await = Some(client);
        bus
    }

    /// Publishes an event as OpenCX does, and waits for the confirm.
    pub async fn publish(&self, event: &Event) {
        self.publish_as(&event.routing_key(), &event.body(), properties(event)).await;
    }

    /// Publishes any bytes under any key with any properties.
    pub async fn publish_as(&self, key: &str, body: &[u8], properties: BasicProperties) {
        self.note(body);
        let [exchange, _] = self.names.exchanges();
        self.client().await.as_ref().unwrap().publish(&exchange, key, body, properties).await;
    }

    /// Publishes many events concurrently.
    pub async fn publish_all(&self, events: &[Event]) {
        let client = self.client().await;
        let [exchange, _] = self.names.exchanges();
        let channel = client.as_ref().unwrap().channel();
        let mut confirms = Vec::new();
        for event in events {
            let (body, key, options) = (event.body(), event.routing_key(), BasicPublishOptions::default());
            self.note(&body);
            let sent =
                channel.basic_publish(exchange.as_str().into(), key.as_str().into(), options, &body, properties(event));
            confirms.push(sent.await.unwrap());
        }
        assert!(join_all(confirms).await.into_iter().all(|confirm| confirm.unwrap().is_ack()));
    }

    /// Puts a message into a queue.
    pub async fn put(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        self.client().await.as_ref().unwrap().publish("", queue, body, properties).await;
    }

    /// Waits for the first outcome of an event.
    pub async fn outcome(&self, event_id: &str) -> Outcome {
        self.outcomes(event_id, 1).await.remove(0)
    }

    /// Waits for a number of outcomes of an event and returns all received.
    pub async fn outcomes(&self, event_id: &str, least: usize) -> Vec<Outcome> {
        let mut found = Vec::new();
        eventually(&format!("{least} outcomes of {event_id}"), async || {
            found = self.all_outcomes().await;
            found.retain(|outcome| outcome.body["data"]["source_event_id"] == event_id);
            found.len() >= least
        })
        .await;
        found
    }

    /// Waits until every one of these events has an outcome.
    pub async fn outcomes_of(&self, events: &[Event]) {
        let ids: Vec<&str> = events.iter().map(Event::id).collect();
        eventually("an outcome of each event", async || {
            let all = self.all_outcomes().await;
            let known: std::collections::HashSet<&str> =
                all.iter().filter_map(|outcome| outcome.body["data"]["source_event_id"].as_str()).collect();
            ids.iter().all(|id| known.contains(id))
        })
        .await;
    }

    /// Every outcome so far.
    pub async fn all_outcomes(&self) -> Vec<Outcome> {
        let client = self.client().await;
        while let Some(delivery) = client.as_ref().unwrap().try_take(&self.outcomes_queue()).await {
            self.outcomes.lock().unwrap().push(Outcome {
                routing_key: delivery.routing_key.to_string(),
                body: serde_json::from_slice(&delivery.data).unwrap(),
                bytes: delivery.data,
                properties: delivery.properties,
            });
        }
        self.outcomes.lock().unwrap().clone()
    }

    /// Takes the next message of a queue, waiting for one.
    pub async fn take(&self, queue: &str) -> Delivery {
        self.client().await.as_ref().unwrap().take(queue).await
    }

    /// Takes the next dead letter, waiting for one.
    pub async fn dead_letter(&self) -> Delivery {
        self.client().await.as_ref().unwrap().take(&self.names.dead_letter_queue()).await
    }

    /// Number of ready messages in a queue.
    pub async fn depth(&self, queue: &str) -> u32 {
        self.client().await.as_ref().unwrap().depth(queue).await.unwrap_or_else(|| panic!("no queue {queue}"))
    }

    /// Number of ready messages in an organization's queue; 0 if the queue does not exist.
    pub async fn ready(&self, organization: &str) -> u32 {
        let queue = self.names.organization_queue(organization);
        self.client().await.as_ref().unwrap().depth(&queue).await.unwrap_or(0)
    }

    /// Waits until at least this many messages are ready in an organization's queue.
    pub async fn gather(&self, organization: &str, least: u32) {
        let gathered = async || self.ready(organization).await >= least;
        eventually(&format!("{least} messages in the queue of {organization}"), gathered).await;
    }

    /// Returns true if the queue exists.
    pub async fn has_queue(&self, queue: &str) -> bool {
        self.client().await.as_ref().unwrap().depth(queue).await.is_some()
    }

    /// Waits until events have no consumer: deliveries of a dead worker are then back in their queue.
    pub async fn abandoned(&self) {
        for queue in self.names.organization_queues().into_iter().chain([self.names.work_queue()]) {
            let gone = async || {
                let client = self.client().await;
                let client = client.as_ref().unwrap();
                client.depth(&queue).await.is_none() || client.consumers(&queue).await == 0
            };
            eventually("the broker to notice the end of the worker", gone).await;
        }
    }

    /// Number of ready messages in the inbox, the retry queues and the organization queues.
    pub async fn unfinished(&self) -> u32 {
        let mut sum = 0;
        for queue in self.names.organization_queues() {
            sum += self.client().await.as_ref().unwrap().depth(&queue).await.unwrap_or(0);
        }
        for queue in self.names.queues() {
            if queue != self.names.dead_letter_queue() {
                sum += self.depth(&queue).await;
            }
        }
        sum
    }

    /// Number of consumers of an organization's queue.
    pub async fn consumers(&self, organization: &str) -> u32 {
        let queue = self.names.organization_queue(organization);
        self.client().await.as_ref().unwrap().consumers(&queue).await
    }

    /// Starts a consumer that takes one event of an organization and never settles it.
    pub async fn consume_one_for_ever(&self, organization: &str) -> lapin::Consumer {
        let queue = self.names.organization_queue(organization);
        self.client().await.as_ref().unwrap().consume_one(&queue).await
    }

    /// Number of dead letters not taken yet.
    pub async fn dead_letters(&self) -> u32 {
        self.depth(&self.names.dead_letter_queue()).await
    }

    /// Waits until a number of messages wait for their next attempt.
    pub async fn waiting(&self, queue: &str, count: u32) {
        eventually(&format!("{count} messages in {queue}"), async || self.depth(queue).await == count).await;
    }

    /// Deletes a queue with its messages.
    pub async fn delete_queue(&self, queue: &str) {
        self.client().await.as_ref().unwrap().delete_queue(queue).await;
    }

    /// Unbinds the queue for outcomes.
    pub async fn listen_no_more(&self) {
        self.delete_queue(&self.outcomes_queue()).await;
    }

    /// Drops the connection, because the broker is a new process.
    pub async fn reconnect(&self) {
        *self.client.lock().await = Some(Client::connect(&self.url).await);
    }

    /// Outcomes received so far, as text.
    pub fn seen(&self) -> String {
        let outcomes = self.outcomes.lock().unwrap();
        outcomes.iter().map(|outcome| String::from_utf8_lossy(&outcome.bytes)).collect()
    }

    /// Customers' texts in all published events.
    pub fn private_texts(&self) -> Vec<String> {
        self.private.lock().unwrap().clone()
    }

    /// Removes everything of these names from the broker.
    pub async fn clean(url: &str, names: &Files) {
        let client = Client::connect(url).await;
        let outcomes = format!("{}.outcomes-seen", names.name);
        for queue in names.queues().into_iter().chain(names.organization_queues()).chain([outcomes]) {
            client.delete_queue(&queue).await;
        }
        for exchange in names.exchanges() {
            let options = ExchangeDeleteOptions::default();
            _ = client.channel().exchange_delete(exchange.as_str().into(), options).await;
        }
    }

    async fn client(&self) -> tokio::sync::MutexGuard<'_, Option<Client>> {
        self.client.lock().await
    }

    /// Queue that receives all outcomes.
    pub fn outcomes_queue(&self) -> String {
        format!("{}.outcomes-seen", self.names.name)
    }

    /// Notes customers' texts in a published event, to search logs for them.
    pub fn note(&self, body: &[u8]) {
        let mut private = self.private.lock().unwrap();
        if private.len() >= PRIVATE_TEXTS {
            return;
        }
        if let Ok(value) = serde_json::from_slice(body) {
            private.extend(customer_texts(&value));
        }
    }
}

/// Properties that OpenCX sets on an event.
pub fn properties(event: &Event) -> BasicProperties {
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_message_id(event.id().into())
}

/// Text of a header.
pub fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        other => panic!("{name} is no string but {other:?}"),
    }
}

/// Table of text headers.
pub fn headers(pairs: &[(&str, &str)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert((*name).into(), AMQPValue::LongString(LongString::from(*value)));
    }
    table
}
