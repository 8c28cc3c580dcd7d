//! The broker stops, hangs or loses queues; the adapter recovers and nothing is lost.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use handoffd::rabbit::{self, PersistentMessage, Publisher, RabbitOptions};
use handoffd_engine::ports::bus::{Announced, Bus, BusError, Settled};
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, ExchangeDeleteOptions};
use tokio::task::JoinSet;

use crate::rabbit::{Rig, announcement, dead, later, options};
use crate::support::broker::{Broker, Client, DEADLINE, eventually};
use crate::support::network::Network;

#[tokio::test]
async fn a_consumer_that_the_broker_cancels_consumes_again() {
    let mut rig = Rig::shared().await;
    rig.client.delete_queue(&rig.options.queue).await;
    let (client, queue) = (&rig.client, &rig.options.queue);
    eventually("the queue to be made again", async || client.depth(queue).await.is_some()).await;
    rig.ready().await;
    rig.publish("after", BasicProperties::default()).await;
    let delivery = rig.next().await;
    assert_eq!(&delivery.body[..], b"after");
    assert_eq!(delivery.ack().await, Settled::Taken);
    rig.finish().await;
}

#[tokio::test]
async fn a_channel_that_the_broker_closes_is_opened_again() {
    let mut rig = Rig::shared().await;
    let name = rig.options.outcomes_exchange.as_str().into();
    let options = ExchangeDeleteOptions::default();
    rig.client.channel().exchange_delete(name, options).await.unwrap();
    let error = rig.bus.announce(announcement("a", "1")).await.unwrap_err();
    assert!(matches!(error, BusError::Refused { .. }), "{error}");
    assert!(error.to_string().contains(&rig.options.outcomes_exchange), "{error}");
    let bus = &rig.bus;
    eventually("the exchange to be made again", async || {
        matches!(bus.announce(announcement("a", "1")).await, Ok(Announced::Unrouted))
    })
    .await;
    rig.ready().await;
    rig.publish("after", BasicProperties::default()).await;
    rig.next().await.ack().await;
    rig.finish().await;
}

/// A delivery of a lost connection can't be settled on the next one, and gets no copy.
#[tokio::test]
async fn a_delivery_of_a_lost_connection_is_redelivered() {
    let mut options = options(Broker::shared());
    options.prefetch = 4;
    let mut rig = Rig::start(options, Broker::shared()).await;
    for body in ["ack", "later", "dead", "split", "more", "yet more"] {
        rig.publish(body, BasicProperties::default()).await;
    }
    let mut stale = Vec::new();
    for _ in 0..4 {
        stale.push(rig.next().await);
    }
    // For a missing exchange the broker closes a channel, and the adapter both connections.
    let name = rig.options.outcomes_exchange.as_str().into();
    let delete = ExchangeDeleteOptions::default();
    rig.client.channel().exchange_delete(name, delete).await.unwrap();
    rig.bus.announce(announcement("a", "1")).await.unwrap_err();
    let mut fresh = Vec::new();
    for _ in 0..4 {
        fresh.push(rig.next().await);
    }
    // The prefetch also applies to the new connections: two of six are still in the queue.
    assert_eq!(rig.client.depth(&rig.options.queue).await, Some(2));
    assert!(fresh.iter().all(|delivery| delivery.redelivered));
    for delivery in stale {
        assert!(delivery.is_lost());
        let settled = match &delivery.body[..] {
            b"later" => later(delivery, 1, Vec::new()).await,
            b"dead" => dead(delivery, Vec::new()).await,
            _ => Ok(delivery.ack().await),
        };
        assert!(matches!(settled, Ok(Settled::Lost) | Err(BusError::Away)), "{settled:?}");
    }
    assert_eq!(rig.client.depth(&rig.options.retry_queue(1)).await, Some(0));
    assert_eq!(rig.client.depth(&rig.options.dead_letter_queue).await, Some(0));
    for delivery in fresh {
        assert_eq!(delivery.ack().await, Settled::Taken);
    }
    rig.finish().await;
}

