//! The HTTP interface from the side of monitors and operators.

mod rig;
mod refused;

use std::sync::Arc;
use std::time::Duration;

use handoffd::admin::api::{HttpError, serve};
use handoffd::telemetry::metrics::PrometheusMetrics;
use handoffd_engine::event::{IncidentId, Kind, Route, WorkItemId};
use handoffd_engine::ports::metrics::{EventEnd, Measurement, Metrics};
use handoffd_engine::ports::store::{Cursor, OutcomeFilter};
use handoffd_engine::workflow::{Failure, Outcome, Phase, Reason, Status, StepName};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use rig::{FakeStore, Rig, body, found, given, guid, outcome, problem, time};

#[tokio::test]
async fn health_and_metrics_are_open_to_all() {
    let rig = Rig::with(FakeStore::default(), Some("s3cret")).await;
    rig.metrics.record(Measurement::Event(Kind::Handoff, EventEnd::Succeeded));
    let live = rig.get("/livez").await;
    assert_eq!(live.status(), 200);
    assert_eq!(live.text().await.expect("a body"), "ok");
    assert_eq!(rig.json("/readyz").await, json!({ "status": "ready" }));
    rig.reasons.lock().unwrap().push("the broker is away".to_owned());
    let unready = rig.get("/readyz").await;
    assert_eq!(unready.status(), 503);
    assert_eq!(body(unready).await, json!({ "status": "unready", "reasons": ["the broker is away"] }));
    rig.reasons.lock().unwrap().push("can't reach the broker at broker.example:5672/acme: refused".to_owned());
    let reasons = async |request: reqwest::RequestBuilder| {
        body(request.send().await.expect("an answer")).await["reasons"][1].as_str().unwrap().to_owned()
    };
    let ask = || rig.client.get(rig.url("/readyz"));
    assert_eq!(reasons(ask()).await, "can't reach the broker at …: refused");
    assert_eq!(reasons(ask().bearer_auth("wrong")).await, "can't reach the broker at …: refused");
    assert_eq!(
        reasons(ask().bearer_auth("s3cret")).await,
        "can't reach the broker at broker.example:5672/acme: refused"
    );
    let metrics = rig.get("/metrics").await;
    assert!(rig.metrics.render().contains("handoffd_http_auth_failures_total 1"));
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4");
    let text = metrics.text().await.expect("a body");
    assert!(text.contains("handoffd_events_total{outcome=\"succeeded\",type=\"handoff\"} 1"));
    rig.stop().await;
}

#[tokio::test]
async fn an_outcome_has_its_data_and_more() {
    let rig = Rig::start(vec![found("evt_01JDA7", Phase::Finished(outcome()))]).await;
    let shown = json!({
        "organization_id": "org_acme",
        "status": "succeeded",
        "finished_at": "2026-11-22T10:15:01Z",
        "source_event_id": "evt_01JDA7",
        "session_id": "ses_9f2c",
        "channel": "email",
        "route": "incident",
        "session_meta": {
            "dynamics365_incident_id": guid(1).to_string(),
            "dynamics365_ticket_number": "CAS-01234-X1Y2Z3",
        },
        "contact_id": guid(2).to_string(),
        "attempts": 1,
        "warnings": ["placeholder_customer"],
        "reason": null,
        "error": null,
    });
    let list = rig.json("/api/v1/outcomes").await;
    assert_eq!(list, json!({ "outcomes": [shown], "next": "next/page" }));
    let one = rig.json("/api/v1/outcomes/org_acme/evt_01JDA7").await;
    let mut with_history = shown;
    with_history["history"] = one["history"].clone();
    let request = json!({
        "at": "2026-11-22T10:15:00Z", "attempt": 1, "step": "post_incident", "started_at": "2026-11-22T10:14:59.988Z",
        "elapsed_ms": 12, "status": 201, "request_id": "req-1",
    });
    assert!(one["history"].as_array().unwrap().contains(&request), "{one}");
    assert_eq!(one, with_history);
    rig.stop().await;
}

#[tokio::test]
async fn chats_failures_and_unread_events_are_shown_too() {
    let chat = Outcome {
        route: Some(Route::LiveWorkItem),
        incident: None,
        work_item: Some(WorkItemId(guid(3))),
        contact_id: None,
        ..outcome()
    };
    let failed = Outcome {
        status: Status::Failed,
        route: None,
        session_id: None,
        channel: None,
        incident: None,
        reason: Some(Reason::InvalidEvent),
        error: Some(Failure {
            step: StepName::Decode,
            status: None,
            code: None,
            message: "data.session_id: expected a string".to_owned(),
            advice: None,
        }),
        ..outcome()
    };
    let rig = Rig::start(vec![found("chat", Phase::Finished(chat)), found("dead", Phase::Dead(failed))]).await;
    let chat = rig.json("/api/v1/outcomes/org_acme/chat").await;
    let meta = json!({ "dynamics365_chat_id": guid(3).to_string(), "dynamics365_chat_status": "initiated" });
    assert_eq!(chat["session_meta"], meta);
    assert_eq!(chat["route"], "live_work_item");
    let dead = rig.json("/api/v1/outcomes/org_acme/dead").await;
    assert_eq!(dead["status"], "failed");
    assert_eq!(dead["reason"], "invalid_event");
    assert_eq!(dead["session_meta"], json!({}));
    assert_eq!(
        dead["error"],
        json!({ "step": "decode", "status": null, "code": null, "message": "data.session_id: expected a string", "advice": null })
    );
    rig.stop().await;
}

