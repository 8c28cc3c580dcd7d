//! Backlogs on a real broker: in and out, found again, and without them.

use handoffd::bus::rabbit::{Declare, Options};
use handoffd::bus::{Backlog, Bus, Delivery, Parked, Settled};
use handoffd::event::OrganizationId;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use crate::rabbit::{Rig, options};
use crate::support::broker::{Broker, DEADLINE, eventually};

fn acme() -> OrganizationId {
    OrganizationId::from("org acme")
}

async fn park(delivery: Delivery) -> Parked {
    let key = delivery.routing_key.clone();
    let headers = vec![("x-handoffd-attempts", "2".to_owned()), ("x-handoffd-original-routing-key", key)];
    delivery.park(&acme(), 0, headers).await.unwrap()
}

async fn opened(backlogs: &mut UnboundedReceiver<Backlog>) -> Backlog {
    timeout(DEADLINE, backlogs.recv()).await.expect("a backlog in time").expect("a backlog")
}

async fn first(backlog: &mut Backlog) -> Delivery {
    timeout(DEADLINE, backlog.deliveries.recv()).await.expect("a delivery in time").expect("a delivery")
}

async fn finish(rig: Rig) {
    rig.bus.close().await;
    rig.client.delete_queue(&rig.options.backlog_queue(&acme())).await;
    rig.finish().await;
}

#[tokio::test]
async fn what_is_parked_comes_out_in_its_order_with_all_that_it_carries() {
    let mut rig = Rig::shared().await;
    let mut backlogs = rig.bus.backlogs().await;
    let mut deaths = FieldTable::default();
    deaths.insert("x-death".into(), AMQPValue::LongString("another life".into()));
    for number in 0..20 {
        let properties = BasicProperties::default().with_headers(deaths.clone()).with_expiration("60000".into());
        rig.publish(&number.to_string(), properties.with_message_id("message".into())).await;
        assert_eq!(park(rig.next().await).await, Parked::Behind);
    }
    let mut backlog = opened(&mut backlogs).await;
    assert_eq!((backlog.organization.clone(), backlog.waiting), (acme(), 0));
    for number in 0..20 {
        let delivery = first(&mut backlog).await;
        assert_eq!(delivery.body, number.to_string().as_bytes());
        assert_eq!(delivery.routing_key, "session.handoff.email", "as published, once it is told in a header");
        assert_eq!(delivery.envelope.header("x-handoffd-attempts"), Some("2"));
        assert_eq!(delivery.envelope.header("x-death"), None, "the broker would take it for going in circles");
        assert_eq!(delivery.envelope.message_id.as_deref(), Some("message"));
        assert_eq!(delivery.ack().await.unwrap(), Settled::Taken);
    }
    assert_eq!(rig.bus.waiting(&acme()).await, Some(0));
    finish(rig).await;
}

/// The page asks after each organization's backlog every few seconds, and most have none.
#[tokio::test]
async fn asking_after_a_backlog_that_is_not_there_costs_nothing_that_runs_out() {
    let mut rig = Rig::shared().await;
    let mut backlogs = rig.bus.backlogs().await;
    for _ in 0..2100 {
        assert_eq!(rig.bus.waiting(&acme()).await, None);
    }
    rig.publish("late", BasicProperties::default()).await;
    assert_eq!(park(rig.next().await).await, Parked::Behind);
    first(&mut opened(&mut backlogs).await).await.ack().await.unwrap();
    finish(rig).await;
}

#[tokio::test]
async fn a_backlog_holds_no_slot_of_the_work_queue() {
    let url = Broker::shared();
    let mut rig = Rig::start(Options { prefetch: 2, ..options(url) }, url).await;
    let mut backlogs = rig.bus.backlogs().await;
    for number in 0..10 {
        rig.publish(&number.to_string(), BasicProperties::default()).await;
        assert_eq!(park(rig.next().await).await, Parked::Behind);
    }
    let mut backlog = opened(&mut backlogs).await;
    let in_hand = [first(&mut backlog).await, first(&mut backlog).await];
    for other in ["other", "another"] {
        rig.publish(other, BasicProperties::default()).await;
    }
    let others = [rig.next().await, rig.next().await];
    assert_eq!((&others[0].body[..], &others[1].body[..]), (&b"other"[..], &b"another"[..]));
    drop((in_hand, others));
    finish(rig).await;
}

#[tokio::test]
async fn what_waits_is_found_by_the_next_worker() {
    let url = Broker::shared();
    let mut rig = Rig::start(options(url), url).await;
    for number in 0..5 {
        rig.publish(&number.to_string(), BasicProperties::default()).await;
        park(rig.next().await).await;
    }
    rig.bus.close().await;
    let next = Rig::start(rig.options.clone(), url).await;
    next.bus.serve(vec![acme(), OrganizationId::from("org_without")]);
    let mut backlog = opened(&mut next.bus.backlogs().await).await;
    assert_eq!(backlog.waiting, 5);
    for number in 0..5 {
        assert_eq!(first(&mut backlog).await.body, number.to_string().as_bytes());
    }
    finish(next).await;
}

#[tokio::test]
async fn a_backlog_that_is_deleted_under_our_hands_is_made_again() {
    let mut rig = Rig::shared().await;
    let mut backlogs = rig.bus.backlogs().await;
    rig.publish("lost with the queue", BasicProperties::default()).await;
    park(rig.next().await).await;
    let mut backlog = opened(&mut backlogs).await;
    rig.client.delete_queue(&rig.options.backlog_queue(&acme())).await;
    rig.publish("kept", BasicProperties::default()).await;
    assert_eq!(park(rig.next().await).await, Parked::Behind);
    let mut bodies = Vec::new();
    eventually("the second one", async || {
        tokio::select! {
            Some(next) = backlogs.recv() => backlog = next,
            Some(delivery) = backlog.deliveries.recv() => bodies.push(delivery.body.clone()),
            () = tokio::time::sleep(std::time::Duration::from_millis(10)) => {}
        }
        bodies.iter().any(|body| &body[..] == b"kept")
    })
    .await;
    assert!(rig.bus.unready().is_empty());
    finish(rig).await;
}

#[tokio::test]
async fn without_the_right_to_declare_it_the_retry_queue_serves() {
    let url = Broker::shared();
    let creator = Rig::start(options(url), url).await;
    creator.bus.close().await;
    let mut rig = Rig::start(Options { declare: Declare::Check, ..creator.options.clone() }, url).await;
    for _ in 0..2 {
        rig.publish("again", BasicProperties::default()).await;
        let delivery = rig.next().await;
        assert_eq!(park(delivery).await, Parked::Later);
        let back = rig.next().await;
        assert_eq!(back.envelope.header("x-handoffd-attempts"), Some("2"));
        back.ack().await.unwrap();
    }
    assert_eq!(rig.bus.waiting(&acme()).await, None);
    rig.finish().await;
}
