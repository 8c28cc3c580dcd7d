//! Concurrent changes by a rep, an administrator or another integration: none is undone, and no handoff is lost because
//! of one.

use dynamics_simulator::RepScript;
use serde_json::{Value, json};

use crate::support::broker::eventually;
use crate::support::event::{Event, handoff, resolved};
use crate::support::rig::{Rig, rig};

const ANOTHER_QUEUE: &str = "77777777-7777-7777-7777-777777777777";

/// A rep who acts as soon as such a request has its effect, before its response.
fn rep(rig: &Rig, operation: &str, does: &Value) {
    let script = json!({ "operation": operation, "does": does });
    rig.crm.environment().add_rep_script(serde_json::from_value::<RepScript>(script).unwrap());
}

fn configure(rig: &Rig, settings: &Value) {
    rig.crm.environment().configure(settings).unwrap();
}

fn lose_the_answer(rig: &Rig, operation: &str) {
    rig.crm.fault(&json!({ "operation": operation, "fault": "reset_after_commit" }));
}

fn warnings(outcome: &Value) -> &Value {
    assert!(outcome["event"].as_str().unwrap().ends_with(".succeeded"), "{outcome}");
    &outcome["data"]["warnings"]
}

async fn carried(rig: &Rig, event: &Event) -> Value {
    rig.process(event).await.body
}

#[tokio::test]
async fn a_case_that_a_rep_reopens_before_the_answer_is_lost_stays_open() {
    for (close_with, operation) in [("patch", "incidents.update"), ("close_incident", "CloseIncident")] {
        let rig = rig().organize("close_with", close_with).start().await;
        let event = handoff("email");
        rig.hand_off(&event).await;
        rep(&rig, operation, &json!("reopen"));
        lose_the_answer(&rig, operation);
        let outcome = carried(&rig, &resolved(event.session())).await;
        assert_eq!(warnings(&outcome), &json!(["close_unconfirmed"]), "{operation}");
        assert_eq!((rig.crm.count(operation), &rig.crm.incidents()[0]["statecode"]), (1, &json!(0)));
        rig.nothing_is_left().await;
    }
}

/// Another event of the session does not close it again either: the response to the first was lost for good.
#[tokio::test]
async fn a_second_resolution_reads_a_case_that_the_first_may_have_closed() {
    let rig = rig().set("retry", "in_process", 1).set("retry", "delays", vec!["10m".to_owned()]).start().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    rep(&rig, "incidents.update", &json!("reopen"));
    lose_the_answer(&rig, "incidents.update");
    rig.bus.publish(&resolved(event.session())).await;
    rig.awaits("transient").await;
    let second = resolved(event.session());
    let outcome = carried(&rig, &second).await;
    assert_eq!(warnings(&outcome), &json!(["close_unconfirmed"]));
    assert_eq!((rig.crm.count("incidents.update"), &rig.crm.incidents()[0]["statecode"]), (1, &json!(0)));

    // A refusal is a response: the case is known to be open, and no read is needed.
    let event = event.next_session();
    rig.hand_off(&event).await;
    rig.crm.refuse("incidents.update", 1, 400, "0x8004440a", "open activities");
    assert_eq!(carried(&rig, &resolved(event.session())).await["data"]["reason"], "rejected_by_dynamics");
    assert_eq!(rig.requests_for(&resolved(event.session())).await, ["incidents.update"]);
}

