//! Reps who act at the same moment as a request.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Client, NOBODY, ONE, QUEUE, TWO, add_to, closing, resolved, target};
use crate::profile::Profile;

fn state(client: &Client) -> Value {
    client.rows("incidents")[0]["statecode"].clone()
}

#[test]
fn a_rep_acts_before_the_next_request() {
    let client = Client::start(Profile::OpenCx);
    client.rep(json!({"operation": "incidents.update", "does": "reopen"}));
    client.case(ONE);
    assert_eq!(client.patch(&format!("incidents({ONE})"), resolved()).status, 204);
    assert_eq!(state(&client), 0, "already reopened");
    assert_eq!(client.rows("incidentresolutions")[0]["statecode"], 2, "its case resolution is void");
    assert_eq!(client.patch(&format!("incidents({ONE})"), resolved()).status, 204);
    assert_eq!(state(&client), 1, "once");
    let acted = client.environment.rep_actions();
    assert_eq!((acted.len(), acted[0].done, acted[0].key.to_string()), (1, true, ONE.to_owned()));
}

#[test]
fn reps_resolve_cancel_edit_and_move() {
    let client = Client::start(Profile::Stock);
    client.case(ONE);
    client.edit("queues", &json!({"queueid": TWO}));
    let rep = |operation: &str, does: Value| client.rep(json!({"operation": operation, "does": does}));
    rep("AddToQueue", json!({"move": TWO}));
    assert_eq!(client.post(&add_to(QUEUE), target(ONE)).status, 200);
    assert_eq!(client.rows("queueitems")[0]["_queueid_value"], TWO);

    let etag = client.get(&format!("incidents({ONE})")).header("etag").map(str::to_owned);
    rep("incidents.read", json!({"edit": {"title": "a rep's"}}));
    client.get(&format!("incidents({ONE})"));
    assert_ne!(client.get(&format!("incidents({ONE})")).header("etag").map(str::to_owned), etag);
    assert_eq!(client.rows("incidents")[0]["title"], "a rep's");

    rep("incidents.query", json!("resolve"));
    client.get("incidents?$select=statecode");
    client.post("CloseIncident", closing(ONE)).refused(400, "0x800404cf", "already been resolved");
    assert_eq!(client.rows("incidentresolutions").len(), 1);
    client.rep(json!({"table": "incidents", "key": ONE, "does": "cancel"}));
    assert_eq!(state(&client), 2);
    client.post("CloseIncident", closing(ONE)).refused(400, "0x80040230", "inactive");
}

#[test]
fn contacts_are_deactivated_and_merged() {
    let client = Client::start(Profile::OpenCx);
    client.contact(ONE);
    client.contact(TWO);
    let create = |key: &str, contact: &str| {
        let body = json!({"incidentid": key, "customerid_contact@odata.bind": format!("/contacts({contact})")});
        client.post("incidents", body)
    };
    client.rep(json!({"operation": "incidents.create", "containing": ONE, "does": {"merge": TWO}}));
    assert_eq!(create(ONE, ONE).status, 204);
    let (merged, case) = (client.rows("contacts")[0].clone(), client.rows("incidents")[0].clone());
    assert_eq!((&merged["statecode"], &merged["merged"]), (&json!(1), &json!(true)));
    assert_eq!((&merged["_masterid_value"], &case["_customerid_value"]), (&json!(TWO), &json!(TWO)));
    create(NOBODY, ONE).refused(400, "0x80040517", "inactive customer");

    client.rep(json!({"operation": "contacts.query", "skip": 1, "does": "deactivate"}));
    let look = || client.get(&format!("contacts?$filter=contactid eq {TWO}"));
    assert_eq!(look().found()[0]["statecode"], 0);
    assert_eq!(look().found()[0]["statecode"], 0, "the query saw the state before the rep acted");
    create(NOBODY, TWO).refused(400, "0x80040517", "inactive customer");
}

#[tokio::test(start_paused = true)]
async fn a_rep_may_act_after_a_delay() {
    let client = Client::start(Profile::OpenCx);
    client.rep(json!({"operation": "incidents.create", "times": null, "after_ms": 50, "does": "resolve"}));
    client.case(ONE);
    assert_eq!(state(&client), 0);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(state(&client), 1);

    client.case(TWO);
    client.environment.reset();
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(client.environment.rep_actions().is_empty(), "a reset cancels pending actions");
}

#[test]
fn refused_requests_trigger_no_rep() {
    let client = Client::start(Profile::OpenCx);
    client.rep(json!({"operation": "*", "does": "delete"}));
    client.post("incidents", json!({"nothing": 1})).refused(400, "0x0", "nothing");
    assert!(client.environment.rep_actions().is_empty());
    client.rep(json!({"table": "incidents", "key": NOBODY, "does": "resolve"}));
    assert!(!client.environment.rep_actions()[0].done, "the case does not exist");
}
