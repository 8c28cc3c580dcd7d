//! `/api/v1/dead-letters` and `/api/v1/jobs`, on a live worker.

use std::time::Duration;

use handoffd::rabbit::RabbitDeadLetterQueue;
use handoffd_engine::ports::bus::DeadLetterQueue;
use reqwest::Method;
use serde_json::{Value, json};

use crate::dead_letter_commands::desk::{DEAD_AT, Dead, entries, ids, letters};
use crate::support::broker::eventually;
use crate::support::event::{Event, handoff};
use crate::support::interface::{Api, answer};
use crate::support::rig::{Rig, rig};

const REPLAY: &str = "/api/v1/dead-letters/replay";
const DISCARD: &str = "/api/v1/dead-letters/discard";

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

/// Three dead letters: of two organizations, for two reasons, on two days.
async fn three(rig: &Rig) -> [String; 3] {
    let one = Dead::new().bury(rig).await;
    let two = Dead::new().reason("invalid_event").at("2026-11-23T08:00:00Z").bury(rig).await;
    let three = Dead::of(handoff("web").with("/organization_id", "org_other")).bury(rig).await;
    [one, two, three].map(|event| event.id().to_owned())
}

#[tokio::test]
async fn a_list_matches_the_commands_output_and_accepts_its_filters() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    assert_eq!(api.get("/api/v1/dead-letters").await, json!([]));
    let [one, two, three] = three(&rig).await;
    let listed = api.get("/api/v1/dead-letters").await;
    assert_eq!(array(&listed), entries(&rig, &["list"]).await);
    assert_eq!(listed[0]["dead_at"], DEAD_AT);
    for (query, expected) in [
        ("all=true", vec![&one, &two, &three]),
        ("organization=org_other", vec![&three]),
        ("reason=invalid_event", vec![&two]),
        ("after=2026-11-23T00:00:00Z", vec![&two]),
        ("before=2026-11-23T00:00:00Z&organization=org_acme", vec![&one]),
        ("session=ses_none", vec![]),
        ("limit=2", vec![&one, &two]),
        (&format!("ids={one}&ids={three}"), vec![&one, &three]),
        (
            &format!("letters={0}&letters={1}", letters(array(&listed))[0], letters(array(&listed))[2]),
            vec![&one, &three],
        ),
        ("after=2020-01-01&before=2026-12-01T03:00", vec![&one, &two, &three]),
        ("after=1h30m", vec![]),
    ] {
        let found = api.get(&format!("/api/v1/dead-letters?{query}")).await;
        assert_eq!(ids(array(&found)), expected, "{query}");
    }
    for query in ["reason=none", "sesion=1", "before=soon", "limit=0", "all=perhaps", "session=a&session=b"] {
        answer(api.request(Method::GET, &format!("/api/v1/dead-letters?{query}")), 400).await;
    }
    assert_eq!(rig.bus.dead_letters().await, 3, "a scan removes nothing");
}

#[tokio::test]
async fn one_letter_is_shown_in_full_and_lists_contain_no_customer_text() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let event = Dead::new().bury(&rig).await;
    let shown = api.get(&format!("/api/v1/dead-letters/{}", event.id())).await;
    assert_eq!((array(&shown).len(), &shown[0]["body"]), (1, &event.0));
    assert_eq!(shown[0]["headers"]["x-handoffd-reason"], "rejected_by_dynamics");
    let listed = api.get("/api/v1/dead-letters").await.to_string();
    assert!(!listed.contains(event.email()), "{listed}");
    answer(api.request(Method::GET, "/api/v1/dead-letters/evt_none"), 404).await;
    let other = format!("/api/v1/dead-letters/{}?organization=org_other", event.id());
    answer(api.request(Method::GET, &other), 404).await;

    rig.bus.put(&rig.files.dead_letter_queue(), b"{ not json", lapin::BasicProperties::default()).await;
    let listed = api.get("/api/v1/dead-letters").await;
    let shown = api.get(&format!("/api/v1/dead-letters/{}", letters(array(&listed))[1])).await;
    assert_eq!((array(&shown).len(), &shown[0]["body"]), (1, &json!("{ not json")));
}

