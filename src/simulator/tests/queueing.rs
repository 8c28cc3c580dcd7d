//! Queue items of cases.

use serde_json::{Value, json};

use super::{Client, ONE, QUEUE, TWO, add_to, resolved, target};
use crate::profile::Profile;

fn items(client: &Client) -> Vec<Value> {
    let path = format!("queueitems?$select=queueitemid,_queueid_value&$filter=_objectid_value eq {ONE}&$top=1");
    client.get(&path).found().to_vec()
}

fn bound_to_a_queue() -> Client {
    let client = Client::start(Profile::OpenCx);
    let body = json!({"incidentid": ONE, "queueid@odata.bind": format!("/queues({QUEUE})")});
    assert_eq!(client.post("incidents", body).status, 204);
    client.edit("queues", &json!({"queueid": TWO, "name": "Other"}));
    client
}

#[test]
fn a_bind_and_the_action_make_one_queue_item() {
    let client = bound_to_a_queue();
    let bound = items(&client);
    assert_eq!(bound[0]["_queueid_value"], QUEUE);
    client.post(&add_to(QUEUE), target(ONE)).refused(400, "0x80040526", "already");
    let moved = client.post(&add_to(TWO), target(ONE));
    assert_eq!((moved.status, &moved.body["QueueItemId"]), (200, &bound[0]["queueitemid"]));
    assert_eq!(items(&client)[0]["_queueid_value"], TWO);
    assert_eq!(client.rows("queueitems").len(), 1);
}

#[test]
fn a_change_that_binds_no_queue_moves_nothing() {
    let client = bound_to_a_queue();
    client.post(&add_to(TWO), target(ONE));
    assert_eq!(client.patch(&format!("incidents({ONE})"), json!({"title": "y"})).status, 204);
    assert_eq!(items(&client)[0]["_queueid_value"], TWO);
}

#[test]
fn a_resolved_case_is_not_queued() {
    let client = Client::start(Profile::OpenCx);
    client.case(ONE);
    client.patch(&format!("incidents({ONE})"), resolved());
    let refused = client.post(&add_to(QUEUE), target(ONE));
    refused.refused(400, "0x8004051e", "Deactivated object cannot be added to queue.");
    assert!(items(&client).is_empty());
}
