//! The other subcommands, run as an operator runs them.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::broker::eventually;
use crate::support::event::handoff;
use crate::support::interface::requests;
use crate::support::rig::{Rig, examples, rig};
use crate::support::simulator::OWNER;

#[tokio::test]
async fn publish_puts_files_on_the_bus() {
    let rig = rig().start().await;
    let files: Vec<String> =
        ["handoff-email.json", "handoff-web.json", "handoff-phone-anonymous.json", "resolved.json"]
            .map(|name| examples().join(name).display().to_string())
            .to_vec();
    let mut arguments = vec!["publish"];
    arguments.extend(files.iter().map(String::as_str));
    let printed = run(&rig, &arguments).await;
    assert!(printed.starts_with("4 published"), "{printed}");
    for id in ["evt_01JDA7", "evt_01JDA8", "evt_01JDA9"] {
        assert_eq!(rig.bus.outcome(id).await.routing_key, "dynamics365.handoff.succeeded", "{id}");
    }
    assert_eq!(rig.bus.outcome("evt_01JDAB").await.routing_key, "dynamics365.resolution.succeeded");

    let (one, two) = (handoff("email"), handoff("sms"));
    let lines = rig.folder.path().join("events.jsonl");
    std::fs::write(&lines, format!("{}\n{}\n", one.0, two.0)).unwrap();
    let printed = run(&rig, &["publish", "--count", "5", "--rate", "1000", lines.to_str().unwrap()]).await;
    assert!(printed.starts_with("5 published"), "{printed}");
    rig.bus.outcomes_of(&[one, two]).await;
    eventually("five more outcomes", async || rig.bus.all_outcomes().await.len() == 9).await;
}

