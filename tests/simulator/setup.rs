use dynamics_simulator::Profile;
use serde_json::{Value, json};

use crate::client::{Client, ONE, OWNER, QUEUE};

#[tokio::test]
async fn each_misconfiguration_has_its_error() {
    let mut client = Client::start(Profile::OpenCx).await;
    let no_table = "Resource not found for the segment 'incidents'.";
    let privilege = "is missing prvCreateIncident privilege (Id=";
    for (settings, status, code, message) in [
        (json!({"application_user": "missing"}), 401, "0x80072560", "application user"),
        (json!({"application_user": "not_a_member"}), 403, "0x80072560", "not a member of the organization"),
        (json!({"application_user": "disabled"}), 403, "0x80040225", "is disabled"),
        (json!({"application_user": "no_roles"}), 403, "0x80042f09", "has not been assigned any roles"),
        (json!({"availability": "disabled"}), 403, "0x8004a104", "organization is disabled"),
        (json!({"missing_tables": ["incidents"]}), 404, "0x8006088a", no_table),
        (json!({"missing_privileges": ["prvCreateIncident"]}), 403, "0x80040220", privilege),
    ] {
        client.again(&settings).await;
        client.post("incidents", json!({"title": "x"})).await.refused(status, code, message);
    }
}

#[tokio::test]
async fn every_privilege_of_a_handoff_is_required() {
    let client = Client::start(Profile::OpenCx).await;
    client.contact(ONE, "ann@example.com").await;
    let incident = json!({"incidentid": ONE, "customerid_contact@odata.bind": format!("/contacts({ONE})")});
    let queued = json!({"Target": {"@odata.type": "Microsoft.Dynamics.CRM.incident", "incidentid": ONE}});
    let bound = json!({"incidentid@odata.bind": format!("/incidents({ONE})")});
    let closing = json!({"IncidentResolution": bound, "Status": 5});
    let owned = json!({"ownerid@odata.bind": format!("/systemusers({OWNER})")});
    let note = json!({"objectid_incident@odata.bind": format!("/incidents({ONE})")});
    let queue = format!("queues({QUEUE})/Microsoft.Dynamics.CRM.AddToQueue");
    let row = format!("incidents({ONE})");
    for (privilege, method, path, body) in [
        ("prvReadContact", "GET", "contacts", Value::Null),
        ("prvCreateContact", "POST", "contacts", json!({"lastname": "x"})),
        ("prvCreateIncident", "POST", "incidents", incident.clone()),
        ("prvAppendIncident", "POST", "incidents", incident.clone()),
        ("prvAppendToContact", "POST", "incidents", incident.clone()),
        ("", "POST", "incidents", incident.clone()),
        ("prvReadIncident", "GET", &row, Value::Null),
        ("prvWriteIncident", "PATCH", &row, json!({"title": "x"})),
        ("prvAppendToQueue", "POST", &queue, queued.clone()),
        ("prvCreateQueueItem", "POST", &queue, queued.clone()),
        ("prvReadQueueItem", "POST", &queue, queued.clone()),
        ("prvWriteQueueItem", "POST", &queue, queued.clone()),
        ("prvAppendQueueItem", "POST", &queue, queued),
        ("prvCreateNote", "POST", "annotations", note),
        ("prvCreateActivity", "POST", "CloseIncident", closing.clone()),
        ("prvAppendActivity", "POST", "CloseIncident", closing),
        ("prvReadUser", "POST", "incidents", owned),
        ("prvReadActivity", "GET", "incidentresolutions", Value::Null),
        ("prvReadQueueItem", "GET", "queueitems", Value::Null),
        ("prvReadOrganization", "GET", "organizations", Value::Null),
        ("prvDeleteIncident", "DELETE", &row, Value::Null),
    ] {
        client.configure(&json!({"missing_privileges": [privilege]}));
        let reply = client.send(method, path, body).await;
        if privilege.is_empty() {
            assert_eq!(reply.status, 204, "{reply:?}");
        } else {
            reply.refused(403, "0x80040220", &format!("is missing {privilege} privilege"));
        }
    }
}

#[tokio::test]
async fn an_owner_needs_the_privilege_to_read_its_rows() {
    let client = Client::start(Profile::OpenCx).await;
    let body = json!({"ownerid@odata.bind": format!("/systemusers({OWNER})")});
    client.configure(&json!({"missing_owner_privileges": ["prvReadIncident"]}));
    let message = format!("Principal user (Id={OWNER}, type=8, roleCount=1");
    client.post("incidents", body.clone()).await.refused(403, "0x80040220", &message);
    assert_eq!(client.post("incidents", json!({"title": "x"})).await.status, 204, "its creator may own it");
    let function = "Microsoft.Dynamics.CRM.RetrieveUserPrivilegeByPrivilegeName(PrivilegeName='prvReadIncident')";
    let has =
        async || client.get(&format!("systemusers({OWNER})/{function}")).await.body["RolePrivileges"] != json!([]);
    assert!(!has().await);
    client.configure(&json!({"missing_owner_privileges": []}));
    assert!(has().await);
    assert_eq!(client.post("incidents", body).await.status, 204);
}

#[tokio::test]
async fn a_disabled_owner_is_refused() {
    let client = Client::start(Profile::OpenCx).await;
    let body = json!({"ownerid@odata.bind": format!("/systemusers({OWNER})")});
    let owner = |disabled: bool| json!({"systemuserid": OWNER, "isdisabled": disabled});
    client.control("POST", "records?table=systemusers", owner(true)).await;
    client.post("incidents", body.clone()).await.refused(403, "0x80040225", OWNER);
    client.control("POST", "records?table=systemusers", owner(false)).await;
    assert_eq!(client.post("incidents", body).await.status, 204);
}
