//! One organization's trouble does not affect the events of another.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::support::broker::eventually;
use crate::support::event::{ANOTHER_ORGANIZATION, Event, ORGANIZATION, handoff, resolved};
use crate::support::rig::{Plan, Rig, rig};

/// Session prefix of the troubled organization.
const TROUBLED: &str = "ses_troubled";
/// Most events of one organization in progress while nothing is answered; far fewer than wait.
const IN_HAND: u32 = 40;

#[tokio::test]
async fn an_organization_that_is_throttled_delays_no_other() {
    let rig = two(rig().set("broker", "prefetch", 20)).await;
    trouble(&rig, &json!({ "status": 429, "retry_after": 3000 }));
    let (theirs, ours) = (troubled(300), quick(50));
    rig.bus.publish_all(&theirs).await;
    rig.bus.publish_all(&ours).await;
    rig.bus.outcomes_of(&ours).await;
    assert_eq!(done(&rig, ORGANIZATION).await, 0);
    // Requests already running when the limiter closed stay in progress for a while.
    rig.bus.gather(ORGANIZATION, 300 - IN_HAND).await;
    assert_eq!(rig.bus.depth(&rig.files.work_queue()).await, 0);
    let asked = rig.crm.count("oc_liveworkitems.create");
    assert!(asked <= 50 + 16, "{asked} requests: the gate is shut");
    assert_eq!(rig.bus.dead_letters().await, 0);
}

#[tokio::test]
async fn an_organization_that_hangs_delays_no_other() {
    let rig = two(rig().set("broker", "prefetch", 20).set("dynamics", "request_timeout", "100s")).await;
    trouble(&rig, &json!("hang"));
    let (theirs, ours) = (troubled(300), quick(50));
    rig.bus.publish_all(&theirs).await;
    rig.bus.publish_all(&ours).await;
    rig.bus.outcomes_of(&ours).await;
    assert_eq!(done(&rig, ORGANIZATION).await, 0);
    rig.bus.gather(ORGANIZATION, 300 - IN_HAND).await;
    assert_eq!(rig.bus.depth(&rig.files.work_queue()).await, 0);
    let waiting = async || rig.worker().metric("handoffd_organization_waiting", ORGANIZATION).await;
    eventually("the metric", async || waiting().await >= i64::from(300 - IN_HAND)).await;
    assert_eq!(rig.worker().metric("handoffd_retries_total", "").await, 0, "waiting is no retry");
}

#[tokio::test]
async fn a_busy_organization_delays_no_other_and_finishes_in_time() {
    let rig = two(rig().set("broker", "prefetch", 20).set("dynamics", "max_concurrency", 4)).await;
    trouble(&rig, &json!({ "delay_ms": 50 }));
    let (theirs, ours) = (troubled(200), quick(1));
    rig.bus.publish_all(&theirs).await;
    rig.bus.publish_all(&ours).await;
    rig.bus.outcomes_of(&ours).await;
    let left = 200 - done(&rig, ORGANIZATION).await;
    assert!(left > 50, "only {left} of 200 were left; one organization waited for the other");
    rig.bus.outcomes_of(&theirs).await;
    assert_eq!(rig.crm.rows("oc_liveworkitems").len(), 201);
    assert_eq!(rig.bus.all_outcomes().await.len(), 201);
    rig.nothing_is_left().await;
    assert!(rig.bus.has_queue(&rig.files.organization_queue(ORGANIZATION)).await, "it stays");
}

