//! `dead-letters list` and `show`: their selection, their format, and no customer text in a list.

use handoffd_engine::text::is_hidden;
use lapin::BasicProperties;
use serde_json::{Value, json};

use super::desk::{DEAD_AT, Dead, command, entries, ids, letters, results, run, text};
use crate::support::event::handoff;
use crate::support::rig::{Rig, rig};

/// Queues as a worker leaves them, without a running worker.
async fn without_a_worker() -> Rig {
    let rig = rig().start().await;
    rig.stop_workers().await;
    rig
}

#[tokio::test]
async fn a_list_has_the_contracts_format() {
    let rig = without_a_worker().await;
    let event = Dead::new().bury(&rig).await;
    rig.bus.put(&rig.files.dead_letter_queue(), b"{ put here by hand", BasicProperties::default()).await;
    let listed = entries(&rig, &["list"]).await;
    let expected = json!([
        {
            "letter_id": letters(&listed)[0],
            "event_id": event.id(),
            "organization_id": "org_acme",
            "session_id": event.session(),
            "reason": "rejected_by_dynamics",
            "error": "0x80040265: refused by a plug-in",
            "dead_at": DEAD_AT,
        },
        {
            "letter_id": letters(&listed)[1],
            "event_id": null,
            "organization_id": null,
            "session_id": null,
            "reason": null,
            "error": null,
            "dead_at": null,
        },
    ]);
    assert_eq!(Value::from(listed), expected);
    assert_eq!(Value::from(entries(&rig, &["list", "--all"]).await), expected);

    let listed = run(&rig, &["list"]).await;
    let (table, sum) = (text(&listed.stdout), text(&listed.stderr));
    assert!(table.contains(letters(expected.as_array().unwrap())[1]), "{table}");
    assert!(table.contains(event.id()) && table.contains("refused by a plug-in"), "{table}");
    assert!(sum.contains("2 of 2 dead letters"), "{sum}");
    for private in [event.email(), event.0["data"]["summary"].as_str().unwrap()] {
        assert!(!table.contains(private), "{table}");
    }
    assert_eq!(rig.bus.dead_letters().await, 2, "they are still there");
}

#[tokio::test]
async fn groups_are_counted_and_their_handles_select() {
    let rig = without_a_worker().await;
    Dead::new().at("2026-11-01T00:00:00Z").bury(&rig).await;
    Dead::new().bury(&rig).await;
    let other = Dead::new().reason("invalid_event").bury(&rig).await;
    let groups = entries(&rig, &["groups"]).await;
    let counted: Vec<_> = groups.iter().map(|it| (&it["count"], &it["reason"], &it["error"], &it["last"])).collect();
    let (rejected, invalid) = (json!("rejected_by_dynamics"), json!("invalid_event"));
    let (refused, died) = (json!("0x80040265: refused by a plug-in"), json!(DEAD_AT));
    assert_eq!(counted[0], (&json!(2), &rejected, &refused, &died));
    assert_eq!((counted.len(), counted[1].0, counted[1].1), (2, &json!(1), &invalid));

    let handle = groups[1]["group"].as_str().unwrap();
    assert_eq!(ids(&entries(&rig, &["list", "--group", handle]).await), [other.id()]);
    assert_eq!(entries(&rig, &["groups", "--reason", "expired"]).await, Vec::<Value>::new());

    let printed = run(&rig, &["groups"]).await;
    let (table, sum) = (text(&printed.stdout), text(&printed.stderr));
    assert!(
        table.starts_with("count  group") && table.contains(handle) && table.contains("refused by a plug-in"),
        "{table}"
    );
    assert!(sum.contains("3 of 3 dead letters"), "{sum}");
}

#[tokio::test]
async fn every_filter_selects() {
    let rig = without_a_worker().await;
    let now = jiff::Timestamp::now();
    let old = Dead::new().at("2026-11-01T00:00:00Z").bury(&rig).await;
    let invalid = Dead::new().reason("invalid_event").bury(&rig).await;
    let other = Dead::of(handoff("web").with("/organization_id", "org_other")).bury(&rig).await;
    let fresh = Dead::new().reason("retries_exhausted").at(&now.to_string()).bury(&rig).await;
    let all = [&old, &invalid, &other, &fresh].map(|event| event.id().to_owned());
    let [old_id, invalid_id, other_id, fresh_id] = all.each_ref().map(String::as_str);
    let cases: [(&[&str], &[&str]); 11] = [
        (&[], &[old_id, invalid_id, other_id, fresh_id]),
        (&["--id", old_id], &[old_id]),
        (&["--id", fresh_id, "--id", old_id, "--id", "evt_nobody"], &[old_id, fresh_id]),
        (&["--organization", "org_other"], &[other_id]),
        (&["--session", invalid.session()], &[invalid_id]),
        (&["--reason", "retries_exhausted"], &[fresh_id]),
        (&["--reason", "rejected_by_dynamics", "--organization", "org_acme"], &[old_id]),
        (&["--before", "2026-11-02T00:00:00Z"], &[old_id]),
        (&["--after", DEAD_AT, "--before", "2026-11-22T10:16:00.001Z"], &[invalid_id, other_id]),
        (&["--after", "1h"], &[fresh_id]),
        (&["--all", "--reason", "delivery_limit"], &[]),
    ];
    for (selection, expected) in cases {
        let mut arguments = vec!["list"];
        arguments.extend(selection);
        assert_eq!(ids(&entries(&rig, &arguments).await), expected, "{selection:?}");
    }
    let nothing = run(&rig, &["list", "--session", "ses_nobody"]).await;
    assert_eq!(nothing.status.code(), Some(0));
    assert!(text(&nothing.stderr).contains("0 of 4 dead letters match"), "{}", text(&nothing.stderr));
}