#[tokio::test]
async fn ids_are_percent_encoded() {
    let odd = "a/b c?d%é";
    let rig = Rig::start(vec![found(odd, Phase::Finished(outcome()))]).await;
    let one = rig.json("/api/v1/outcomes/org_acme/a%2Fb%20c%3Fd%25%C3%A9").await;
    assert_eq!(one["source_event_id"], odd);
    let response = rig.get("/api/v1/outcomes/org_acme/%FF").await;
    problem(response, 400).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_missing_resource_is_a_problem() {
    let rig = Rig::start(vec![found("waits", Phase::Waiting)]).await;
    assert!(problem(rig.get("/api/v1/outcomes/org_acme/none").await, 404).await.contains("org_acme"));
    assert!(problem(rig.get("/api/v1/outcomes/org_acme/waits").await, 404).await.contains("retry queue"));
    assert!(problem(rig.get("/nowhere").await, 404).await.contains("/nowhere"));
    let posted = rig.client.request(Method::POST, rig.url("/api/v1/outcomes")).send().await.expect("an answer");
    assert!(posted.headers().contains_key("allow"));
    assert!(problem(posted, 405).await.contains("POST"));
    rig.stop().await;
}

#[tokio::test]
async fn parameters_become_a_filter() {
    let rig = Rig::start(Vec::new()).await;
    let path = format!(
        "/api/v1/outcomes?session=ses%201&event_id=evt&incident_id={}&ticket_number=CAS-1&chat_id={}&status=skipped\
         &organization=org_acme&after=2026-11-22T11:00:00%2B01:00&before=2026-11-23T00:00:00Z&limit=500&cursor=c%2F1",
        guid(1),
        guid(2)
    );
    rig.json(&path).await;
    rig.json("/api/v1/outcomes?session=&after=2026-11-22T11:00:00+01:00").await;
    let asked = rig.shelf.asked.lock().unwrap().clone();
    let all = OutcomeFilter {
        organization: Some("org_acme".into()),
        session: Some("ses 1".into()),
        event_id: Some("evt".to_owned()),
        incident: Some(IncidentId(guid(1))),
        ticket_number: Some("CAS-1".to_owned()),
        work_item: Some(WorkItemId(guid(2))),
        status: Some(Status::Skipped),
        after: Some(time("2026-11-22T10:00:00Z")),
        before: Some(time("2026-11-23T00:00:00Z")),
    };
    let after_only = OutcomeFilter { after: Some(time("2026-11-22T10:00:00Z")), ..OutcomeFilter::default() };
    assert_eq!(asked, [(all, Some(Cursor("c/1".to_owned())), 500), (after_only, None, 50)]);
    rig.stop().await;
}

#[tokio::test]
async fn bad_parameters_are_answered_with_the_expected_format() {
    let rig = Rig::start(Vec::new()).await;
    for (query, expected) in [
        ("limit=0", "limit: found \"0\", expected a whole number from 1 to 500"),
        ("limit=501", "limit: found \"501\", expected a whole number from 1 to 500"),
        ("incident_id=7", "incident_id: found \"7\", expected a GUID"),
        ("chat_id=x", "chat_id: found \"x\", expected a GUID"),
        ("status=done", "status: found \"done\", expected succeeded, skipped or failed"),
        ("after=yesterday", "after: found \"yesterday\", expected an RFC 3339 time such as 2026-11-28T03:00:00Z"),
        ("sesion=ses_1", "unknown parameter \"sesion\""),
        ("sesion=", "unknown parameter \"sesion\""),
        ("limit=5&limit=6", "limit: specify it only once"),
    ] {
        let detail = problem(rig.get(&format!("/api/v1/outcomes?{query}")).await, 400).await;
        assert!(detail.starts_with(expected), "{query}: {detail}");
    }
    assert!(rig.shelf.asked.lock().unwrap().is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn the_token_guards_all_but_health() {
    let rig = Rig::with(FakeStore::default(), Some("s3cret")).await;
    for path in ["/api/v1/outcomes", "/api/v1/outcomes/org_acme/evt", "/", "/nowhere"] {
        let response = rig.get(path).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"handoffd\"");
        let detail = problem(response, 401).await;
        assert!(!detail.contains("s3cret"));
    }
    for (header, status) in [
        ("Bearer s3cret", 200),
        ("bearer s3cret", 200),
        ("Bearer s3cre", 401),
        ("Bearer s3cret2", 401),
        ("s3cret", 401),
    ] {
        let request = rig.client.get(rig.url("/api/v1/outcomes")).header("authorization", header);
        assert_eq!(request.send().await.expect("an answer").status(), status, "{header}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn without_a_token_only_loopback_hosts_are_allowed() {
    let rig = Rig::start(Vec::new()).await;
    for (host, status) in
        [("evil.example", 403), ("127.0.0.1.evil.example", 403), ("localhost:9464", 200), ("[::1]:9464", 200)]
    {
        let request = rig.client.get(rig.url("/api/v1/outcomes")).header("host", host);
        assert_eq!(request.send().await.expect("an answer").status(), status, "{host}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn answers_carry_security_headers() {
    let rig = Rig::start(Vec::new()).await;
    for path in ["/livez", "/api/v1/outcomes", "/nowhere"] {
        let response = rig.get(path).await;
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(headers["content-security-policy"].to_str().expect("ASCII").starts_with("default-src 'none'"));
        assert!(!headers.contains_key("access-control-allow-origin"));
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_failing_store_is_a_problem() {
    let rig = Rig::with(FakeStore { broken: true, ..FakeStore::default() }, None).await;
    assert_eq!(problem(rig.get("/api/v1/outcomes").await, 503).await, "the store is closed");
    assert_eq!(problem(rig.get("/api/v1/outcomes/a/b").await, 503).await, "the store is closed");
    let unready = rig.get("/readyz").await;
    assert_eq!(unready.status(), 503);
    let reasons = body(unready).await["reasons"].to_string();
    assert!(reasons.contains("the store fails: the store is closed"), "{reasons}");
    rig.stop().await;
}

/// The clock is paused: it jumps whenever no other work is left.
#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_not_waited_for() {
    let rig = Rig::with(FakeStore { hangs: true, ..FakeStore::default() }, None).await;
    assert_eq!(problem(rig.get("/api/v1/outcomes").await, 503).await, "no response within 30 s");
    rig.stop().await;
}

/// The clock is paused here too.
#[tokio::test(start_paused = true)]
async fn a_request_with_an_endless_head_is_ended() {
    let rig = Rig::start(Vec::new()).await;
    for begun in ["", "GET /api/v1/outcomes HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] {
        let mut stream = tokio::net::TcpStream::connect(rig.running.address).await.expect("a connection");
        stream.write_all(begun.as_bytes()).await.expect("it is taken");
        let mut answer = Vec::new();
        // An error (a reset) is an end too.
        _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    }
    rig.json("/api/v1/outcomes").await;
    rig.stop().await;
}

/// And here.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_dropped() {
    let rig = Rig::start(Vec::new()).await;
    let many = 4000;
    let mut stream = tokio::net::TcpStream::connect(rig.running.address).await.expect("a connection");
    let asked = "GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(many);
    // The server stops reading when it can't write.
    _ = tokio::time::timeout(Duration::from_secs(60), stream.write_all(asked.as_bytes())).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (mut answer, whole) = (Vec::new(), rig.get("/api/v1/openapi.json").await.text().await.unwrap().len());
    _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    assert!(answer.len() < whole * many / 2, "{} bytes", answer.len());
    rig.stop().await;
}

/// And here.
#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_a_problem() {
    let rig = Rig::start(Vec::new()).await;
    for path in ["/login", "/api/v1/dead-letters/replay"] {
        let mut stream = tokio::net::TcpStream::connect(rig.running.address).await.expect("a connection");
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{");
        stream.write_all(head.as_bytes()).await.expect("it is taken");
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 408"), "{path}: {}", String::from_utf8_lossy(&answer));
    }
    rig.stop().await;
}

#[tokio::test]
async fn signing_in_takes_a_short_body() {
    let rig = Rig::with(FakeStore::default(), Some("s3cret")).await;
    let long = rig.client.post(rig.url("/login")).body("x".repeat(5 << 10)).send().await.expect("an answer");
    assert!(problem(long, 413).await.contains("4 KiB"));
    rig.stop().await;
}

#[tokio::test]
async fn a_head_too_long_is_refused() {
    let rig = Rig::start(Vec::new()).await;
    let request = rig.client.get(rig.url("/livez")).header("x-long", "x".repeat(64 << 10));
    // The connection may be closed before the response is read.
    if let Ok(response) = request.send().await {
        assert_eq!(response.status(), 431);
    }
    assert_eq!(rig.get("/livez").await.status(), 200);
    rig.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let rig = Rig::start(Vec::new()).await;
    let another = given(Arc::new(PrometheusMetrics::new()), Arc::new(FakeStore::default()));
    let address = rig.running.address;
    let Err(HttpError::Bind { .. }) = serve(address, another).await.map(|_| ()).inspect_err(|error| {
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }) else {
        panic!("two listen on one address");
    };
    rig.stop().await;
}