#[tokio::test]
async fn replayed_letters_succeed_and_discarded_ones_are_removed() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let [one, two, three] = three(&rig).await;
    let rehearsed = api.post(REPLAY, &json!({ "all": true, "dry_run": true })).await;
    assert!(array(&rehearsed).iter().all(|entry| entry["result"] == "would_replay"), "{rehearsed}");
    let rehearsed = api.post(DISCARD, &json!({ "reason": "invalid_event", "dry_run": true })).await;
    assert_eq!((ids(array(&rehearsed)), &rehearsed[0]["result"]), (vec![two.as_str()], &json!("would_discard")));
    assert_eq!(rig.bus.dead_letters().await, 3, "nothing changed");

    let replayed = api.post(REPLAY, &json!({ "ids": [one], "organization": "org_acme", "before": null })).await;
    assert_eq!((ids(array(&replayed)), &replayed[0]["result"]), (vec![one.as_str()], &json!("replayed")));
    assert_eq!(rig.bus.outcome(&one).await.routing_key, "dynamics365.handoff.succeeded");
    let discarded = api.post(DISCARD, &json!({ "ids": [two, three] })).await;
    assert_eq!(ids(array(&discarded)), [two, three]);
    assert!(array(&discarded).iter().all(|entry| entry["result"] == "discarded"), "{discarded}");
    assert_eq!(api.post(DISCARD, &json!({ "all": true })).await, json!([]), "nothing matches");
    let jobs = api.get("/api/v1/jobs").await;
    let states: Vec<_> =
        array(&jobs["jobs"]).iter().map(|job| (&job["action"], &job["matched"], &job["state"])).collect();
    assert_eq!(states[1], (&json!("discard"), &json!(2), &json!("done")), "each was a job");
    assert_eq!(states.len(), 5);
    rig.nothing_is_left().await;
}

/// Two customers have events with the same id.
#[tokio::test]
async fn a_letter_is_selected_alone() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let event = Dead::new().bury(&rig).await;
    Dead::of(event.with("/organization_id", "org_other")).bury(&rig).await;
    let listed = api.get("/api/v1/dead-letters").await;
    let [one, two] = letters(array(&listed))[..] else { panic!("{listed}") };
    let discarded = api.post(DISCARD, &json!({ "letters": [two] })).await;
    assert_eq!((letters(array(&discarded)), &discarded[0]["organization_id"]), (vec![two], &json!("org_other")));
    assert_eq!(letters(array(&api.get("/api/v1/dead-letters").await)), [one]);
}

#[tokio::test]
async fn a_client_that_goes_away_stops_its_job() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    // Another operator has the dead letters, so the job waits.
    let options = handoffd::rabbit::RabbitOptions {
        dead_letter_queue: rig.files.dead_letter_queue(),
        ..crate::rabbit::options(crate::support::broker::Broker::shared())
    };
    Dead::new().bury(&rig).await;
    let mut held = RabbitDeadLetterQueue::new(options).open(&|_| ()).await.unwrap();
    let asked = api.with(Method::POST, DISCARD, &json!({ "all": true })).timeout(Duration::from_millis(500)).send();
    assert!(asked.await.is_err_and(|error| error.is_timeout()));
    let job = async || api.get("/api/v1/jobs").await["jobs"][0]["state"].clone();
    eventually("the end of the job", async || job().await == "stopped").await;
    held.close().await.unwrap();
    assert_eq!(array(&api.get("/api/v1/dead-letters").await).len(), 1);
}

