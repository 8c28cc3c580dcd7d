//! Concurrency of requests: found adaptively, soon corrected when too high, and separate for each organization.

use std::time::Duration;

use serde_json::json;

use crate::support::broker::eventually;
use crate::support::event::{Event, handoff};
use crate::support::rig::rig;
use crate::support::worker::field;

fn chats(count: usize, organization: &str) -> Vec<Event> {
    let session = |n| format!("ses_{n}_of_{organization}");
    let chat = |n| handoff("web").with("/organization_id", organization).with("/data/session_id", session(n));
    (0..count).map(chat).collect()
}

#[tokio::test]
async fn concurrency_rises_under_load_and_stays_below_the_maximum() {
    let rig = rig().set("dynamics", "max_concurrency", 20).start().await;
    rig.crm.environment().configure(&json!({ "latency_ms": 50 })).unwrap();
    let events = chats(200, "org_acme");
    rig.bus.publish_all(&events).await;
    rig.bus.outcomes_of(&events).await;
    let peak = rig.crm.peak().await;
    assert!((15..=20).contains(&peak), "{peak}");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn the_concurrency_that_dynamics_recommends_is_not_exceeded() {
    let rig = rig().start().await;
    rig.crm.environment().configure(&json!({ "dop_hint": 4, "latency_ms": 10 })).unwrap();
    rig.hand_off(&handoff("web")).await;
    rig.crm.forget().await;
    let events = chats(60, "org_acme");
    rig.bus.publish_all(&events).await;
    rig.bus.outcomes_of(&events).await;
    assert_eq!(rig.crm.peak().await, 4);
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn limits_are_respected_and_cost_no_attempt() {
    let rig = rig().start().await;
    let limits = json!({ "latency_ms": 20, "limits": { "concurrent": 10, "requests": 100_000, "retry_after_s": 1 } });
    rig.crm.environment().configure(&limits).unwrap();
    let events = chats(300, "org_acme");
    rig.bus.publish_all(&events).await;
    rig.bus.outcomes_of(&events).await;
    for outcome in rig.bus.all_outcomes().await {
        assert_eq!(outcome.body["data"]["attempts"], 1, "{}", outcome.body);
    }
    let throttled = rig.worker().metric("handoffd_dynamics_throttled_total", "org_acme").await;
    assert!(
        (1..60).contains(&throttled),
        "{throttled} responses were throttling, of {} requests",
        rig.crm.operations().len()
    );
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_retry_after_closes_one_limiter_with_one_log_line() {
    let rig = rig().set("retry", "delays", vec!["200ms".to_owned(), "1s".to_owned()]).lay_out().await;
    rig.files.write_another_organization(rig.folder.path(), "org_globex");
    rig.start_worker("worker").ready().await;
    let answer = json!({ "status": 429, "code": "0x80072322", "message": "Too many.", "retry_after": 4 });
    rig.crm.fault(&json!({ "operation": "oc_liveworkitems.create", "fault": answer }));
    let ours = chats(50, "org_acme");
    rig.bus.publish_all(&ours).await;
    rig.worker().counts("handoffd_dynamics_throttled_total", "org_acme", 1).await;
    let before = rig.crm.count("oc_liveworkitems.create");
    let theirs = chats(50, "org_globex");
    rig.bus.publish_all(&theirs).await;
    rig.bus.outcomes_of(&theirs).await;
    let sent = rig.crm.count("oc_liveworkitems.create");
    assert_eq!(sent, before + 50, "no request passes a closed limiter");
    rig.bus.outcomes_of(&ours).await;
    assert_eq!(rig.crm.rows("oc_liveworkitems").len(), 100);
    rig.worker().counts("handoffd_dynamics_throttled_total", "org_acme", 1).await;
    assert_eq!(rig.worker().metric("handoffd_dynamics_throttled_total", "org_globex").await, 0);
    let lines = rig.worker().lines();
    let warns = |line: &&_| field(line, "level") == "WARN" && field(line, "setting").is_null();
    let warnings: Vec<_> = lines.iter().filter(warns).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(field(warnings[0], "organization_id"), "org_acme");
    rig.nothing_is_left().await;
}

/// The read of its own key after "duplicate key" is the second request of a step that began before the throttling.
#[tokio::test]
async fn a_retry_after_holds_the_next_request_of_a_step_under_way() {
    let rig = rig().start().await;
    rig.crm.fault(&json!({ "operation": "oc_liveworkitems.create", "fault": "reset_after_commit" }));
    rig.crm.fault(&json!({ "operation": "oc_liveworkitems.create", "fault": { "delay_ms": 1000 } }));
    let chat = handoff("web");
    rig.bus.publish(&chat).await;
    eventually("the lost answer", async || rig.crm.count("oc_liveworkitems.create") == 1).await;
    eventually("the repeated request", async || rig.crm.under_way().await == 1).await;
    let answer = json!({ "status": 429, "code": "0x80072322", "message": "Too many.", "retry_after": 3600 });
    rig.crm.fault(&json!({ "operation": "*", "times": null, "fault": answer }));
    rig.bus.publish(&handoff("email")).await;
    rig.worker().counts("handoffd_dynamics_throttled_total", "org_acme", 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.crm.count("oc_liveworkitems.read"), 0, "the read waits as well");
}

#[tokio::test]
async fn a_hanging_organization_delays_no_other_and_loses_nothing() {
    let rig = rig().set("dynamics", "request_timeout", "3s").set("broker", "prefetch", 100).lay_out().await;
    rig.files.write_another_organization(rig.folder.path(), "org_globex");
    rig.start_worker("worker").ready().await;
    let ours_hang = json!({ "operation": "*", "containing": "of_org_acme", "times": null, "fault": "hang" });
    rig.crm.fault(&ours_hang);
    let ours = chats(150, "org_acme");
    rig.bus.publish_all(&ours).await;
    eventually("requests that hang", async || rig.worker().metric("handoffd_in_flight", "").await > 0).await;
    let theirs = chats(30, "org_globex");
    rig.bus.publish_all(&theirs).await;
    tokio::time::timeout(Duration::from_secs(60), rig.bus.outcomes_of(&theirs)).await.expect("they pass");
    assert_eq!(rig.crm.rows("oc_liveworkitems").len(), 30);
    rig.crm.environment().clear_faults();
    rig.bus.outcomes_of(&ours).await;
    assert_eq!(rig.crm.rows("oc_liveworkitems").len(), 180);
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_failing_token_service_gets_one_request_for_all_waiters() {
    let rig = rig().set("retry", "delays", vec!["1s".to_owned()]).set("retry", "in_process", 1).lay_out().await;
    rig.crm.fault(&json!({ "operation": "token", "times": null, "fault": { "status": 503, "when": "after_commit" } }));
    rig.start_worker("worker").ready().await;
    let events = chats(40, "org_acme");
    rig.bus.publish_all(&events).await;
    rig.awaits("transient").await;
    rig.crm.environment().clear_faults();
    rig.bus.outcomes_of(&events).await;
    let asked = rig.crm.count("token");
    assert!(asked < 20, "{asked} token requests for {} events", events.len());
    rig.nothing_is_left().await;
}
