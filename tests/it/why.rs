//! Answers of `why` and `GET /api/v1/events` about events in every state.

use std::process::Output;

use jiff::Timestamp;
use lapin::BasicProperties;
use reqwest::Method;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::support::broker::eventually;
use crate::support::event::{Event, ORGANIZATION, handoff, resolved};
use crate::support::interface::Api;
use crate::support::rig::{Rig, rig};
use crate::support::simulator::SECRET;

/// Runs `why` with this id; returns its exit status and what it prints with `--json`.
async fn why(rig: &Rig, id: &str) -> (i32, Value) {
    let output = rig.worker().command(&["why", id, "--json"]).await;
    let answer = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), answer.unwrap_or_else(|error| panic!("{error}: {}", text(&output))))
}

/// The only event that `why` finds.
async fn one(rig: &Rig, id: &str) -> Value {
    let (status, answer) = why(rig, id).await;
    assert_eq!((status, &answer["id"]), (0, &json!(id)), "{answer}");
    let found = answer["found"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{answer}");
    found[0].clone()
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// Waits until `why` finds one event with this state and reason.
async fn becomes(rig: &Rig, id: &str, state: &str, reason: Option<&str>) -> Value {
    let mut last = Value::Null;
    eventually(&format!("{id} to be {state}, {reason:?}"), async || {
        last = why(rig, id).await.1["found"][0].clone();
        last["state"] == state && (reason.is_none() || last["reason"].as_str() == reason)
    })
    .await;
    last
}

fn named(event: &Event, found: &Value) {
    assert_eq!(found["event_id"], event.id(), "{found}");
    assert_eq!((&found["organization_id"], &found["session_id"]), (&json!(ORGANIZATION), &json!(event.session())));
    found["since"].as_str().unwrap().parse::<Timestamp>().unwrap();
}

async fn states(rig: &Rig, query: &str) -> Vec<(String, String)> {
    let page = Api::of(rig).get(&format!("/api/v1/events?{query}")).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let events = page["events"].as_array().unwrap();
    events.iter().map(|event| (text(&event["event_id"]), text(&event["state"]))).collect()
}

#[tokio::test]
async fn an_event_that_waits_for_a_blocked_organization_says_so_with_advice() {
    let rig = rig().organize("client_secret", format!("{SECRET}-mistyped")).start().await;
    let events: Vec<Event> = (0..30).map(|_| handoff("email")).collect();
    rig.bus.publish_all(&events).await;
    for event in [&events[0], &events[29]] {
        let found = becomes(&rig, event.id(), "waiting", Some("blocked")).await;
        named(event, &found);
        assert!(found["advice"].as_str().unwrap().contains("Certificates & secrets"), "{found}");
    }
    let found = one(&rig, events[29].session()).await;
    let queue = format!("queue {}.organization.{ORGANIZATION}", rig.files.name);
    assert_eq!((&found["where"], &found["event_id"]), (&json!(queue), &json!(events[29].id())), "{found}");
    assert_eq!(states(&rig, "state=waiting&limit=500").await.len(), 30);
    assert_eq!(states(&rig, "state=waiting&organization=org_other").await.len(), 0);
    let all = states(&rig, "limit=7").await;
    assert_eq!(all.len(), 7);
    // What waits is noted in the store, and known after a restart, and without any worker.
    rig.stop_workers().await;
    let found = one(&rig, events[29].id()).await;
    assert_eq!((&found["state"], &found["where"]), (&json!("waiting"), &json!(queue)), "{found}");
    rig.start_worker("worker").ready().await;
    becomes(&rig, events[29].id(), "waiting", Some("blocked")).await;
    let human = rig.worker().command(&["why", events[29].id()]).await;
    let human = text(&human);
    assert!(human.starts_with("state            waiting\n") && human.contains("blocked"), "{human}");
}

#[tokio::test]
async fn an_event_that_waits_for_a_paused_or_throttled_organization_says_so() {
    let rig = rig().start().await;
    rig.worker().api("POST", "/organizations/org_acme/pause", None).await;
    let paused = handoff("email");
    rig.bus.publish(&paused).await;
    let found = becomes(&rig, paused.id(), "waiting", Some("paused")).await;
    named(&paused, &found);
    assert!(found["advice"].as_str().unwrap().contains("resume"), "{found}");
    let answer = json!({ "status": 429, "retry_after": 600, "message": "Too many requests." });
    rig.crm.fault(&json!({ "operation": "*", "times": null, "fault": answer }));
    rig.worker().api("POST", "/organizations/org_acme/resume", None).await;
    let found = becomes(&rig, paused.id(), "waiting", Some("throttled")).await;
    let next: Timestamp = found["next_attempt"].as_str().unwrap().parse().unwrap();
    assert!(next > Timestamp::now(), "{found}");
}

#[tokio::test]
async fn an_event_is_found_by_a_key_with_any_number_of_slashes() {
    let rig = rig().start().await;
    let event = handoff("email").with("/organization_id", "a/b-none");
    let id = format!("{}/x//y", event.id());
    let event = event.with("/event_id", id.as_str());
    rig.bus.publish(&event).await;
    rig.bus.dead_letter().await;
    let key = format!("a/b-none/{id}");
    let found = one(&rig, &key).await;
    assert_eq!((&found["organization_id"], &found["event_id"]), (&json!("a/b-none"), &json!(id)), "{found}");
    let shown = rig.worker().command(&["outcomes", "show", &key, "--json"]).await;
    let shown: Value =
        serde_json::from_slice(&shown.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&shown)));
    assert_eq!((&shown["organization_id"], &shown["source_event_id"]), (&json!("a/b-none"), &json!(id)), "{shown}");
    let link = form_urlencoded::Serializer::new(String::new())
        .append_pair("organization", "a/b-none")
        .append_pair("id", &id)
        .finish();
    let page = Api::of(&rig).request(Method::GET, &format!("/event?{link}")).send().await.unwrap();
    assert_eq!(page.status(), 200, "{page:?}");
    // Without a worker too.
    rig.stop_workers().await;
    one(&rig, &key).await;
}

