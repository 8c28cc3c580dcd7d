use dynamics_simulator::Profile;
use serde_json::{Value, json};

use crate::client::{Client, NOBODY, ONE, QUEUE, TWO};

async fn with_an_incident() -> Client {
    let client = Client::start(Profile::OpenCx).await;
    assert_eq!(client.post("incidents", json!({"incidentid": ONE, "title": "x"})).await.status, 204);
    client
}

fn closing(incident: &str, status: i64) -> Value {
    let resolution = json!({"subject": "Solved", "incidentid@odata.bind": format!("/incidents({incident})")});
    json!({"IncidentResolution": resolution, "Status": status})
}

fn target(incident: &str) -> Value {
    json!({"Target": {"@odata.type": "Microsoft.Dynamics.CRM.incident", "incidentid": incident}})
}

fn add_to(queue: &str) -> String {
    format!("queues({queue})/Microsoft.Dynamics.CRM.AddToQueue")
}

#[tokio::test]
async fn close_incident_works_once() {
    let client = with_an_incident().await;
    client.post("CloseIncident", closing(NOBODY, 5)).await.refused(404, "0x80040217", NOBODY);
    client.post("CloseIncident", closing(ONE, 1)).await.refused(400, "0x80048408", "1 is not a valid status code");
    client.post("CloseIncident", json!({"Status": 5})).await.refused(400, "0x80040203", "'IncidentResolution'");
    client.post("CloseIncident", json!({"State": 1})).await.refused(400, "0x80048d19", "The parameter 'State'");
    assert_eq!(client.post("CloseIncident", closing(ONE, 5)).await.status, 204);
    let row = client.get(&format!("incidents({ONE})")).await.body;
    assert_eq!((&row["statecode"], &row["statuscode"]), (&json!(1), &json!(5)));
    assert_eq!(client.environment().records("incidentresolutions")[0]["_incidentid_value"], ONE);
    client.post("CloseIncident", closing(ONE, 5)).await.refused(400, "0x800404cf", "already been resolved");
    assert_eq!(client.environment().records("incidentresolutions").len(), 1);
}

#[tokio::test]
async fn add_to_queue_requires_its_namespace_and_a_type() {
    let client = with_an_incident().await;
    let bare = client.post(&format!("queues({QUEUE})/AddToQueue"), target(ONE)).await;
    bare.refused(404, "0x8006088a", "Resource not found for the segment 'AddToQueue'.");
    let untyped = client.post(&add_to(QUEUE), json!({"Target": {"incidentid": ONE}})).await;
    untyped.refused(400, "0x80048d19", "'@odata.type'");
    client.post(&add_to(QUEUE), target(NOBODY)).await.refused(404, "0x80040217", NOBODY);
    client.post(&add_to(NOBODY), target(ONE)).await.refused(404, "0x80040217", "Entity 'Queue'");

    let added = client.post(&add_to(QUEUE), target(ONE)).await;
    let item = client.environment().records("queueitems")[0].clone();
    assert_eq!((added.status, &added.body["QueueItemId"]), (200, &item["queueitemid"]));
    assert_eq!((&item["_queueid_value"], &item["_objectid_value"]), (&json!(QUEUE), &json!(ONE)));
}

#[tokio::test]
async fn a_queue_accepts_an_incident_once_and_another_takes_it_over() {
    let client = with_an_incident().await;
    client.control("POST", "records?table=queues", json!({"queueid": TWO, "name": "Other"})).await;
    assert_eq!(client.post(&add_to(QUEUE), target(ONE)).await.status, 200);
    client.post(&add_to(QUEUE), target(ONE)).await.refused(400, "0x80040526", "already");
    client.configure(&json!({"already_queued": "0x8004051b"}));
    client.post(&add_to(QUEUE), target(ONE)).await.refused(400, "0x8004051b", "already");
    assert_eq!(client.post(&add_to(TWO), target(ONE)).await.status, 200, "it moves");
    let items = client.environment().records("queueitems");
    assert_eq!((items.len(), &items[0]["_queueid_value"]), (1, &json!(TWO)));
}

#[tokio::test]
async fn who_am_i_and_privileges() {
    let client = Client::start(Profile::OpenCx).await;
    let me = client.get("WhoAmI").await.body;
    let user = me["UserId"].as_str().expect("a user");
    assert!(me["OrganizationId"].is_string() && me["BusinessUnitId"].is_string());
    assert_eq!(client.get(&format!("systemusers({user})?$select=isdisabled")).await.body["isdisabled"], false);

    client.configure(&json!({"missing_privileges": ["prvCreateIncident"]}));
    let function = format!("systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivilege");
    let all = client.get(&format!("{function}s()")).await.body;
    let all: Vec<&Value> = all["RolePrivileges"].as_array().expect("privileges").iter().collect();
    let has = |name: &str| all.iter().any(|privilege| privilege["PrivilegeName"] == name);
    assert!(has("prvCreateContact") && !has("prvCreateIncident"));
    for (name, held) in [("prvCreateNote", 1), ("prvCreateIncident", 0)] {
        let found = client.get(&format!("{function}ByPrivilegeName(PrivilegeName='{name}')")).await.body;
        assert_eq!(found["RolePrivileges"].as_array().map(Vec::len), Some(held), "{name}");
    }
}