#[tokio::test]
async fn without_a_selection_or_with_a_wrong_one_nothing_is_done() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    Dead::new().bury(&rig).await;
    for wrong in [
        json!({}),
        json!({ "dry_run": true }),
        json!({ "all": false, "ids": [] }),
        json!({ "all": true, "organisation": "org_acme" }),
        json!({ "reason": "because" }),
        json!({ "before": "soon" }),
        json!({ "letters": [""] }),
        json!({ "organization": " ", "all": true }),
        json!({ "ids": "evt_1" }),
        json!({ "all": "yes" }),
        json!([]),
        json!([[], ["evt_1"]]),
        json!([null, null, "org_acme", null, null, null, null, null, true]),
        json!(null),
    ] {
        for path in [REPLAY, DISCARD] {
            answer(api.with(Method::POST, path, &wrong), 400).await;
        }
    }
    let array = answer(api.with(Method::POST, DISCARD, &json!([[], ["evt_1"]])), 400).await;
    assert!(array["detail"].as_str().unwrap().contains("expected a JSON object"), "{array}");
    let broken = api.request(Method::POST, REPLAY).header("content-type", "application/json").body("{ not json");
    answer(broken, 400).await;
    answer(api.request(Method::POST, REPLAY).body("{\"all\":true}"), 415).await;
    let long = json!({ "ids": ["x".repeat(300 << 10)] });
    answer(api.with(Method::POST, REPLAY, &long), 413).await;
    answer(api.with(Method::POST, &format!("{REPLAY}?wait=maybe"), &json!({ "all": true })), 400).await;
    assert_eq!(rig.bus.dead_letters().await, 1);
}

#[tokio::test]
async fn a_job_runs_in_the_background_and_reports_progress() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let [one, two, three] = three(&rig).await;
    let asked = api.with(Method::POST, &format!("{DISCARD}?wait=false"), &json!({ "all": true, "dry_run": true }));
    let accepted = asked.send().await.expect("an answer");
    assert_eq!(accepted.status(), 202);
    let place = accepted.headers()["location"].to_str().unwrap().to_owned();
    let mut job = Value::Null;
    eventually("the job's end", async || {
        job = api.get(&place).await;
        job["state"] != "running"
    })
    .await;
    assert_eq!((&job["state"], &job["action"], &job["dry_run"]), (&json!("done"), &json!("discard"), &json!(true)));
    assert_eq!((&job["matched"], &job["looked_at"], &job["total"]), (&json!(3), &json!(3), &json!(3)));
    assert_eq!(ids(array(&job["results"])), [one.as_str(), two.as_str(), three.as_str()]);

    let preferred = api.with(Method::POST, REPLAY, &json!({ "ids": [one] })).header("prefer", "respond-async, wait=10");
    let second = answer(preferred, 202).await;
    let listed = api.get("/api/v1/jobs").await;
    assert_eq!((array(&listed["jobs"]).len(), &listed["jobs"][0]["id"]), (2, &second["id"]));
    let second_place = format!("/api/v1/jobs/{}", second["id"].as_str().unwrap());
    rig.bus.outcome(&one).await;
    let ended = answer(api.request(Method::DELETE, &second_place), 200).await;
    assert_ne!(ended["state"], "running");
    answer(api.request(Method::GET, &second_place), 404).await;
    answer(api.request(Method::DELETE, &second_place), 404).await;
    answer(api.request(Method::GET, "/api/v1/jobs/seven"), 400).await;
}

#[tokio::test]
async fn many_letters_are_one_array() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let events: Vec<_> = (0..600).map(|_| handoff("email").without("/data/transcript")).collect();
    futures_util::future::join_all(events.iter().map(|event| Dead::of(event.clone()).bury(&rig))).await;
    let listed = api.get("/api/v1/dead-letters").await;
    let mut expected: Vec<&str> = events.iter().map(Event::id).collect();
    let mut found = ids(array(&listed));
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    let discarded = api.post(DISCARD, &json!({ "all": true })).await;
    assert_eq!(array(&discarded).len(), 600);
    assert_eq!(rig.bus.dead_letters().await, 0);
}

#[tokio::test]
async fn a_missing_queue_is_a_problem_with_its_name() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    rig.bus.delete_queue(&rig.files.dead_letter_queue()).await;
    let problem = answer(api.request(Method::GET, "/api/v1/dead-letters"), 503).await;
    assert!(problem["detail"].as_str().unwrap().contains(&rig.files.dead_letter_queue()), "{problem}");
    answer(api.with(Method::POST, REPLAY, &json!({ "all": true })), 503).await;
}
