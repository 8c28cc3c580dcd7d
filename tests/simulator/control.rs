use dynamics_simulator::{EnvironmentOptions, Profile};
use serde_json::{Value, json};

use crate::client::{Client, ONE, TWO};

#[tokio::test]
async fn records_are_complete_and_ordered() {
    let client = Client::start(Profile::OpenCx).await;
    client.contact(TWO, "bo@example.com").await;
    client.contact(ONE, "ann@example.com").await;
    let all = client.control("GET", "records", Value::Null).await.body;
    let contacts = &all["contacts"];
    assert_eq!((&contacts[0]["contactid"], &contacts[1]["contactid"]), (&json!(TWO), &json!(ONE)));
    assert_eq!(all["queues"].as_array().map(Vec::len), Some(1), "seeded");
    assert_eq!(client.control("GET", "records?table=contacts", Value::Null).await.body, *contacts);

    let changed = json!({"contactid": ONE, "emailaddress1": "rep@example.com"});
    assert_eq!(client.control("POST", "records?table=contacts", changed).await.status, 204);
    let found = client.get("contacts?$filter=emailaddress1 eq 'REP@example.com'").await;
    assert_eq!((found.column("contactid"), found.column("lastname")), (vec![ONE], vec!["Somebody"]));
    client.control("DELETE", &format!("records?table=contacts&key={ONE}"), Value::Null).await;
    assert_eq!(client.environment().records("contacts").len(), 1);
    assert_eq!(client.control("POST", "records?table=contacts", json!({"nothing": 1})).await.status, 400);
}

#[tokio::test]
async fn requests_are_journaled_and_counted() {
    let mut options = EnvironmentOptions::new("acme", Profile::OpenCx);
    options.settings.journal_entries = 3;
    let client = Client::options(options).await;
    let headers = [("x-ms-client-request-id", "abc"), ("prefer", "return=representation")];
    for _ in 0..4 {
        assert_eq!(client.send_with("POST", "contacts", json!({"lastname": "Ann"}), &headers).await.status, 201);
    }
    client.get("nothings").await;

    let counts = client.control("GET", "requests?count=1", Value::Null).await.body;
    let expected = json!({"token": {"200": 1}, "contacts.create": {"201": 4}, "nothings.query": {"404": 1}});
    assert_eq!((&counts["counts"], &counts["total"]), (&expected, &json!(6)));
    let kept = client.control("GET", "requests", Value::Null).await.body;
    assert_eq!(kept.as_array().map(Vec::len), Some(3), "the ring is bounded");

    let one = client.control("GET", "requests?operation=contacts.create&last=1&body=1", Value::Null).await.body;
    let entry = &one[0];
    assert_eq!((&entry["method"], &entry["uri"]), (&json!("POST"), &json!("/api/data/v9.2/contacts")));
    assert_eq!((&entry["status"], &entry["environment"]), (&json!(201), &json!("acme")));
    assert_eq!(
        (&entry["headers"]["x-ms-client-request-id"], &entry["body"]["lastname"]),
        (&json!("abc"), &json!("Ann"))
    );
    assert!(entry["headers"].get("authorization").is_none());
    let missing = client.control("GET", "requests?status=404", Value::Null).await.body;
    assert_eq!(missing[0]["operation"], "nothings.query");
}

#[tokio::test]
async fn a_reset_restores_the_initial_state() {
    let mut client = Client::start(Profile::Stock).await;
    client.contact(ONE, "ann@example.com").await;
    client.fault(json!({"operation": "*", "times": null, "fault": {"status": 500}})).await;
    client.configure(&json!({"profile": "opencx"}));
    assert_eq!(client.control("POST", "reset", Value::Null).await.status, 204);
    assert!(client.environment().records("contacts").is_empty());
    assert!(client.environment().requests().is_empty());
    assert_eq!(client.get("WhoAmI").await.status, 401, "a reset revokes tokens");
    client.token = client.fresh_token().await;
    client.post("incidents", json!({})).await.refused(400, "0x80044410", "parent contact");
}

#[tokio::test]
async fn settings_are_checked() {
    let client = Client::start(Profile::OpenCx).await;
    let reply = client.control("POST", "settings", json!({"latency_ms": 1, "queue_field": null})).await;
    assert_eq!((&reply.body["latency_ms"], &reply.body["queue_field"]), (&json!(1), &Value::Null));
    for wrong in [json!({"latency": 1}), json!({"latency_ms": "1"}), json!({"secret": "old"}), json!([])] {
        let reply = client.control("POST", "settings", wrong).await;
        assert_eq!(reply.status, 400, "{reply:?}");
    }
    assert_eq!(client.control("GET", "settings", Value::Null).await.body["latency_ms"], 1);
    assert_eq!(client.control("GET", "nothing", Value::Null).await.status, 400);
    assert_eq!(client.control("GET", "", Value::Null).await.body["name"], "acme");
}

#[tokio::test]
async fn the_configured_url_is_used() {
    let client = Client::start(Profile::OpenCx).await;
    client.configure(&json!({"url": "https://acme.crm.dynamics.test"}));
    assert_eq!(client.environment().url(), "https://acme.crm.dynamics.test");
    let token = client.ask_token(&[("scope", "https://acme.crm.dynamics.test/.default")]).await;
    assert_eq!(token.status, 200, "{token:?}");
    let created = client.post("contacts", json!({"contactid": ONE, "lastname": "Ann"})).await;
    let address = format!("https://acme.crm.dynamics.test/api/data/v9.2/contacts({ONE})");
    assert_eq!(created.header("odata-entityid"), Some(address.as_str()));
}