#[tokio::test]
async fn a_closing_that_never_arrived_is_repeated_after_a_read() {
    for (close_with, operation) in [("patch", "incidents.update"), ("close_incident", "CloseIncident")] {
        let rig = rig().organize("close_with", close_with).start().await;
        let event = handoff("email");
        rig.hand_off(&event).await;
        rig.crm.fault(&json!({ "operation": operation, "fault": "reset_before" }));
        let asked = rig.requests_for(&resolved(event.session())).await;
        assert_eq!(asked[1..], ["incidents.read", "incidentresolutions.query", operation], "{asked:?}");
        assert_eq!(rig.crm.incidents()[0]["statecode"], 1);
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_case_that_changes_after_each_check_is_checked_again_as_a_retry() {
    let rig = rig().set("retry", "in_process", 3).set("retry", "delays", vec!["10m".to_owned()]).start().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    rig.crm.fault(&json!({ "operation": "incidents.update", "fault": "reset_before" }));
    rig.crm.refuse("incidents.update", 2, 412, "0x80060882", "The version of the existing record doesn't match");
    rig.bus.publish(&resolved(event.session())).await;
    rig.awaits("transient").await;
    assert_eq!((rig.crm.count("incidents.update"), rig.crm.count("incidents.read")), (3, 2));
}

#[tokio::test]
async fn a_case_that_was_resolved_or_cancelled_by_a_rep_is_closed() {
    for does in ["resolve", "cancel"] {
        let rig = rig().start().await;
        let event = handoff("email");
        rep(&rig, "incidents.create", &json!(does));
        rig.hand_off(&event).await;
        let outcome = carried(&rig, &resolved(event.session())).await;
        assert_eq!(warnings(&outcome), &json!([]), "{does}");
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_handoff_that_is_later_than_the_resolution_is_left_open() {
    let rig = rig().start().await;
    let first = handoff("email");
    rig.hand_off(&first).await;
    let later = first.next().with("/timestamp", "2026-11-22T23:00:00Z");
    rig.hand_off(&later).await;
    let outcome = carried(&rig, &resolved(first.session()).with("/timestamp", "2026-11-22T12:00:00Z")).await;
    assert_eq!(warnings(&outcome), &json!([]));
    let open = rig.crm.incidents().iter().filter(|row| row["statecode"] == 0).count();
    assert_eq!((rig.crm.incidents().len(), open), (2, 1));
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_case_is_not_pulled_from_the_queue_that_a_rep_chose() {
    let rig = rig().stock().queue().start().await;
    rig.crm.edit("queues", &json!({ "queueid": ANOTHER_QUEUE, "name": "a rep's" })).await;
    rep(&rig, "AddToQueue", &json!({ "move": ANOTHER_QUEUE }));
    lose_the_answer(&rig, "AddToQueue");
    let outcome = carried(&rig, &handoff("email")).await;
    assert_eq!(warnings(&outcome), &json!([]));
    assert_eq!(rig.crm.count("AddToQueue"), 1);
    assert_eq!(rig.crm.rows("queueitems")[0]["_queueid_value"], ANOTHER_QUEUE);
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_case_resolved_before_it_is_queued_is_a_success() {
    let rig = rig().stock().queue().start().await;
    rep(&rig, "incidents.create", &json!("resolve"));
    let outcome = carried(&rig, &handoff("email")).await;
    assert_eq!(warnings(&outcome), &json!(["not_queued"]));
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_deactivated_contact_is_replaced_by_another() {
    let rig = rig().start().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    let contact = rig.crm.contacts()[0]["contactid"].clone();
    rig.crm.edit("contacts", &json!({ "contactid": contact, "statecode": 1 })).await;
    let outcome = carried(&rig, &event.next_session()).await;
    assert_eq!(warnings(&outcome), &json!([]));
    assert_ne!(outcome["data"]["contact_id"], contact, "the deactivated one takes no new case");
    assert_eq!(rig.crm.contacts().len(), 2);
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_refused_contact_costs_the_handoff_only_the_link() {
    for settings in [
        json!({ "secured_columns": { "contacts.emailaddress1": "refused" } }),
        json!({ "plugins": [{ "table": "contacts", "on": "create", "does": { "refuse": "The record already exists." } }] }),
        json!({ "plugins": [{ "table": "contacts", "on": "create", "does": { "crash": "null reference" } }] }),
        json!({ "no_access": [{ "table": "contacts" }] }),
    ] {
        let rig = rig().start().await;
        configure(&rig, &settings);
        let outcome = carried(&rig, &handoff("email")).await;
        assert_eq!(warnings(&outcome), &json!(["contact_unlinked"]), "{settings}");
        assert_eq!(outcome["data"]["attempts"], 1, "{settings}: at once");
        rig.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_duplicate_of_another_key_is_not_taken_for_our_contact() {
    let rig = rig().start().await;
    configure(&rig, &json!({ "alternate_keys": { "contacts": ["mobilephone"] } }));
    let of =
        |email: &str| handoff("email").with("/data/customer/email", email).with("/data/customer/phone", "+15550100");
    rig.hand_off(&of("one@example.com")).await;
    let outcome = carried(&rig, &of("another@example.com")).await;
    assert_eq!(warnings(&outcome), &json!(["contact_unlinked"]));
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_subject_is_cut_to_the_tables_limit_which_is_remembered() {
    let rig = rig().start().await;
    configure(&rig, &json!({ "live_work_item_subject_limit": 200 }));
    let long = |event: Event| event.with("/data/summary", "x".repeat(300));
    let outcome = carried(&rig, &long(handoff("web"))).await;
    assert_eq!(warnings(&outcome), &json!(["subject_cut"]));
    assert_eq!(rig.crm.rows("oc_liveworkitems")[0]["subject"].as_str().unwrap().len(), 200);
    assert_eq!(rig.requests_for(&long(handoff("sms"))).await, ["oc_liveworkitems.create"]);
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_transcript_whose_attachment_is_refused_becomes_notes_of_text() {
    let rig = rig().start().await;
    configure(&rig, &json!({ "blocked_attachments": ["txt"] }));
    let long = |event: Event| event.with("/data/transcript/0/text", "☃".repeat(150_000));
    let outcome = carried(&rig, &long(handoff("email"))).await;
    assert_eq!(warnings(&outcome), &json!([]));
    let notes: Vec<Value> = rig.crm.rows("annotations");
    let texts: Vec<&str> = notes.iter().filter_map(|note| note["notetext"].as_str()).collect();
    assert_eq!(texts.len(), 2, "150,000 characters and 100,000 a note");
    assert_eq!(texts.concat().matches('☃').count(), 150_000, "nothing of it is lost");
    let asked = rig.requests_for(&long(handoff("email"))).await;
    assert_eq!(asked.iter().filter(|name| *name == "annotations.create").count(), 2, "learned: {asked:?}");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn the_environments_ip_firewall_blocks_the_organization_and_no_event() {
    let rig = rig().start().await;
    configure(&rig, &json!({ "ip_firewall": "blocking" }));
    let event = handoff("web");
    rig.bus.publish(&event).await;
    eventually("advice about the firewall", async || rig.worker().log().contains("IP firewall")).await;
    configure(&rig, &json!({ "ip_firewall": "open" }));
    let outcome = rig.bus.outcome(event.id()).await.body;
    assert_eq!((warnings(&outcome), &outcome["data"]["attempts"]), (&json!([]), &json!(1)));
    rig.nothing_is_left().await;
}
