//! `dead-letters replay --patch`.

use serde_json::json;

use super::desk::{Dead, entries, letters, run, text, write};
use crate::support::event::handoff;
use crate::support::rig::rig;

#[tokio::test]
async fn a_patched_event_succeeds() {
    let rig = rig().start().await;
    let event = handoff("email").with("/data/channel", 7);
    rig.bus.publish_as("session.handoff.email", &event.body(), crate::support::bus::properties(&event)).await;
    rig.bus.outcome(event.id()).await;
    rig.bus.waiting(&rig.files.dead_letter_queue(), 1).await;
    let patch = write(rig.folder.path(), "patch.json", &json!({ "data": { "channel": "web" } }));

    let rehearsed = entries(&rig, &["replay", "--id", event.id(), "--patch", &patch, "--dry-run"]).await;
    assert_eq!(rehearsed[0]["result"], "would_replay");
    let done = entries(&rig, &["replay", "--id", event.id(), "--patch", &patch]).await;
    assert_eq!((done.len(), &done[0]["result"]), (1, &json!("replayed")));
    let outcomes = rig.bus.outcomes(event.id(), 2).await;
    assert_eq!(outcomes[1].routing_key, "dynamics365.handoff.succeeded");
    assert_eq!(rig.crm.sent("oc_liveworkitems.create")["contextVariables"]["channel"], "web");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn the_original_is_recoverable_when_the_patched_event_fails_too() {
    let rig = rig().start().await;
    rig.crm.refuse("incidents.create", 3, 400, "0x80040265", "A plug-in does not like it.");
    let event = handoff("email");
    rig.process(&event).await;
    rig.bus.waiting(&rig.files.dead_letter_queue(), 1).await;
    for (turn, classification) in [(1, "Returns"), (2, "Shipping")] {
        let patch = write(rig.folder.path(), "patch.json", &json!({ "data": { "classification": classification } }));
        entries(&rig, &["replay", "--id", event.id(), "--patch", &patch]).await;
        rig.bus.outcomes(event.id(), turn + 1).await;
        rig.bus.waiting(&rig.files.dead_letter_queue(), 1).await;
        let shown = &entries(&rig, &["show", event.id()]).await[0];
        assert_eq!(shown["body"]["data"]["classification"], classification);
        assert_eq!(shown["replaced_body"], event.0, "the first one, however often it is patched");
        assert_eq!(shown["headers"]["x-handoffd-replays"], turn.to_string());
    }
}

#[tokio::test]
async fn a_patch_applies_to_exactly_one_event_which_it_must_make_valid() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    let event = handoff("email");
    Dead::of(event.clone()).bury(&rig).await;
    let good = write(rig.folder.path(), "good.json", &json!({ "data": { "channel": "web" } }));
    let bad = write(rig.folder.path(), "bad.json", &json!({ "data": { "session_id": null } }));
    let no_json = rig.folder.path().join("no.json");
    std::fs::write(&no_json, "{").unwrap();
    let id = event.id();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--all", "--patch", &good], 2, "--letter or --id"),
        (&["--letter", "dl_1", "--id", id, "--patch", &good], 2, "exactly one"),
        (&["--id", id, "--id", "evt_2", "--patch", &good], 2, "exactly one"),
        (&["--id", "evt_nobody", "--patch", &good], 3, "0 dead letters match"),
        (&["--id", id, "--patch", &bad], 1, "data.session_id"),
        (&["--id", id, "--patch", no_json.to_str().unwrap()], 1, "not JSON"),
        (&["--id", id, "--patch", "no-such-file.json"], 1, "no-such-file.json"),
    ];
    for (arguments, status, says) in cases {
        let mut all = vec!["replay"];
        all.extend(arguments);
        let output = run(&rig, &all).await;
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(says), "{arguments:?}: {}", text(&output.stderr));
    }
    Dead::of(event.clone()).bury(&rig).await;
    let twice = run(&rig, &["replay", "--id", id, "--patch", &good]).await;
    assert_eq!(twice.status.code(), Some(2));
    assert!(text(&twice.stderr).contains("2 dead letters match"));
    let listed = entries(&rig, &["list"]).await;
    let one = entries(&rig, &["replay", "--letter", letters(&listed)[1], "--patch", &good, "--dry-run"]).await;
    assert_eq!(letters(&one), [letters(&listed)[1]]);
    assert_eq!((rig.bus.dead_letters().await, rig.bus.unfinished().await), (2, 0), "nothing changed");
}

#[tokio::test]
async fn an_original_too_long_for_a_header_goes_to_a_file() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    let event = Dead::of(handoff("email").with("/data/summary", "s".repeat(200_000))).bury(&rig).await;
    let patch = write(rig.folder.path(), "patch.json", &json!({ "data": { "summary": "short" } }));
    let kept = rig.folder.path().join("original.json");
    let refused = run(&rig, &["replay", "--id", event.id(), "--patch", &patch]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--keep"), "{}", text(&refused.stderr));

    let keep = ["replay", "--id", event.id(), "--patch", &patch, "--keep", kept.to_str().unwrap()];
    assert_eq!(entries(&rig, &keep).await[0]["result"], "replayed");
    assert_eq!(std::fs::read(&kept).unwrap(), event.body());
    let patched = rig.bus.take(&rig.files.work_queue()).await;
    let body: serde_json::Value = serde_json::from_slice(&patched.data).unwrap();
    assert_eq!(body["data"]["summary"], "short");

    Dead::of(event.clone()).bury(&rig).await;
    let over = run(&rig, &keep).await;
    assert_eq!(over.status.code(), Some(1), "an existing file is not overwritten");
    assert_eq!(rig.bus.dead_letters().await, 1);
}
