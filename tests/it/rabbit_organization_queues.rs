//! Organization queues on a real broker: created ahead of need, not used too early, never deleted, ordered, and with
//! messages returned.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use handoffd::rabbit::{Declare, OrganizationSet, RabbitOptions};
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::bus::{Bus, Consumption, Delivery, Forwarded, Settled};
use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use tokio::time::timeout;

use crate::rabbit::{Rig, options, served};
use crate::support::broker::{Broker, DEADLINE, eventually};

const ACME: &str = "org acme";

fn acme() -> OrganizationId {
    OrganizationId::from(ACME)
}

async fn forward(rig: &mut Rig) -> Forwarded {
    let delivery = rig.next().await;
    delivery.forward(&acme(), 0).await.unwrap()
}

async fn move_numbers(rig: &mut Rig, numbers: std::ops::Range<u32>) {
    for number in numbers {
        rig.publish(&number.to_string(), BasicProperties::default()).await;
        forward(rig).await;
    }
}

async fn first(consumption: &mut Consumption) -> Delivery {
    timeout(DEADLINE, consumption.deliveries.next()).await.expect("a delivery in time").expect("a delivery")
}

/// Number of events in the organization's queue that nobody has taken.
async fn ready(rig: &Rig) -> Option<u32> {
    rig.client.depth(&rig.options.organization_queue(&acme())).await
}

async fn rig() -> Rig {
    let url = Broker::shared();
    Rig::serving(options(url), url, served(&[ACME])).await
}

/// A worker that loses an organization lets go of a consumer that is being started. One that stayed would take events that
/// nobody processes, and nobody could take the organization over.
#[tokio::test]
async fn a_consumer_whose_start_is_given_up_does_not_stay() {
    let mut rig = rig().await;
    move_numbers(&mut rig, 0..20).await;
    for limit in (0..10).cycle().take(100).map(Duration::from_millis) {
        _ = timeout(limit, rig.bus.consume(&acme(), 5)).await;
    }
    let queue = rig.options.organization_queue(&acme());
    eventually("no consumer", async || rig.client.consumers(&queue).await == 0).await;
    eventually("all events in the queue", async || ready(&rig).await == Some(20)).await;
}

#[tokio::test]
async fn moved_messages_are_delivered_complete_and_in_order() {
    let mut rig = rig().await;
    let mut deaths = FieldTable::default();
    deaths.insert("x-death".into(), AMQPValue::LongString("another life".into()));
    for number in 0..20 {
        let properties = BasicProperties::default().with_headers(deaths.clone()).with_expiration("60000".into());
        rig.publish(&number.to_string(), properties.with_message_id("message".into())).await;
    }
    // All of them before the first confirm is awaited.
    let mut moving = Vec::new();
    for _ in 0..10 {
        moving.push(rig.next().await.forward(&acme(), 0));
    }
    for forwarded in futures_util::future::join_all(moving).await {
        assert_eq!(forwarded.unwrap(), Forwarded::Moved);
    }
    for _ in 10..20 {
        assert_eq!(forward(&mut rig).await, Forwarded::Moved);
    }
    let mut consumption = rig.bus.consume(&acme(), 5).await;
    for number in 0..20 {
        let delivery = first(&mut consumption).await;
        assert_eq!(delivery.body, number.to_string().as_bytes());
        assert_eq!(delivery.routing_key, "session.handoff.email", "as published");
        assert_eq!(delivery.envelope.header("x-death"), None, "the broker would take it for going in circles");
        assert_eq!(delivery.envelope.message_id.as_deref(), Some("message"));
        assert!(!delivery.redelivered);
        assert_eq!(delivery.ack().await, Settled::Taken);
    }
    assert_eq!(ready(&rig).await, Some(0));
    assert_eq!(rig.client.depth(&rig.options.queue).await, Some(0), "the inbox is empty");
    rig.finish().await;
}

