//! Processing of a resolution: the cases it closes and those it leaves open.

use serde_json::{Value, json};

use crate::support::event::{ORGANIZATION, handoff, resolved};
use crate::support::rig::{Rig, rig};

#[tokio::test]
async fn a_resolution_closes_the_incident_of_its_session() {
    let rig = rig().start().await;
    let event = handoff("email");
    let meta = rig.hand_off(&event).await;
    let resolution = resolved(event.session()).with("/data/channel", "email");
    assert_eq!(rig.requests_for(&resolution).await, ["incidents.update"]);
    let request = &rig.crm.requests("incidents.update")[0];
    assert_eq!(request.headers["if-match"], "*");
    assert_eq!(rig.crm.sent("incidents.update"), json!({ "statecode": 1, "statuscode": 5 }));
    let outcome = rig.bus.outcome(resolution.id()).await;
    assert_eq!(outcome.routing_key, "dynamics365.resolution.succeeded");
    assert_eq!(
        outcome.body["data"],
        json!({
            "source_event_id": resolution.id(), "session_id": event.session(), "channel": "email", "route": "incident",
            "session_meta": meta, "contact_id": null, "attempts": 1, "warnings": [], "reason": null, "error": null,
        })
    );
    assert_eq!(states(&rig), [1]);
}

#[tokio::test]
async fn a_resolution_closes_every_incident_of_its_session() {
    let rig = rig().start().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    rig.hand_off(&event.next()).await;
    rig.hand_off(&handoff("email")).await;
    assert_eq!(rig.requests_for(&resolved(event.session())).await, ["incidents.update", "incidents.update"]);
    assert_eq!(states(&rig), [1, 1, 0]);
}

#[tokio::test]
async fn a_case_that_a_rep_reopened_is_never_closed_again() {
    let rig = rig().start().await;
    let event = handoff("email");
    let meta = rig.hand_off(&event).await;
    let resolution = resolved(event.session());
    rig.process(&resolution).await;
    let reopened = json!({ "incidentid": meta["dynamics365_incident_id"], "statecode": 0, "statuscode": 1 });
    rig.crm.edit("incidents", &reopened).await;

    rig.bus.publish(&resolution).await;
    assert_eq!(rig.bus.outcomes(resolution.id(), 2).await[1].routing_key, "dynamics365.resolution.succeeded");
    let again = resolved(event.session());
    assert_eq!(skipped(&rig, &again).await, "already_closed");
    let named = resolved(event.session())
        .with("/data/meta", json!({ "dynamics365_incident_id": meta["dynamics365_incident_id"] }));
    assert_eq!(skipped(&rig, &named).await, "already_closed");
    assert_eq!((states(&rig), rig.crm.count("incidents.update")), (vec![0], 1));

    rig.hand_off(&event.next()).await;
    assert_eq!(rig.requests_for(&resolved(event.session())).await, ["incidents.update"], "a new case is closed");
    assert_eq!(states(&rig), [0, 1]);
}