/// lapin (4.12.3) never completes a command that comes in just as its connection dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_ends_with_its_connection() {
    const HELD: usize = 250;
    let network = Network::before(Broker::shared()).await;
    let mut options = options(&network.url(10));
    options.prefetch = 256;
    let mut rig = Rig::start(options, Broker::shared()).await;
    for round in 0..3 {
        for number in 0..HELD {
            rig.publish(&format!("{round} {number}"), BasicProperties::default()).await;
        }
        let mut held = Vec::new();
        while held.len() < HELD {
            held.push(rig.next().await);
        }
        let acks = std::thread::scope(|threads| {
            threads.spawn(|| network.cut());
            let mut acks = JoinSet::new();
            for delivery in held {
                acks.spawn(async move { delivery.ack().await });
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(20) {}
            }
            acks
        });
        tokio::time::timeout(DEADLINE, acks.join_all()).await.expect("an end of every acknowledgement");
        let bus = &rig.bus;
        eventually("the loss of the connection", async || !bus.unready().is_empty()).await;
        network.open();
        rig.ready().await;
    }
    rig.finish().await;
}

/// For example, a queue that is full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_refused_by_its_retry_queue_waits_in_another_one() {
    let broker = Broker::start();
    let mut rig = Rig::start(options(broker.url()), broker.url()).await;
    let queue = rig.options.retry_queue(1);
    let full = r#"{"max-length":1,"overflow":"reject-publish"}"#;
    broker.ctl(&["set_policy", "--apply-to", "queues", "full", &format!("^{}$", queue.replace('.', "\\.")), full]);
    let channel = rig.client.channel();
    eventually("the queue to be full", async || {
        let offered = channel.basic_publish(
            "".into(),
            queue.as_str().into(),
            BasicPublishOptions::default(),
            b"filling",
            BasicProperties::default(),
        );
        !offered.await.unwrap().await.unwrap().is_ack()
    })
    .await;

    rig.publish("precious", BasicProperties::default()).await;
    assert_eq!(later(rig.next().await, 1, Vec::new()).await.unwrap(), Settled::Taken);
    let back = rig.next().await;
    assert_eq!(&back.body[..], b"precious", "by the shorter one");
    assert_eq!(back.ack().await, Settled::Taken);
    rig.bus.close().await;
}

/// Events arrive while the broker is killed twice; each is finally settled in one of the three ways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_under_load_loses_nothing() {
    const EVENTS: usize = 600;
    let broker = Broker::start();
    let url = broker.url().to_owned();
    let mut rig = Rig::start(options(&url), &url).await;
    let publishing = publish_until_confirmed(rig.options.clone(), EVENTS);
    let (given_up, ()) = tokio::join!(settle_all(&mut rig, &broker, EVENTS), publishing);
    // Every dead letter is in its queue; a copy may be duplicated, but none is missing.
    let client = Client::connect(&url).await;
    let mut found = HashSet::new();
    while let Some(letter) = client.try_take(&rig.options.dead_letter_queue).await {
        found.insert(letter.properties.message_id().as_ref().unwrap().to_string());
    }
    assert_eq!(found.intersection(&given_up).count(), given_up.len());
    rig.bus.close().await;
}

/// Settles every event once, killing the broker meanwhile; returns the events in the dead-letter queue.
async fn settle_all(rig: &mut Rig, broker: &Broker, events: usize) -> HashSet<String> {
    let mut kills = vec![events / 2, events / 4];
    let mut seen = HashSet::new();
    let mut given_up = HashSet::new();
    while seen.len() + given_up.len() < events {
        let delivery = rig.next().await;
        let id = delivery.envelope.message_id.clone().unwrap();
        let number: usize = id.parse().unwrap();
        let retried = delivery.envelope.header("retried").is_some();
        match number % 3 {
            0 if !retried => {
                let _ = later(delivery, 0, vec![("retried", "yes".into())]).await;
            }
            1 => {
                if matches!(dead(delivery, Vec::new()).await, Ok(Settled::Taken)) {
                    given_up.insert(id);
                }
            }
            _ => {
                let announced = rig.bus.announce(announcement("a", &id)).await;
                if announced.is_ok() && delivery.ack().await == Settled::Taken {
                    seen.insert(id);
                }
            }
        }
        if kills.last().is_some_and(|kill| seen.len() + given_up.len() >= *kill) {
            kills.pop();
            broker.kill9();
            let bus = &rig.bus;
            let gone = "noticing the broker's end";
            eventually(gone, async || !bus.unready().is_empty()).await;
            tokio::task::block_in_place(|| broker.restart());
        }
    }
    given_up
}

