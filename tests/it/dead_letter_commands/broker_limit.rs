//! Dead letters that the broker made by itself: its delivery limit.

use serde_json::json;

use super::desk::{entries, ids};
use crate::support::broker::{Broker, eventually};
use crate::support::bus::properties;
use crate::support::event::handoff;
use crate::support::rig::{Rig, rig};

/// Takes a message and lets the channel end with it until the broker has had enough. From RabbitMQ 4.3 a `nack` does not
/// count towards the limit.
async fn crash_on(rig: &Rig, event: &crate::support::event::Event) {
    let connection = lapin::Connection::connect(Broker::shared(), <_>::default()).await.unwrap();
    rig.bus.publish(event).await;
    eventually("the broker to give it up", async || {
        let channel = connection.create_channel().await.unwrap();
        channel.basic_get(rig.files.work_queue().as_str().into(), <_>::default()).await.unwrap();
        channel.close(200, "".into()).await.unwrap();
        rig.bus.dead_letters().await == 1
    })
    .await;
}

#[tokio::test]
async fn what_the_broker_gave_up_is_of_the_delivery_limit_and_succeeds_when_replayed() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    let event = handoff("email");
    crash_on(&rig, &event).await;
    let listed = entries(&rig, &["list", "--reason", "delivery_limit", "--after", "1h"]).await;
    let it = &listed[0];
    assert_eq!((ids(&listed), &it["reason"]), (vec![event.id()], &json!("delivery_limit")));
    assert_eq!((&it["organization_id"], &it["session_id"]), (&json!("org_acme"), &json!(event.session())));
    assert!(it["error"].is_string() && it["dead_at"].is_string(), "{it}");
    let shown = &entries(&rig, &["show", event.id()]).await[0];
    assert_eq!(shown["properties"]["routing_key"], "session.handoff.email");

    rig.start_worker("worker").ready().await;
    assert_eq!(entries(&rig, &["replay", "--organization", "org_acme"]).await[0]["result"], "replayed");
    let outcome = rig.bus.outcome(event.id()).await;
    assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded");
    rig.nothing_is_left().await;
}

/// The broker's copy tells nothing of what the worker had spent on it, but the store does: that was a former life.
#[tokio::test]
async fn after_the_delivery_limit_it_starts_afresh() {
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