#[tokio::test]
async fn a_resolution_waits_for_its_handoff() {
    let rig = rig()
        .set("worker", "resolution_wait", "5m")
        .set("retry", "delays", ["300ms"].map(String::from).to_vec())
        .start()
        .await;
    let event = handoff("email");
    let resolution = resolved(event.session());
    rig.bus.publish(&resolution).await;
    rig.awaits("handoff_awaited").await;
    rig.hand_off(&event).await;
    let outcome = rig.bus.outcome(resolution.id()).await.body;
    assert_eq!(
        (&outcome["event"], &outcome["data"]["attempts"]),
        (&json!("dynamics365.resolution.succeeded"), &json!(1))
    );
    assert_eq!(states(&rig), [1]);
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_resolution_waits_for_a_handoff_that_is_being_retried() {
    let rig = rig().set("worker", "resolution_wait", "0s").start().await;
    rig.crm.refuse("incidents.create", 4, 503, "", "");
    let event = handoff("email");
    rig.bus.publish(&event).await;
    rig.awaits("transient").await;
    let resolution = resolved(event.session());
    assert_eq!(rig.process(&resolution).await.routing_key, "dynamics365.resolution.succeeded");
    assert_eq!(states(&rig), [1]);
}

#[tokio::test]
async fn a_resolution_without_a_handoff_is_skipped_in_the_end() {
    let rig = rig().start().await;
    assert_eq!(skipped(&rig, &resolved("ses_nobody")).await, "no_incident");
    assert!(rig.crm.operations().is_empty());
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_resolution_does_not_wait_for_a_handoff_that_was_given_up() {
    let rig = rig().start().await;
    rig.crm.refuse("incidents.create", 1, 400, "0x80040265", "no");
    let event = handoff("email");
    assert_eq!(rig.process(&event).await.routing_key, "dynamics365.handoff.failed");
    assert_eq!(skipped(&rig, &resolved(event.session())).await, "no_incident");
}

#[tokio::test]
async fn a_live_work_item_is_left_to_its_agent() {
    let rig = rig().start().await;
    let event = handoff("whatsapp");
    let meta = rig.hand_off(&event).await;
    let resolution = resolved(event.session());
    assert_eq!(skipped(&rig, &resolution).await, "live_work_item");
    let data = &rig.bus.outcome(resolution.id()).await.body["data"];
    assert_eq!((&data["route"], &data["session_meta"]), (&json!("live_work_item"), &meta));
    assert_eq!(rig.crm.operations().len(), 1);
}

#[tokio::test]
async fn an_unresolved_conversation_closes_nothing() {
    let rig = rig().start().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    for status in ["closed_unresolved", "not_resolved"] {
        assert_eq!(skipped(&rig, &resolved(event.session()).with("/data/status", status)).await, "not_resolved");
    }
    assert_eq!(states(&rig), [0]);
    let closing = resolved(event.session()).with("/data/status", "closed_resolved");
    assert_eq!(rig.process(&closing).await.routing_key, "dynamics365.resolution.succeeded");
}

#[tokio::test]
async fn an_incident_named_in_meta_is_closed_when_the_session_is_unknown() {
    let rig = rig().start().await;
    let (named, own) = (handoff("email"), handoff("email"));
    let meta = rig.hand_off(&named).await;
    let named_id = json!({ "dynamics365_incident_id": meta["dynamics365_incident_id"] });
    let resolution = resolved("ses_before_our_time").with("/data/meta", named_id.clone());
    assert_eq!(rig.requests_for(&resolution).await, ["incidents.update"]);
    assert_eq!(states(&rig), [1]);

    rig.hand_off(&own).await;
    rig.process(&resolved(own.session()).with("/data/meta", named_id)).await;
    assert_eq!(states(&rig), [1, 1], "a known session closes its own");
    assert_eq!(rig.crm.count("incidents.update"), 2);
}

#[tokio::test]
async fn a_deleted_incident_is_skipped_and_not_created() {
    let rig = rig().start().await;
    let event = handoff("email");
    let meta = rig.hand_off(&event).await;
    rig.crm.delete("incidents", meta["dynamics365_incident_id"].as_str().unwrap()).await;
    assert_eq!(skipped(&rig, &resolved(event.session())).await, "incident_not_found");
    let unknown = json!({ "dynamics365_incident_id": "99999999-0000-0000-0000-000000000009" });
    assert_eq!(skipped(&rig, &resolved("ses_other").with("/data/meta", unknown)).await, "incident_not_found");
    assert!(rig.crm.incidents().is_empty());
}

#[tokio::test]
async fn a_closed_conversation_of_the_webhook_is_a_resolution() {
    let rig = rig().start().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    let closed = json!({
        "event": "conversation.closed", "organization_id": ORGANIZATION,
        "data": { "conversation_id": event.session(), "timestamp": "2026-11-22T12:10:00Z", "ai_resolution_status": "resolved" },
    });
    publish_webhook(&rig, &closed).await;
    assert_eq!(session_outcome(&rig, event.session()).await["event"], "dynamics365.resolution.succeeded");
    assert_eq!(states(&rig), [1]);
    publish_webhook(&rig, &closed).await;
    publish_webhook(&rig, &closed).await;
    let id = session_outcome(&rig, event.session()).await["data"]["source_event_id"].as_str().unwrap().to_owned();
    let same = rig.bus.outcomes(&id, 3).await;
    assert!(same.iter().all(|outcome| outcome.bytes == same[0].bytes), "a derived id is the same every time");
}

#[tokio::test]
async fn every_conversation_of_an_array_has_an_outcome_of_its_own() {
    let rig = rig().start().await;
    let (one, two) = (handoff("email"), handoff("email"));
    rig.hand_off(&one).await;
    rig.hand_off(&two).await;
    let closed = json!({
        "event": "conversation.closed", "organization_id": ORGANIZATION, "timestamp": "2026-11-22T12:11:00Z",
        "data": [
            { "conversation_id": one.session(), "human_resolution_status": "resolved" },
            { "conversation_id": two.session(), "resolution_status": "unresolved", "ai_resolution_status": "resolved" },
        ],
    });
    publish_webhook(&rig, &closed).await;
    assert_eq!(session_outcome(&rig, one.session()).await["event"], "dynamics365.resolution.succeeded");
    assert_eq!(session_outcome(&rig, two.session()).await["data"]["reason"], "not_resolved");
    assert_eq!(states(&rig), [1, 0]);
    rig.nothing_is_left().await;
}

/// Reason of a skipped resolution.
async fn skipped(rig: &Rig, resolution: &crate::support::event::Event) -> String {
    let outcome = rig.process(resolution).await;
    assert_eq!(outcome.routing_key, "dynamics365.resolution.skipped", "{}", outcome.body);
    assert_eq!(outcome.body["data"]["error"], Value::Null);
    outcome.body["data"]["reason"].as_str().unwrap().to_owned()
}

/// The `statecode` of every incident, in order of creation.
fn states(rig: &Rig) -> Vec<i64> {
    rig.crm.incidents().iter().map(|row| row["statecode"].as_i64().unwrap()).collect()
}

async fn publish_webhook(rig: &Rig, body: &Value) {
    let properties = lapin::BasicProperties::default().with_content_type("application/json".into());
    rig.bus.publish_as("conversation.closed", body.to_string().as_bytes(), properties).await;
}

/// Outcome of a session's resolution, under any event id.
async fn session_outcome(rig: &Rig, session: &str) -> Value {
    let mut found = None;
    crate::support::broker::eventually("the outcome of a session's resolution", async || {
        let all = rig.bus.all_outcomes().await;
        found = all.into_iter().map(|outcome| outcome.body).find(|body| {
            body["data"]["session_id"] == session && body["event"].as_str().unwrap().contains(".resolution.")
        });
        found.is_some()
    })
    .await;
    found.unwrap()
}