#[tokio::test]
async fn no_more_than_the_prefetch_is_taken_and_returned_messages_keep_their_place() {
    let mut rig = rig().await;
    move_numbers(&mut rig, 0..6).await;
    let mut consumption = rig.bus.consume(&acme(), 3).await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(first(&mut consumption).await);
    }
    assert_eq!(ready(&rig).await, Some(3));
    consumption.cancel.cancel();
    assert!(timeout(DEADLINE, consumption.deliveries.next()).await.unwrap().is_none(), "nothing comes any more");
    assert_eq!(taken.remove(0).ack().await, Settled::Taken, "a taken delivery can be settled");
    let closed = consumption.closed.clone();
    drop(consumption);
    while let Some(delivery) = taken.pop() {
        assert!(!closed.is_cancelled(), "a delivery is still held");
        assert_eq!(delivery.requeue().await, Settled::Taken);
    }
    timeout(DEADLINE, closed.cancelled()).await.expect("its channel is closed");
    let mut again = rig.bus.consume(&acme(), 100).await;
    for number in 1..6 {
        let delivery = first(&mut again).await;
        assert_eq!(delivery.body, number.to_string().as_bytes());
        assert_eq!(delivery.redelivered, number < 3);
        delivery.ack().await;
    }
    rig.finish().await;
}

/// RabbitMQ holds back acks while 32 are pending, and loses them when the channel closes.
#[tokio::test]
async fn messages_acked_together_just_before_a_channel_closes_are_not_redelivered() {
    let mut rig = rig().await;
    let (consumption, taken) = take_two_hundred(&mut rig).await;
    let closed = consumption.closed.clone();
    drop(consumption);
    acknowledge(taken).await;
    timeout(DEADLINE, closed.cancelled()).await.expect("its channel is closed");
    assert_eq!(ready(&rig).await, Some(0));
    rig.finish().await;
}

/// The same for all connections, when a worker stops.
#[tokio::test]
async fn messages_acked_together_just_before_the_end_are_not_redelivered() {
    let mut rig = rig().await;
    let (_consumption, taken) = take_two_hundred(&mut rig).await;
    acknowledge(taken).await;
    rig.bus.close().await;
    for queue in [rig.options.organization_queue(&acme()), rig.options.queue.clone()] {
        assert_eq!(rig.client.depth(&queue).await, Some(0), "{queue}");
    }
    rig.finish().await;
}

async fn take_two_hundred(rig: &mut Rig) -> (Consumption, Vec<Delivery>) {
    for number in 0..200 {
        rig.publish(&number.to_string(), BasicProperties::default()).await;
    }
    let mut moving = tokio::task::JoinSet::new();
    for _ in 0..200 {
        moving.spawn(rig.next().await.forward(&acme(), 0));
    }
    moving.join_all().await;
    let mut consumption = rig.bus.consume(&acme(), 200).await;
    let mut taken = Vec::new();
    for _ in 0..200 {
        taken.push(first(&mut consumption).await);
    }
    (consumption, taken)
}

async fn acknowledge(taken: Vec<Delivery>) {
    let acks = taken.into_iter().map(|delivery| async move { delivery.ack().await });
    let settled = futures_util::future::join_all(acks).await;
    assert!(settled.iter().all(|settled| *settled == Settled::Taken));
}

/// RabbitMQ loses a quorum queue declared less than a second before its node is killed.
#[tokio::test]
async fn nothing_is_published_to_a_queue_declared_just_now() {
    let url = Broker::shared();
    let mut rig = Rig::start(RabbitOptions { new_queue_wait: Duration::from_secs(3), ..options(url) }, url).await;
    rig.bus.serve(served(&[ACME]));
    let queue = rig.options.organization_queue(&acme());
    eventually("the queue of an organization that is added", async || rig.client.depth(&queue).await.is_some()).await;
    rig.publish("early", BasicProperties::default()).await;
    assert_eq!(forward(&mut rig).await, Forwarded::Waits);
    assert_eq!(rig.client.depth(&queue).await, Some(0));
    let mut forwarded = forward(&mut rig).await;
    while forwarded == Forwarded::Waits {
        forwarded = forward(&mut rig).await;
    }
    assert_eq!(forwarded, Forwarded::Moved, "it comes by the shortest retry queue until the queue is old enough");
    rig.finish().await;
}

