//! The same through any worker: states of organizations, actions of operators, the end of sessions.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::bench::{owned_by, owns, pair, plan};
use crate::support::broker::{Broker, eventually};
use crate::support::event::{Event, handoff};
use crate::support::files::TOKEN;
use crate::support::interface::Api;
use crate::support::rig::{Plan, Rig};
use crate::support::worker::Worker;

/// Two workers, and an organization that `b` owns.
async fn with_foreign() -> (Rig, Arc<Worker>, Arc<Worker>, &'static str) {
    with_foreign_by(plan().await).await
}

async fn with_foreign_by(plan: Plan) -> (Rig, Arc<Worker>, Arc<Worker>, &'static str) {
    let (rig, a, b) = pair(plan).await;
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
    for name in ["state", "since", "error", "advice", "worker", "environment_url"] {
        assert_eq!(at_owner[name], elsewhere[name], "{name}: {at_owner} {elsewhere}");
    }
    // These change while the probes go on.
    for name in ["requests", "concurrency"] {
        let same = async || a.stands(organization).await[name] == b.stands(organization).await[name];
        eventually(name, same).await;
    }
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
    // For this long the broker believes that a suspended worker consumes, and no other one takes over.
    let broker = format!("{}?heartbeat=60", Broker::shared());
    let (rig, a, b, organization) = with_foreign_by(plan().await.set("broker", "url", broker)).await;
    stands(&a, organization, "open").await;
    b.suspend();
    let mut entry = Value::Null;
    eventually("an unknown state", async || {
        entry = a.stands(organization).await;
        entry["state"] == "unknown"
    })
    .await;
    let label = format!("organization=\"{organization}\"");
    a.counts("handoffd_organization_state", &label, 0).await;
    eventually("a reason", async || {
        let status = a.api("GET", "/status", None).await.1;
        let of_it = |reason: &Value| {
            reason["organization_id"] == organization && reason["cause"].as_str().unwrap().contains("unknown")
        };
        status["verdict"] == "degraded" && status["reasons"].as_array().unwrap().iter().any(of_it)
    })
    .await;
    for absent in ["requests", "concurrency", "under_way", "last_success", "oldest_seconds"] {
        assert!(entry[absent].is_null(), "{absent}: {entry}");
    }
    b.wake();
    eventually("an owner's report", async || a.stands(organization).await["state"] == "open").await;
    owns(&a, 2).await;
    rig.nothing_is_left().await;
}

/// Actions as a worker lists them, newest first.
async fn actions(worker: &Worker) -> Vec<Value> {
    let (status, listed) = worker.api("GET", "/audit", None).await;
    assert_eq!(status, 200, "{listed}");
    listed["entries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_worker_lists_the_actions_of_operators_also_after_a_restart() {
    let (rig, a, b, organization) = with_foreign().await;
    for (worker, what) in [(&a, "pause"), (&b, "resume")] {
        assert_eq!(worker.api("POST", &format!("/organizations/{organization}/{what}"), None).await.0, 200);
    }
    for worker in [&a, &b] {
        eventually("both actions", async || actions(worker).await.len() == 2).await;
    }
    let listed = actions(&a).await;
    assert_eq!(listed, actions(&b).await);
    assert_eq!((&listed[0]["action"], &listed[1]["action"]), (&json!("resume"), &json!("pause")));
    assert_eq!((&listed[1]["who"], &listed[1]["subject"]), (&json!("token"), &json!(organization)));
    b.stop().await;
    let again = rig.start_worker("b");
    again.ready().await;
    assert_eq!(actions(&again).await, listed);
    let page = Api::with_token(&again, Some(TOKEN)).request(Method::GET, "/activity").send().await.unwrap();
    assert!(page.text().await.unwrap().contains("paused an organization"));
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_session_that_was_signed_out_is_over_at_every_worker_and_after_a_restart() {
    let (rig, a, b, _) = with_foreign().await;
    let signed_in = async |worker: &Worker| {
        let request = Api::with_token(worker, None).request(Method::POST, "/login").body(format!("token={TOKEN}"));
        let answer = request.send().await.unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        cookie.split(';').next().unwrap().to_owned()
    };
    let status = async |worker: &Worker, cookie: &str, method, path| {
        let request = Api::with_token(worker, None).request(method, path).header("cookie", cookie);
        request.send().await.unwrap().status().as_u16()
    };
    let (first, second) = (signed_in(&a).await, signed_in(&a).await);
    for cookie in [&first, &second] {
        assert_eq!(status(&b, cookie, Method::GET, "/api/v1/audit").await, 200);
    }
    assert_eq!(status(&a, &first, Method::POST, "/logout").await, 303);
    assert_eq!(status(&a, &first, Method::GET, "/api/v1/audit").await, 401, "at once where it was");
    eventually("the end of the session elsewhere", async || {
        status(&b, &first, Method::GET, "/api/v1/audit").await == 401
    })
    .await;
    b.stop().await;
    let again = rig.start_worker("b");
    again.ready().await;
    assert!(!again.logged("the store is unavailable"), "its start is no failure of the store");
    assert_eq!(status(&again, &first, Method::GET, "/api/v1/audit").await, 401);
    assert_eq!(status(&again, &second, Method::GET, "/api/v1/audit").await, 200, "another session goes on");
    rig.nothing_is_left().await;
}
