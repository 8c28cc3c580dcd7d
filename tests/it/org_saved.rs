//! Organizations saved in the store: tested first, their secret encrypted, effective at once and across restarts.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::broker::eventually;
use crate::support::event::{ANOTHER_ORGANIZATION, Event, handoff};
use crate::support::rig::{Plan, Rig, rig};
use crate::support::simulator::SECRET;
use crate::support::worker::Worker;

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NEXT_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn with_key() -> Plan {
    rig().set("organizations", "encryption_key", KEY)
}

fn document(rig: &Rig) -> Value {
    json!({
        "environment_url": rig.crm.url(), "tenant_id": "11111111-1111-1111-1111-111111111111",
        "client_id": "22222222-2222-2222-2222-222222222222", "client_secret": SECRET,
    })
}

fn theirs() -> Event {
    handoff("email").with("/organization_id", ANOTHER_ORGANIZATION)
}

async fn save(worker: &Worker, document: &Value) -> (u16, Value) {
    worker.api("PUT", &format!("/organizations/{ANOTHER_ORGANIZATION}"), Some(document)).await
}

#[tokio::test]
async fn a_saved_organization_is_effective_at_once_and_across_restarts_until_it_is_deleted() {
    let rig = with_key().start().await;
    let (status, report) = save(&rig.worker(), &document(&rig)).await;
    assert_eq!((status, &report["passed"]), (200, &json!(true)), "{report:#}");
    rig.hand_off(&theirs()).await;
    let stands = rig.worker().stands(ANOTHER_ORGANIZATION).await;
    assert_eq!((&stands["source"], &stands["state"]), (&json!("store"), &json!("open")), "{stands}");
    assert_eq!(stands["environment_url"], rig.crm.url().as_str());
    let tested = rig.worker().command(&["org", "test", ANOTHER_ORGANIZATION, "--json"]).await;
    assert!(tested.status.success(), "{tested:?}");
    is_listed(&rig).await;
    let event = rig.folder.path().join("event.json");
    std::fs::write(&event, theirs().body()).unwrap();
    let explain = ["explain", event.to_str().unwrap()];
    let explained = rig.worker().command(&explain).await;
    let told = String::from_utf8_lossy(&explained.stderr);
    assert!(told.contains("is saved in the store, which the running worker owns"), "{told}");

    rig.worker().stop().await;
    // Without a running worker, the command opens the store.
    is_listed(&rig).await;
    let explained = rig.worker().command(&explain).await;
    let explained: Value = serde_json::from_slice(&explained.stdout).unwrap_or_else(|_| panic!("{explained:?}"));
    assert!(explained["requests"][0]["url"].as_str().unwrap().starts_with(&rig.crm.url()), "{explained}");
    let tested = rig.worker().command(&["org", "test", ANOTHER_ORGANIZATION]).await;
    assert!(tested.status.success(), "{tested:?}");
    holds_no_secret(&rig.store("worker"));

    rig.start_worker("worker").ready().await;
    rig.hand_off(&theirs()).await;
    let path = format!("/organizations/{ANOTHER_ORGANIZATION}");
    assert_eq!(rig.worker().api("DELETE", &path, None).await.0, 204);
    let last = theirs();
    let outcome = rig.process(&last).await;
    assert_eq!(outcome.body["data"]["reason"], "unknown_organization", "{}", outcome.body);
    assert_eq!(rig.worker().api("DELETE", &path, None).await.0, 404);
}

#[tokio::test]
async fn an_organization_that_fails_its_test_or_can_not_be_kept_is_refused() {
    let rig = with_key().start().await;
    let right = document(&rig);
    let with = |key: &str, value: Value| {
        let mut document = right.clone();
        document[key] = value;
        document
    };
    let (status, problem) = save(&rig.worker(), &with("client_secret", json!("a-wrong-one"))).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("secret's Value"), "{problem}");
    assert_eq!(problem["report"]["checks"][0]["half"], "credentials", "{problem}");
    for (document, expected) in [
        (with("organization_id", json!("org_other")), "expected \"org_globex\""),
        (with("default_priority", json!(9)), "default_priority: found 9, expected"),
        (with("client_secret", json!({ "sealed": {} })), "client_secret"),
        (with("ticket_properties", json!({ "description": "x".repeat(7000) })), "shorten ticket_properties"),
    ] {
        let (status, problem) = save(&rig.worker(), &document).await;
        assert_eq!(status, 400, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{problem}");
        assert!(!problem.to_string().contains(SECRET) && !problem.to_string().contains("a-wrong-one"));
    }
    assert_eq!(rig.worker().stands(ANOTHER_ORGANIZATION).await["status"], 404);
    let (status, problem) = rig.worker().api("DELETE", "/organizations/org_acme", None).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("org_acme.toml"), "{problem}");

    // A file takes precedence.
    let (status, report) = rig.worker().api("PUT", "/organizations/org_acme", Some(&right)).await;
    assert_eq!(status, 200, "{report}");
    assert_eq!(report["checks"].as_array().unwrap().last().unwrap()["check"], "source", "{report:#}");
    assert!(rig.worker().stands("org_acme").await["source"]["file"].is_string());
    assert!(rig.worker().logged("organization is configured in a file and saved in the store"));
}

