use std::error::Error;
use std::io;
use std::time::Duration;

use dynamics_simulator::Profile;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::client::{Client, ONE, TWO};

const DEADLINE: Duration = Duration::from_secs(20);

fn contact(key: &str) -> Value {
    json!({"contactid": key, "lastname": "Ann"})
}

fn create(client: &Client, key: &str) -> reqwest::RequestBuilder {
    let request = client.request("POST", "contacts").header("content-type", "application/json");
    request.body(contact(key).to_string())
}

fn keys(client: &Client) -> Vec<String> {
    let rows = client.environment().records("contacts");
    rows.iter().map(|row| row["contactid"].as_str().unwrap_or_default().to_owned()).collect()
}

fn is_reset(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        let io = cause.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionReset) {
            return true;
        }
        source = cause.source();
    }
    false
}

#[tokio::test]
async fn resets_happen_before_or_after_the_effect() {
    let client = Client::start(Profile::OpenCx).await;
    client.fault(json!({"operation": "contacts.create", "fault": "reset_before"})).await;
    let error = create(&client, ONE).send().await.expect_err("no answer");
    assert!(is_reset(&error), "{error:?}");
    assert!(keys(&client).is_empty(), "the request had no effect");

    client.fault(json!({"operation": "contacts.create", "fault": "reset_after_commit"})).await;
    let error = create(&client, ONE).send().await.expect_err("no answer");
    assert!(is_reset(&error), "{error:?}");
    assert_eq!(keys(&client), [ONE], "the request took effect");
    client.post("contacts", contact(ONE)).await.refused(412, "0x80040237", "already exists");
    let counts = client.control("GET", "requests?count=1", Value::Null).await.body;
    assert_eq!(counts["counts"]["contacts.create"], json!({"0": 2, "412": 1}));
}

#[tokio::test]
async fn hangs_happen_before_or_after_the_effect() {
    let client = Client::start(Profile::OpenCx).await;
    for (fault, key, expected) in [("hang", ONE, vec![]), ("hang_after_commit", TWO, vec![TWO])] {
        client.fault(json!({"operation": "contacts.create", "fault": fault})).await;
        let error = create(&client, key).timeout(Duration::from_millis(300)).send().await.expect_err(fault);
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(keys(&client), expected, "{fault}");
    }
}

#[tokio::test]
async fn hanging_requests_do_not_delay_shutdown() {
    let client = Client::start(Profile::OpenCx).await;
    client.fault(json!({"operation": "*", "times": null, "fault": "hang"})).await;
    let hanging = tokio::spawn(client.request("GET", "WhoAmI").send());
    let in_flight = async {
        while client.control("GET", "requests?count=1", Value::Null).await.body["in_flight"] != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, in_flight).await.expect("the request is in flight");
    tokio::time::timeout(DEADLINE, client.running.stop()).await.expect("the simulator stops");
    hanging.await.expect("the task ended").expect_err("without an answer");
}

#[tokio::test]
async fn abandoned_requests_are_journaled() {
    let client = Client::start(Profile::OpenCx).await;
    client.fault(json!({"operation": "WhoAmI", "fault": "hang"})).await;
    let request = client.request("GET", "WhoAmI").timeout(Duration::from_millis(100));
    request.send().await.expect_err("no answer");
    let noticed = async {
        while client.environment().count("WhoAmI") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, noticed).await.expect("the simulator notices the disconnect");
    let entry = client.environment().requests().pop().expect("an entry");
    assert_eq!((entry.status, entry.fault.as_deref()), (None, Some("hang")));
}

#[tokio::test]
async fn broken_answers_follow_the_effect() {
    let client = Client::start(Profile::OpenCx).await;
    client.fault(json!({"operation": "contacts.create", "fault": "garbage"})).await;
    let reply = client.post("contacts", contact(ONE)).await;
    assert!(reply.body.is_string(), "no JSON: {reply:?}");
    client.fault(json!({"operation": "contacts.create", "fault": "truncate"})).await;
    let request = create(&client, TWO).header("prefer", "return=representation");
    let response = request.send().await.expect("a head");
    assert_eq!(response.status(), 201);
    response.bytes().await.expect_err("half a body");
    assert_eq!(keys(&client), [ONE, TWO]);
}