#[tokio::test]
async fn an_event_that_failed_waits_in_a_retry_queue_until_its_next_attempt() {
    let rig = rig().set("retry", "delays", vec!["1h"]).set("retry", "in_process", 1).start().await;
    rig.crm.refuse("incidents.create", 1, 500, "0x0", "Out of order.");
    let event = handoff("email");
    rig.bus.publish(&event).await;
    rig.bus.waiting(&rig.retry_queue("1h"), 1).await;
    let check = async |rig: &Rig| {
        let found = one(rig, event.id()).await;
        named(&event, &found);
        assert_eq!((&found["state"], &found["reason"]), (&json!("waiting"), &json!("transient")), "{found}");
        assert_eq!(found["where"], format!("queue {}", rig.retry_queue("1h")), "{found}");
        let time = |name: &str| found[name].as_str().unwrap().parse::<Timestamp>().unwrap();
        assert_eq!(time("next_attempt").duration_since(time("since")).as_secs(), 3600, "{found}");
        assert!(found["error"].as_str().unwrap().contains("Out of order."), "{found}");
        // Its life so far.
        for id in [event.id(), event.session()] {
            let shown = rig.worker().command(&["outcomes", "show", id]).await;
            let shown = String::from_utf8(shown.stdout).unwrap();
            assert!(shown.contains("post_incident") && shown.contains("Out of order."), "{shown}");
        }
    };
    check(&rig).await;
    rig.stop_workers().await;
    check(&rig).await;
    rig.start_worker("worker").ready().await;
    check(&rig).await;
    assert_eq!(states(&rig, "").await, [(event.id().to_owned(), "waiting".to_owned())]);
    assert_eq!(states(&rig, "state=in_progress").await, []);
}

