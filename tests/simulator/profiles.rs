use dynamics_simulator::Profile;
use serde_json::{Value, json};

use crate::client::{ACCOUNT, Client, ONE, QUEUE, TWO};

fn incident(more: Value) -> Value {
    let mut body = json!({"incidentid": ONE, "title": "x"});
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

fn of_an_account() -> Value {
    incident(json!({"customerid_account@odata.bind": format!("/accounts({ACCOUNT})")}))
}

#[tokio::test]
async fn stock_requires_a_customer_and_has_no_queue_field() {
    let client = Client::start(Profile::Stock).await;
    let refused = client.post("incidents", incident(json!({}))).await;
    refused.refused(400, "0x80044410", "You should specify a parent contact or account.");
    let refused = client.post("incidents", incident(json!({"customerid_account@odata.bind": null}))).await;
    refused.refused(400, "0x80044410", "You should specify a parent contact or account.");
    let queue = json!({"queueid@odata.bind": format!("/queues({QUEUE})")});
    let refused = client.post("incidents", incident(queue)).await;
    refused.refused(400, "0x80048d19", "An undeclared property 'queueid'");
    let refused = client.post("incidents", incident(json!({"prioritycode": 4}))).await;
    refused.refused(400, "0x8004431a", "Accepted Values: 1,2,3");
    assert_eq!(client.post("incidents", of_an_account()).await.status, 204);
}

#[tokio::test]
async fn stock_resolves_only_by_the_action() {
    let client = Client::start(Profile::Stock).await;
    assert_eq!(client.post("incidents", of_an_account()).await.status, 204);
    let path = format!("incidents({ONE})");
    let refused = client.send("PATCH", &path, json!({"statecode": 1, "statuscode": 5})).await;
    refused.refused(400, "0x80040203", "use the CloseIncidentRequest message instead.");
    assert_eq!(client.get(&path).await.body["statecode"], 0);
    let other = client.send("PATCH", &path, json!({"title": "y", "statuscode": 2})).await;
    assert_eq!(other.status, 204, "other columns are writable");
    assert_eq!(client.send("PATCH", &path, json!({"statecode": 2})).await.status, 204);
    assert_eq!(client.get(&path).await.body["statuscode"], 6, "a state without a status gets its first");
}

#[tokio::test]
async fn opencx_accepts_everything_sent() {
    let client = Client::start(Profile::OpenCx).await;
    let body = incident(json!({"prioritycode": 4, "queueid@odata.bind": format!("/queues({QUEUE})")}));
    assert_eq!(client.post("incidents", body).await.status, 204);
    let path = format!("incidents({ONE})");
    let resolved = json!({"statecode": 1, "statuscode": 5});
    let closed = client.send_with("PATCH", &path, resolved.clone(), &[("if-match", "*")]).await;
    assert_eq!(closed.status, 204);
    let again = client.send_with("PATCH", &path, resolved, &[("if-match", "*")]).await;
    again.refused(400, "0x800404cf", "already been resolved");
    let row = client.get(&path).await.body;
    assert_eq!((&row["statecode"], &row["statuscode"]), (&json!(1), &json!(5)));
    assert_eq!(row["_queueid_value"], QUEUE);
    let mixed = client.send("PATCH", &path, json!({"statecode": 0, "statuscode": 5})).await;
    mixed.refused(400, "0x80048408", "5 is not a valid status code for state code IncidentState.Active on Incident");
}

#[tokio::test]
async fn each_switch_can_be_set_on_its_own() {
    let client = Client::start(Profile::OpenCx).await;
    let bound = |field: &str| {
        let queue = format!("/queues({QUEUE})");
        incident(json!({"incidentid": TWO, format!("{field}@odata.bind"): queue}))
    };
    client.configure(&json!({"queue_field": "oc_Queue"}));
    client.post("incidents", bound("queueid")).await.refused(400, "0x80048d19", "'queueid'");
    assert_eq!(client.post("incidents", bound("oc_Queue")).await.status, 204);
    assert_eq!(client.environment().records("incidents")[0]["_oc_queue_value"], QUEUE);

    client.configure(&json!({"description_limit": 5, "live_work_item_sets": ["msdyn_ocliveworkitems"]}));
    client.post("incidents", incident(json!({"description": "123456"}))).await.refused(400, "0x80044331", "'5'");
    client.post("oc_liveworkitems", json!({})).await.refused(404, "0x8006088a", "'oc_liveworkitems'");
    assert_eq!(client.post("msdyn_ocliveworkitems", json!({"name": "Ann"})).await.status, 204);

    client.configure(&json!({"profile": "stock"}));
    client.post("incidents", incident(json!({}))).await.refused(400, "0x80044410", "parent contact or account");
}