/// Publishes as a careful publisher does: unconfirmed messages are published again.
async fn publish_until_confirmed(options: rabbit::RabbitOptions, events: usize) {
    let mut publisher = None;
    for number in 0..events {
        let id = number.to_string();
        eventually("a confirm", async || {
            let current = match publisher.take() {
                Some(current) => current,
                None => match Publisher::connect(&options).await {
                    Ok(connected) => connected,
                    Err(_) => return false,
                },
            };
            let message = PersistentMessage {
                exchange: &options.events_exchange,
                routing_key: "session.handoff.email",
                body: b"{}",
                content_type: "application/json",
                message_id: Some(&id),
                headers: &[],
            };
            let confirmed = current.publish(message).await.is_ok();
            publisher = confirmed.then_some(current);
            confirmed
        })
        .await;
    }
}

/// A broker that hangs with open connections is noticed, and does not prevent closing.
#[tokio::test]
async fn a_broker_that_hangs_is_noticed_and_closing_is_bounded() {
    let broker = Broker::start();
    a_silence_shorter_than_the_heartbeat_is_reported(&broker).await;
    let mut rig = Rig::start(options(&format!("{}?heartbeat=1", broker.url())), broker.url()).await;
    rig.publish("in hand", BasicProperties::default()).await;
    let in_hand = rig.next().await;
    broker.freeze();
    let answer = rig.bus.announce(announcement("a", "1")).await;
    assert!(answer.is_err(), "{answer:?}");
    let bus = &rig.bus;
    eventually("noticing the silence", async || !bus.unready().is_empty()).await;
    assert_eq!(in_hand.ack().await, Settled::Lost);
    broker.thaw();
    let again = rig.next().await;
    assert_eq!(&again.body[..], b"in hand");
    broker.freeze();
    let closing = Instant::now();
    rig.bus.close().await;
    assert!(closing.elapsed() < Duration::from_secs(30), "took {:?}", closing.elapsed());
    broker.thaw();
}

/// The worker reports it, and keeps its connection and its messages.
async fn a_silence_shorter_than_the_heartbeat_is_reported(broker: &Broker) {
    let mut rig = Rig::start(options(broker.url()), broker.url()).await;
    rig.publish("kept", BasicProperties::default()).await;
    let kept = rig.next().await;
    assert!(rig.bus.unready().is_empty());
    broker.freeze();
    let bus = &rig.bus;
    eventually("reporting the silence", async || bus.unready().iter().any(|why| why.contains("answered nothing")))
        .await;
    assert!(!bus.processes());
    broker.thaw();
    eventually("hearing the answer", async || bus.unready().is_empty()).await;
    assert!(!kept.is_lost());
    assert_eq!(kept.ack().await, Settled::Taken);
    rig.finish().await;
}

// Heartbeats go on beside the command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_blocks_publishers_makes_it_unready() {
    let broker = Broker::start();
    let rig = Rig::start(options(broker.url()), broker.url()).await;
    // Any memory use exceeds this limit.
    assert_eq!(broker.eval(r#"vm_memory_monitor:set_vm_memory_high_watermark({absolute, "1MB"})"#), "ok");
    let bus = &rig.bus;
    // The broker notifies a connection only when it publishes.
    let stalled = bus.announce(announcement("a", "1"));
    let blocked = eventually("being unready over an alarm", async || {
        bus.unready().iter().any(|reason| reason.contains("blocks publishers"))
    });
    let lift = async {
        blocked.await;
        assert_eq!(broker.eval("vm_memory_monitor:set_vm_memory_high_watermark(0.9)"), "ok");
    };
    let (announced, ()) = tokio::join!(stalled, lift);
    assert_eq!(announced.unwrap(), Announced::Unrouted);
    rig.ready().await;
    rig.bus.close().await;
}

/// Contract 1: a node of a cluster that dies is replaced within 10 s, though a machine without power closes no connection.
#[tokio::test]
async fn a_node_that_falls_silent_is_replaced_by_another_within_10_seconds() {
    let broker = Broker::shared();
    let nodes = [Network::before(broker).await, Network::before(broker).await];
    let urls = nodes.iter().map(|node| node.url(30).into()).collect();
    let mut rig = Rig::start(RabbitOptions { urls, ..options(broker) }, broker).await;
    let used = nodes.iter().position(Network::is_used).expect("a connection");
    nodes[used].freeze();
    let since = Instant::now();
    let other = &nodes[1 - used];
    eventually("a connection to the other node", async || other.is_used()).await;
    rig.ready().await;
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    rig.publish("kept", BasicProperties::default()).await;
    assert_eq!(&rig.next().await.body[..], b"kept");
    rig.finish().await;
}
