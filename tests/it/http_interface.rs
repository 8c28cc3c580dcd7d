//! The rest of `/api/v1`, and its authentication, on a live worker.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::broker::eventually;
use crate::support::event::{ORGANIZATION, handoff};
use crate::support::files::TOKEN;
use crate::support::interface::{Api, answer, requests};
use crate::support::rig::rig;

#[tokio::test]
async fn an_outcome_has_its_whole_history() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    rig.crm.refuse("incidents.create", 1, 503, "0x0", "Busy.");
    let event = handoff("email");
    rig.process(&event).await;
    let shown = api.get(&format!("/api/v1/outcomes/{ORGANIZATION}/{}", event.id())).await;
    assert_eq!((&shown["status"], &shown["source_event_id"]), (&json!("succeeded"), &json!(event.id())));
    let history = requests(&shown);
    let steps: Vec<_> = history.iter().map(|entry| entry["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["token", "look_up_contact", "create_contact", "post_incident", "post_incident"]);
    let failed = &history[3];
    assert_eq!((&failed["status"], &failed["attempt"], &history[4]["attempt"]), (&json!(503), &json!(1), &json!(2)));
    for entry in &history {
        assert!(entry["elapsed_ms"].is_u64() && entry["at"].is_string(), "{entry}");
    }
    assert!(history[4]["request_id"].is_string(), "{}", history[4]);
    let incident = shown["session_meta"]["dynamics365_incident_id"].as_str().unwrap();
    for query in [format!("incident_id={incident}"), format!("session={}", event.session()), "after=1h".to_owned()] {
        let found = api.get(&format!("/api/v1/outcomes?{query}")).await;
        assert_eq!(found["outcomes"][0]["source_event_id"], event.id(), "{query}");
    }
    let none = answer(api.request(Method::GET, &format!("/api/v1/outcomes/{ORGANIZATION}/evt_none")), 404).await;
    assert!(none.get("event").is_none(), "{none}");
}

#[tokio::test]
async fn an_event_without_outcome_gets_a_problem_with_its_state() {
    let rig = rig().set("retry", "delays", vec!["1h"]).set("retry", "in_process", 1).start().await;
    let api = Api::of(&rig);
    rig.crm.refuse("incidents.create", 1, 500, "0x0", "Out of order.");
    let event = handoff("email");
    rig.bus.publish(&event).await;
    rig.bus.waiting(&rig.retry_queue("1h"), 1).await;
    let problem =
        answer(api.request(Method::GET, &format!("/api/v1/outcomes/{ORGANIZATION}/{}", event.id())), 404).await;
    assert_eq!((&problem["event"]["status"], &problem["event"]["attempts"]), (&json!("waiting"), &json!(1)));
    assert_eq!(requests(&problem["event"])[3]["status"], 500, "{problem}");
}

#[tokio::test]
async fn queues_are_reported_with_rates() {
    let rig = rig().set("retry", "delays", vec!["1h"]).start().await;
    let api = Api::of(&rig);
    rig.process(&handoff("email")).await;
    rig.bus.put(&rig.files.dead_letter_queue(), b"{}", lapin::BasicProperties::default()).await;
    let mut status = Value::Null;
    eventually("the depth of the dead-letter queue", async || {
        status = api.get("/api/v1/queues").await;
        let queues = status["queues"].as_array().unwrap();
        queues.iter().any(|it| it["queue"] == rig.files.dead_letter_queue().as_str() && it["messages"] == 1)
    })
    .await;
    let names: Vec<_> = status["queues"].as_array().unwrap().iter().map(|it| it["queue"].as_str().unwrap()).collect();
    for queue in [rig.files.work_queue(), rig.retry_queue("1h")] {
        assert!(names.contains(&queue.as_str()), "{names:?}");
    }
    assert_eq!(status["broker_connected"], true);
    assert!(status["rates"]["per_second"]["succeeded"].as_f64().unwrap() > 0.0, "{status}");
    assert_eq!(api.get("/api/v1/version").await, json!({ "name": "handoffd", "version": env!("CARGO_PKG_VERSION") }));
}

#[tokio::test]
async fn organizations_are_listed_and_unknown_ones_are_not_found() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let listed = api.get("/api/v1/organizations").await;
    let one = &listed["organizations"][0];
    assert_eq!((&one["organization_id"], &one["state"]), (&json!(ORGANIZATION), &json!("open")));
    assert!(!listed.to_string().contains("secret"), "{listed}");
    assert_eq!(api.get(&format!("/api/v1/organizations/{ORGANIZATION}")).await["organization_id"], ORGANIZATION);
    for (method, path) in [
        (Method::GET, ""),
        (Method::POST, "/test"),
        (Method::POST, "/pause"),
        (Method::POST, "/resume"),
        (Method::DELETE, ""),
    ] {
        let problem = answer(api.request(method, &format!("/api/v1/organizations/org_none{path}")), 404).await;
        assert!(problem["detail"].as_str().unwrap().contains("org_none"), "{problem}");
    }
    for wrong in [json!([]), json!("x"), json!(null)] {
        answer(api.with(Method::PUT, "/api/v1/organizations/org_none", &wrong), 400).await;
    }
}

