//! One verdict, everywhere: for each cause the API, the metrics, the page and the command say the same.

use std::process::Command;

use handoffd_engine::ports::bus::headers::FIRST_SEEN;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::support::broker::{Broker, eventually};
use crate::support::bus::{headers, properties};
use crate::support::event::{ANOTHER_ORGANIZATION, Event, ORGANIZATION, handoff};
use crate::support::interface::Api;
use crate::support::rig::{Plan, Rig, rig, rig_on};
use crate::support::simulator::SECRET;

/// Verdicts with their words on the page and the exit status of the command.
const VERDICTS: [(&str, &str, i32); 3] =
    [("working", "Running normally", 0), ("degraded", "Degraded", 4), ("not_working", "Not processing events", 1)];

/// Time-out of a request as it is by default.
fn patient() -> Plan {
    rig().set("dynamics", "request_timeout", "60s")
}

fn events(count: usize) -> Vec<Event> {
    (0..count).map(|_| handoff("email")).collect()
}

fn file(rig: &Rig, name: &str) -> std::path::PathBuf {
    rig.folder.path().join("organizations").join(name)
}

/// Reason of the status that concerns an organization, or the worker, and has this cause.
fn reason<'a>(status: &'a Value, organization: Option<&str>, cause: &str) -> Option<&'a Value> {
    let is_it = |reason: &&Value| {
        reason["organization_id"].as_str() == organization && reason["cause"].as_str().unwrap().contains(cause)
    };
    status["reasons"].as_array().unwrap().iter().find(is_it)
}

/// Waits for the verdict and its reason, then asserts that metrics, page and command agree.
async fn shows(rig: &Rig, verdict: &str, organization: Option<&str>, cause: &str) {
    let api = Api::of(rig);
    let mut status = Value::Null;
    eventually(&format!("{verdict}: {cause}"), async || {
        status = api.get("/api/v1/status").await;
        status["verdict"] == verdict && reason(&status, organization, cause).is_some()
    })
    .await;
    let found = reason(&status, organization, cause).unwrap();
    assert!(!found["advice"].as_str().unwrap().is_empty(), "{found}");
    for time in [&status["since"], &found["since"]] {
        assert!(time.as_str().unwrap().parse::<Timestamp>().is_ok(), "{status}");
    }
    agree(rig, verdict, cause).await;
}

/// Waits for the verdict without a reason, then asserts that metrics, page and command agree.
async fn is_working(rig: &Rig) {
    let api = Api::of(rig);
    eventually("a working worker", async || {
        let status = api.get("/api/v1/status").await;
        status["verdict"] == "working" && status["reasons"] == json!([])
    })
    .await;
    agree(rig, "working", "all organizations healthy").await;
}

async fn agree(rig: &Rig, verdict: &str, cause: &str) {
    let worker = rig.worker();
    for (one, words, exit) in VERDICTS {
        let expected = one == verdict;
        worker.counts("handoffd_verdict", &format!("verdict=\"{one}\""), expected.into()).await;
        if !expected {
            continue;
        }
        let request = Api::of(rig).request(reqwest::Method::GET, "/");
        let page = request.send().await.unwrap().text().await.unwrap();
        assert!(
            page.contains(&format!("<title>{words} · ")) && page.contains(&format!("<span>{words}</span>")),
            "{page}"
        );
        assert!(page.contains(cause), "{cause} is not on the page: {page}");
        let output = worker.command(&["status"]).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{output:?}");
        assert!(text.starts_with(words) && (one == "working" || text.contains(cause)), "{text}");
        let json = worker.command(&["status", "--json"]).await;
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(json["verdict"], verdict, "{json}");
    }
}

/// Waits until an organization is in this state, by API and metric.
async fn stands(rig: &Rig, state: &str) {
    let worker = rig.worker();
    eventually(&format!("the state {state}"), async || worker.stands(ORGANIZATION).await["state"] == state).await;
    let label = format!("organization=\"{ORGANIZATION}\",state=\"{state}\"");
    worker.counts("handoffd_organization_state", &label, 1).await;
    let series = format!("organization=\"{ORGANIZATION}\"");
    assert_eq!(worker.metric("handoffd_organization_state", &series).await, 1, "one state at a time");
    let listed = worker.command(&["org", "list"]).await;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.lines().any(|line| line.split_whitespace().nth(1) == Some(state)), "{listed}");
}

#[tokio::test]
async fn creates_that_hang_show_before_their_time_out() {
    let rig = patient().start().await;
    is_working(&rig).await;
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": "hang" }));
    rig.bus.publish_all(&events(8)).await;
    shows(&rig, "degraded", Some(ORGANIZATION), "requests have had no answer for 10 s (post_incident)").await;
    stands(&rig, "degraded").await;
    assert_eq!(rig.worker().metric("handoffd_organization_requests_total", "result=\"timeout\"").await, 0);
}