#[tokio::test]
async fn an_event_in_progress_is_known_before_it_is_in_the_store() {
    let rig = rig().start().await;
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": "hang" }));
    let event = handoff("email");
    rig.bus.publish(&event).await;
    let found = becomes(&rig, event.id(), "in_progress", None).await;
    named(&event, &found);
    assert_eq!(states(&rig, "state=in_progress").await, [(event.id().to_owned(), "in_progress".to_owned())]);
}

#[tokio::test]
async fn a_finished_event_is_found_by_any_of_its_ids_and_their_beginnings() {
    let rig = rig().start().await;
    let event = handoff("email");
    let meta = rig.hand_off(&event).await;
    let shown = Api::of(&rig).get(&format!("/api/v1/outcomes/{ORGANIZATION}/{}", event.id())).await;
    let request = shown["history"].as_array().unwrap().iter().rev().find_map(|entry| entry["request_id"].as_str());
    let ids = [
        event.id().to_owned(),
        event.session().to_owned(),
        format!("{ORGANIZATION}/{}", event.id()),
        meta["dynamics365_incident_id"].as_str().unwrap().to_owned(),
        meta["dynamics365_ticket_number"].as_str().unwrap().to_lowercase(),
        request.unwrap().to_owned(),
    ];
    let beginnings = ids.iter().filter(|id| !id.contains('/')).map(|id| id[..id.len() - 2].to_owned());
    let all: Vec<String> = ids.iter().cloned().chain(beginnings).collect();
    for running in [true, false] {
        for id in &all {
            let found = one(&rig, id).await;
            named(&event, &found);
            assert_eq!((&found["state"], &found["reason"]), (&json!("succeeded"), &Value::Null), "{id}: {found}");
            assert!(found["where"].as_str().unwrap().contains(meta["dynamics365_incident_id"].as_str().unwrap()));
        }
        if running {
            let steps: Vec<&str> =
                shown["history"].as_array().unwrap().iter().filter_map(|entry| entry["step"].as_str()).collect();
            assert_eq!((steps[0], steps[1], *steps.last().unwrap()), ("received", "moved", "succeeded"), "{steps:?}");
            let skipped = resolved("ses_nobody").with("/data/status", "not_resolved");
            rig.process(&skipped).await;
            assert_eq!(one(&rig, skipped.id()).await["reason"], "not_resolved");
            assert_eq!(states(&rig, "state=skipped").await, [(skipped.id().to_owned(), "skipped".to_owned())]);
            rig.stop_workers().await;
        }
    }
}

