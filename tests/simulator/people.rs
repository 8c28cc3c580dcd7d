use dynamics_simulator::{EnvironmentOptions, Profile};
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::{Value, json};

use crate::client::{Client, ONE};

/// Returns the reps and their actions.
async fn people(client: &Client) -> Value {
    client.control("GET", "people", Value::Null).await.body
}

fn resolve(client: &Client) -> reqwest::RequestBuilder {
    let request = client.request("PATCH", &format!("incidents({ONE})")).header("if-match", "*");
    request.header("content-type", "application/json").body(json!({"statecode": 1, "statuscode": 5}).to_string())
}

#[tokio::test]
async fn a_rep_reopens_a_case_before_the_answer_is_lost() {
    let client = Client::start(Profile::OpenCx).await;
    assert_eq!(client.post("incidents", json!({"incidentid": ONE})).await.status, 204);
    let reopens = json!({"operation": "incidents.update", "does": "reopen"});
    assert_eq!(client.control("POST", "people", reopens).await.body, json!({"id": 1}));
    client.fault(json!({"operation": "incidents.update", "fault": "reset_after_commit"})).await;
    resolve(&client).send().await.expect_err("no answer");

    let row = client.get(&format!("incidents({ONE})?$select=statecode,modifiedon")).await;
    assert_eq!(row.body["statecode"], 0);
    let resolutions =
        format!("incidentresolutions?$filter=_incidentid_value eq {ONE} and createdon ge 2020-01-01T00:00:00Z");
    assert_eq!(client.get(&resolutions).await.body["value"].as_array().map(Vec::len), Some(1));
    let people = people(&client).await;
    assert_eq!((&people["reps"][0]["fired"], &people["acted"][0]["does"]), (&json!(1), &json!("reopen")));
    assert_eq!((&people["acted"][0]["key"], &people["acted"][0]["done"]), (&json!(ONE), &json!(true)));
}

#[tokio::test]
async fn a_request_without_effect_triggers_no_rep() {
    let client = Client::start(Profile::OpenCx).await;
    assert_eq!(client.post("incidents", json!({"incidentid": ONE})).await.status, 204);
    client.control("POST", "people", json!({"operation": "incidents.update", "does": "cancel"})).await;
    client.fault(json!({"operation": "incidents.update", "fault": "reset_before"})).await;
    resolve(&client).send().await.expect_err("no answer");
    assert_eq!(people(&client).await["acted"], json!([]));
    assert_eq!(client.control("DELETE", "people", Value::Null).await.status, 204);
    assert_eq!(people(&client).await["reps"], json!([]));
    for wrong in [json!({"does": "sleep"}), json!({"operation": "*"}), json!({"does": "cancel", "when": 1})] {
        assert_eq!(client.control("POST", "people", wrong).await.status, 400);
    }
}

#[tokio::test]
async fn a_delayed_rep_acts_before_the_answer_arrives() {
    let client = Client::start(Profile::OpenCx).await;
    client.configure(&json!({"latency_ms": 2000}));
    let edits = json!({"operation": "incidents.create", "after_ms": 5, "does": {"edit": {"title": "a rep's"}}});
    client.control("POST", "people", edits).await;
    assert_eq!(client.post("incidents", json!({"incidentid": ONE, "title": "x"})).await.status, 204);
    assert_eq!(client.environment().records("incidents")[0]["title"], "a rep's");
}

#[tokio::test]
async fn every_answer_carries_the_environments_time() {
    let mut options = EnvironmentOptions::new("acme", Profile::OpenCx);
    options.settings.clock_offset_s = 7200;
    let client = Client::options(options).await;
    assert_eq!(client.post("incidents", json!({"incidentid": ONE})).await.status, 204);
    for path in ["WhoAmI", "incidents", "nothings"] {
        let reply = client.get(path).await;
        let date = reply.header("date").expect("a date");
        let ahead = DateTimeParser::new().parse_timestamp(date).expect("a date of HTTP").as_second()
            - jiff::Timestamp::now().as_second();
        assert!((7195..=7200).contains(&ahead), "{path}: {date}");
        assert_eq!(reply.headers.get_all("date").iter().count(), 1);
    }
    let created =
        client.environment().records("incidents")[0]["createdon"].as_str().unwrap().parse::<jiff::Timestamp>();
    assert!(created.unwrap().as_second() > jiff::Timestamp::now().as_second() + 7000);
}
