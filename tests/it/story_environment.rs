//! Each requirement of an environment costs one refused request, once.

use serde_json::{Value, json};

use crate::support::bus::Outcome;
use crate::support::event::{anonymous, handoff, resolved};
use crate::support::rig::rig;
use crate::support::simulator::{ACCOUNT, QUEUE};

#[tokio::test]
async fn an_environment_without_a_queue_lookup_gets_the_action() {
    let rig = rig().stock().queue().start().await;
    let event = handoff("email");
    let learning = ["contacts.query", "contacts.create", "incidents.create", "incidents.create", "AddToQueue"];
    assert_eq!(rig.requests_for(&event).await, learning);
    assert_eq!(rig.requests_for(&event.next_session()).await, ["incidents.create", "AddToQueue"]);
    let incident = rig.crm.incidents()[0]["incidentid"].clone();
    let asked = &rig.crm.requests("AddToQueue")[0];
    assert!(asked.uri.ends_with(&format!("/queues({QUEUE})/Microsoft.Dynamics.CRM.AddToQueue")), "{}", asked.uri);
    let body: Value = serde_json::from_slice(asked.body.as_ref().unwrap()).unwrap();
    let target = json!({ "@odata.type": "Microsoft.Dynamics.CRM.incident", "incidentid": incident });
    assert_eq!(body, json!({ "Target": target }));
    assert!(rig.crm.rows("queueitems").iter().all(|item| item["_queueid_value"] == QUEUE));

    rig.stop_workers().await;
    rig.start_worker("worker").ready().await;
    assert_eq!(rig.requests_for(&event.next_session()).await, ["incidents.create", "AddToQueue"], "remembered");
}

#[tokio::test]
async fn add_to_queue_can_be_forced() {
    let rig = rig().queue().organize("queue_assignment", "add_to_queue").start().await;
    let expected = ["contacts.query", "contacts.create", "incidents.create", "AddToQueue"];
    assert_eq!(rig.requests_for(&handoff("email")).await, expected);
}

#[tokio::test]
async fn bind_can_be_forced() {
    let rig = rig().stock().queue().organize("queue_assignment", "bind").start().await;
    let outcome = rig.process(&handoff("email")).await.body;
    assert_eq!(outcome["data"]["reason"], "rejected_by_dynamics");
    assert_eq!(outcome["data"]["error"]["code"], "0x80048d19");
}

#[tokio::test]
async fn an_environment_that_requires_a_customer_gets_one_placeholder() {
    let rig = rig().stock().start().await;
    let learning = ["incidents.create", "contacts.create", "incidents.create"];
    assert_eq!(rig.requests_for(&anonymous("email")).await, learning);
    assert_eq!(rig.requests_for(&anonymous("phone")).await, ["incidents.create"]);
    let contacts = rig.crm.contacts();
    assert_eq!(contacts.len(), 1);
    assert_eq!(contacts[0]["lastname"], "Anonymous");
    assert!(contacts[0]["description"].as_str().unwrap().contains("OpenCX"));
    assert!(rig.crm.incidents().iter().all(|row| row["_customerid_value"] == contacts[0]["contactid"]));
    for outcome in rig.bus.all_outcomes().await {
        placeholder(&outcome);
    }
}

#[tokio::test]
async fn a_fallback_customer_replaces_a_missing_customer() {
    let fallback = format!("/accounts({ACCOUNT})");
    let rig = rig().stock().organize("fallback_customer", fallback).start().await;
    assert_eq!(rig.requests_for(&anonymous("email")).await, ["incidents.create", "incidents.create"]);
    assert_eq!(rig.requests_for(&anonymous("email")).await, ["incidents.create"]);
    assert!(rig.crm.incidents().iter().all(|row| row["_customerid_value"] == ACCOUNT));
    assert!(rig.crm.contacts().is_empty());
    for outcome in rig.bus.all_outcomes().await {
        placeholder(&outcome);
    }
}

#[tokio::test]
async fn an_environment_that_requires_the_action_gets_it() {
    let rig = rig().stock().start().await;
    let (one, two) = (handoff("email"), handoff("email"));
    let meta = rig.hand_off(&one).await;
    rig.hand_off(&two).await;
    assert_eq!(rig.requests_for(&resolved(one.session())).await, ["incidents.update", "CloseIncident"]);
    assert_eq!(rig.requests_for(&resolved(two.session())).await, ["CloseIncident"]);
    assert!(rig.crm.incidents().iter().all(|row| (&row["statecode"], &row["statuscode"]) == (&json!(1), &json!(5))));
    let asked = &rig.crm.requests("CloseIncident")[0];
    let body: Value = serde_json::from_slice(asked.body.as_ref().unwrap()).unwrap();
    let bound = format!("/incidents({})", meta["dynamics365_incident_id"].as_str().unwrap());
    assert_eq!((&body["IncidentResolution"]["incidentid@odata.bind"], &body["Status"]), (&json!(bound), &json!(5)));
}

#[tokio::test]
async fn how_an_incident_is_closed_can_be_forced() {
    let action = rig().organize("close_with", "close_incident").start().await;
    let event = handoff("email");
    action.hand_off(&event).await;
    assert_eq!(action.requests_for(&resolved(event.session())).await, ["CloseIncident"]);

    let patch = rig().stock().organize("close_with", "patch").start().await;
    patch.hand_off(&event).await;
    let outcome = patch.process(&resolved(event.session())).await.body;
    assert_eq!(outcome["event"], "dynamics365.resolution.failed");
    assert_eq!(outcome["data"]["error"]["step"], "close_incident");
}

#[tokio::test]
async fn another_entity_set_can_be_configured_for_live_work_items() {
    let set = "msdyn_ocliveworkitems";
    let rig = rig().set("dynamics", "live_work_item_entity_set", set).lay_out().await;
    rig.crm.environment().configure(&json!({ "live_work_item_sets": [set] })).unwrap();
    rig.start_worker("worker").ready().await;
    assert_eq!(rig.requests_for(&handoff("web")).await, ["msdyn_ocliveworkitems.create"]);
}

fn placeholder(outcome: &Outcome) {
    let data = &outcome.body["data"];
    assert_eq!((&data["contact_id"], &data["warnings"]), (&Value::Null, &json!(["placeholder_customer"])));
}