#[tokio::test]
async fn server_errors_show_until_requests_succeed_again() {
    let rig = rig().set("retry", "delays", vec!["200ms".to_owned()]).start().await;
    rig.crm.refuse("incidents.create", 100_000, 503, "", "");
    let failing = events(5);
    rig.bus.publish_all(&failing).await;
    shows(&rig, "degraded", Some(ORGANIZATION), "requests failed (post_incident)").await;
    stands(&rig, "degraded").await;
    rig.crm.environment().clear_faults();
    let good = events(40);
    rig.bus.publish_all(&good).await;
    rig.bus.outcomes_of(&failing).await;
    rig.bus.outcomes_of(&good).await;
    is_working(&rig).await;
    stands(&rig, "open").await;
    let worker = rig.worker();
    worker.counts("handoffd_organization_events_total", "outcome=\"succeeded\"", 45).await;
    assert!(worker.metric("handoffd_organization_requests_total", "result=\"failed\"").await >= 5);
    for (level, message) in [("WARN", "organization is degraded"), ("INFO", "organization is no longer degraded")] {
        let lines = worker.lines().into_iter().filter(|line| line["message"] == message);
        let lines: Vec<_> = lines.map(|line| (line["level"].clone(), line["organization_id"].clone())).collect();
        assert_eq!(lines, [(json!(level), json!(ORGANIZATION))], "{message}");
    }
    assert!(worker.metric("handoffd_organization_last_success_seconds", ORGANIZATION).await > 1_700_000_000);
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn refused_cases_show() {
    let rig = rig().start().await;
    rig.crm.refuse("incidents.create", 100, 400, "0x80040265", "Refused by a plug-in.");
    rig.bus.publish_all(&events(5)).await;
    shows(&rig, "degraded", Some(ORGANIZATION), "5 of 5 requests were refused (post_incident)").await;
    stands(&rig, "degraded").await;
    assert_eq!(rig.worker().metric("handoffd_organization_requests_total", "result=\"refused\"").await, 5);
}

#[tokio::test]
async fn a_refused_secret_shows_until_it_is_corrected() {
    let mut rig = rig().organize("client_secret", format!("{SECRET}-mistyped")).start().await;
    rig.bus.publish(&handoff("email")).await;
    shows(&rig, "degraded", Some(ORGANIZATION), "blocked; its events are on hold").await;
    stands(&rig, "blocked").await;
    rig.files.organize("client_secret", SECRET);
    rig.files.write_organization(rig.folder.path());
    is_working(&rig).await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_pause_shows_and_commands_begin_and_end_it() {
    let rig = rig().start().await;
    let worker = rig.worker();
    let paused = worker.command(&["org", "pause", ORGANIZATION]).await;
    assert!(paused.status.success() && String::from_utf8_lossy(&paused.stdout).contains("paused since"), "{paused:?}");
    shows(&rig, "degraded", Some(ORGANIZATION), "paused by an operator").await;
    stands(&rig, "paused").await;
    let event = handoff("email");
    rig.bus.publish(&event).await;
    eventually("the age of an event that waits", async || {
        worker.stands(ORGANIZATION).await["oldest_seconds"].as_f64().is_some_and(|age| age > 1.0)
    })
    .await;
    let resumed = worker.command(&["org", "resume", ORGANIZATION]).await;
    assert!(resumed.status.success(), "{resumed:?}");
    rig.bus.outcome(event.id()).await;
    is_working(&rig).await;
    let unknown = worker.command(&["org", "pause", "org_nobody"]).await;
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_faulty_file_shows_while_its_last_valid_version_is_in_effect() {
    let rig = rig().start().await;
    let broken = file(&rig, &format!("{ORGANIZATION}.toml"));
    let text = std::fs::read_to_string(&broken).unwrap();
    std::fs::write(&broken, format!("default_priority = 9\n{text}")).unwrap();
    shows(&rig, "degraded", Some(ORGANIZATION), "default_priority").await;
    stands(&rig, "faulty").await;
    // Its test is one of the version in effect, and says so.
    let (status, report) = rig.worker().api("POST", &format!("/organizations/{ORGANIZATION}/test"), None).await;
    let check = &report["checks"][0];
    assert_eq!(
        (status, &report["passed"], &check["check"], &check["result"]),
        (200, &json!(true), &json!("file"), &json!("warned"))
    );
    assert!(check["message"].as_str().unwrap().contains("default_priority"), "{check}");
    let listed = rig.worker().command(&["org", "list", "--json"]).await;
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let one = &listed[0];
    assert_eq!(
        (&one["organization_id"], &one["state"], &one["waiting"]),
        (&json!(ORGANIZATION), &json!("faulty"), &json!(0))
    );
    assert_eq!(one["readable"], false, "{listed}");
    rig.hand_off(&handoff("email")).await;
    // Without its organization's id.
    let nameless = file(&rig, &format!("{ANOTHER_ORGANIZATION}.toml"));
    std::fs::write(&nameless, "organization_id = ").unwrap();
    shows(&rig, "degraded", None, "whose organization is unknown").await;
    rig.worker().counts("handoffd_unidentified_organization_files", "", 1).await;
    std::fs::remove_file(nameless).unwrap();
    std::fs::write(&broken, text).unwrap();
    is_working(&rig).await;
}

#[tokio::test]
async fn a_secret_that_is_refused_shows_without_an_event() {
    let rig = rig().start().await;
    let changed = file(&rig, &format!("{ORGANIZATION}.toml"));
    let text = std::fs::read_to_string(&changed).unwrap();
    std::fs::write(&changed, text.replace(SECRET, "not-the-secret")).unwrap();
    shows(&rig, "degraded", Some(ORGANIZATION), "blocked").await;
    stands(&rig, "blocked").await;
    std::fs::write(&changed, text).unwrap();
    is_working(&rig).await;
    rig.hand_off(&handoff("email")).await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn an_old_event_shows() {
    let rig = patient().start().await;
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": "hang" }));
    let (event, seen) = (handoff("email"), Timestamp::now() - 10.minutes());
    let old = properties(&event).with_headers(headers(&[(FIRST_SEEN, &seen.to_string())]));
    rig.bus.publish_as(&event.routing_key(), &event.body(), old).await;
    shows(&rig, "degraded", Some(ORGANIZATION), "oldest event is 10 min old").await;
    stands(&rig, "degraded").await;
    let oldest = rig.worker().stands(ORGANIZATION).await["oldest_seconds"].as_f64().unwrap();
    assert!((600.0..720.0).contains(&oldest), "{oldest}");
}

#[tokio::test]
async fn a_broker_that_is_away_shows_and_depths_are_unknown() {
    let broker = Broker::start();
    let rig = rig_on(&broker).start().await;
    let worker = rig.worker();
    eventually("a known depth", async || worker.stands(ORGANIZATION).await["waiting"] == 0).await;
    broker.stop();
    shows(&rig, "not_working", None, "broker").await;
    let text = worker.command(&["status"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("waiting") && text.contains("unknown") && text.contains("RabbitMQ"), "{text}");
    assert_eq!(worker.stands(ORGANIZATION).await["waiting"], Value::Null);
    broker.restart();
    worker.ready().await;
    is_working(&rig).await;
}

#[tokio::test]
async fn a_failing_store_shows() {
    let rig = rig().lay_out().await;
    let worker = rig.start_worker_under("worker", &["env", "--ignore-signal=XFSZ"]);
    worker.ready().await;
    let limit = |size: &str| {
        let size = format!("--fsize={size}");
        assert!(Command::new("prlimit").args(["--pid", &worker.id(), &size]).status().unwrap().success());
    };
    limit("1:unlimited");
    rig.bus.publish_all(&events(3)).await;
    shows(&rig, "not_working", None, "the store fails").await;
    limit("unlimited");
    worker.ready().await;
    is_working(&rig).await;
}

#[tokio::test]
async fn a_worker_that_does_not_respond_is_not_working() {
    let rig = rig().start().await;
    let worker = rig.worker();
    let address = worker.address().unwrap();
    worker.stop().await;
    let output = worker.command(&["status"]).await;
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(problem.contains(&format!("no worker responds at {address}")), "{problem}");
    let json = worker.command(&["status", "--json"]).await;
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["verdict"], &json["since"]), (&json!("unknown"), &Value::Null));
}

#[tokio::test]
#[ignore = "takes more than a minute: make long-waits"]
async fn long_waits_throttling_for_more_than_a_minute_shows() {
    let rig = rig().start().await;
    let answer = json!({ "status": 429, "code": "0x80072322", "message": "Too many.", "retry_after": 90 });
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": 1, "fault": answer }));
    let event = handoff("email");
    rig.bus.publish(&event).await;
    stands(&rig, "throttled").await;
    is_working(&rig).await;
    shows(&rig, "degraded", Some(ORGANIZATION), "throttled by Dynamics for more than a minute").await;
    stands(&rig, "throttled").await;
    rig.bus.outcome(event.id()).await;
    is_working(&rig).await;
}

#[tokio::test]
async fn an_organization_whose_file_is_gone_is_listed_while_the_worker_has_it() {
    let rig = rig().start().await;
    let folder = rig.folder.path().join("organizations");
    let aside = rig.folder.path().join("aside");
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let listed = rig.worker().command(&["org", "list", "--json"]).await;
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let one = listed.as_array().unwrap().iter().find(|one| one["organization_id"] == ORGANIZATION);
    let one = one.unwrap_or_else(|| panic!("{listed}"));
    assert_eq!((&one["state"], &one["readable"]), (&json!("open"), &json!(false)), "{listed}");
    assert!(one["problem"].as_str().unwrap().contains("the file is gone"), "{listed}");
    std::fs::remove_dir(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    rig.hand_off(&handoff("email")).await;
}
