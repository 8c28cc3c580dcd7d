//! Temporary faults: events are retried or wait, and nothing is done twice.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::broker::eventually;
use crate::support::bus::{header, headers};
use crate::support::event::{ORGANIZATION, handoff, resolved};
use crate::support::files::Files;
use crate::support::rig::{Rig, rig};
use crate::support::simulator::SECRET;

#[tokio::test]
async fn temporary_faults_are_retried_in_the_process() {
    let rig = rig().set("dynamics", "request_timeout", "1s").start().await;
    let html = json!({ "status": 503, "body": "<html>Service Unavailable</html>" });
    let mut trouble: Vec<Value> = [408, 500, 502, 503, 504].map(|status| json!({ "status": status })).to_vec();
    trouble.extend(
        ["reset_before", "reset_after_commit", "garbage", "truncate", "hang", "hang_after_commit"].map(Value::from),
    );
    trouble.push(html);
    for (index, fault) in trouble.iter().enumerate() {
        rig.crm.fault(&json!({ "operation": "incidents.create", "fault": fault }));
        let outcome = rig.process(&handoff("email")).await.body;
        assert_eq!(outcome["event"], "dynamics365.handoff.succeeded", "{fault}");
        assert_eq!(outcome["data"]["attempts"], 2, "{fault}");
        assert_eq!(rig.crm.incidents().len(), index + 1, "{fault}");
    }
    assert_eq!(rig.worker().metric("handoffd_retries_total", "reason=\"transient\"").await, 0);
    rig.nothing_is_left().await;
}

/// Contract 10: `handoffd_event_seconds` is the time from receipt to final outcome, waits in retry queues included.
#[tokio::test]
async fn the_seconds_of_an_event_count_from_its_first_receipt() {
    let rig = rig().set("retry", "delays", vec!["2s".to_owned()]).set("retry", "in_process", 1).start().await;
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": 1, "fault": { "status": 503 } }));
    assert_eq!(rig.process(&handoff("email")).await.body["data"]["attempts"], 2);
    let counted = async || rig.worker().metric("handoffd_event_seconds_count", "route=\"incident\"").await == 1;
    eventually("the event's metric", counted).await;
    let metrics = rig.worker().metrics().await;
    let sum = metrics
        .lines()
        .find(|line| line.starts_with("handoffd_event_seconds_sum{route=\"incident\",type=\"handoff\"}"));
    let seconds: f64 = sum.and_then(|line| line.rsplit(' ').next()).unwrap().parse().unwrap();
    assert!((2.0..30.0).contains(&seconds), "{seconds} s");
}

