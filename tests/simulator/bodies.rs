use dynamics_simulator::Profile;
use serde_json::{Value, json};

use crate::client::{Client, NOBODY, ONE, OWNER, reply};

const PAYLOAD: &str = "Error identified in Payload provided by the user for Entity :'incidents'";

#[tokio::test]
async fn values_are_checked() {
    let client = Client::start(Profile::OpenCx).await;
    let invalid = "Invalid property 'nothing' was found in entity 'Microsoft.Dynamics.CRM.incident'.";
    let literal = "Cannot convert the literal '2' to the expected type 'Edm.Int32'.";
    for (set, body, code, message) in [
        ("incidents", json!({"nothing": 1}), "0x0", invalid),
        ("incidents", json!({"Title": "case counts"}), "0x0", "Invalid property 'Title'"),
        ("incidents", json!({"title": 1}), "0x80048d19", PAYLOAD),
        ("incidents", json!({"prioritycode": "2"}), "0x80048d19", literal),
        ("incidents", json!({"prioritycode": 2.5}), "0x80048d19", PAYLOAD),
        ("incidents", json!({"isescalated": 1}), "0x80048d19", PAYLOAD),
        ("incidents", json!({"followupby": "soon"}), "0x80048d19", PAYLOAD),
        ("incidents", json!({"incidentid": "1"}), "0x80048d19", "'Edm.Guid'"),
        ("incidents", json!({"statecode": 0}), "0x80048408", "State code"),
        ("incidents", json!({"statuscode": 5}), "0x80048408", "status code for state code IncidentState.Active"),
        ("incidents", json!({"_ownerid_value": OWNER}), "0x80048d19", "Use Navigation properties"),
        ("annotations", json!({"documentbody": "not base64!"}), "0x80040203", "Base-64"),
        ("oc_liveworkitems", json!({"customerInfo": "Ann"}), "0x80048d19", "customerInfo"),
        ("incidents", json!([]), "0x80048d19", PAYLOAD),
    ] {
        client.post(set, body).await.refused(400, code, message);
    }
    assert!(client.environment().records("incidents").is_empty(), "nothing was created");
    assert_eq!(client.post("incidents", json!({"createdon": "2020-01-01"})).await.status, 204);
    assert_ne!(
        client.environment().records("incidents")[0]["createdon"],
        "2020-01-01",
        "createdon is set by the system"
    );
}

#[tokio::test]
async fn lengths_and_choices_are_checked() {
    let client = Client::start(Profile::OpenCx).await;
    let long =
        "The length of the 'title' attribute of the 'incident' entity exceeded the maximum allowed length of '200'.";
    let choice = "The value 5 of 'prioritycode' on record of type 'incident' is outside the valid range. Accepted Values: 1,2,3,4";
    for (set, body, code, message) in [
        ("incidents", json!({"title": "é".repeat(201)}), "0x80044331", long),
        ("incidents", json!({"description": "😀".repeat(1001)}), "0x80044331", "'2000'"),
        ("contacts", json!({"firstname": "x".repeat(51)}), "0x80044331", "'50'"),
        ("contacts", json!({"emailaddress1": "x".repeat(101)}), "0x80044331", "'100'"),
        ("incidents", json!({"prioritycode": 5}), "0x8004431a", choice),
    ] {
        client.post(set, body).await.refused(400, code, message);
    }
    for body in [json!({"description": "😀".repeat(1000)}), json!({"title": "é".repeat(200)})] {
        assert_eq!(client.post("incidents", body).await.status, 204, "values at the limit are accepted");
    }
}

#[tokio::test]
async fn binds_are_checked() {
    let client = Client::start(Profile::OpenCx).await;
    client.contact(ONE, "ann@example.com").await;
    let contact = format!("/contacts({ONE})");
    let contact = contact.as_str();
    let undeclared = "An undeclared property 'nothing' which only has property annotations in the payload but no property \
                      value was found in the payload. ";
    let payload = "0x80048d19";
    for (property, target, status, code, message) in [
        ("nothing", contact, 400, payload, undeclared),
        ("CustomerId_contact", contact, 400, payload, "An undeclared property 'CustomerId_contact'"),
        ("customerid", contact, 400, payload, "An undeclared property 'customerid'"),
        ("customerid_account", contact, 400, payload, "takes rows of 'accounts', not of 'contacts'"),
        ("customerid_contact", "contacts", 400, payload, "is no entity reference"),
        ("customerid_contact", "/nothings(00000000-0000-0000-0000-000000000001)", 404, "0x8006088a", "'nothings'"),
    ] {
        let body = json!({"title": "x", format!("{property}@odata.bind"): target});
        client.post("incidents", body).await.refused(status, code, message);
    }
    let body = json!({"customerid_contact@odata.bind": format!("/contacts({NOBODY})")});
    let refused = client.post("incidents", body).await;
    refused.refused(404, "0x80040217", &format!("Entity 'Contact' With Id = {NOBODY} Does Not Exist"));
    assert!(client.environment().records("incidents").is_empty(), "nothing was created");
}

#[tokio::test]
async fn a_bind_may_be_spelled_in_three_ways() {
    let client = Client::start(Profile::OpenCx).await;
    client.contact(ONE, "ann@example.com").await;
    let base = client.environment().url();
    let spellings = ["/contacts".to_owned(), "contacts".to_owned(), format!("{base}/api/data/v9.2/contacts")];
    for (at, set) in spellings.iter().enumerate() {
        let body = json!({"customerid_contact@odata.bind": format!("{set}({ONE})")});
        assert_eq!(client.post("incidents", body).await.status, 204, "{set}");
        assert_eq!(client.environment().records("incidents")[at]["_customerid_value"], ONE);
    }
    let row = client.environment().records("incidents")[0]["incidentid"].as_str().expect("a key").to_owned();
    let cleared = json!({"customerid_contact@odata.bind": null});
    assert_eq!(client.send("PATCH", &format!("incidents({row})"), cleared).await.status, 204);
    assert_eq!(client.environment().records("incidents")[0]["_customerid_value"], Value::Null);
}

#[tokio::test]
async fn a_body_needs_its_content_type() {
    let client = Client::start(Profile::OpenCx).await;
    let bare = client.request("POST", "contacts").body("{}").send().await.expect("an answer");
    reply(bare).await.refused(400, "0x0", "A missing or empty content type header was found");
    let text = client.request("POST", "contacts").header("content-type", "text/plain").body("{}");
    assert_eq!(text.send().await.expect("an answer").status(), 415);
    let broken = client.request("POST", "contacts").header("content-type", "application/json").body("{");
    reply(broken.send().await.expect("an answer")).await.refused(400, "0x80048d19", "Invalid JSON");
}
