//! Misconfigured organizations: their events wait, one probe at a time checks for recovery, and then all of them flow
//! again without intervention.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::broker::eventually;
use crate::support::bus::header;
use crate::support::event::{Event, ORGANIZATION, handoff, resolved};
use crate::support::rig::{Plan, Rig, rig};
use crate::support::simulator::{OWNER, SECRET};
use crate::support::worker::field;

/// The contract's hour on a ladder of minutes, compressed to a few seconds on a ladder of milliseconds.
fn ladder() -> Plan {
    rig().set("retry", "delays", vec!["300ms".to_owned(), "1s".to_owned()])
}

#[tokio::test]
async fn a_wrong_client_secret_costs_no_event_and_its_correction_delivers_them_all() {
    let rig = ladder().organize("client_secret", format!("{SECRET}-mistyped")).start().await;
    let events: Vec<Event> = (0..60).map(|n| handoff(["email", "web", "phone"][n % 3])).collect();
    let (first, late) = events.split_at(40);
    rig.bus.publish_all(first).await;
    is_blocked(&rig, 1).await;
    asked(&rig, "token", 2).await;
    rig.bus.publish_all(late).await;
    // The first ones may be in progress.
    rig.bus.gather(ORGANIZATION, 60 - 20).await;
    assert_eq!((rig.bus.depth(&rig.files.work_queue()).await, rig.bus.dead_letters().await), (0, 0));
    assert_eq!(rig.worker().metric("handoffd_retries_total", "").await, 0, "waiting is no retry");
    assert_eq!(rig.worker().unready().await, Vec::<String>::new(), "one organization's trouble is its own");

    corrected(&rig, "client_secret", SECRET);
    rig.bus.outcomes_of(&events).await;
    for event in &events {
        let outcome = rig.bus.outcome(event.id()).await.body;
        assert_eq!(outcome["data"]["attempts"], 1, "waiting spends none: {outcome}");
        assert!(outcome["event"].as_str().unwrap().ends_with("succeeded"), "{outcome}");
    }
    is_blocked(&rig, 0).await;
    told_once(&rig, "Certificates & secrets");
    let refused = rig.crm.requests("token").into_iter().filter(|entry| entry.status != Some(200)).count();
    assert!(refused <= 3, "{} events and {refused} refused token requests", events.len());
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_privilege_that_is_granted_again_is_noticed_without_intervention() {
    let rig = ladder().start().await;
    rig.crm.environment().configure(&json!({ "missing_privileges": ["prvCreateIncident"] })).unwrap();
    let events: Vec<Event> = (0..20).map(|_| handoff("email")).collect();
    rig.bus.publish_all(&events).await;
    is_blocked(&rig, 1).await;
    let before = rig.crm.count("incidents.create");
    // A good probe lets in one event after the other, and the first to meet the missing privilege opens the circuit
    // breaker again.
    asked(&rig, "incidents.create", before + 1).await;
    assert_eq!(rig.crm.count("WhoAmI"), 1);
    is_blocked(&rig, 1).await;

    rig.crm.environment().configure(&json!({ "missing_privileges": [] })).unwrap();
    rig.bus.outcomes_of(&events).await;
    assert_eq!((rig.crm.incidents().len(), rig.bus.dead_letters().await), (20, 0));
    assert_eq!(
        rig.crm.count("incidents.create"),
        before + 1 + 20,
        "one refused request for the probe that was too good"
    );
    is_blocked(&rig, 0).await;
    told_once(&rig, "Manage roles");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_privilege_that_the_owner_lacks_is_attributed_to_the_owner() {
    let rig = ladder().organize("default_owner_id", OWNER).start().await;
    rig.crm.environment().configure(&json!({ "missing_owner_privileges": ["prvReadIncident"] })).unwrap();
    let event = handoff("email");
    rig.bus.publish(&event).await;
    let advised = |line: &Value| {
        let advice = field(line, "advice").as_str().unwrap_or_default();
        advice.starts_with("The owner (default_owner_id) lacks Read on Case (prvReadIncident).")
    };
    eventually("advice that names the owner", async || rig.worker().lines().iter().any(advised)).await;

    rig.crm.environment().configure(&json!({ "missing_owner_privileges": [] })).unwrap();
    let outcome = rig.bus.outcome(event.id()).await.body;
    assert!(outcome["event"].as_str().unwrap().ends_with("succeeded"), "{outcome}");
    rig.nothing_is_left().await;
}

/// For example, a user that a plug-in of the table runs as is disabled: events that need another step proceed behind
/// 150 that can't.
#[tokio::test]
async fn a_step_that_is_refused_delays_no_chat_and_no_closing() {
    let rig = rig().start().await;
    let opened = handoff("email");
    rig.hand_off(&opened).await;
    let disabled = json!({ "status": 403, "code": "0x80040225", "message": "The specified user(Id = 1) is disabled." });
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": disabled }));
    let cases: Vec<Event> = (0..150).map(|_| handoff("email")).collect();
    rig.bus.publish_all(&cases).await;
    is_blocked(&rig, 1).await;
    let refused = rig.crm.count("incidents.create");

    let mut others: Vec<Event> = (0..10).map(|_| handoff("web")).collect();
    others.push(resolved(opened.session()));
    rig.bus.publish_all(&others).await;
    rig.bus.outcomes_of(&others).await;
    assert!(rig.crm.count("incidents.create") - refused <= 4, "one at a time, at growing pauses");
    is_blocked(&rig, 1).await;

    rig.crm.environment().clear_faults();
    rig.bus.outcomes_of(&cases).await;
    for event in &cases {
        let outcome = rig.bus.outcome(event.id()).await.body;
        assert_eq!((&outcome["data"]["attempts"], &outcome["data"]["warnings"]), (&json!(1), &json!([])), "{outcome}");
    }
    is_blocked(&rig, 0).await;
    told_once(&rig, "a plug-in or flow");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn one_probe_runs_at_a_time_at_growing_intervals() {
    let rig = ladder().lay_out().await;
    rig.crm.environment().configure(&json!({ "application_user": "missing" })).unwrap();
    rig.start_worker("worker").ready().await;
    let events: Vec<Event> = (0..30).map(|_| handoff("web")).collect();
    rig.bus.publish_all(&events).await;
    is_blocked(&rig, 1).await;
    let blocked = Timestamp::now();
    // A 401 is first treated as an expired token, so each probe asks twice.
    asked(&rig, "WhoAmI", 1).await;
    rig.crm.forget().await;
    asked(&rig, "WhoAmI", 4).await;
    let operations = rig.crm.operations();
    assert!(operations.iter().all(|operation| operation == "WhoAmI"), "{operations:?}");
    assert_eq!(rig.crm.peak().await, 1, "one at a time");
    let times: Vec<Timestamp> = rig.crm.requests("WhoAmI").iter().map(|entry| entry.time).collect();
    let (first, second) = (times[times.len() - 3], times[times.len() - 1]);
    assert!(first.duration_since(blocked) > SignedDuration::from_secs(4));
    assert!(second.duration_since(first) > SignedDuration::from_secs(9));

    rig.crm.environment().configure(&json!({ "application_user": "present" })).unwrap();
    corrected(&rig, "description_limit", 1900);
    rig.bus.outcomes_of(&events).await;
    told_once(&rig, "Application users");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_blocked_organization_delays_no_other_and_its_metric_goes_with_it() {
    let rig = ladder().set("broker", "prefetch", 2).lay_out().await;
    let mut globex = rig.files.clone();
    globex.organize("client_secret", "another");
    globex.write_another_organization(rig.folder.path(), "org_globex");
    rig.start_worker("worker").ready().await;
    let theirs: Vec<Event> = (0..10).map(|_| handoff("email").with("/organization_id", "org_globex")).collect();
    rig.bus.publish_all(&theirs).await;
    rig.hand_off(&handoff("email")).await;
    assert_eq!(rig.worker().metric("handoffd_retries_total", "").await, 0, "waiting is no retry");
    let metric = async |labels: &str| rig.worker().metric("handoffd_organization_blocked", labels).await;
    assert_eq!((metric("org_globex").await, metric("org_acme").await), (1, 0));

    std::fs::remove_file(rig.folder.path().join("organizations/org_globex.toml")).unwrap();
    rig.worker().hang_up();
    let gone = async || !rig.worker().metrics().await.contains("org_globex");
    eventually("the series of a removed organization to go", gone).await;
    for _ in 0..theirs.len() {
        let letter = rig.bus.dead_letter().await;
        assert_eq!(header(&letter.properties, "x-handoffd-reason").as_deref(), Some("unknown_organization"));
    }
}

#[tokio::test]
async fn no_event_is_given_up_for_a_block() {
    let rig = rig().set("retry", "max_age", "2s").start().await;
    rig.crm.environment().configure(&json!({ "secret": "expired" })).unwrap();
    let event = handoff("email");
    rig.bus.publish(&event).await;
    is_blocked(&rig, 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((rig.bus.dead_letters().await, rig.bus.all_outcomes().await.len()), (0, 0));
    rig.crm.environment().configure(&json!({ "secret": "valid" })).unwrap();
    assert_eq!(rig.bus.outcome(event.id()).await.routing_key, "dynamics365.handoff.succeeded");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_secret_that_changes_while_events_are_in_progress_loses_none() {
    let rig = ladder().start().await;
    rig.crm.environment().configure(&json!({ "latency_ms": 20 })).unwrap();
    let events: Vec<Event> = (0..200).map(|_| handoff("web")).collect();
    rig.bus.publish_all(&events).await;
    asked(&rig, "oc_liveworkitems.create", 20).await;
    let next = format!("{SECRET}-of-tomorrow");
    rig.crm.environment().configure(&json!({ "client_secrets": [&next] })).unwrap();
    rig.crm.environment().revoke_tokens();
    corrected(&rig, "client_secret", next);
    rig.bus.outcomes_of(&events).await;
    assert_eq!(rig.crm.rows("oc_liveworkitems").len(), 200);
    is_blocked(&rig, 0).await;
    rig.nothing_is_left().await;
}

/// Rewrites the organization's file with another value.
fn corrected(rig: &Rig, key: &str, value: impl Into<toml::Value>) {
    let mut files = rig.files.clone();
    files.organize(key, value);
    files.write_organization(rig.folder.path());
}

async fn is_blocked(rig: &Rig, blocked: i64) {
    let metric = async || rig.worker().metric("handoffd_organization_blocked", "org_acme").await == blocked;
    eventually(&format!("handoffd_organization_blocked {blocked}"), metric).await;
}

async fn asked(rig: &Rig, operation: &str, least: u64) {
    eventually(&format!("{least} requests {operation}"), async || rig.crm.count(operation) >= least).await;
}

/// Asserts one log line at the start, with cause and advice, and one at the end, and no warning for each event.
fn told_once(rig: &Rig, advice: &str) {
    let lines = rig.worker().lines();
    let logged = |sentence: &str| -> Vec<&Value> {
        lines
            .iter()
            .filter(|line| field(line, "message").as_str().is_some_and(|message| message.contains(sentence)))
            .collect()
    };
    let (began, ended) = (logged("organization is blocked"), logged("organization is no longer blocked"));
    assert_eq!((began.len(), ended.len()), (1, 1), "{began:?} {ended:?}");
    assert!(field(began[0], "advice").as_str().unwrap().contains(advice), "{}", began[0]);
    assert!(!field(began[0], "error").as_str().unwrap().is_empty());
    let warnings = lines.iter().filter(|line| line["level"] == "WARN" && field(line, "setting").is_null()).count();
    assert_eq!(warnings, 1, "{lines:?}");
}