#[tokio::test]
async fn without_a_key_nothing_is_saved() {
    let rig = rig().start().await;
    let (status, problem) = save(&rig.worker(), &document(&rig)).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("organizations.encryption_key"), "{problem}");
    assert!(rig.crm.environment().requests().is_empty(), "nor tested");
}

#[tokio::test]
async fn a_key_is_rotated_without_losing_an_event() {
    let mut rig = with_key().start().await;
    assert_eq!(save(&rig.worker(), &document(&rig)).await.0, 200);
    rig.worker().stop().await;

    // With the wrong key that organization waits, and others don't.
    rig.files.set("organizations", "encryption_key", NEXT_KEY);
    rig.start_worker("worker").ready().await;
    let waiting = theirs();
    rig.bus.publish(&waiting).await;
    rig.worker().counts("handoffd_organization_blocked", ANOTHER_ORGANIZATION, 1).await;
    rig.hand_off(&handoff("email")).await;
    let stands = rig.worker().stands(ANOTHER_ORGANIZATION).await;
    assert_eq!(stands["state"], "blocked", "{stands}");
    assert!(stands["advice"].as_str().unwrap().contains("organizations.encryption_key"), "{stands}");
    assert!(rig.worker().logged("invalid saved organizations"));
    assert_eq!(rig.bus.dead_letters().await, 0);
    rig.worker().stop().await;

    // Both keys: secrets encrypted with the old one are re-encrypted.
    rig.files.set("organizations", "previous_encryption_key", KEY);
    rig.start_worker("worker").ready().await;
    assert_eq!(rig.bus.outcome(waiting.id()).await.routing_key, "dynamics365.handoff.succeeded");
    assert!(rig.worker().logged("re-encrypted the secrets"));
    rig.worker().stop().await;

    rig.files.set("organizations", "previous_encryption_key", "");
    rig.start_worker("worker").ready().await;
    rig.hand_off(&theirs()).await;
    holds_no_secret(&rig.store("worker"));
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_secret_that_is_rotated_under_load_loses_no_event() {
    let rig = with_key().start().await;
    assert_eq!(save(&rig.worker(), &document(&rig)).await.0, 200);
    rig.crm.environment().configure(&json!({ "latency_ms": 20 })).unwrap();
    let events: Vec<Event> = (0..200).map(|n| if n % 2 == 0 { handoff("web") } else { theirs() }).collect();
    rig.bus.publish_all(&events).await;
    let asked = async || rig.crm.count("oc_liveworkitems.create") >= 20;
    eventually("events in progress", asked).await;

    let next = format!("{SECRET}-of-tomorrow");
    rig.crm.environment().configure(&json!({ "client_secrets": [&next] })).unwrap();
    rig.crm.environment().revoke_tokens();
    let mut files = rig.files.clone();
    files.organize("client_secret", next.as_str());
    files.write_organization(rig.folder.path());
    rig.worker().hang_up();
    let mut document = document(&rig);
    document["client_secret"] = next.into();
    let (status, report) = save(&rig.worker(), &document).await;
    assert_eq!(status, 200, "{report}");

    rig.bus.outcomes_of(&events).await;
    assert_eq!(rig.bus.dead_letters().await, 0);
    assert_eq!(rig.crm.rows("oc_liveworkitems").len() + rig.crm.incidents().len(), 200);
    assert!(rig.worker().logged("SIGHUP received; reloading organizations"));
    rig.nothing_is_left().await;
}

async fn is_listed(rig: &Rig) {
    let listed = rig.worker().command(&["org", "list", "--json"]).await;
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap_or_else(|_| panic!("{listed:?}"));
    let saved = listed.as_array().unwrap().iter().find(|one| one["source"] == "store");
    assert_eq!(saved.unwrap()["organization_id"], ANOTHER_ORGANIZATION, "{listed:#}");
    assert_eq!(saved.unwrap()["readable"], true);
    assert!(saved.unwrap().get("worker").is_some(), "{listed:#}");
}

/// Asserts that no file of the store contains the secret.
fn holds_no_secret(store: &Path) {
    let mut files = 0;
    for entry in std::fs::read_dir(store).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!found, "{} holds the secret", path.display());
        }
    }
    assert!(files > 0);
}
