//! The RabbitMQ adapter on a real broker.

use std::sync::Arc;
use std::time::Duration;

use handoffd::bus::rabbit::{self, Declare, Options};
use handoffd::bus::{Announced, Announcement, Bus, Settled};
use handoffd::watch::Blind;

use crate::support::broker::Broker;

fn options(url: &str) -> Options {
    let name = uuid::Uuid::new_v4().simple().to_string();
    Options {
        url: url.into(),
        events_exchange: format!("{name}.opencx.events"),
        outcomes_exchange: format!("{name}.opencx.outcomes"),
        queue: format!("{name}.events"),
        dead_letter_queue: format!("{name}.dead-letters"),
        retry_queue_prefix: format!("{name}.retry"),
        bindings: vec!["session.handoff.#".into()],
        prefetch: 16,
        declare: Declare::Create,
        delays: vec![("1s".into(), Duration::from_secs(1))],
    }
}

#[tokio::test]
async fn consumes_acks_and_announces() {
    let options = options(Broker::shared());
    let bus = rabbit::connect(options.clone(), Arc::new(Blind)).unwrap();
    bus.first_contact().await.unwrap();
    let announcement = |key: &str| Announcement {
        routing_key: key.into(),
        message_id: "one".into(),
        body: b"{}".to_vec(),
        headers: vec![],
    };
    assert_eq!(
        bus.announce(announcement("dynamics365.handoff.succeeded"))
            .await
            .unwrap(),
        Announced::Unrouted
    );
    let mut deliveries = bus.deliveries().await;
    let publisher =
        lapin::Connection::connect(Broker::shared(), lapin::ConnectionProperties::default())
            .await
            .unwrap();
    let channel = publisher.create_channel().await.unwrap();
    channel
        .basic_publish(
            options.events_exchange.as_str().into(),
            "session.handoff.email".into(),
            lapin::options::BasicPublishOptions::default(),
            b"hello",
            lapin::BasicProperties::default(),
        )
        .await
        .unwrap();
    let delivery = tokio::time::timeout(Duration::from_secs(20), deliveries.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&delivery.body[..], b"hello");
    assert_eq!(delivery.routing_key, "session.handoff.email");
    assert_eq!(bus.unready(), Vec::<String>::new());
    assert_eq!(delivery.ack().await.unwrap(), Settled::Taken);
    bus.close().await;
    assert!(deliveries.recv().await.is_none());
}