/// A worker that ends within seconds of a declaration is followed by one that finds the queue.
#[tokio::test]
async fn a_queue_declared_moments_ago_by_a_worker_is_not_trusted_by_the_next_one() {
    let url = Broker::shared();
    let creator = Rig::serving(options(url), url, served(&[ACME])).await;
    creator.bus.close().await;
    let declared = Timestamp::now();
    let just_now = OrganizationSet { configured: BTreeMap::from([(acme(), Some(declared))]), former: BTreeSet::new() };
    let options = RabbitOptions { new_queue_wait: Duration::from_secs(4), ..creator.options.clone() };
    let next = Rig::serving(options, url, just_now).await;
    let waited = Timestamp::now().duration_since(declared);
    assert!(waited.as_secs() >= 3, "it was ready after {waited}");
    next.finish().await;
}

#[tokio::test]
async fn waiting_events_are_consumed_by_the_next_worker_even_of_a_removed_organization() {
    let mut rig = rig().await;
    move_numbers(&mut rig, 0..5).await;
    rig.bus.close().await;
    let former = OrganizationSet { configured: BTreeMap::new(), former: BTreeSet::from([acme(), "org_never".into()]) };
    let next = Rig::serving(rig.options.clone(), Broker::shared(), former).await;
    assert_eq!(next.bus.organizations().borrow().len(), 2);
    let mut consumption = next.bus.consume(&acme(), 5).await;
    for number in 0..5 {
        assert_eq!(first(&mut consumption).await.body, number.to_string().as_bytes());
    }
    let never = next.options.organization_queue(&"org_never".into());
    assert_eq!(next.client.depth(&never).await, None, "the queue of a removed organization is not declared");
    next.finish().await;
}

#[tokio::test]
async fn a_queue_deleted_while_in_use_is_declared_again() {
    let mut rig = rig().await;
    rig.client.delete_queue(&rig.options.organization_queue(&acme())).await;
    rig.publish("kept", BasicProperties::default()).await;
    let mut forwarded = None;
    while !matches!(forwarded, Some(Ok(Forwarded::Moved))) {
        forwarded = Some(rig.next().await.forward(&acme(), 0).await);
    }
    let mut consumption = rig.bus.consume(&acme(), 5).await;
    assert_eq!(&first(&mut consumption).await.body[..], b"kept");
    rig.finish().await;
}

#[tokio::test]
async fn a_queue_deleted_while_nothing_comes_is_declared_again() {
    let rig = rig().await;
    let queue = rig.options.organization_queue(&acme());
    let mut consumption = rig.bus.consume(&acme(), 5).await;
    rig.client.delete_queue(&queue).await;
    assert!(consumption.deliveries.next().await.is_none(), "the broker ends the consumer");
    let mut consumption = rig.bus.consume(&acme(), 5).await;
    assert_eq!(rig.client.depth(&queue).await, Some(0));
    rig.client.publish("", &queue, b"kept", BasicProperties::default()).await;
    assert_eq!(&first(&mut consumption).await.body[..], b"kept");
    rig.finish().await;
}

#[tokio::test]
async fn without_permission_to_declare_it_the_organization_waits_and_others_continue() {
    let url = Broker::shared();
    let creator = Rig::serving(options(url), url, served(&["org_other"])).await;
    creator.bus.close().await;
    let checks = RabbitOptions { declare: Declare::Check, ..creator.options.clone() };
    let mut rig = Rig::serving(checks, url, served(&[ACME, "org_other"])).await;
    let queue = rig.options.organization_queue(&acme());
    let block = rig.bus.queue_block(&acme()).unwrap();
    assert_eq!(block.error, format!("the queue `{queue}` is missing, and broker.declare is false"));
    rig.publish("waits", BasicProperties::default()).await;
    assert_eq!(forward(&mut rig).await, Forwarded::Waits);
    rig.publish("goes on", BasicProperties::default()).await;
    let mut moved = 0;
    while moved == 0 {
        let delivery = rig.next().await;
        let organization = if &delivery.body[..] == b"goes on" { "org_other".into() } else { acme() };
        moved += usize::from(delivery.forward(&organization, 0).await.unwrap() == Forwarded::Moved);
    }
    // Another process creates it.
    let created =
        Rig::serving(RabbitOptions { declare: Declare::Create, ..rig.options.clone() }, url, served(&[ACME])).await;
    created.bus.close().await;
    eventually("the queue to be found", async || rig.bus.queue_block(&acme()).is_none()).await;
    rig.finish().await;
}
