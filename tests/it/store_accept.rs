//! Worker with a damaged store, at start or while it runs: the store is set aside, and an operator must accept the new
//! one if it kept organizations.

use std::process::Output;
use std::time::Duration;

use serde_json::json;

use crate::store_damage::{filled, garble};
use crate::support::broker::eventually;
use crate::support::event::{ANOTHER_ORGANIZATION, Event, ORGANIZATION, handoff};
use crate::support::rig::{Plan, Rig, rig};
use crate::support::simulator::SECRET;
use crate::support::worker::field;

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const DAMAGED: &str = "THE STORE WAS DAMAGED";

fn with_key() -> Plan {
    rig().set("organizations", "encryption_key", KEY)
}

fn theirs() -> Event {
    handoff("email").with("/organization_id", ANOTHER_ORGANIZATION)
}

/// Reads an event that is not in memory, so that the worker meets the damage.
async fn look(rig: &Rig) {
    let (status, _) = rig.worker().api("GET", "/outcomes?limit=500", None).await;
    assert_eq!(status, 503, "the answer is no lie");
    eventually("the report", async || rig.worker().logged(DAMAGED)).await;
}

/// Asserts that the worker consumes nothing and advises the operator.
async fn waits_for_an_operator(rig: &Rig) {
    eventually("a worker that waits for an operator", async || {
        let Some(why) = rig.worker().try_unready().await else { return false };
        why.iter().any(|why| why.contains("paused") && why.contains("handoffd store accept"))
    })
    .await;
    rig.bus.abandoned().await;
}

