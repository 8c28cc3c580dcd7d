//! Organizations on the operators' page: the test as a job, what a reader is offered, the workers.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::broker::eventually;
use crate::support::event::{ORGANIZATION, handoff};
use crate::support::interface::Api;
use crate::support::rig::rig;

const READER: &str = "token-of-the-reader";

async fn page(api: &Api, path: &str) -> String {
    let answer = api.request(Method::GET, path).send().await.expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("a page"));
    assert_eq!(status, StatusCode::OK, "{text}");
    text
}

async fn submit(api: &Api, path: &str) {
    let form = format!("organization={ORGANIZATION}");
    let request = api.request(Method::POST, path).body(form);
    let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()["location"], format!("/organizations/show?organization={ORGANIZATION}").as_str());
}

#[tokio::test]
async fn a_test_is_a_job_that_reports_progress_and_can_be_cancelled() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let shown = format!("/organizations/show?organization={ORGANIZATION}");
    // Token, probe, columns and lookups are answered.
    rig.crm.fault(&json!({ "operation": "*", "skip": 4, "times": null, "fault": "hang" }));
    submit(&api, "/organizations/test").await;
    eventually("the first checks", async || page(&api, &shown).await.contains("3 checks done")).await;
    assert!(page(&api, "/organizations").await.contains("Cancel test"));
    submit(&api, "/organizations/test/cancel").await;
    eventually("the end", async || page(&api, &shown).await.contains(">cancelled<")).await;
    rig.crm.environment().clear_faults();
    submit(&api, "/organizations/test").await;
    eventually("the report", async || page(&api, &shown).await.contains("ticket_properties")).await;
    assert!(page(&api, &shown).await.contains(">passed<"));
    let unknown = api.request(Method::POST, "/organizations/test").body("organization=org_none");
    let unknown = unknown.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer");
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

/// The first probe is sent five seconds after the block.
#[tokio::test]
async fn a_passing_test_unblocks_at_once() {
    let rig = rig().start().await;
    rig.crm.environment().configure(&json!({ "missing_privileges": ["prvCreateIncident"] })).unwrap();
    let events: Vec<_> = (0..5).map(|_| handoff("email")).collect();
    rig.bus.publish_all(&events).await;
    eventually("a block", async || rig.worker().stands(ORGANIZATION).await["state"] == "blocked").await;
    rig.crm.environment().configure(&json!({ "missing_privileges": [] })).unwrap();
    let (status, report) = rig.worker().api("POST", "/organizations/org_acme/test", None).await;
    assert_eq!((status, &report["passed"]), (200, &json!(true)), "{report}");
    let view = rig.worker().stands(ORGANIZATION).await;
    assert_ne!(view["state"], "blocked", "{view}");
    rig.bus.outcomes_of(&events).await;
}

#[tokio::test]
async fn a_reader_sees_all_and_is_offered_nothing() {
    let rig = rig().set("http", "reader_token", READER).start().await;
    crate::dead_letter_commands::desk::Dead::new().bury(&rig).await;
    let (reader, operator) = (Api::with_token(&rig.worker(), Some(READER)), Api::of(&rig));
    let shown = format!("/organizations/show?organization={ORGANIZATION}");
    for path in ["/organizations", &*shown, "/dead-letters", "/activity", "/"] {
        let page = page(&reader, path).await;
        for offered in ["/organizations/pause", "/organizations/test", "act=replay", "value=\"replay\"", "act=discard"]
        {
            assert!(!page.contains(offered), "{path} offers {offered}: {page}");
        }
    }
    let (list, letters) = (page(&operator, "/organizations").await, page(&operator, "/dead-letters").await);
    assert!(list.contains("/organizations/pause") && letters.contains("act=replay"), "{list}{letters}");
    let edit = reader.request(Method::GET, "/dead-letters/edit?letter=dl_0").send().await.expect("an answer");
    assert_eq!(edit.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_workers_are_listed_and_organizations_are_found() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let workers = api.get("/api/v1/workers").await;
    let name = workers["workers"][0]["name"].as_str().expect("a worker").to_owned();
    let list = page(&api, "/organizations").await;
    assert!(list.contains(&name) && list.contains(">joined<"), "{list}");
    assert!(page(&api, "/organizations?text=ACME&state=open").await.contains(">org_acme<"));
    for query in ["text=nobody", "state=blocked", "page=2"] {
        assert!(!page(&api, &format!("/organizations?{query}")).await.contains(">org_acme<"), "{query}");
    }
    rig.worker().api("POST", "/organizations/org_acme/pause", None).await;
    let activity = async |text: &str| page(&api, "/activity").await.contains(text);
    eventually("the trouble", async || activity("paused by an operator; its events are on hold").await).await;
    rig.worker().api("POST", "/organizations/org_acme/resume", None).await;
    eventually("its end", async || activity(">over<").await).await;
    assert!(activity("paused by an operator").await, "the operator's action");
    rig.process(&handoff("email")).await;
    let shown = format!("/organizations/show?organization={ORGANIZATION}");
    // The chart is of the worker's readings, one each second.
    eventually("the event in the chart", async || {
        page(&api, &shown).await.contains("1 event succeeded or were skipped")
    })
    .await;
}