/// The dead letter died at 10:16 in UTC, which is 11:16 in Berlin.
#[tokio::test]
async fn a_time_is_local_without_an_offset() {
    let rig = without_a_worker().await;
    Dead::new().bury(&rig).await;
    for (zone, after, count) in [
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-11-22T11:10", 1),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-11-22T11:20", 0),
        ("UTC", "2026-11-22T10:20", 0),
        ("UTC", "2026-11-22", 1),
        ("UTC", "2026-11-23", 0),
        ("UTC", "1h30m", 0),
    ] {
        let output = command(&rig, &["list", "--after", after, "--json"]).env("TZ", zone).output().unwrap();
        let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(listed.len(), count, "{after} in {zone}: {}", text(&output.stderr));
    }
}

#[tokio::test]
async fn nothing_is_done_without_a_selection() {
    let rig = without_a_worker().await;
    Dead::new().bury(&rig).await;
    for command in ["replay", "discard", "show"] {
        let output = run(&rig, &[command]).await;
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(text(&output.stderr).contains("--organization"), "{}", text(&output.stderr));
    }
    for wrong in [
        ["list", "--reason", "because"],
        ["list", "--before", "yesterday"],
        ["discard", "--after", "2026-11-32"],
        ["discard", "--organization", ""],
        ["replay", "--patch", "x.json"],
    ] {
        assert_eq!(run(&rig, &wrong).await.status.code(), Some(2), "{wrong:?}");
    }
    for command in ["replay", "discard", "show"] {
        assert_eq!(results(&rig, &[command, "--session", "ses_nobody"]).await, (3, vec![]), "{command}");
    }
    assert_eq!(rig.bus.dead_letters().await, 1);
    assert_eq!(rig.bus.unfinished().await, 0);
}

#[tokio::test]
async fn show_prints_everything_about_one() {
    let rig = without_a_worker().await;
    let event = Dead::new().bury(&rig).await;
    Dead::new().bury(&rig).await;
    for name in
        [["show", event.id()].as_slice(), &["show", "--id", event.id()], &["show", "--session", event.session()]]
    {
        let shown = entries(&rig, name).await;
        assert_eq!((shown.len(), &shown[0]["event_id"], &shown[0]["body"]), (1, &json!(event.id()), &event.0));
        assert_eq!(shown[0]["headers"]["x-handoffd-step"], "post_incident");
        assert_eq!(shown[0]["properties"]["message_id"], event.id());
        assert_eq!(shown[0]["properties"]["routing_key"], "session.handoff.email");
    }
    let shown = text(&run(&rig, &["show", event.id()]).await.stdout);
    assert!(shown.contains("x-handoffd-first-seen") && shown.contains(event.email()), "{shown}");
    assert_eq!(run(&rig, &["show", "evt_nobody"]).await.status.code(), Some(3));
}

#[tokio::test]
async fn no_command_prints_a_hidden_character() {
    let rig = without_a_worker().await;
    let odd = "\u{202e}\u{9b}2J\u{7f}\u{feff}";
    let event = handoff("email").with("/event_id", format!("evt_{odd}")).with("/data/summary", odd);
    let event = Dead::of(event).bury(&rig).await;
    let id = event.id();
    for arguments in [
        ["list"].as_slice(),
        &["list", "--json"],
        &["list", "--session", odd],
        &["show", id],
        &["show", id, "--json"],
        &["discard", "--id", id, "--dry-run"],
    ] {
        let output = run(&rig, arguments).await;
        let printed = [text(&output.stdout), text(&output.stderr)].concat();
        assert!(!printed.contains(|char| char != '\n' && is_hidden(char)), "{arguments:?}: {printed:?}");
    }
    assert_eq!(entries(&rig, &["show", id]).await[0]["body"], event.0, "JSON keeps its meaning");
    assert!(text(&run(&rig, &["list"]).await.stdout).contains(r"evt_\u{202e}\u{9b}2J"));
}

#[tokio::test]
async fn an_unreachable_broker_and_a_missing_queue_are_named() {
    let rig = rig().lay_out().await;
    let missing = run(&rig, &["list"]).await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains(&rig.files.dead_letter_queue()), "{}", text(&missing.stderr));

    let away = super::desk::command(&rig, &["replay", "--all"])
        .env("HANDOFFD_BROKER__URL", "amqp://user:pa55word@127.0.0.1:1/%2f")
        .output()
        .unwrap();
    assert_eq!(away.status.code(), Some(1));
    let stderr = text(&away.stderr);
    assert!(
        stderr.contains("127.0.0.1:1") && stderr.contains("broker.url") && !stderr.contains("pa55word"),
        "{stderr}"
    );
}

#[tokio::test]
async fn an_empty_queue_is_reported() {
    let rig = without_a_worker().await;
    for (arguments, status) in [(["list", "--all"], 0), (["replay", "--all"], 3), (["discard", "--all"], 3)] {
        assert_eq!(results(&rig, &arguments).await, (status, vec![]));
        let output = run(&rig, &arguments).await;
        assert_eq!((output.status.code(), text(&output.stderr).trim()), (Some(status), "no dead letters"));
    }
}