#[tokio::test]
async fn a_replay_and_a_discard_keep_everything_before_them_and_say_who_did_it() {
    let rig = rig().start().await;
    let (saved, doomed) = (handoff("email"), handoff("email"));
    rig.crm.refuse("incidents.create", 3, 400, "0x80040265", "Refused by a plug-in.");
    for event in [&saved, &doomed] {
        rig.process(event).await;
        let found = becomes(&rig, event.id(), "dead", Some("rejected_by_dynamics")).await;
        assert_eq!(found["where"], format!("queue {}", rig.files.dead_letter_queue()), "{found}");
        assert!(found["advice"].is_string(), "{found}");
    }
    // The first replay dies again.
    for outcome in ["failed", "succeeded"] {
        let replayed = rig.worker().command(&["dead-letters", "replay", "--id", saved.id()]).await;
        assert!(replayed.status.success(), "{}", text(&replayed));
        eventually(&format!("an outcome {outcome}"), async || {
            let all = rig.bus.outcomes(saved.id(), 2).await;
            all.last().unwrap().routing_key.ends_with(outcome)
        })
        .await;
        if outcome == "failed" {
            rig.bus.waiting(&rig.files.dead_letter_queue(), 2).await;
        }
    }
    becomes(&rig, saved.id(), "succeeded", None).await;
    let shown = rig.worker().command(&["outcomes", "show", saved.id(), "--json"]).await;
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let history = shown["history"].as_array().unwrap();
    let lives: Vec<&str> = history.iter().filter_map(|entry| entry["step"].as_str()).filter(is_milestone).collect();
    let life = ["received", "moved"];
    let expected = [&life[..], &["dead", "replayed"], &life, &["dead", "replayed"], &life, &["succeeded"]].concat();
    assert_eq!(lives, expected, "{shown}");
    let statuses = history.iter().filter(|entry| entry["step"] == "post_incident").map(|entry| &entry["status"]);
    assert_eq!(statuses.collect::<Vec<_>>(), [400, 400, 201], "{shown}");
    let by = history.iter().find(|entry| entry["step"] == "replayed").unwrap()["by"].as_str().unwrap();
    assert!(by.starts_with("local ("), "{by}");

    let discarded = rig.worker().command(&["dead-letters", "discard", "--id", doomed.id()]).await;
    assert!(discarded.status.success(), "{}", text(&discarded));
    let found = becomes(&rig, doomed.id(), "discarded", None).await;
    assert!(found["advice"].as_str().unwrap().contains("token ("), "the worker knows its token: {found}");
    let shown = rig.worker().command(&["outcomes", "show", doomed.id(), "--json"]).await;
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let last: Vec<&Value> = shown["history"].as_array().unwrap().iter().rev().take(2).collect();
    assert_eq!((&last[1]["step"], &last[0]["step"]), (&json!("dead"), &json!("discarded")), "{shown}");
    assert!(last[0]["by"].is_string(), "{shown}");
    assert_eq!(states(&rig, "state=discarded").await, [(doomed.id().to_owned(), "discarded".to_owned())]);
    assert_eq!(states(&rig, "state=dead").await, []);
}

fn is_milestone(step: &&str) -> bool {
    ["received", "moved", "dead", "replayed", "discarded", "succeeded"].contains(step)
}

#[tokio::test]
async fn what_is_discarded_without_a_worker_or_through_it_is_recorded_too() {
    let rig = rig().start().await;
    let (with, without) = (handoff("email"), handoff("email"));
    rig.crm.refuse("incidents.create", 2, 400, "0x80040265", "Refused by a plug-in.");
    for event in [&with, &without] {
        rig.process(event).await;
    }
    rig.bus.waiting(&rig.files.dead_letter_queue(), 2).await;
    let done = Api::of(&rig).post("/api/v1/dead-letters/discard", &json!({ "ids": [with.id()] })).await;
    assert_eq!(done[0]["result"], "discarded", "{done}");
    becomes(&rig, with.id(), "discarded", None).await;
    rig.stop_workers().await;
    let discarded = rig.worker().command(&["dead-letters", "discard", "--id", without.id()]).await;
    assert!(discarded.status.success(), "{}", text(&discarded));
    let found = one(&rig, without.id()).await;
    assert_eq!(found["state"], "discarded", "{found}");
    assert!(found["advice"].as_str().unwrap().contains("local ("), "{found}");
}

#[tokio::test]
async fn nothing_known_is_exit_3_and_dead_letters_without_a_record_are_found() {
    let rig = rig().start().await;
    let (status, answer) = why(&rig, "evt_nobody").await;
    assert_eq!((status, &answer["found"], answer.get("incomplete")), (3, &json!([]), None), "{answer}");
    let event = handoff("email");
    rig.bus.put(&rig.files.dead_letter_queue(), &event.body(), BasicProperties::default()).await;
    rig.bus.waiting(&rig.files.dead_letter_queue(), 1).await;
    for running in [true, false] {
        let found = one(&rig, event.id()).await;
        named_dead(&event, &found);
        if running {
            rig.stop_workers().await;
        }
    }
    let (status, answer) = why(&rig, "evt_nobody").await;
    assert_eq!(status, 3);
    assert!(answer["incomplete"][0].as_str().unwrap().contains("no worker answers"), "{answer}");
}

fn named_dead(event: &Event, found: &Value) {
    assert_eq!((&found["event_id"], &found["state"]), (&json!(event.id()), &json!("dead")), "{found}");
    assert_eq!(found["session_id"], event.session());
}
