//! Dead letters made by the broker itself: by its delivery limit or a publisher's expiration.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use serde_json::json;

use super::desk::{entries, ids};
use crate::support::broker::{Broker, eventually};
use crate::support::bus::properties;
use crate::support::event::{Event, handoff};
use crate::support::rig::{Rig, rig};

/// Takes a message and closes the channel with it, until the broker's limit is reached. From RabbitMQ 4.3 a `nack` does
/// not count towards the limit.
async fn crash_on(rig: &Rig, event: &Event) {
    let connection = lapin::Connection::connect(Broker::shared(), <_>::default()).await.unwrap();
    rig.bus.publish(event).await;
    eventually("the broker to give it up", async || {
        let channel = connection.create_channel().await.unwrap();
        channel.basic_get(rig.files.work_queue().as_str().into(), <_>::default()).await.unwrap();
        channel.close(200, "".into()).await.unwrap();
        rig.bus.depth(&rig.files.work_queue()).await == 0 && rig.bus.dead_letters().await > 0
    })
    .await;
}

/// Publishes an event that expires after 50 ms, while no worker consumes.
pub async fn expire(rig: &Rig, event: &Event) {
    let before = rig.bus.dead_letters().await;
    let short = properties(event).with_expiration("50".into());
    rig.bus.publish_as(&event.routing_key(), &event.body(), short).await;
    eventually("the broker to give it up", async || rig.bus.dead_letters().await == before + 1).await;
}

/// Properties that the broker writes on a message it dead-letters now.
fn given_up(rig: &Rig, event: &Event, reason: &str) -> BasicProperties {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut death = FieldTable::default();
    death.insert("queue".into(), text(&rig.files.work_queue()));
    death.insert("reason".into(), text(reason));
    death.insert("count".into(), AMQPValue::LongLongInt(1));
    let now = jiff::Timestamp::now().as_second();
    death.insert("time".into(), AMQPValue::Timestamp(now.try_into().unwrap()));
    let keys = FieldArray::from(vec![text(&event.routing_key())]);
    death.insert("routing-keys".into(), AMQPValue::FieldArray(keys));
    let mut headers = FieldTable::default();
    let deaths = FieldArray::from(vec![AMQPValue::FieldTable(death)]);
    headers.insert("x-death".into(), AMQPValue::FieldArray(deaths));
    properties(event).with_headers(headers)
}

/// Asserts that it is the only dead letter of this reason and of the last hour, and that `show` prints all of it.
async fn is_listed(rig: &Rig, event: &Event, reason: &str) {
    let listed = entries(rig, &["list", "--reason", reason, "--after", "1h"]).await;
    let it = &listed[0];
    assert_eq!((ids(&listed), &it["reason"]), (vec![event.id()], &json!(reason)));
    assert_eq!((&it["organization_id"], &it["session_id"]), (&json!("org_acme"), &json!(event.session())));
    assert!(it["error"].is_string() && it["dead_at"].is_string(), "{it}");
    let shown = &entries(rig, &["show", event.id()]).await[0];
    assert_eq!(shown["properties"]["routing_key"], "session.handoff.email");
}

#[tokio::test]
async fn what_the_broker_gave_up_has_the_reason_delivery_limit_and_succeeds_when_replayed() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    let event = handoff("email");
    crash_on(&rig, &event).await;
    is_listed(&rig, &event, "delivery_limit").await;

    rig.start_worker("worker").ready().await;
    assert_eq!(entries(&rig, &["replay", "--organization", "org_acme"]).await[0]["result"], "replayed");
    let outcome = rig.bus.outcome(event.id()).await;
    assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded");
    rig.nothing_is_left().await;
}

/// The broker's copy lacks the attempts that the worker spent on it, but the store has them: they belong to an earlier
/// life.
#[tokio::test]
async fn an_event_replayed_after_the_delivery_limit_starts_over() {
    let rig = rig().start().await;
    rig.crm.fault(&json!({ "operation": "contacts.query", "times": null, "fault": { "status": 503 } }));
    let event = handoff("email");
    rig.bus.publish(&event).await;
    rig.awaits("transient").await;
    rig.stop_workers().await;
    rig.bus.waiting(&rig.files.work_queue(), 1).await;
    let copy = rig.bus.take(&rig.files.work_queue()).await;
    rig.bus.put(&rig.files.dead_letter_queue(), &copy.data, properties(&event)).await;

    rig.crm.environment().clear_faults();
    rig.start_worker("worker").ready().await;
    entries(&rig, &["replay", "--id", event.id()]).await;
    let outcome = rig.bus.outcome(event.id()).await.body;
    assert_eq!(outcome["event"], "dynamics365.handoff.succeeded", "{outcome}");
    assert_eq!(outcome["data"]["attempts"], 1);
}

#[tokio::test]
async fn what_expired_is_selected_by_reason_and_time_and_does_not_expire_again_when_replayed() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    let event = handoff("email");
    expire(&rig, &event).await;
    is_listed(&rig, &event, "expired").await;
    for other in [["--reason", "delivery_limit"], ["--before", "1h"]] {
        assert_eq!(entries(&rig, &["list", other[0], other[1]]).await, [json!(null); 0], "{other:?}");
    }

    // Through a retry queue, from which a message that had once expired could not return.
    rig.crm.fault(&json!({ "operation": "contacts.query", "times": 4, "fault": { "status": 503 } }));
    rig.start_worker("worker").ready().await;
    assert_eq!(entries(&rig, &["replay", "--reason", "expired"]).await[0]["result"], "replayed");
    rig.awaits("transient").await;
    let outcome = rig.bus.outcome(event.id()).await;
    assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded");
    rig.nothing_is_left().await;
}

/// Neither is announced; the worker finds them when it starts.
#[tokio::test]
async fn what_the_broker_gave_up_as_workers_died_is_counted() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    crash_on(&rig, &handoff("email")).await;
    expire(&rig, &handoff("email")).await;
    expire(&rig, &handoff("web")).await;
    let worker = rig.start_worker("worker");
    worker.ready().await;
    worker.counts("handoffd_dead_letters_total", "reason=\"expired\"", 2).await;
    worker.counts("handoffd_dead_letters_total", "reason=\"delivery_limit\"", 1).await;
    assert!(worker.logged("the broker dead-lettered events by itself"));
}

/// Each scan counts as a delivery of every letter.
#[tokio::test]
async fn the_worker_scans_for_letters_of_others_and_not_for_its_own() {
    let rig = rig().start().await;
    let (worker, queue) = (rig.worker(), rig.files.dead_letter_queue());
    let own = handoff("email").without("/data/session_id");
    for _ in 0..3 {
        rig.bus.publish(&own).await;
    }
    let depth = format!("queue=\"{queue}\"");
    worker.counts("handoffd_queue_messages", &depth, 3).await;
    // Longer than a rise is left alone: a scan would start now.
    tokio::time::sleep(std::time::Duration::from_secs(16)).await;
    let event = handoff("email");
    rig.bus.put(&queue, &event.body(), given_up(&rig, &event, "delivery_limit")).await;
    worker.counts("handoffd_dead_letters_total", "reason=\"delivery_limit\"", 1).await;
    worker.counts("handoffd_dead_letters_total", "", 4).await;
    rig.stop_workers().await;
    rig.bus.waiting(&queue, 4).await;
    for _ in 0..3 {
        let letter = rig.bus.dead_letter().await;
        let count = letter.properties.headers().as_ref().and_then(|it| it.inner().get("x-delivery-count").cloned());
        assert!(matches!(count, None | Some(AMQPValue::LongLongInt(1))), "{count:?}");
    }
}
