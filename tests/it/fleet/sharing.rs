//! The same through any worker: states of organizations, actions of operators, the end of sessions.

use std::sync::Arc;

use serde_json::{Value, json};

use super::bench::{owned_by, owns, pair, plan};
use crate::support::broker::eventually;
use crate::support::event::{Event, handoff};
use crate::support::rig::Rig;
use crate::support::worker::Worker;

/// Two workers, and an organization that `b` owns.
async fn with_foreign() -> (Rig, Arc<Worker>, Arc<Worker>, &'static str) {
    let (rig, a, b) = pair(plan().await).await;
    let organization = owned_by(&a, "b").await[0];
    (rig, a, b, organization)
}

fn events(organization: &str, count: usize) -> Vec<Event> {
    (0..count).map(|_| handoff("email").with("/organization_id", organization)).collect()
}

/// Waits until an organization is in this state at a worker: by its entry, its metrics and the verdict.
async fn stands(worker: &Worker, organization: &str, state: &str) -> Value {
    let mut entry = Value::Null;
    eventually(&format!("{organization} to be {state}"), async || {
        entry = worker.stands(organization).await;
        entry["state"] == state
    })
    .await;
    let label = format!("organization=\"{organization}\",state=\"{state}\"");
    worker.counts("handoffd_organization_state", &label, 1).await;
    let (status, is_open) = (worker.api("GET", "/status", None).await.1, state == "open");
    let of_it = |reason: &Value| reason["organization_id"] == organization;
    assert_eq!(status["reasons"].as_array().unwrap().iter().any(of_it), !is_open, "{status}");
    assert_eq!(status["verdict"] == "working", is_open, "{status}");
    entry
}

#[tokio::test]
async fn every_worker_shows_the_state_that_the_owner_sees() {
    let (rig, a, b, organization) = with_foreign().await;
    for worker in [&a, &b] {
        assert_eq!(stands(worker, organization, "open").await["requests"]["ok"], 0);
    }
    let disabled = json!({ "status": 403, "code": "0x80040225", "message": "The specified user(Id = 1) is disabled." });
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": disabled }));
    let all = events(organization, 3);
    rig.bus.publish_all(&all).await;
    let at_owner = stands(&b, organization, "blocked").await;
    let elsewhere = stands(&a, organization, "blocked").await;
    for name in ["state", "since", "error", "advice", "worker", "environment_url", "concurrency"] {
        assert_eq!(at_owner[name], elsewhere[name], "{name}: {at_owner} {elsewhere}");
    }
    eventually("the owner's requests", async || {
        a.stands(organization).await["requests"] == b.stands(organization).await["requests"]
    })
    .await;
    assert!(elsewhere["requests"]["refused"].as_u64().unwrap() > 0, "{elsewhere}");
    let label = format!("organization=\"{organization}\"");
    a.counts("handoffd_organization_blocked", &label, 1).await;
    let listed = a.command(&["org", "list"]).await;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let line = listed.lines().find(|line| line.starts_with(organization));
    assert_eq!(line.and_then(|line| line.split_whitespace().nth(1)), Some("blocked"), "{listed}");

    rig.crm.environment().clear_faults();
    rig.bus.outcomes_of(&all).await;
    for worker in [&a, &b] {
        stands(worker, organization, "open").await;
        worker.counts("handoffd_organization_blocked", &label, 0).await;
    }
    eventually("the last success", async || {
        let [here, there] = [&a, &b].map(|worker| worker.stands(organization));
        let (here, there) = (here.await, there.await);
        here["last_success"].is_string() && here["last_success"] == there["last_success"]
    })
    .await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_state_that_nobody_reports_is_unknown_and_never_open() {
    let (rig, a, b, organization) = with_foreign().await;
    stands(&a, organization, "open").await;
    // Suspended, it stays the owner of its queue's consumer, and reports nothing.
    b.suspend();
    let entry = stands(&a, organization, "unknown").await;
    for absent in ["requests", "concurrency", "under_way", "last_success", "oldest_seconds"] {
        assert!(entry[absent].is_null(), "{absent}: {entry}");
    }
    b.wake();
    eventually("an owner's report", async || a.stands(organization).await["state"] == "open").await;
    owns(&a, 2).await;
    rig.nothing_is_left().await;
}
