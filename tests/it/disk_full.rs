//! The worker's disk is full: it consumes no events, reports it, and resumes by itself once there is room.
//!
//! The process's limit on the size of its files (`RLIMIT_FSIZE`) stands in for the disk, which needs no mount and no
//! privileges: a write beyond it fails like one on a full disk.

use std::process::Command;

use serde_json::json;

use crate::support::broker::eventually;
use crate::support::event::{Event, ORGANIZATION, handoff};
use crate::support::rig::{Rig, rig};
use crate::support::worker::Worker;

#[tokio::test]
async fn a_worker_whose_disk_fills_up_consumes_nothing_until_there_is_room() {
    const EVENTS: usize = 60;
    let rig = rig().set("broker", "prefetch", 5).lay_out().await;
    let worker = rig.start_worker_under("worker", &["env", "--ignore-signal=XFSZ"]);
    worker.ready().await;
    rig.hand_off(&handoff("email")).await;
    limit(&worker, "1:unlimited");
    let events = load(EVENTS);
    rig.bus.publish_all(&events).await;
    stuck(&rig, &worker).await;
    eventually("the rest to be in the queues", async || {
        rig.bus.all_outcomes().await.len() + rig.bus.unfinished().await as usize == EVENTS + 1
    })
    .await;
    let asked = rig.crm.operations().len();
    assert!(asked < 2 * EVENTS, "{asked} requests: events are consumed and returned repeatedly");

    limit(&worker, "unlimited");
    worker.ready().await;
    eventually("a line about it", async || worker.logged("the store works again")).await;
    rig.bus.outcomes_of(&events).await;
    let incidents: Vec<_> = rig.crm.incidents().iter().map(|row| row["incidentid"].clone()).collect();
    let distinct: std::collections::HashSet<_> = incidents.iter().map(ToString::to_string).collect();
    assert_eq!((incidents.len(), distinct.len()), (EVENTS + 1, EVENTS + 1));
    assert_eq!(rig.crm.contacts().len(), EVENTS + 1);
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn nothing_is_taken_from_an_organizations_queue_while_the_disk_is_full() {
    let rig = rig().set("broker", "prefetch", 8).set("dynamics", "max_concurrency", 2).lay_out().await;
    let worker = rig.start_worker_under("worker", &["env", "--ignore-signal=XFSZ"]);
    worker.ready().await;
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": { "delay_ms": 300 } }));
    let events = load(100);
    rig.bus.publish_all(&events).await;
    rig.bus.gather(ORGANIZATION, 70).await;
    limit(&worker, "1:unlimited");
    stuck(&rig, &worker).await;
    eventually("no event in progress", async || worker.metric("handoffd_in_flight", "").await == 0).await;
    let left = rig.bus.unfinished().await;
    assert!(left > 70, "only {left} are left in the queues");

    limit(&worker, "unlimited");
    rig.crm.environment().clear_faults();
    worker.ready().await;
    rig.bus.outcomes_of(&events).await;
    assert_eq!(rig.crm.incidents().len(), events.len());
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_worker_that_starts_with_a_full_disk_waits_for_room() {
    let rig = rig().lay_out().await;
    let full = ["prlimit", "--fsize=0:unlimited", "--", "env", "--ignore-signal=XFSZ"];
    let worker = rig.start_worker_under("worker", &full);
    stuck(&rig, &worker).await;
    // The exchange exists, with a queue bound to it.
    let event = handoff("email");
    rig.bus.publish(&event).await;
    rig.bus.waiting(&rig.files.work_queue(), 1).await;
    assert_eq!(rig.crm.operations(), [""; 0]);

    limit(&worker, "unlimited");
    worker.ready().await;
    let outcome = rig.bus.outcome(event.id()).await;
    assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded");
    rig.nothing_is_left().await;

    // Files created meanwhile are intact.
    rig.start_worker("worker").ready().await;
    assert!(!rig.worker().logged("THE STORE WAS DAMAGED"));
    rig.bus.publish(&event).await;
    rig.bus.outcomes(event.id(), 2).await;
    assert_eq!(rig.crm.incidents().len(), 1);
}

fn load(count: usize) -> Vec<Event> {
    (0..count).map(|_| handoff("email")).collect()
}

/// Asserts that nothing is consumed and the reason is reported.
async fn stuck(rig: &Rig, worker: &Worker) {
    eventually("an unready worker", async || {
        let Some(why) = worker.try_unready().await else { return false };
        why.iter().any(|why| why.contains("paused")) && why.iter().any(|why| why.contains("the store fails"))
    })
    .await;
    rig.bus.abandoned().await;
    assert!(worker.logged("can't write to the store"));
}

fn limit(worker: &Worker, size: &str) {
    let set = Command::new("prlimit").args(["--pid", &worker.id(), &format!("--fsize={size}")]).status();
    assert!(set.expect("prlimit (util-linux) runs").success());
}