async fn accept(rig: &Rig) -> String {
    let Output { status, stdout, stderr } = rig.worker().command(&["store", "accept"]).await;
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn errors(rig: &Rig) -> usize {
    rig.worker().lines().iter().filter(|line| *field(line, "level") == "ERROR").count()
}

#[tokio::test]
async fn a_store_set_aside_at_the_start_consumes_nothing_until_an_operator_accepts_the_new_one() {
    let rig = with_key().start().await;
    let document = json!({
        "environment_url": rig.crm.url(), "tenant_id": "11111111-1111-1111-1111-111111111111",
        "client_id": "22222222-2222-2222-2222-222222222222", "client_secret": SECRET,
    });
    let saved = format!("/organizations/{ANOTHER_ORGANIZATION}");
    assert_eq!(rig.worker().api("PUT", &saved, Some(&document)).await.0, 200);
    assert!(accept(&rig).await.starts_with("nothing to accept"));
    rig.worker().stop().await;
    assert!(accept(&rig).await.starts_with("nothing to accept"), "nor without a worker");
    garble(&rig.store("worker"));

    let (ours, theirs) = (handoff("email"), theirs());
    for _ in 0..2 {
        // A restart does not accept it.
        rig.start_worker("worker");
        waits_for_an_operator(&rig).await;
        rig.worker().stop().await;
    }
    rig.start_worker("worker");
    waits_for_an_operator(&rig).await;
    rig.bus.publish_all(&[ours.clone(), theirs.clone()]).await;
    rig.bus.waiting(&rig.files.work_queue(), 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((rig.bus.all_outcomes().await.len(), rig.bus.dead_letters().await), (0, 0));

    // Saved organizations are saved again first.
    assert_eq!(rig.worker().api("PUT", &saved, Some(&document)).await.0, 200);
    let output = accept(&rig).await;
    for part in ["accepted the new store", ".corrupt-", "paused are resumed", "saved over HTTP are gone"] {
        assert!(output.contains(part), "{output}");
    }
    rig.worker().ready().await;
    rig.bus.outcomes_of(&[ours, theirs]).await;
    assert_eq!(rig.crm.incidents().len(), 2);
    assert!(accept(&rig).await.starts_with("nothing to accept"));
    rig.nothing_is_left().await;
    rig.start_worker("worker").ready().await;
}

#[tokio::test]
async fn a_new_store_can_be_accepted_without_a_worker() {
    let rig = with_key().start().await;
    rig.worker().stop().await;
    garble(&rig.store("worker"));
    rig.start_worker("worker");
    waits_for_an_operator(&rig).await;
    rig.worker().stop().await;
    assert!(accept(&rig).await.starts_with("accepted the new store"));
    rig.start_worker("worker").ready().await;
    rig.hand_off(&handoff("email")).await;
}

#[tokio::test]
async fn damage_met_while_it_runs_is_handled_as_at_the_start() {
    let rig = rig().lay_out().await;
    filled(&rig.store("worker")).await;
    rig.start_worker("worker").ready().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    garble(&rig.store("worker"));
    look(&rig).await;
    rig.worker().ready().await;
    assert_eq!(errors(&rig), 1, "one line, loudly");
    rig.bus.publish(&event).await;
    rig.bus.outcomes(event.id(), 2).await;
    rig.hand_off(&handoff("web")).await;
    assert_eq!(rig.crm.incidents().len(), 1, "nothing is made twice");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_pause_is_lost_with_the_damaged_store() {
    let rig = rig().lay_out().await;
    filled(&rig.store("worker")).await;
    rig.start_worker("worker").ready().await;
    assert_eq!(rig.worker().api("POST", "/organizations/org_acme/pause", None).await.0, 200);
    garble(&rig.store("worker"));
    look(&rig).await;
    rig.worker().ready().await;
    assert_eq!(rig.worker().stands(ORGANIZATION).await["state"], "open");
    rig.hand_off(&handoff("email")).await;
}

#[tokio::test]
async fn damage_met_while_it_runs_waits_for_an_operator_where_organizations_may_be_saved() {
    let rig = with_key().lay_out().await;
    filled(&rig.store("worker")).await;
    rig.start_worker("worker").ready().await;
    rig.hand_off(&handoff("email")).await;
    assert_eq!(rig.worker().api("POST", "/organizations/org_acme/pause", None).await.0, 200);
    garble(&rig.store("worker"));
    look(&rig).await;
    waits_for_an_operator(&rig).await;
    assert_eq!(errors(&rig), 1, "one line, loudly");
    let event = handoff("email");
    rig.bus.publish(&event).await;
    rig.bus.waiting(&rig.files.work_queue(), 1).await;

    // A pause that is to last is set again, though it is still in effect in the worker.
    let (status, view) = rig.worker().api("POST", "/organizations/org_acme/pause", None).await;
    assert_eq!((status, &view["state"]), (200, &json!("paused")), "{view}");
    rig.worker().stop().await;
    rig.start_worker("worker");
    waits_for_an_operator(&rig).await;
    rig.bus.waiting(&rig.files.work_queue(), 1).await;

    accept(&rig).await;
    rig.worker().ready().await;
    assert_eq!(rig.worker().stands(ORGANIZATION).await["state"], "paused");
    assert_eq!(rig.worker().api("POST", "/organizations/org_acme/resume", None).await.0, 200);
    rig.bus.outcome(event.id()).await;
    assert_eq!(rig.crm.incidents().len(), 2);
}

#[tokio::test]
async fn an_operator_accepts_while_the_worker_runs_and_its_former_state_is_dropped() {
    let rig = with_key().lay_out().await;
    filled(&rig.store("worker")).await;
    rig.start_worker("worker").ready().await;
    assert_eq!(rig.worker().api("POST", "/organizations/org_acme/pause", None).await.0, 200);
    garble(&rig.store("worker"));
    look(&rig).await;
    waits_for_an_operator(&rig).await;
    let event = handoff("email");
    rig.bus.publish(&event).await;
    accept(&rig).await;
    rig.worker().ready().await;
    rig.bus.outcome(event.id()).await;
    assert_eq!(rig.worker().stands(ORGANIZATION).await["state"], "open");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_worker_configured_to_stop_at_damage_exits_and_reports_it() {
    let rig = rig().set("store", "on_corruption", "stop").lay_out().await;
    filled(&rig.store("worker")).await;
    rig.start_worker("worker").ready().await;
    rig.hand_off(&handoff("email")).await;
    garble(&rig.store("worker"));
    let worker = rig.worker();
    let (status, _) = worker.api("GET", "/outcomes?limit=500", None).await;
    assert_eq!(status, 503);
    assert_eq!(worker.exit().await.code(), Some(1));
    let log = worker.log();
    assert!(log.contains("is damaged (") && log.contains("store.on_corruption"), "{log}");
    assert!(!worker.logged(DAMAGED));
    let event = handoff("email");
    rig.bus.publish(&event).await;
    rig.bus.waiting(&rig.files.work_queue(), 1).await;
    // It does not start again either.
    assert_eq!(rig.start_worker("worker").exit().await.code(), Some(1));
}
