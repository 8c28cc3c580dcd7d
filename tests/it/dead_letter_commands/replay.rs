//! `dead-letters replay` and `discard`, with a worker that processes replayed events.

use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;

use super::desk::{Dead, entries, ids, on_a_terminal, results, run, text};
use crate::support::bus::header;
use crate::support::event::handoff;
use crate::support::rig::rig;

#[tokio::test]
async fn a_replayed_event_succeeds_once_its_cause_is_fixed() {
    let rig = rig().start().await;
    rig.crm.refuse("incidents.create", 2, 400, "0x80040265", "A plug-in does not like it.");
    let event = handoff("email");
    rig.process(&event).await;
    rig.bus.waiting(&rig.files.dead_letter_queue(), 1).await;

    // Its cause is not fixed yet.
    let replayed = entries(&rig, &["replay", "--id", event.id()]).await;
    assert_eq!((ids(&replayed), &replayed[0]["result"]), (vec![event.id()], &json!("replayed")));
    rig.bus.outcomes(event.id(), 2).await;
    rig.bus.waiting(&rig.files.dead_letter_queue(), 1).await;
    let shown = &entries(&rig, &["show", event.id()]).await[0];
    assert_eq!(
        (&shown["headers"]["x-handoffd-replays"], &shown["headers"]["x-handoffd-attempts"]),
        (&json!("1"), &json!("1"))
    );

    let again = entries(&rig, &["replay", "--reason", "rejected_by_dynamics"]).await;
    assert_eq!(again[0]["result"], "replayed");
    let outcomes = rig.bus.outcomes(event.id(), 3).await;
    assert_eq!(outcomes[2].routing_key, "dynamics365.handoff.succeeded");
    assert_eq!(outcomes[2].body["data"]["attempts"], 1, "starts over");
    assert_eq!((rig.crm.contacts().len(), rig.crm.incidents().len()), (1, 1));
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_replay_is_byte_for_byte_the_original() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    let dead = Dead::new();
    let event = dead.event.clone();
    let body = format!(" {}\n\n", serde_json::to_string_pretty(&event.0).unwrap());
    let odd = [
        ("x-user-bytes", AMQPValue::LongString(vec![0, 159, 146, 150].into())),
        ("x-user-number", AMQPValue::LongInt(-42)),
        ("x-user-time", AMQPValue::Timestamp(1_764_000_000)),
        ("traceparent", AMQPValue::LongString("00-aa-bb-01".into())),
    ];
    let mut table = dead.properties().headers().clone().unwrap();
    for (name, value) in &odd {
        table.insert((*name).into(), value.clone());
    }
    let sent = dead.properties().with_headers(table).with_correlation_id("correlation".into()).with_priority(3);
    rig.bus.put(&rig.files.dead_letter_queue(), body.as_bytes(), sent).await;
    entries(&rig, &["replay", "--all"]).await;

    let replayed = rig.bus.take(&rig.files.work_queue()).await;
    assert_eq!(text(&replayed.data), body);
    let kept = replayed.properties.headers().as_ref().map(FieldTable::inner).unwrap();
    for (name, value) in &odd {
        assert_eq!(kept.get(*name), Some(value), "{name}");
    }
    let ours: Vec<&str> =
        kept.keys().map(lapin::types::ShortString::as_str).filter(|name| name.starts_with("x-handoffd-")).collect();
    let added = ["replayed-at", "replayed-by", "replays"].map(|name| format!("x-handoffd-{name}"));
    assert_eq!(ours[0], "x-handoffd-original-routing-key");
    assert_eq!(ours[1..], added);
    assert_eq!(
        header(&replayed.properties, "x-handoffd-original-routing-key").as_deref(),
        Some("session.handoff.email")
    );
    assert_eq!(header(&replayed.properties, "x-handoffd-replays").as_deref(), Some("1"));
    let it = &replayed.properties;
    assert_eq!(it.message_id().as_ref().unwrap().as_str(), event.id());
    assert_eq!(it.correlation_id().as_ref().unwrap().as_str(), "correlation");
    assert_eq!((*it.priority(), *it.delivery_mode()), (Some(3), Some(2)));
}