#[tokio::test]
async fn publish_fails_for_a_missing_file() {
    let rig = rig().start().await;
    let output = rig.worker().command(&["publish", "no-such-file.json"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no-such-file.json"));
    assert_eq!(rig.worker().command(&["publish"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn explain_shows_the_requests_that_the_worker_makes() {
    let rig = rig().queue().organize("default_owner_id", OWNER).start().await;
    let file = examples().join("handoff-email.json");
    let explained = explain(&rig, "handoff-email.json").await;
    assert_eq!((&explained["event_id"], &explained["route"]), (&json!("evt_01JDA7"), &json!("incident")));
    assert!(rig.crm.environment().requests().is_empty(), "sends nothing");

    run(&rig, &["publish", file.to_str().unwrap()]).await;
    rig.bus.outcome("evt_01JDA7").await;
    let sent: Vec<_> =
        rig.crm.environment().requests().into_iter().filter(|entry| entry.operation != "token").collect();
    let predicted: Vec<&Value> = explained["requests"].as_array().unwrap().iter().collect();
    assert!(predicted.len() >= sent.len());
    for entry in &sent {
        let body = entry.body.as_ref().map_or(Value::Null, |body| serde_json::from_slice(body).unwrap());
        let url = format!("{}{}", rig.crm.url(), entry.uri);
        let found = predicted.iter().find(|one| one["method"] == entry.method.as_str() && one["url"] == url.as_str());
        let found = found.unwrap_or_else(|| panic!("{} {url} was not explained: {explained:#}", entry.method));
        let mut explained_body = found["body"].clone();
        if entry.operation == "incidents.create" {
            // The contact is known only after the lookup; without one it is the derived contact.
            explained_body["customerid_contact@odata.bind"] = body["customerid_contact@odata.bind"].clone();
        }
        assert_eq!(explained_body, body, "{url}");
        for (name, value) in found["headers"].as_object().unwrap() {
            let name = name.to_lowercase();
            if let Some(sent) = entry.headers.get(name.as_str()).filter(|_| name != "x-ms-client-request-id") {
                assert_eq!(value, sent, "{name}");
            }
        }
        assert!(found["when"].is_string());
    }
}

#[tokio::test]
async fn explain_supports_every_kind_of_event() {
    let rig = rig().start().await;
    let web = explain(&rig, "handoff-web.json").await;
    assert_eq!((&web["route"], web["requests"].as_array().unwrap().len()), (&json!("live_work_item"), 1));
    let phone = explain(&rig, "handoff-phone-anonymous.json").await;
    assert_eq!(phone["requests"][0]["body"]["title"], "Support - +442079460000");
    let resolved = explain(&rig, "resolved.json").await;
    assert_eq!((&resolved["route"], &resolved["requests"][0]["method"]), (&Value::Null, &json!("PATCH")));
    assert_eq!(resolved["requests"][0]["body"], json!({ "statecode": 1, "statuscode": 5 }));

    let faulty = rig.folder.path().join("organizations/faulty.toml");
    std::fs::write(&faulty, "organization_id = \"org_faulty\"\n").unwrap();
    assert_eq!(explain(&rig, "handoff-web.json").await, web, "another organization's file is faulty");
    std::fs::remove_file(&faulty).unwrap();

    let bad = rig.folder.path().join("bad.json");
    std::fs::write(&bad, "{}").unwrap();
    let output = rig.worker().command(&["explain", bad.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("dead letter"));
}

#[tokio::test]
async fn outcomes_are_shown_with_and_without_a_running_worker() {
    let rig = rig().queue().start().await;
    let (mail, chat) = (handoff("email"), handoff("web"));
    let mail_meta = rig.hand_off(&mail).await;
    let chat_meta = rig.hand_off(&chat).await;
    rig.crm.refuse("incidents.create", 1, 400, "0x80044331", "too long");
    let refused = handoff("email");
    rig.process(&refused).await;

    let told = told(&rig, &mail_meta, &chat_meta, mail.id(), chat.id()).await;
    rig.stop_workers().await;
    let read = self::told(&rig, &mail_meta, &chat_meta, mail.id(), chat.id()).await;
    assert_eq!(told, read, "with the worker and without it");
    let shown = &told[0];
    assert_eq!((&shown["source_event_id"], &shown["status"]), (&json!(mail.id()), &json!("succeeded")));
    assert_eq!(shown["session_meta"], mail_meta);
    assert_eq!(shown["organization_id"], "org_acme");
    shown["finished_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let history = requests(shown);
    let steps: Vec<&str> = history.iter().map(|entry| entry["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["token", "look_up_contact", "create_contact", "post_incident"]);
    let ids: Vec<String> = rig.crm.requests("incidents.create").into_iter().map(|entry| entry.request_id).collect();
    assert!(ids.iter().any(|id| history[3]["request_id"] == id.as_str()), "Microsoft's support asks for it");

    let failed = list(&rig, &["--status", "failed"]).await;
    assert_eq!((failed.len(), &failed[0]["source_event_id"]), (1, &json!(refused.id())));
    assert_eq!(list(&rig, &["--session", chat.session()]).await.len(), 1);
    assert_eq!(list(&rig, &["--organization", "org_other"]).await.len(), 0);
    assert_eq!(list(&rig, &["--limit", "2"]).await.len(), 2);
    assert_eq!(list(&rig, &["--before", "2020-01-01T00:00:00Z"]).await.len(), 0);
    for after in ["1h30m", "2020-01-01", "2020-01-01T03:00"] {
        assert_eq!(list(&rig, &["--after", after, "--status", "failed"]).await.len(), 1, "{after}");
    }
    assert!(run(&rig, &["outcomes", "list"]).await.contains(mail.id()));
    assert!(run(&rig, &["outcomes", "show", mail.id()]).await.contains("post_incident"));
    assert_eq!(rig.worker().command(&["outcomes", "show", "evt_nobody"]).await.status.code(), Some(3));
    for (option, value) in
        [("--after", "yesterday"), ("--before", "2026-11-32"), ("--incident", "CAS-1"), ("--chat", "1")]
    {
        let output = rig.worker().command(&["outcomes", "list", option, value]).await;
        assert_eq!(output.status.code(), Some(2), "{option} {value}: it is used wrongly");
    }
}

#[tokio::test]
async fn the_configuration_is_checked_and_shown_without_its_secrets() {
    let rig = rig().start().await;
    assert!(run(&rig, &["config", "check"]).await.starts_with("ok"));
    let shown = run(&rig, &["config", "show"]).await;
    assert!(shown.contains(&rig.files.name) && shown.contains("org_acme"), "{shown}");
    for secret in ["guest:guest", "simulator-secret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let insecure =
        |output: &std::process::Output| text(&output.stderr).contains("insecure setting dynamics.allow_insecure");
    let checked = rig.worker().command(&["config", "check"]).await;
    assert!(insecure(&checked) && checked.status.success(), "{checked:?}");
    let checked = rig.worker().command(&["config", "check", "--strict"]).await;
    assert!(insecure(&checked) && checked.status.code() == Some(2) && checked.stdout.is_empty(), "{checked:?}");
    let mut wrong = rig.files.clone();
    wrong.organize("default_priority", 9);
    wrong.write_organization(rig.folder.path());
    let output = rig.worker().command(&["config", "check"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("default_priority"));
    assert_eq!(rig.worker().command(&["confgi"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn schema_prints_schemas_and_the_asyncapi_document() {
    let rig = rig().start().await;
    let printed: Value = serde_json::from_str(&run(&rig, &["schema"]).await).unwrap();
    assert!(printed["schemas"].is_object());
    assert_eq!(printed["asyncapi"]["asyncapi"].as_str().unwrap().split('.').next(), Some("3"));
}

/// Output of `outcomes show --json` for two events under each of their ids.
async fn told(rig: &Rig, mail: &Value, chat: &Value, mail_id: &str, chat_id: &str) -> Vec<Value> {
    let mut told = Vec::new();
    let names = [
        (mail_id, 0),
        (mail["dynamics365_incident_id"].as_str().unwrap(), 0),
        (mail["dynamics365_ticket_number"].as_str().unwrap(), 0),
        (chat_id, 1),
        (chat["dynamics365_chat_id"].as_str().unwrap(), 1),
    ];
    for (name, which) in names {
        let shown: Value = serde_json::from_str(&run(rig, &["outcomes", "show", name, "--json"]).await).unwrap();
        assert_eq!(shown["source_event_id"], [mail_id, chat_id][which], "by {name}");
        told.push(shown);
    }
    told
}

async fn list(rig: &Rig, selection: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["outcomes", "list", "--json"];
    arguments.extend(selection);
    serde_json::from_str(&run(rig, &arguments).await).unwrap()
}

async fn explain(rig: &Rig, name: &str) -> Value {
    let file = examples().join(name);
    serde_json::from_str(&run(rig, &["explain", file.to_str().unwrap()]).await).unwrap()
}

/// Runs a command that succeeds and returns its output.
async fn run(rig: &Rig, arguments: &[&str]) -> String {
    let output: Output = rig.worker().command(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
