//! Life cycle of the process: start, readiness, drain, exit.

use std::collections::BTreeSet;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use serde_json::json;

use crate::support::broker::{Broker, Client, eventually};
use crate::support::event::{Event, ORGANIZATION, handoff};
use crate::support::rig::{Rig, rig, rig_on};
use crate::support::worker::{Worker, field};

#[tokio::test]
async fn a_stopping_worker_finishes_events_in_progress() {
    let rig = rig().set("broker", "prefetch", 5).start().await;
    rig.crm.environment().configure(&json!({ "latency_ms": 1500 })).unwrap();
    let events = chats(20);
    rig.bus.publish_all(&events).await;
    in_hand(&rig).await;
    let worker = rig.worker();
    worker.terminate();
    eventually("an unready worker", async || {
        worker.try_unready().await.is_some_and(|why| why.iter().any(|why| why.contains("stopping")))
    })
    .await;
    assert!(worker.exit().await.success());
    let (answered, waiting) = (rig.bus.all_outcomes().await.len(), rig.bus.unfinished().await);
    assert!(answered >= 1);
    assert_eq!(answered + waiting as usize, events.len(), "events in progress finish, the rest is untouched");
    assert_eq!(rig.crm.count("oc_liveworkitems.create"), answered as u64);

    rig.crm.environment().configure(&json!({ "latency_ms": 0 })).unwrap();
    rig.start_worker("worker").ready().await;
    rig.bus.outcomes_of(&events).await;
    assert_eq!(rig.crm.count("oc_liveworkitems.create"), 20, "nothing was asked twice");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_drain_that_takes_too_long_returns_events_in_progress() {
    let rig = rig().set("worker", "drain_timeout", "500ms").start().await;
    rig.crm.fault(&json!({ "operation": "oc_liveworkitems.create", "fault": "hang" }));
    let event = handoff("web");
    rig.bus.publish(&event).await;
    asked(&rig).await;
    let worker = rig.worker();
    worker.terminate();
    assert!(worker.exit().await.success());
    assert!(worker.logged("worker.drain_timeout passed"));
    rig.bus.waiting(&rig.files.organization_queue(ORGANIZATION), 1).await;
    rig.start_worker("worker").ready().await;
    assert_eq!(rig.bus.outcome(event.id()).await.routing_key, "dynamics365.handoff.succeeded");
}

#[tokio::test]
async fn a_second_signal_ends_the_worker_at_once() {
    let rig = rig().set("worker", "drain_timeout", "10m").set("dynamics", "request_timeout", "10m").start().await;
    rig.crm.fault(&json!({ "operation": "oc_liveworkitems.create", "fault": "hang" }));
    rig.bus.publish(&handoff("web")).await;
    asked(&rig).await;
    let worker = rig.worker();
    worker.terminate();
    eventually("the drain", async || worker.logged("stopping; finishing events in progress")).await;
    worker.terminate();
    assert_eq!(worker.exit().await.code(), Some(143));
    rig.bus.waiting(&rig.files.organization_queue(ORGANIZATION), 1).await;
}

#[tokio::test]
async fn a_worker_waits_for_its_broker_and_can_be_stopped_meanwhile() {
    let broker = Broker::start();
    let rig = rig_on(&broker).lay_out().await;
    broker.stop();
    let stopped = rig.start_worker("stopped");
    stopped.unready().await;
    stopped.stop().await;
    let worker = rig.start_worker("worker");
    eventually("the reason", async || worker.unready().await.iter().any(|why| why.contains("can't reach the broker")))
        .await;
    broker.restart();
    worker.ready().await;
    rig.bus.reconnect().await;
    rig.hand_off(&handoff("email")).await;
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_named_and_ends_the_start() {
    let rig = rig().lay_out().await;
    let client = Client::connect(Broker::shared()).await;
    let (queue, durable) =
        (rig.files.work_queue(), QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() });
    client.channel().queue_declare(queue.as_str().into(), durable, FieldTable::default()).await.unwrap();
    let worker = rig.start_worker("worker");
    assert_eq!(worker.exit().await.code(), Some(1));
    let log = worker.log();
    assert!(log.contains(&queue) && log.contains("x-"), "{log}");
}

#[tokio::test]
async fn a_worker_that_only_checks_reports_what_is_missing() {
    let mut rig = rig().set("broker", "declare", false).lay_out().await;
    let checking = rig.start_worker("checking");
    eventually("the missing queue", async || {
        checking.unready().await.iter().any(|why| why.contains(&rig.files.name) && why.contains("missing: "))
    })
    .await;
    rig.files.set("broker", "declare", true);
    let declaring = rig.start_worker("declaring");
    declaring.ready().await;
    declaring.stop().await;
    checking.ready().await;
    rig.hand_off(&handoff("email")).await;
}

/// A queue that existed before is not new to a worker that starts, and needs no waiting.
#[tokio::test]
async fn only_queues_that_did_not_exist_are_new() {
    let rig = rig().start().await;
    let new = |worker: &Worker| {
        let all = worker.lines();
        let of_them = all.iter().filter(|line| field(line, "message") == "declared a new queue");
        of_them.map(|line| field(line, "queue").as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let first = new(&rig.worker());
    assert!(rig.files.queues().iter().all(|queue| first.contains(queue)), "{first:?}");
    rig.worker().stop().await;
    let gone = rig.retry_queue("1s");
    rig.bus.delete_queue(&gone).await;
    let second = rig.start_worker("second");
    second.ready().await;
    assert_eq!(new(&second), BTreeSet::from([gone]));
    second.stop().await;
}

#[tokio::test]
async fn a_worker_whose_queue_was_deleted_consumes_again() {
    let rig = rig().start().await;
    rig.bus.delete_queue(&rig.files.work_queue()).await;
    eventually("the loss", async || rig.worker().logged("lost the connection to the broker")).await;
    rig.worker().ready().await;
    rig.hand_off(&handoff("email")).await;
}

#[tokio::test]
async fn a_bad_configuration_names_file_key_and_what_was_expected() {
    let mut rig = rig().set("broker", "prefetch", "many").lay_out().await;
    let refused = async |rig: &Rig, says: &[&str]| {
        let worker = rig.start_worker("worker");
        assert_eq!(worker.exit().await.code(), Some(2));
        let log = worker.log();
        assert!(says.iter().all(|text| log.contains(text)), "{log}");
    };
    refused(&rig, &["worker.toml", "broker.prefetch", "65535"]).await;
    rig.files.set("broker", "prefetch", 10);
    rig.files.set("retry", "dleays", vec!["1s".to_owned()]);
    refused(&rig, &["worker.toml", "dleays", "delays"]).await;
    rig.files.set("retry", "delays", vec!["soon".to_owned()]);
    refused(&rig, &["worker.toml", "retry.delays", "soon"]).await;
}

#[tokio::test]
async fn a_broken_organization_file_leaves_the_last_good_one_in_force() {
    let rig = rig().start().await;
    let mut broken = rig.files.clone();
    broken.organize("default_priority", "urgent");
    broken.write_organization(rig.folder.path());
    rig.worker().hang_up();
    eventually("the report", async || rig.worker().logged("invalid organization files")).await;
    rig.hand_off(&handoff("email")).await;
}

#[tokio::test]
async fn a_removed_organization_is_unknown() {
    let rig = rig().start().await;
    rig.hand_off(&handoff("email")).await;
    std::fs::remove_file(rig.folder.path().join("organizations/org_acme.toml")).unwrap();
    // It was the only one; without SIGHUP the worker would wait for it for a minute.
    rig.worker().hang_up();
    eventually("the removal", async || rig.worker().logged("organization removed")).await;
    assert_eq!(rig.process(&handoff("email")).await.body["data"]["reason"], "unknown_organization");
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_set_aside_without_duplicates() {
    let rig = rig().start().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    rig.stop_workers().await;
    for entry in std::fs::read_dir(rig.store("worker")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, [0xa5; 4096]).unwrap();
        }
    }
    rig.start_worker("worker").ready().await;
    assert!(rig.worker().logged("THE STORE WAS DAMAGED"));
    rig.bus.publish(&event).await;
    rig.bus.outcomes(event.id(), 2).await;
    assert_eq!(rig.crm.incidents().len(), 1);
}

fn chats(count: usize) -> Vec<Event> {
    (0..count).map(|_| handoff("web")).collect()
}

async fn in_hand(rig: &Rig) {
    eventually("events in progress", async || rig.worker().metric("handoffd_in_flight", "").await >= 1).await;
}

/// The simulator does not list a hanging request; the token request before it is listed.
async fn asked(rig: &Rig) {
    eventually("a pending request", async || rig.crm.count("token") == 1).await;
    in_hand(rig).await;
}
