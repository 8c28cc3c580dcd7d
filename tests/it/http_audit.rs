//! Record of operators' actions: by page, interface and commands, in the log and as a list.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::dead_letter_commands::desk::{Dead, run, text};
use crate::support::broker::eventually;
use crate::support::event::ANOTHER_ORGANIZATION;
use crate::support::interface::{Api, answer};
use crate::support::rig::{Rig, rig};
use crate::support::simulator::SECRET;
use crate::support::worker::field;

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Action, subject and count of each entry, oldest first.
async fn actions(api: &Api) -> Vec<(String, String, u64)> {
    let listed = api.get("/api/v1/audit").await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = listed["entries"].as_array().unwrap().iter().rev();
    entries.map(|it| (text(&it["action"]), text(&it["subject"]), it["count"].as_u64().unwrap())).collect()
}

fn expected(all: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
    all.iter().map(|(action, subject, count)| ((*action).to_owned(), (*subject).to_owned(), *count)).collect()
}

fn document(rig: &Rig) -> Value {
    json!({
        "environment_url": rig.crm.url(), "tenant_id": "11111111-1111-1111-1111-111111111111",
        "client_id": "22222222-2222-2222-2222-222222222222", "client_secret": SECRET,
    })
}

#[tokio::test]
async fn every_action_over_http_is_logged_and_listed() {
    let rig = rig().set("organizations", "encryption_key", KEY).set("log", "level", "handoffd=info").start().await;
    let api = Api::of(&rig);
    let (one, two) = (Dead::new().bury(&rig).await, Dead::new().reason("invalid_event").bury(&rig).await);
    let saved = format!("/api/v1/organizations/{ANOTHER_ORGANIZATION}");
    answer(api.with(Method::PUT, &saved, &document(&rig)), 200).await;
    assert_eq!(api.request(Method::DELETE, &saved).send().await.unwrap().status(), 204);
    let post = async |path: &str, form: &str| {
        let form = api.request(Method::POST, path).body(form.to_owned());
        assert_eq!(form.send().await.unwrap().status(), 303, "{path}");
    };
    post("/organizations/pause", "organization=org_acme").await;
    api.post("/api/v1/organizations/org_acme/resume", &json!({})).await;
    api.get(&format!("/api/v1/dead-letters/{}", one.id())).await;
    api.post("/api/v1/dead-letters/replay", &json!({ "ids": [one.id()] })).await;
    // What changes nothing and shows no text is not an action.
    api.post("/api/v1/dead-letters/replay", &json!({ "all": true, "dry_run": true })).await;
    api.post("/api/v1/dead-letters/replay", &json!({ "ids": ["evt_none"] })).await;
    api.get("/api/v1/dead-letters").await;
    post("/dead-letters/act", &format!("act=discard&id={}", two.id())).await;
    let (first, second) = (format!("events {}", one.id()), format!("events {}", two.id()));
    let all = expected(&[
        ("save", ANOTHER_ORGANIZATION, 1),
        ("delete", ANOTHER_ORGANIZATION, 1),
        ("pause", "org_acme", 1),
        ("resume", "org_acme", 1),
        ("read_text", &first, 1),
        ("replay", &first, 1),
        ("discard", &second, 1),
    ]);
    eventually("the record of the job", async || actions(&api).await.len() >= all.len()).await;
    assert_eq!(actions(&api).await, all);

    let listed = api.get("/api/v1/audit").await;
    let last = &listed["entries"][0];
    assert_eq!((&last["who"], &last["from"], &last["user"]), (&json!("token"), &json!("127.0.0.1"), &Value::Null));
    let lines = rig.worker().lines();
    let lines: Vec<&Value> = lines.iter().filter(|line| *field(line, "target") == "audit").collect();
    assert_eq!(lines.len(), all.len(), "{lines:?}");
    for (line, (action, subject, count)) in lines.iter().zip(&all) {
        assert_eq!(field(line, "action"), action.as_str(), "{line}");
        assert_eq!((field(line, "subject"), field(line, "count")), (&json!(subject), &json!(count)));
        assert_eq!((field(line, "who"), field(line, "from")), (&json!("token"), &json!("127.0.0.1")));
    }
    let page = api.request(Method::GET, "/activity").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("discarded dead letters") && page.contains(two.id()), "{page}");
}

#[tokio::test]
async fn a_command_names_its_user_to_the_worker_or_logs_by_itself() {
    let rig = rig().start().await;
    let api = Api::of(&rig);
    let one = Dead::new().bury(&rig).await;
    let shown = rig.worker().command(&["dead-letters", "show", one.id()]).await;
    assert!(shown.status.success(), "{shown:?}");
    let discarded = rig.worker().command(&["dead-letters", "discard", "--id", one.id()]).await;
    assert!(discarded.status.success() && !text(&discarded.stderr).contains("audit"), "{discarded:?}");
    let subject = format!("events {}", one.id());
    assert_eq!(actions(&api).await, expected(&[("read_text", &subject, 1), ("discard", &subject, 1)]));
    let user = api.get("/api/v1/audit").await["entries"][0]["user"].clone();
    assert!(user.as_str().is_some_and(|user| !user.is_empty()), "{user}");

    let two = Dead::new().bury(&rig).await;
    rig.stop_workers().await;
    let alone = run(&rig, &["discard", "--id", two.id()]).await;
    let told = text(&alone.stderr).lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let told = told.unwrap_or_else(|| panic!("{}", text(&alone.stderr)));
    assert_eq!((field(&told, "target"), field(&told, "action")), (&json!("audit"), &json!("discard")), "{told}");
    assert_eq!((field(&told, "who"), field(&told, "count")), (&json!("local"), &json!(1)), "{told}");
    rig.start_worker("worker").ready().await;
    let listed = Api::of(&rig).get("/api/v1/audit").await["entries"][0].clone();
    assert_eq!((&listed["action"], &listed["who"]), (&json!("discard"), &json!("local")), "{listed}");
    assert_eq!(listed["subject"], format!("events {}", two.id()), "{listed}");
}

/// While no worker runs, another user listens on its port and waits for the token.
#[tokio::test]
async fn a_command_sends_no_token_to_another_users_process() {
    let (setpriv, python) = (Path::new("/usr/bin/setpriv"), Path::new("/usr/bin/python3"));
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if !is_root || !setpriv.exists() || !python.exists() {
        eprintln!("SKIPPED: needs root, setpriv and python3 to listen as another user");
        return;
    }
    let rig = rig().start().await;
    let worker = rig.worker();
    let address = worker.address().unwrap();
    let (_, port) = address.rsplit_once(':').unwrap();
    worker.stop().await;
    let script = format!(
        "import socket; s = socket.create_server(('127.0.0.1', {port})); print('ready', flush=True)\n\
         while True:\n  c, _ = s.accept(); print(c.recv(9999), flush=True); c.close()"
    );
    let mut thief = Command::new(setpriv)
        .args(["--pdeathsig", "KILL", "--reuid", "65533", "--clear-groups", "--", "/usr/bin/python3", "-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("another user's listener", async || TcpListener::bind(&address).is_err()).await;
    let refused = worker.command(&["outcomes", "list"]).await;
    _ = thief.kill();
    let heard = text(&thief.wait_with_output().unwrap().stdout);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("not sending http.token"), "{}", text(&refused.stderr));
    assert!(heard.contains("ready") && !heard.to_lowercase().contains("authorization"), "{heard}");
}