#[tokio::test]
async fn a_dry_run_shows_the_result_and_changes_nothing() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    let (one, two) = (Dead::new().bury(&rig).await, Dead::new().reason("invalid_event").bury(&rig).await);
    for (arguments, result) in
        [(["replay", "--all", "--dry-run"], "would_replay"), (["discard", "--all", "--dry-run"], "would_discard")]
    {
        let entries = entries(&rig, &arguments).await;
        assert_eq!(ids(&entries), [one.id(), two.id()]);
        assert!(entries.iter().all(|entry| entry["result"] == result), "{entries:?}");
        let output = run(&rig, &arguments).await;
        assert!(
            text(&output.stdout).contains(result) && text(&output.stderr).contains("2 of 2"),
            "{}",
            text(&output.stderr)
        );
    }
    assert_eq!((rig.bus.dead_letters().await, rig.bus.unfinished().await), (2, 0));
}

#[tokio::test]
async fn discard_removes_the_selection_and_nothing_else() {
    let rig = rig().start().await;
    let (one, two) = (Dead::new().bury(&rig).await, Dead::new().reason("invalid_event").bury(&rig).await);
    let discarded = entries(&rig, &["discard", "--reason", "invalid_event"]).await;
    assert_eq!((ids(&discarded), &discarded[0]["result"]), (vec![two.id()], &json!("discarded")));
    assert_eq!(ids(&entries(&rig, &["list"]).await), [one.id()]);
    rig.stop_workers().await;
    assert_eq!(rig.bus.unfinished().await, 0);
    assert!(rig.bus.all_outcomes().await.is_empty());
}

#[tokio::test]
async fn on_a_terminal_discard_asks_first() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    Dead::new().bury(&rig).await;
    let said = on_a_terminal(&rig, &["discard", "--session", "ses_nobody"], "y\n").await;
    assert!(said.contains("0 of 1 dead letters match") && !said.contains("[y/N]"), "{said}");
    for (arguments, answer, left) in [
        (&["discard", "--all"][..], "\n", 1),
        (&["discard", "--all"], "no\n", 1),
        (&["discard", "--all", "--dry-run"], "", 1),
        (&["discard", "--all"], "y\n", 0),
    ] {
        let said = on_a_terminal(&rig, arguments, answer).await;
        let asked = said.contains("Permanently delete this dead letter (all)? It can't be undone. [y/N]");
        assert_eq!((asked, rig.bus.dead_letters().await), (!answer.is_empty(), left), "{said}");
    }
    Dead::new().bury(&rig).await;
    let said = on_a_terminal(&rig, &["discard", "--all", "--yes"], "").await;
    assert_eq!((said.contains("[y/N]"), rig.bus.dead_letters().await), (false, 0), "{said}");
}

#[tokio::test]
async fn a_message_that_could_not_be_read_is_found_by_its_reason() {
    let rig = rig().start().await;
    let bytes = b"{ not json \x00\xff";
    rig.bus.publish_as("session.handoff.email", bytes, lapin::BasicProperties::default()).await;
    rig.bus.waiting(&rig.files.dead_letter_queue(), 1).await;
    let listed = entries(&rig, &["list", "--reason", "invalid_event", "--after", "1h"]).await;
    assert_eq!((listed.len(), &listed[0]["event_id"], listed[0]["error"].is_string()), (1, &json!(null), true));
    assert_eq!(run(&rig, &["list", "--id", ""]).await.status.code(), Some(2), "a variable that is not set");
    let shown = entries(&rig, &["show", "--all"]).await;
    assert!(shown[0]["body_base64"].is_string());
    assert_eq!(entries(&rig, &["discard", "--reason", "invalid_event"]).await[0]["result"], "discarded");
    assert_eq!(rig.bus.dead_letters().await, 0);
}

#[tokio::test]
async fn without_a_work_queue_nothing_is_replayed_and_nothing_lost() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    Dead::new().bury(&rig).await;
    rig.bus.delete_queue(&rig.files.work_queue()).await;
    let output = run(&rig, &["replay", "--all", "--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&rig.files.work_queue()), "{}", text(&output.stderr));
    assert_eq!(entries(&rig, &["list"]).await.len(), 1);
}

#[tokio::test]
async fn two_operators_at_once_replay_each_event_once() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    for _ in 0..40 {
        Dead::new().bury(&rig).await;
    }
    let (one, two) = tokio::join!(results(&rig, &["replay", "--all"]), results(&rig, &["replay", "--all"]));
    let mut found = [(one.0, one.1.len()), (two.0, two.1.len())];
    found.sort_unstable();
    assert_eq!(found, [(0, 40), (3, 0)], "one sees all, the other none that are left");
    rig.bus.waiting(&rig.files.work_queue(), 40).await;
    assert_eq!(rig.bus.dead_letters().await, 0);
}