/// Every documented endpoint exists, and every other path does not.
#[tokio::test]
async fn the_document_lists_exactly_the_endpoints_that_exist() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let document = api.get("/api/v1/openapi.json").await;
    assert_eq!((&document["openapi"], &document["security"]), (&json!("3.1.0"), &json!([{ "token": [] }])));
    for (path, operations) in document["paths"].as_object().unwrap() {
        let address = path.replace(['{', '}'], "");
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            // Without the required input, so that nothing happens.
            let response =
                api.request(method.clone(), &format!("{address}?no_such=1")).send().await.expect("an answer");
            let named = &operations[method.as_str().to_lowercase()];
            let status = response.status().as_u16();
            if named.is_null() {
                assert_eq!(status, 405, "{method} {path}");
                assert!(response.headers().contains_key("allow"), "{method} {path}");
            } else {
                assert!(named["responses"][status.to_string()].is_object(), "{method} {path}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn a_browser_signs_in_with_the_token_and_other_sites_change_nothing() {
    let rig = rig().start().await;
    let (bare, with_token) = (Api::with_token(&rig.worker(), None), Api::of(&rig));
    let list = || bare.request(Method::GET, "/api/v1/organizations");
    answer(list(), 401).await;
    answer(list().bearer_auth("another"), 401).await;
    answer(with_token.request(Method::GET, "/api/v1/organizations"), 200).await;

    let form = |token: &str| {
        let form = bare.request(Method::POST, "/login").header("content-type", "application/x-www-form-urlencoded");
        form.body(format!("token={token}&next=%2Ffind%3Fq%3Dx"))
    };
    let refused = form("another").send().await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["location"]),
        (303, &"/login?failed=&next=%2Ffind%3Fq%3Dx".parse().unwrap())
    );
    assert!(!refused.headers().contains_key("set-cookie"));
    answer(form(TOKEN).header("sec-fetch-site", "cross-site"), 403).await;
    let signed_in = form(TOKEN).header("sec-fetch-site", "same-origin").send().await.expect("an answer");
    assert_eq!((signed_in.status().as_u16(), &signed_in.headers()["location"]), (303, &"/find?q=x".parse().unwrap()));
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(TOKEN), "{cookie}");
    let session = cookie.split(';').next().unwrap();
    answer(list().header("cookie", session), 200).await;
    answer(list().header("cookie", format!("{session}x")), 401).await;

    let discard = |site| {
        let request = bare.with(Method::POST, "/api/v1/dead-letters/discard", &json!({ "all": true, "dry_run": true }));
        request.header("cookie", session).header("sec-fetch-site", site)
    };
    for site in ["cross-site", "same-site"] {
        answer(discard(site), 403).await;
    }
    answer(discard("same-origin"), 200).await;
    answer(list().header("cookie", session).header("sec-fetch-site", "cross-site"), 403).await;
    // A browser is redirected to the sign-in form and back; a program gets a problem.
    let page = |path| bare.request(Method::GET, path).header("accept", "text/html,*/*");
    let led = page("/anywhere?x=1").send().await.unwrap();
    assert_eq!(
        (led.status().as_u16(), &led.headers()["location"]),
        (303, &"/login?next=%2Fanywhere%3Fx%3D1".parse().unwrap())
    );
    let missing = page("/anywhere").header("cookie", session).send().await.unwrap();
    assert_eq!(
        (missing.status().as_u16(), &missing.headers()["content-type"]),
        (404, &"text/html; charset=utf-8".parse().unwrap())
    );
    let link = page("/").header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "navigate");
    let link = link.header("sec-fetch-dest", "document").send().await.unwrap();
    assert_eq!(link.status(), 303, "a link of another site leads to the form");
    let left = bare.request(Method::POST, "/logout").header("cookie", session).send().await.unwrap();
    assert!(left.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    answer(list().header("cookie", session), 401).await;
    assert_eq!(rig.worker().log().matches(TOKEN).count(), 0);
}