#[tokio::test]
async fn an_unreadable_refusal_is_given_up_after_five_equal_ones() {
    let rig = rig().set("retry", "delays", vec!["200ms".to_owned()]).start().await;
    let page = |operation: &str, times: Option<u64>| json!({ "operation": operation, "times": times, "fault": { "status": 403, "body": "<html>Forbidden</html>" } });
    rig.crm.fault(&page("incidents.create", None));
    let event = handoff("email");
    let outcome = rig.process(&event).await.body;
    assert_eq!(outcome["data"]["reason"], "rejected_by_dynamics", "{outcome}");
    assert_eq!(outcome["data"]["attempts"], 5);
    let error = &outcome["data"]["error"];
    assert_eq!((&error["step"], &error["status"]), (&json!("post_incident"), &json!(403)), "{outcome}");
    assert!(error["advice"].as_str().unwrap().contains("proxies"), "{outcome}");
    assert_eq!(rig.crm.count("incidents.create"), 5);
    rig.bus.dead_letter().await;
    rig.crm.environment().clear_faults();

    // Four are too few; a failing contact costs only the contact.
    rig.crm.fault(&page("incidents.create", Some(4)));
    assert_eq!(rig.process(&handoff("email")).await.body["data"]["attempts"], 5);
    rig.crm.fault(&page("contacts.create", None));
    let outcome = rig.process(&handoff("email")).await.body;
    assert_eq!(outcome["data"]["warnings"], json!(["contact_unlinked"]), "{outcome}");
    rig.crm.environment().clear_faults();
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_lost_answer_costs_a_read_and_no_second_record() {
    let rig = rig().queue().organize("queue_assignment", "add_to_queue").start().await;
    let long = json!([{ "sender": "customer", "text": "0123456789 ".repeat(300) }]);
    for form in ["precondition_failed", "empty_code", "conflict", "message_only"] {
        rig.crm.environment().configure(&json!({ "duplicate_key": form })).unwrap();
        rig.crm.fault(&json!({ "operation": "contacts.create", "fault": "reset_after_commit" }));
        rig.crm.fault(&json!({ "operation": "incidents.create", "fault": "reset_after_commit" }));
        let steps = [
            "contacts.query",
            "contacts.create",
            "contacts.create",
            "contacts.read",
            "incidents.create",
            "incidents.create",
            "incidents.read",
            "queueitems.query",
            "AddToQueue",
        ];
        let event = handoff("email");
        assert_eq!(rig.requests_for(&event).await, steps, "{form}");
        let incident = rig.crm.incidents().pop().unwrap();
        let outcome = rig.bus.outcome(event.id()).await.body;
        assert_eq!(outcome["data"]["session_meta"]["dynamics365_ticket_number"], incident["ticketnumber"], "{form}");

        rig.crm.fault(&json!({ "operation": "AddToQueue", "fault": "reset_after_commit" }));
        rig.crm.fault(&json!({ "operation": "annotations.create", "fault": "reset_after_commit" }));
        // The action moves a case, so the case is read before the action is repeated. A note is read under its reported
        // id.
        let steps = [
            "incidents.create",
            "AddToQueue",
            "queueitems.query",
            "annotations.create",
            "annotations.create",
            "annotations.read",
        ];
        let event = event.next_session().with("/data/transcript", long.clone());
        assert_eq!(rig.requests_for(&event).await, steps, "{form}");

        rig.crm.fault(&json!({ "operation": "oc_liveworkitems.create", "fault": "reset_after_commit" }));
        let chat = handoff("web");
        assert_eq!(
            rig.requests_for(&chat).await,
            ["oc_liveworkitems.create", "oc_liveworkitems.create", "oc_liveworkitems.read"],
            "{form}"
        );
    }
    assert_eq!((rig.crm.incidents().len(), rig.crm.rows("oc_liveworkitems").len()), (8, 4));
}

/// Stock Dynamics refuses an incident with its queue, and closing by PATCH; a refusal that can't be read is not taken
/// as permanent.
#[tokio::test]
async fn a_garbled_refusal_is_requested_again() {
    for fault in ["garbage", "truncate"] {
        let rig = rig().stock().queue().start().await;
        rig.crm.fault(&json!({ "operation": "incidents.create", "fault": fault }));
        let event = handoff("email");
        let outcome = rig.process(&event).await.body;
        assert_eq!(outcome["event"], "dynamics365.handoff.succeeded", "{fault}: {outcome}");
        rig.crm.fault(&json!({ "operation": "incidents.update", "fault": fault }));
        let outcome = rig.process(&resolved(event.session())).await.body;
        assert_eq!(outcome["event"], "dynamics365.resolution.succeeded", "{fault}: {outcome}");
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_closing_whose_answer_was_lost_happens_once() {
    let rig = rig().organize("close_with", "close_incident").start().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    rig.crm.fault(&json!({ "operation": "CloseIncident", "fault": "reset_after_commit" }));
    let outcome = rig.process(&resolved(event.session())).await;
    assert_eq!(outcome.routing_key, "dynamics365.resolution.succeeded");
    assert_eq!((rig.crm.count("CloseIncident"), rig.crm.count("incidents.read")), (1, 1), "the case is read");
}

#[tokio::test]
async fn a_retry_resumes_at_the_step_that_failed() {
    let rig = rig().start().await;
    rig.crm.refuse("incidents.create", 5, 503, "", "");
    let event = handoff("email");
    let outcome = rig.process(&event).await.body;
    assert_eq!(outcome["data"]["attempts"], 6);
    assert_eq!((rig.crm.count("contacts.query"), rig.crm.count("contacts.create")), (1, 1));
    assert_eq!(rig.crm.count("incidents.create"), 6);
    rig.worker().counts("handoffd_retries_total", "reason=\"transient\"", 3).await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_waiting_message_carries_its_history_and_holds_no_prefetch() {
    let rig = rig().set("retry", "delays", vec!["1h".to_owned()]).set("broker", "prefetch", 2).start().await;
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": { "status": 503 } }));
    let events: Vec<_> = (0..6).map(|_| handoff("email")).collect();
    rig.bus.publish_all(&events).await;
    let queue = rig.retry_queue("1h");
    rig.bus.waiting(&queue, 6).await;
    let names = ["event_id", "organization_id", "session_id"];
    let expected: HashSet<_> =
        events.iter().map(|it| [it.id(), ORGANIZATION, it.session()].map(str::to_owned)).collect();
    eventually("a line with the ids of each event", async || {
        let waits = rig.worker().lines().into_iter().filter(|line| line["message"] == "event waits in a retry queue");
        let ids = waits.map(|line| names.map(|name| line[name].as_str().unwrap_or("-").to_owned()));
        ids.collect::<HashSet<_>>() == expected
    })
    .await;
    assert_eq!(rig.process(&handoff("web")).await.routing_key, "dynamics365.handoff.succeeded");

    rig.crm.environment().clear_faults();
    let mut attempts = Vec::new();
    for _ in &events {
        let message = rig.bus.take(&queue).await;
        let past = |name: &str| header(&message.properties, name).unwrap_or_default();
        assert_eq!(past("x-handoffd-attempts"), "3");
        past("x-handoffd-first-seen").parse::<Timestamp>().unwrap();
        assert_eq!(past("x-handoffd-original-routing-key"), "session.handoff.email");
        assert_eq!(message.properties.content_type().as_ref().unwrap().as_str(), "application/json");
        assert_eq!(*message.properties.delivery_mode(), Some(2));
        // Does what the broker does when the delay is over.
        rig.bus.put(&rig.files.work_queue(), &message.data, message.properties).await;
    }
    for event in &events {
        attempts.push(rig.bus.outcome(event.id()).await.body["data"]["attempts"].as_u64().unwrap());
    }
    assert_eq!(attempts, [4; 6]);
    assert_eq!(rig.crm.count("contacts.query"), 6, "what is done is not done again");
}

#[tokio::test]
async fn attempts_survive_a_lost_store_by_their_headers() {
    let rig = rig().start().await;
    let event = handoff("email");
    let past = [("x-handoffd-attempts", "7"), ("x-handoffd-first-seen", "2026-11-22T10:15:00Z")];
    let properties = crate::support::bus::properties(&event).with_headers(headers(&past));
    rig.bus.put(&rig.files.work_queue(), &event.body(), properties).await;
    assert_eq!(rig.bus.outcome(event.id()).await.body["data"]["attempts"], 8);
}

#[tokio::test]
async fn a_throttled_event_waits_as_requested_and_spends_no_attempt() {
    let rig = rig().start().await;
    let date = Timestamp::now().checked_add(jiff::SignedDuration::from_secs(2)).unwrap();
    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for wait in [json!(1), json!(date)] {
        let answer = json!({ "status": 429, "code": "0x80072322", "message": "Too many.", "retry_after": wait });
        rig.crm.fault(&json!({ "operation": "oc_liveworkitems.create", "fault": answer }));
        let event = handoff("web");
        let before = rig.crm.requests("oc_liveworkitems.create").len();
        assert_eq!(rig.process(&event).await.body["data"]["attempts"], 1, "{wait}");
        let asked = rig.crm.requests("oc_liveworkitems.create").split_off(before);
        assert_eq!(asked.len(), 2, "{wait}");
        if wait.is_number() {
            let pause = asked[1].time.duration_since(asked[0].time);
            assert!(pause >= jiff::SignedDuration::from_millis(900), "asked again after {pause:?}");
        }
    }
    rig.worker().counts("handoffd_dynamics_throttled_total", "org_acme", 2).await;
    assert_eq!(rig.bus.dead_letters().await, 0);
}

#[tokio::test]
async fn a_throttled_organization_delays_no_other() {
    let rig = rig().set("broker", "prefetch", 2).set("retry", "delays", vec!["1h".to_owned()]).lay_out().await;
    rig.files.write_another_organization(rig.folder.path(), "org_globex");
    rig.start_worker("worker").ready().await;
    let answer = json!({ "status": 429, "retry_after": 3000 });
    rig.crm.fault(&json!({ "operation": "oc_liveworkitems.create", "fault": answer }));
    let first = handoff("web");
    rig.bus.publish(&first).await;
    rig.worker().counts("handoffd_dynamics_throttled_total", "org_acme", 1).await;
    let waiting: Vec<_> = (0..5).map(|_| handoff("web")).collect();
    rig.bus.publish_all(&waiting).await;
    rig.hand_off(&handoff("web").with("/organization_id", "org_globex")).await;
    assert_eq!(rig.bus.depth(&rig.retry_queue("1h")).await, 0, "waiting is no retry");
    assert_eq!(rig.crm.count("oc_liveworkitems.create"), 2, "the gate is shut for one of them");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_without_visible_effect() {
    let rig = rig().start().await;
    let event = handoff("web");
    rig.hand_off(&event).await;
    rig.crm.environment().revoke_tokens();
    let steps = ["oc_liveworkitems.create"; 2];
    assert_eq!(rig.requests_for(&handoff("web")).await, steps);
    assert_eq!(rig.crm.count("token"), 2);
    let outcome = rig.bus.all_outcomes().await.pop().unwrap();
    assert_eq!(outcome.body["data"]["attempts"], 1);
    assert_eq!(rig.worker().metric("handoffd_retries_total", "").await, 0);
}

#[tokio::test]
async fn one_token_serves_all_who_wait_for_it() {
    let rig = rig().start().await;
    rig.crm.environment().configure(&json!({ "latency_ms": 50 })).unwrap();
    let events: Vec<_> = (0..40).map(|_| handoff("web")).collect();
    rig.bus.publish_all(&events).await;
    rig.bus.outcomes_of(&events).await;
    assert_eq!(rig.crm.count("token"), 1);
}

#[tokio::test]
async fn a_refused_secret_waits_for_the_right_one() {
    let rig = rig().start().await;
    rotate(&rig);
    let event = handoff("email");
    rig.bus.publish(&event).await;
    is_blocked(&rig, ORGANIZATION).await;
    assert_eq!(rig.bus.dead_letters().await, 0);
    corrected(&rig).write_organization(rig.folder.path());
    let outcome = rig.bus.outcome(event.id()).await.body;
    assert_eq!((&outcome["event"], &outcome["data"]["attempts"]), (&json!("dynamics365.handoff.succeeded"), &json!(1)));
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_hang_up_signal_reads_the_organizations_at_once() {
    let rig = rig().start().await;
    rotate(&rig);
    corrected(&rig).write_organization(rig.folder.path());
    rig.worker().hang_up();
    eventually("the change", async || rig.worker().logged("organization settings changed")).await;
    rig.hand_off(&handoff("email")).await;
}

#[tokio::test]
async fn a_misconfigured_environment_is_waited_for() {
    for trouble in [
        json!({ "missing_privileges": ["prvCreateIncident"] }),
        json!({ "missing_tables": ["incidents"] }),
        json!({ "application_user": "missing" }),
        json!({ "application_user": "no_roles" }),
        json!({ "availability": "disabled" }),
    ] {
        let rig = rig().start().await;
        let before = json!(rig.crm.environment().settings());
        rig.crm.environment().configure(&trouble).unwrap();
        let event = handoff("email");
        rig.bus.publish(&event).await;
        is_blocked(&rig, ORGANIZATION).await;
        rig.crm.environment().configure(&before).unwrap();
        let outcome = rig.bus.outcome(event.id()).await.body;
        assert_eq!(outcome["event"], "dynamics365.handoff.succeeded", "{trouble}");
        assert_eq!(outcome["data"]["attempts"], 1, "{trouble}");
        rig.nothing_is_left().await;
    }
}

async fn is_blocked(rig: &Rig, organization: &str) {
    rig.worker().counts("handoffd_organization_blocked", organization, 1).await;
}

/// Changes the secret that Entra ID accepts.
fn rotate(rig: &Rig) {
    rig.crm.environment().configure(&json!({ "client_secrets": [next_secret()] })).unwrap();
    rig.crm.environment().revoke_tokens();
}

fn corrected(rig: &Rig) -> Files {
    let mut files = rig.files.clone();
    files.organize("client_secret", next_secret());
    files
}

/// Starts like the first secret, so that logs are searched for it too.
fn next_secret() -> String {
    format!("{SECRET}-of-tomorrow")
}
