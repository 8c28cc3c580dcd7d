//! RabbitMQ adapter on a real broker: normal operation.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd::rabbit::{
    self, Declare, OrganizationSet, PersistentMessage, Publisher, Rabbit, RabbitOptions, StartError, Tls,
};
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::bus::{Announced, Announcement, Bus, BusError, CopyTo, Delivery, Settled};
use handoffd_engine::ports::metrics::{Measurement, Metrics};
use lapin::BasicProperties;
use lapin::options::{ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::broker::{Broker, Client, DEADLINE, eventually};

/// Options with names of their own, so that tests share only the broker.
pub fn options(url: &str) -> RabbitOptions {
    let name = uuid::Uuid::new_v4().simple().to_string();
    RabbitOptions {
        urls: vec![url.into()],
        events_exchange: format!("{name}.opencx.events"),
        outcomes_exchange: format!("{name}.opencx.outcomes"),
        queue: format!("{name}.events"),
        dead_letter_queue: format!("{name}.dead-letters"),
        retry_queue_prefix: format!("{name}.retry"),
        organization_queue_prefix: format!("{name}.organization"),
        bindings: vec!["session.handoff.#".into(), "session.resolved.#".into()],
        prefetch: 16,
        declare: Declare::Create,
        new_queue_wait: Duration::from_secs(1),
        confirm_timeout: Duration::from_secs(30),
        tls: Tls::default(),
        delays: vec![("300ms".into(), Duration::from_millis(300)), ("1h".into(), Duration::from_secs(3600))],
    }
}

/// Consuming adapter, with an independent client beside it.
pub struct Rig {
    pub options: RabbitOptions,
    pub bus: Rabbit,
    pub deliveries: mpsc::Receiver<Delivery>,
    pub client: Client,
    pub log: Arc<Log>,
}

impl Rig {
    /// Starts without an organization.
    pub async fn start(options: RabbitOptions, url: &str) -> Self {
        Self::serving(options, url, OrganizationSet::default()).await
    }

    pub async fn serving(options: RabbitOptions, url: &str, served: OrganizationSet) -> Self {
        let log = Arc::new(Log::default());
        let bus = rabbit::connect(options.clone(), Arc::clone(&log) as _).unwrap();
        bus.serve(served);
        bus.wait_until_connected().await.unwrap();
        let deliveries = bus.inbox().await;
        let rig = Self { options, bus, deliveries, client: Client::connect(url).await, log };
        rig.ready().await;
        rig
    }

    pub async fn shared() -> Self {
        Self::start(options(Broker::shared()), Broker::shared()).await
    }

    pub async fn ready(&self) {
        let bus = &self.bus;
        eventually("readiness", async || bus.unready().is_empty()).await;
    }

    /// Publishes an event as OpenCX does.
    pub async fn publish(&self, body: &str, properties: BasicProperties) {
        let exchange = &self.options.events_exchange;
        let key = "session.handoff.email";
        self.client.publish(exchange, key, body.as_bytes(), properties).await;
    }

    pub async fn next(&mut self) -> Delivery {
        let next = timeout(DEADLINE, self.deliveries.recv()).await;
        next.expect("a delivery in time").expect("a delivery")
    }

    /// Closes the adapter and deletes its queues and exchanges.
    pub async fn finish(self) {
        let organizations = self.bus.organizations().borrow().clone();
        self.bus.close().await;
        for queue in organizations.iter().map(|id| self.options.organization_queue(id)) {
            if self.client.depth(&queue).await.is_some() {
                self.client.delete_queue(&queue).await;
            }
        }
        for queue in self.options.queues().into_values() {
            self.client.delete_queue(&queue).await;
        }
        for exchange in [&self.options.events_exchange, &self.options.outcomes_exchange] {
            let options = ExchangeDeleteOptions::default();
            let name = exchange.as_str().into();
            self.client.channel().exchange_delete(name, options).await.unwrap();
        }
    }
}

/// These organizations, configured for a long time.
pub fn served(organizations: &[&str]) -> OrganizationSet {
    let configured = organizations.iter().map(|id| (OrganizationId::from(*id), None)).collect();
    OrganizationSet { configured, ..OrganizationSet::default() }
}

/// Publishes a copy to a retry queue and acks the source.
pub async fn later(delivery: Delivery, rung: usize, headers: Vec<(&'static str, String)>) -> Result<Settled, BusError> {
    delivery.copy(CopyTo::Retry(rung), headers).await?;
    Ok(delivery.ack().await)
}

/// Publishes a copy to the dead-letter queue and acks the source.
pub async fn dead(delivery: Delivery, headers: Vec<(&'static str, String)>) -> Result<Settled, BusError> {
    delivery.copy(CopyTo::DeadLetters, headers).await?;
    Ok(delivery.ack().await)
}

/// Recorder of the adapter's reports.
#[derive(Default)]
pub struct Log(Mutex<Vec<String>>);

impl Log {
    pub fn has(&self, line: &str) -> bool {
        self.count(line) > 0
    }

    pub fn count(&self, line: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|seen| *seen == line).count()
    }
}

impl Metrics for Log {
    fn record(&self, sighting: Measurement<'_>) {
        self.0.lock().unwrap().push(format!("{sighting:?}"));
    }
}

pub fn announcement(key: &str, id: &str) -> Announcement {
    Announcement {
        routing_key: key.into(),
        message_id: id.into(),
        body: br#"{"event":"x"}"#.to_vec(),
        headers: vec![("traceparent", "00-aa-bb-01".into())],
    }
}

/// Declares a queue bound to the outcomes.
async fn outcomes_of(rig: &Rig, key: &str) -> String {
    let queue = format!("{}.outcomes", rig.options.queue);
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let channel = rig.client.channel();
    channel.queue_declare(queue.as_str().into(), exclusive, FieldTable::default()).await.unwrap();
    let exchange = rig.options.outcomes_exchange.as_str().into();
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.as_str().into(), exchange, key.into(), options, FieldTable::default()).await.unwrap();
    queue
}

#[tokio::test]
async fn delivers_an_event_and_acks_it() {
    let mut rig = Rig::shared().await;
    assert!(rig.log.has("BrokerConnected(true)"));
    let mut headers = FieldTable::default();
    headers.insert("text".into(), lapin::types::AMQPValue::LongString("a".into()));
    headers.insert("number".into(), 7i64.into());
    headers.insert("truth".into(), true.into());
    headers.insert("table".into(), FieldTable::default().into());
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_message_id("msg-1".into())
        .with_headers(headers);
    rig.publish("hello", properties).await;
    let delivery = rig.next().await;
    assert_eq!(&delivery.body[..], b"hello");
    assert_eq!(delivery.routing_key, "session.handoff.email");
    assert!(!delivery.redelivered);
    let envelope = &delivery.envelope;
    assert_eq!(envelope.content_type.as_deref(), Some("application/json"));
    assert_eq!(envelope.message_id.as_deref(), Some("msg-1"));
    assert_eq!(envelope.header("text"), Some("a"));
    assert_eq!(envelope.header("number"), Some("7"));
    assert_eq!(envelope.header("truth"), Some("true"));
    assert_eq!(envelope.header("table"), None);
    assert_eq!(delivery.ack().await, Settled::Taken);
    // Acked messages are not redelivered, even after the consumer is gone.
    rig.bus.close().await;
    assert_eq!(rig.client.depth(&rig.options.queue).await, Some(0));
    rig.finish().await;
}

#[tokio::test]
async fn an_outcome_has_its_required_form() {
    let rig = Rig::shared().await;
    let queue = outcomes_of(&rig, "dynamics365.handoff.*").await;
    let sent = announcement("dynamics365.handoff.succeeded", "outcome-1");
    assert_eq!(rig.bus.announce(sent).await.unwrap(), Announced::Routed);
    let outcome = rig.client.take(&queue).await;
    assert_eq!(outcome.data, br#"{"event":"x"}"#);
    assert_eq!(outcome.routing_key.as_str(), "dynamics365.handoff.succeeded");
    let properties = &outcome.properties;
    let text = |value: &Option<lapin::types::ShortString>| value.as_ref().unwrap().to_string();
    assert_eq!(text(properties.content_type()), "application/json");
    assert_eq!(text(properties.message_id()), "outcome-1");
    assert_eq!(text(properties.app_id()), "handoffd");
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert!(properties.timestamp().unwrap() > 1_700_000_000);
    assert!(properties.headers().as_ref().unwrap().contains_key("traceparent"));
    rig.finish().await;
}

/// Each announcement gets the result of its own message, however many are in flight.
#[tokio::test]
async fn a_thousand_announcements_at_once_get_their_own_answers() {
    let rig = Rig::shared().await;
    let queue = outcomes_of(&rig, "dynamics365.*.succeeded").await;
    let announce = async |number: usize| {
        let (key, expected) = match number % 3 {
            0 => ("dynamics365.handoff.failed", Announced::Unrouted),
            _ => ("dynamics365.handoff.succeeded", Announced::Routed),
        };
        let sent = announcement(key, &number.to_string());
        assert_eq!(rig.bus.announce(sent).await.unwrap(), expected, "{number}");
    };
    futures_util::future::join_all((0..1000).map(announce)).await;
    assert_eq!(rig.client.depth(&queue).await, Some(666));
    rig.finish().await;
}

#[tokio::test]
async fn stopping_ends_the_stream_and_deliveries_in_progress_can_still_be_settled() {
    let mut rig = Rig::shared().await;
    rig.publish("in hand", BasicProperties::default()).await;
    let in_hand = rig.next().await;
    rig.bus.stop().await;
    assert!(timeout(DEADLINE, rig.deliveries.recv()).await.unwrap().is_none());
    let bus = &rig.bus;
    eventually("unreadiness", async || !bus.unready().is_empty()).await;
    // Messages published now are for another worker.
    rig.publish("too late", BasicProperties::default()).await;
    let sent = announcement("dynamics365.handoff.succeeded", "last");
    assert_eq!(rig.bus.announce(sent).await.unwrap(), Announced::Unrouted);
    assert_eq!(in_hand.ack().await, Settled::Taken);
    rig.bus.close().await;
    let left = rig.client.take(&rig.options.queue).await;
    assert_eq!(left.data, b"too late");
    let sent = announcement("dynamics365.handoff.succeeded", "after");
    assert!(matches!(rig.bus.announce(sent).await, Err(BusError::Away)));
    rig.finish().await;
}

#[tokio::test]
async fn no_more_than_the_prefetch_is_in_progress() {
    let mut options = options(Broker::shared());
    options.prefetch = 3;
    let mut rig = Rig::start(options, Broker::shared()).await;
    for number in 0..10 {
        rig.publish(&number.to_string(), BasicProperties::default()).await;
    }
    let mut in_hand = Vec::new();
    for _ in 0..3 {
        in_hand.push(rig.next().await);
    }
    assert_eq!(rig.client.depth(&rig.options.queue).await, Some(7));
    for delivery in in_hand {
        delivery.ack().await;
    }
    for number in 3..10 {
        let delivery = rig.next().await;
        assert_eq!(&delivery.body[..], number.to_string().as_bytes());
        delivery.ack().await;
    }
    rig.finish().await;
}

#[tokio::test]
async fn reports_how_many_messages_wait() {
    let mut rig = Rig::shared().await;
    rig.publish("waits", BasicProperties::default()).await;
    let delivery = rig.next().await;
    later(delivery, 1, Vec::new()).await.unwrap();
    // The depth of a missing queue is unknown, which disturbs nothing.
    rig.client.delete_queue(&rig.options.dead_letter_queue).await;
    let seen = [
        format!("QueueDepth(Retry(\"{}.1h\"), Some(1))", rig.options.retry_queue_prefix),
        format!("QueueDepth(DeadLetters(\"{}\"), None)", rig.options.dead_letter_queue),
    ];
    let log = Arc::clone(&rig.log);
    eventually("the depths of the queues", async || seen.iter().all(|seen| log.has(seen))).await;
    rig.ready().await;
    rig.publish("still there", BasicProperties::default()).await;
    rig.next().await.ack().await;
    rig.finish().await;
}

#[tokio::test]
async fn a_command_publishes_with_confirms() {
    let mut rig = Rig::shared().await;
    let publisher = Publisher::connect(&rig.options).await.unwrap();
    let headers = [("x-handoffd-replays".to_owned(), "1".to_owned())];
    let message = |exchange, routing_key| PersistentMessage {
        exchange,
        routing_key,
        body: b"published",
        content_type: "application/json",
        message_id: Some("id"),
        headers: &headers,
    };
    let events = rig.options.events_exchange.clone();
    let answer = publisher.publish(message(&events, "session.resolved.sms")).await;
    assert_eq!(answer.unwrap(), Announced::Routed);
    let delivery = rig.next().await;
    assert_eq!(delivery.envelope.header("x-handoffd-replays"), Some("1"));
    assert_eq!(delivery.envelope.message_id.as_deref(), Some("id"));
    delivery.ack().await;
    let answer = publisher.publish(message(&events, "nobody.wants.this")).await;
    assert_eq!(answer.unwrap(), Announced::Unrouted);
    let refused = publisher.publish(message("no-such-exchange", "x")).await.unwrap_err();
    assert!(refused.to_string().contains("no-such-exchange"), "{refused}");
    publisher.close().await;
    rig.finish().await;
}

#[tokio::test]
async fn a_command_reports_an_unreachable_broker() {
    // A port that was just free.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = options(&format!("amqp://user:s3cret@127.0.0.1:{port}/%2f"));
    let error = Publisher::connect(&options).await.err().unwrap();
    assert!(matches!(error, StartError::Away { .. }));
    assert!(!format!("{error} {error:?} {options:?}").contains("s3cret"));
}