/// Each session has a handoff, its resolution and another handoff: two cases, of which the first is closed.
#[tokio::test]
async fn sessions_keep_their_order_through_a_full_queue_and_a_closed_limiter() {
    let rig = two(rig().set("broker", "prefetch", 8).set("dynamics", "max_concurrency", 3)).await;
    let throttled = json!({ "status": 429, "retry_after": 1 });
    rig.crm
        .fault(&json!({ "operation": "incidents.*", "times": 4, "skip": 20, "probability": 0.1, "fault": throttled }));
    // Slow enough that many wait, three at a time.
    rig.crm.fault(&json!({ "operation": "incidents.*", "times": null, "fault": { "delay_ms": 150 } }));
    let mut events = Vec::new();
    for session in 0..30 {
        let first = handoff("email").with("/data/session_id", format!("{TROUBLED}_{session}"));
        // A retry may let it overtake the resolution; its time shows that it comes later.
        let second = first.next().with("/timestamp", "2026-11-22T11:30:00Z");
        events.push([first, resolved(&format!("{TROUBLED}_{session}")), second]);
    }
    for step in 0..3 {
        let all: Vec<Event> = events.iter().map(|session| session[step].clone()).collect();
        rig.bus.publish_all(&all).await;
    }
    for session in &events {
        rig.bus.outcomes_of(session).await;
    }
    let states: HashMap<String, i64> =
        rig.crm.incidents().iter().map(|row| (text(row, "incidentid"), state(row))).collect();
    assert_eq!(states.len(), 60);
    let outcomes = rig.bus.all_outcomes().await;
    let incident_of = |event: &Event| {
        let outcome = outcomes.iter().find(|outcome| outcome.body["data"]["source_event_id"] == event.id()).unwrap();
        text(&outcome.body["data"]["session_meta"], "dynamics365_incident_id")
    };
    for [first, closing, second] in &events {
        assert_eq!(states[&incident_of(first)], 1, "the first case of {} was left open", first.session());
        assert_eq!(states[&incident_of(second)], 0, "the second case of {} was closed", first.session());
        assert_eq!(incident_of(closing), incident_of(first));
    }
    let throttled = rig.worker().metric("handoffd_dynamics_throttled_total", ORGANIZATION).await;
    assert!(throttled > 0, "the gate was never shut");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_worker_killed_while_many_wait_resumes_them() {
    let rig = two(rig().set("broker", "prefetch", 20).set("dynamics", "max_concurrency", 4)).await;
    trouble(&rig, &json!({ "delay_ms": 150 }));
    let theirs = troubled(250);
    rig.bus.publish_all(&theirs).await;
    for so_many in [30, 90] {
        rig.bus.gather(ORGANIZATION, 50).await;
        eventually("some of it done", async || rig.crm.rows("oc_liveworkitems").len() > so_many).await;
        rig.worker().kill9();
        rig.start_worker("worker").ready().await;
    }
    rig.bus.outcomes_of(&theirs).await;
    assert_eq!(rig.crm.rows("oc_liveworkitems").len(), 250);
    rig.nothing_is_left().await;
}

/// Worker for two organizations, one of which will have trouble.
async fn two(plan: Plan) -> Rig {
    let rig = plan.lay_out().await;
    rig.files.write_another_organization(rig.folder.path(), ANOTHER_ORGANIZATION);
    rig.start_worker("worker").ready().await;
    rig
}

fn trouble(rig: &Rig, fault: &Value) {
    let (operation, containing) = ("oc_liveworkitems.create", TROUBLED);
    rig.crm.fault(&json!({ "operation": operation, "containing": containing, "times": null, "fault": fault }));
}

fn troubled(count: usize) -> Vec<Event> {
    let session = || format!("{TROUBLED}_{}", uuid::Uuid::new_v4().simple());
    (0..count).map(|_| handoff("web").with("/data/session_id", session())).collect()
}

fn quick(count: usize) -> Vec<Event> {
    (0..count).map(|_| handoff("web").with("/organization_id", ANOTHER_ORGANIZATION)).collect()
}

async fn done(rig: &Rig, organization: &str) -> usize {
    let outcomes = rig.bus.all_outcomes().await;
    outcomes.iter().filter(|outcome| outcome.body["organization_id"] == organization).count()
}

fn text(of: &Value, field: &str) -> String {
    of[field].as_str().unwrap_or_else(|| panic!("no {field} in {of}")).to_owned()
}

fn state(incident: &Value) -> i64 {
    incident["statecode"].as_i64().unwrap()
}
