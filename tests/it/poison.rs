//! Events that end the process are identified and given up, without their neighbours.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::broker::{DEADLINE, eventually};
use crate::support::bus::header;
use crate::support::event::{Event, handoff, resolved};
use crate::support::rig::{Rig, rig};

/// Most deaths until the event is given up (contract 5).
const DEATHS: u64 = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_ends_the_process_is_identified_and_its_neighbours_are_spared() {
    let rig = rig().set("retry", "delays", vec!["300ms".to_owned()]).start().await;
    let poison = handoff("web");
    let channels = ["web", "email"];
    let neighbours: Vec<Event> = (0..50).map(|number| handoff(channels[number % 2])).collect();
    deadly(&rig, &poison);
    let (before, after) = neighbours.split_at(25);
    rig.bus.publish_all(before).await;
    rig.bus.publish(&poison).await;
    rig.bus.publish_all(after).await;

    let deaths = kill_whenever_it_is_asked_for(&rig).await;
    // The first may go unnoticed, and one may not count: a message in flight to a cancelled consumer counts as
    // redelivered.
    assert!((DEATHS - 2..=DEATHS).contains(&deaths), "given up after {deaths} deaths");
    let letter = rig.bus.dead_letter().await;
    assert_eq!(letter.data, poison.body());
    let value_of = |name: &str| header(&letter.properties, name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(value_of("x-handoffd-reason"), "retries_exhausted");
    assert_eq!(value_of("x-handoffd-error"), "the worker died about 6 times with this event in flight");
    assert_eq!(value_of("x-handoffd-step"), "post_live_work_item");
    let failed = rig.bus.outcome(poison.id()).await;
    assert_eq!(failed.routing_key, "dynamics365.handoff.failed");

    rig.bus.outcomes_of(&neighbours).await;
    for outcome in rig.bus.all_outcomes().await {
        let of_poison = outcome.body["data"]["source_event_id"] == poison.id();
        assert_eq!(of_poison, outcome.routing_key != "dynamics365.handoff.succeeded", "{}", outcome.body);
    }
    assert_eq!((rig.crm.incidents().len(), rig.crm.rows("oc_liveworkitems").len()), (25, 25));

    // With the fault removed it succeeds like any other.
    rig.crm.environment().clear_faults();
    rig.bus.put(&rig.files.work_queue(), &letter.data, letter.properties).await;
    assert_eq!(rig.bus.outcomes(poison.id(), 2).await[1].body["data"]["attempts"], 1);
    rig.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_is_not_counted_against_any_event() {
    let rig = rig().set("worker", "drain_timeout", "200ms").set("dynamics", "request_timeout", "30s").start().await;
    let slow = handoff("web");
    deadly(&rig, &slow);
    rig.bus.publish(&slow).await;
    for ends in 1..=DEATHS + 3 {
        eventually(&format!("request {ends}"), async || fired(&rig).await >= ends).await;
        if ends <= 2 {
            // Now it is quarantined.
            rig.worker().kill9();
        } else {
            rig.worker().stop().await;
        }
        rig.start_worker("worker").ready().await;
    }
    rig.crm.environment().clear_faults();
    rig.worker().stop().await;
    rig.start_worker("worker").ready().await;
    assert_eq!(rig.bus.outcome(slow.id()).await.routing_key, "dynamics365.handoff.succeeded");
    rig.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_is_not_counted_against_an_event() {
    let rig = rig().set("dynamics", "request_timeout", "30s").start().await;
    let slow = handoff("web");
    deadly(&rig, &slow);
    rig.bus.publish(&slow).await;
    for ends in 1..=DEATHS + 2 {
        eventually(&format!("request {ends}"), async || fired(&rig).await >= ends).await;
        if ends > 2 {
            // Longer than a quarantined event excludes others: a later death is not attributed to it.
            eventually("an acquittal", async || {
                rig.worker().logged("a quarantined event is waiting; processing other events meanwhile")
            })
            .await;
        }
        rig.worker().kill9();
        rig.start_worker("worker").ready().await;
    }
    rig.crm.environment().clear_faults();
    rig.worker().kill9();
    rig.start_worker("worker");
    assert_eq!(rig.bus.outcome(slow.id()).await.routing_key, "dynamics365.handoff.succeeded");
    rig.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_and_progress_survive_deaths_between_retries() {
    let rig = rig().set("retry", "in_process", 1).set("retry", "delays", vec!["1s".to_owned()]).start().await;
    rig.crm.refuse("incidents.create", 4, 503, "", "");
    let event = handoff("email");
    rig.bus.publish(&event).await;
    let queue = rig.retry_queue("1s");
    for attempt in 1..=4 {
        eventually(&format!("attempt {attempt}"), async || rig.crm.count("incidents.create") >= attempt).await;
        rig.bus.waiting(&queue, 1).await;
        // A kill before its ack would redeliver the source beside its copy.
        rig.awaits("transient").await;
        rig.worker().kill9();
        if attempt == 3 {
            // Its headers preserve the history.
            std::fs::remove_dir_all(rig.store("worker")).unwrap();
        }
        rig.start_worker("worker").ready().await;
    }
    let outcome = rig.bus.outcome(event.id()).await.body;
    assert_eq!(outcome["data"]["attempts"], 5);
    assert_eq!(rig.crm.count("incidents.create"), 5);
    // The contact was looked up and created before the first attempt failed, and once more without a store.
    assert_eq!((rig.crm.count("contacts.query"), rig.crm.count("contacts.create")), (2, 1));
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn removing_an_organization_ends_its_events_in_progress() {
    let rig = rig().set("retry", "in_process", 1).set("retry", "delays", vec!["1s".to_owned()]).start().await;
    let event = handoff("email");
    rig.crm.refuse("incidents.create", 99, 503, "", "");
    rig.bus.publish(&event).await;
    rig.awaits("transient").await;
    let file = rig.folder.path().join("organizations/org_acme.toml");
    std::fs::remove_file(&file).unwrap();
    rig.worker().hang_up();
    rig.worker().hang_up();
    let outcome = rig.bus.outcome(event.id()).await.body;
    assert_eq!(outcome["data"]["reason"], "unknown_organization", "{outcome}");
    assert!(outcome["data"]["attempts"].as_u64().unwrap() >= 1);
    rig.bus.dead_letter().await;

    rig.crm.environment().clear_faults();
    rig.files.write_organization(rig.folder.path());
    rig.worker().hang_up();
    eventually("the organization", async || rig.worker().logged("organization added")).await;
    assert_eq!(
        rig.process(&resolved(event.session())).await.body["data"]["reason"],
        "no_incident",
        "nothing waits for it"
    );
    rig.bus.publish(&event).await;
    assert_eq!(rig.bus.outcomes(event.id(), 2).await[1].routing_key, "dynamics365.handoff.succeeded");
}

/// Makes every request of this live work item hang, so that it can be observed.
fn deadly(rig: &Rig, event: &Event) {
    let script = json!({ "operation": "oc_liveworkitems.create", "containing": event.session(), "times": null, "fault": "hang" });
    rig.crm.fault(&script);
}

/// Kills and restarts the worker at each hanging request until an event is given up; returns the number of kills.
async fn kill_whenever_it_is_asked_for(rig: &Rig) -> u64 {
    let (mut deaths, begun) = (0, Instant::now());
    while rig.bus.dead_letters().await == 0 {
        assert!(begun.elapsed() < DEADLINE, "not given up after {deaths} deaths");
        if fired(rig).await > deaths {
            rig.worker().kill9();
            deaths += 1;
            rig.start_worker("worker");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    deaths
}

async fn fired(rig: &Rig) -> u64 {
    let scripts = rig.crm.scripts().await;
    scripts.as_array().unwrap().iter().filter_map(|script| script["fired"].as_u64()).sum()
}