#[tokio::test]
async fn answers_can_be_scripted() {
    let client = Client::start(Profile::OpenCx).await;
    let throttled = json!({
        "status": 429, "code": "0x80072322", "message": "Number of requests exceeded", "retry_after": 7,
        "headers": {"x-extra": "1"},
    });
    client.fault(json!({"operation": "contacts.create", "fault": throttled})).await;
    let reply = client.post("contacts", contact(ONE)).await;
    reply.refused(429, "0x80072322", "Number of requests exceeded");
    assert_eq!((reply.header("retry-after"), reply.header("x-extra")), (Some("7"), Some("1")));

    let date = "Sun, 22 Nov 2026 10:15:00 GMT";
    let busy = json!({"status": 503, "body": "<html>busy</html>", "retry_after": date, "when": "after_commit"});
    client.fault(json!({"operation": "contacts.create", "fault": busy})).await;
    let reply = client.post("contacts", contact(ONE)).await;
    assert_eq!((reply.status, &reply.body), (503, &json!("<html>busy</html>")));
    assert_eq!(reply.header("retry-after"), Some(date));
    assert_eq!(keys(&client), [ONE], "this request took effect");
}

#[tokio::test]
async fn scripts_select_their_requests() {
    let client = Client::start(Profile::OpenCx).await;
    client.fault(json!({"operation": "WhoAmI", "skip": 1, "times": 2, "fault": {"status": 500}})).await;
    client.fault(json!({"operation": "*", "times": null, "containing": "needle", "fault": {"status": 502}})).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(client.get("WhoAmI").await.status);
    }
    assert_eq!(seen, [200, 500, 500, 200, 200]);
    assert_eq!(client.get("contacts?$filter=lastname eq 'needle'").await.status, 502);
    assert_eq!(client.get("contacts").await.status, 200);
    let scripts = client.control("GET", "faults", Value::Null).await.body;
    assert_eq!((&scripts[0]["fired"], &scripts[1]["fired"]), (&json!(2), &json!(1)));
    client.control("DELETE", "faults", Value::Null).await;
    assert_eq!(client.get("contacts?$filter=lastname eq 'needle'").await.status, 200);
}

#[tokio::test]
async fn probability_is_reproducible() {
    let client = Client::start(Profile::OpenCx).await;
    let half = json!({"operation": "WhoAmI", "times": null, "probability": 0.5, "seed": 7, "fault": {"status": 500}});
    let mut runs = Vec::new();
    for _ in 0..2 {
        client.control("DELETE", "faults", Value::Null).await;
        client.fault(half.clone()).await;
        let mut statuses = Vec::new();
        for _ in 0..32 {
            statuses.push(client.get("WhoAmI").await.status);
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].contains(&200) && runs[0].contains(&500));
}

#[tokio::test]
async fn token_requests_can_fail_too() {
    let client = Client::start(Profile::OpenCx).await;
    client.fault(json!({"operation": "token", "fault": {"status": 503, "body": "busy"}})).await;
    assert_eq!(client.ask_token(&[]).await.status, 503);
    assert_eq!(client.ask_token(&[]).await.status, 200);
}

#[tokio::test]
async fn bad_scripts_are_refused() {
    let client = Client::start(Profile::OpenCx).await;
    for script in [
        json!({}),
        json!({"operation": "*", "fault": "explode"}),
        json!({"operation": "*", "fault": {"status": 500, "retry": 1}}),
        json!({"operation": "*", "fault": "hang", "time": 1}),
    ] {
        let reply = client.control("POST", "faults", script).await;
        assert_eq!(reply.status, 400, "{reply:?}");
    }
}

#[tokio::test]
async fn excess_requests_are_throttled() {
    let client = Client::start(Profile::OpenCx).await;
    client.configure(&json!({"latency_ms": 500, "limits": {"concurrent": 3, "retry_after_s": 5}}));
    let all = join_all((0..6).map(|_| client.get("WhoAmI"))).await;
    let refused: Vec<_> = all.iter().filter(|reply| reply.status == 429).collect();
    assert_eq!(refused.len(), 3);
    refused[0].refused(429, "0x80072326", "concurrent");
    assert_eq!(refused[0].header("retry-after"), Some("5"));

    client.configure(&json!({"latency_ms": 0, "limits": {"requests": 2}}));
    assert_eq!(client.get("WhoAmI").await.status, 200);
    assert_eq!(client.get("WhoAmI").await.status, 200);
    client.get("WhoAmI").await.refused(429, "0x80072322", "limit of 2 over time window of 300 seconds");
}
