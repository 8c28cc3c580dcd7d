//! Stopping and starting while a dependency is unreachable or hangs.

use serde_json::json;

use crate::support::broker::{Broker, eventually};
use crate::support::event::{Event, ORGANIZATION, handoff};
use crate::support::rig::{Rig, rig, rig_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_stopped_under_load_leaves_the_rest_to_the_next_one() {
    let rig = rig().set("broker", "prefetch", 20).start().await;
    rig.crm.environment().configure(&json!({ "latency_ms": 30 })).unwrap();
    let events = chats(300);
    rig.bus.publish_all(&events).await;
    // Stopped three times, in the middle of the load.
    for least in [20, 100, 180] {
        eventually("some outcomes", async || rig.bus.all_outcomes().await.len() >= least).await;
        rig.worker().stop().await;
        let (answered, waiting) = (rig.bus.all_outcomes().await.len(), rig.bus.unfinished().await as usize);
        assert_eq!(answered + waiting, events.len(), "events in progress finish, the rest is untouched");
        rig.start_worker("worker").ready().await;
    }
    rig.bus.outcomes_of(&events).await;
    assert_eq!(rig.crm.count("oc_liveworkitems.create"), 300, "nothing was asked twice");
    rig.nothing_is_left().await;
}

/// Events in progress can't be settled and are not waited for: the broker redelivers them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_stopped_while_the_broker_is_unreachable_exits_and_loses_nothing() {
    let broker = Broker::start();
    let rig = rig_on(&broker).start().await;
    rig.crm.environment().configure(&json!({ "latency_ms": 20_000 })).unwrap();
    let events = chats(10);
    rig.bus.publish_all(&events).await;
    in_hand(&rig).await;
    let worker = rig.worker();
    broker.kill9();
    eventually("an unready worker", async || worker.try_unready().await.is_some_and(|why| !why.is_empty())).await;
    // One line for all of them, with their number.
    let lost: Vec<_> = worker.lines().into_iter().filter(|line| line["unsettled"].is_u64()).collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(lost[0]["unsettled"].as_u64().unwrap() >= 1, "{lost:?}");
    rig.crm.environment().configure(&json!({ "latency_ms": 0 })).unwrap();
    worker.terminate();
    assert!(worker.exit().await.success());
    let loud = |line: &serde_json::Value| line["level"] != "DEBUG" && line.to_string().contains("will redeliver it");
    assert!(!worker.lines().iter().any(loud), "{:?}", worker.lines());

    broker.restart();
    rig.bus.reconnect().await;
    rig.start_worker("worker").ready().await;
    rig.bus.outcomes_of(&events).await;
    assert_eq!(rig.crm.rows("oc_liveworkitems").len(), events.len());
    rig.nothing_is_left().await;
}

/// Dynamics has done the work and does not respond: the drain ends in time, and the next run finds the work done.
#[tokio::test]
async fn a_worker_stopped_while_dynamics_hangs_exits_in_time_and_duplicates_nothing() {
    let rig = rig().set("worker", "drain_timeout", "500ms").set("dynamics", "request_timeout", "10m").start().await;
    rig.crm.fault(&json!({ "operation": "incidents.create", "fault": "hang_after_commit" }));
    let event = handoff("email");
    rig.bus.publish(&event).await;
    eventually("the hang", async || rig.crm.fired().await == 1).await;
    let worker = rig.worker();
    worker.terminate();
    assert!(worker.exit().await.success());
    assert!(worker.logged("worker.drain_timeout passed"));
    rig.bus.waiting(&rig.files.organization_queue(ORGANIZATION), 1).await;

    rig.start_worker("worker").ready().await;
    assert_eq!(rig.bus.outcome(event.id()).await.routing_key, "dynamics365.handoff.succeeded");
    assert_eq!((rig.crm.incidents().len(), rig.crm.contacts().len()), (1, 1));
    rig.nothing_is_left().await;
}

/// Dynamics does not affect readiness: events of other organizations are processed.
#[tokio::test]
async fn a_worker_started_while_dynamics_is_unreachable_is_ready_and_recovers_by_itself() {
    let rig = rig().lay_out().await;
    rig.crm.fault(&json!({ "operation": "*", "times": null, "fault": "reset_before" }));
    rig.start_worker("worker").ready().await;
    let events = chats(5);
    rig.bus.publish_all(&events).await;
    rig.awaits("transient").await;
    rig.worker().ready().await;
    assert_eq!(rig.bus.dead_letters().await, 0);
    rig.crm.environment().clear_faults();
    rig.bus.outcomes_of(&events).await;
    assert_eq!(rig.crm.rows("oc_liveworkitems").len(), events.len());
    rig.nothing_is_left().await;
}

fn chats(count: usize) -> Vec<Event> {
    (0..count).map(|_| handoff("web")).collect()
}

async fn in_hand(rig: &Rig) {
    eventually("events in progress", async || rig.worker().metric("handoffd_in_flight", "").await >= 1).await;
}
