//! Table of verdicts by cause, measured: for each injected cause what status, page, metric and log show, and after how long.
//! Run by hand: `cargo test --test it -- --ignored --nocapture verdict_table`; the result is in docs/OPERATIONS.md.

use std::process::Command;
use std::time::{Duration, Instant};

use handoffd_engine::ports::bus::headers::FIRST_SEEN;
use jiff::{Timestamp, ToSpan};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::broker::{Broker, signal};
use crate::support::bus::{headers, properties};
use crate::support::event::{Event, ORGANIZATION, handoff};
use crate::support::interface::Api;
use crate::support::rig::{Plan, Rig, rig, rig_on};
use crate::support::simulator::SECRET;

/// Contract 9: longest time until a cause shows.
const WITHIN: Duration = Duration::from_secs(15);

/// Row of the table.
struct Row {
    cause: &'static str,
    verdict: String,
    after: Duration,
    metric: String,
    log: String,
}

fn events(count: usize) -> Vec<Event> {
    (0..count).map(|_| handoff("email")).collect()
}

fn plan() -> Plan {
    rig().set("dynamics", "request_timeout", "60s").set("retry", "delays", vec!["200ms".to_owned()])
}

/// Waits until the status has the cause, and notes what is shown then.
async fn shown(rig: &Rig, cause: &'static str, injected: Instant, text: &str) -> Row {
    let (api, worker) = (Api::of(rig), rig.worker());
    let status = loop {
        let status = api.get("/api/v1/status").await;
        let is_it = |reason: &Value| reason["cause"].as_str().is_some_and(|found| found.contains(text));
        if status["reasons"].as_array().is_some_and(|all| all.iter().any(is_it)) {
            break status;
        }
        assert!(injected.elapsed() < Duration::from_secs(120), "{cause}: {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let after = injected.elapsed();
    let verdict = status["verdict"].as_str().unwrap().to_owned();
    let page = api.request(Method::GET, "/").send().await.unwrap().text().await.unwrap();
    assert!(!page.contains("<title>Running normally"), "{cause}: the page is green");
    assert!(page.contains("band warn") || page.contains("band bad"), "{cause}: the band is green");
    let code = worker.command(&["status"]).await.status.code();
    assert_eq!(code, Some(if verdict == "degraded" { 4 } else { 1 }), "{cause}");
    // The gauges are set once a second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let metrics = api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let of_state = format!("handoffd_organization_state{{organization=\"{ORGANIZATION}\",state=\"");
    let state = metrics.lines().find_map(|line| line.strip_prefix(&of_state)?.strip_suffix("\"} 1"));
    let metric = state.filter(|state| *state != "open").unwrap_or(&verdict).to_owned();
    assert!(metrics.contains(&format!("handoffd_verdict{{verdict=\"{verdict}\"}} 1")), "{cause}: {metrics}");
    let is_loud = |line: &&Value| ["WARN", "ERROR"].contains(&line["level"].as_str().unwrap_or_default());
    let lines = worker.lines();
    let loud = lines.iter().filter(is_loud).filter(|line| line["message"] != "insecure setting");
    let log = loud.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).next_back().unwrap_or_default();
    println!("{cause}: {verdict} after {after:?}");
    Row { cause, verdict, after, metric, log }
}

async fn refusals(rows: &mut Vec<Row>) {
    for (cause, operation, effect, count, text) in [
        ("every create hangs", "incidents.create", json!("hang"), 8, "no answer"),
        ("every request hangs", "*", json!("hang"), 8, "no answer"),
        ("every create is answered 503", "incidents.create", json!({ "status": 503 }), 8, "requests failed"),
        ("connections are reset", "*", json!("reset_before"), 8, "requests failed"),
        (
            "every case is refused (plug-in)",
            "incidents.create",
            json!({ "status": 400, "code": "0x80040265", "message": "Refused." }),
            8,
            "were refused",
        ),
        (
            "the environment's firewall refuses",
            "incidents.create",
            json!({ "status": 403, "code": "0x80095ffe", "message": "IP address is blocked." }),
            1,
            "blocked",
        ),
    ] {
        let rig = plan().start().await;
        rig.crm.fault(&json!({ "operation": operation, "times": null, "fault": effect }));
        rig.bus.publish_all(&events(count)).await;
        rows.push(shown(&rig, cause, Instant::now(), text).await);
    }
    let rig = plan().start().await;
    rig.crm.environment().configure(&json!({ "missing_privileges": ["prvCreateIncident"] })).unwrap();
    rig.bus.publish_all(&events(1)).await;
    rows.push(shown(&rig, "a privilege is missing", Instant::now(), "blocked").await);
    let rig = plan().organize("client_secret", format!("{SECRET}-ended")).start().await;
    rig.bus.publish_all(&events(1)).await;
    rows.push(shown(&rig, "the secret is refused or has ended", Instant::now(), "blocked").await);
    let rig = plan().start().await;
    let answer = json!({ "status": 429, "code": "0x80072322", "message": "Too many.", "retry_after": 90 });
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": answer }));
    rig.bus.publish_all(&events(1)).await;
    let mut row = shown(&rig, "throttled, after its first minute", Instant::now(), "throttled").await;
    row.after = row.after.saturating_sub(Duration::from_secs(60));
    rows.push(row);
}

async fn files(rows: &mut Vec<Row>) {
    let rig = plan().start().await;
    assert_eq!(rig.worker().api("POST", "/organizations/org_acme/pause", None).await.0, 200);
    rows.push(shown(&rig, "paused by an operator", Instant::now(), "paused").await);

    let rig = plan().start().await;
    let file = rig.folder.path().join("organizations").join(format!("{ORGANIZATION}.toml"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("default_priority = 9\n{text}")).unwrap();
    rows.push(shown(&rig, "an organization's file is faulty", Instant::now(), "default_priority").await);
    std::fs::write(&file, text.replace("client_secret", "client_secret = { env = \"NO_SUCH_SECRET\" }\n#")).unwrap();
    rows.push(shown(&rig, "its secret's variable is not set", Instant::now(), "NO_SUCH_SECRET").await);

    let rig = plan().start().await;
    std::fs::write(rig.folder.path().join("organizations/other.toml"), "organization_id = ").unwrap();
    rows.push(
        shown(&rig, "a file does not give its organization", Instant::now(), "whose organization is unknown").await,
    );

    let rig = plan().start().await;
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": "hang" }));
    let (event, seen) = (handoff("email"), Timestamp::now() - 10.minutes());
    let old = properties(&event).with_headers(headers(&[(FIRST_SEEN, &seen.to_string())]));
    rig.bus.publish_as(&event.routing_key(), &event.body(), old).await;
    rows.push(shown(&rig, "the oldest event is older than 5 min", Instant::now(), "oldest event is 10 min old").await);
}

async fn worker_itself(rows: &mut Vec<Row>) {
    let rig = plan().lay_out().await;
    let worker = rig.start_worker_under("worker", &["env", "--ignore-signal=XFSZ"]);
    worker.ready().await;
    let full = Command::new("prlimit").args(["--pid", &worker.id(), "--fsize=1:unlimited"]).status().unwrap();
    assert!(full.success());
    rig.bus.publish_all(&events(3)).await;
    rows.push(shown(&rig, "the store's disk is full", Instant::now(), "the store fails").await);

    for (cause, order) in [("the worker is killed", "-KILL"), ("the worker hangs", "-STOP")] {
        let rig = plan().start().await;
        let worker = rig.worker();
        signal(order, &worker.id());
        let injected = Instant::now();
        let output = worker.command(&["status"]).await;
        assert_eq!(output.status.code(), Some(1), "{cause}: {output:?}");
        signal("-CONT", &worker.id());
        let (after, metric) = (injected.elapsed(), "up 0".to_owned());
        rows.push(Row { cause, verdict: "unknown".to_owned(), after, metric, log: String::new() });
    }
}

async fn broker(rows: &mut Vec<Row>) {
    let causes: [(_, fn(&Broker)); 3] = [
        ("the broker stops", Broker::stop),
        ("the broker is killed", Broker::kill9),
        ("the broker hangs", Broker::freeze),
    ];
    for (cause, inject) in causes {
        let broker = Broker::start();
        let rig = rig_on(&broker).start().await;
        let injected = Instant::now();
        inject(&broker);
        rows.push(shown(&rig, cause, injected, "broker").await);
    }
    let broker = Broker::start();
    let rig = rig_on(&broker).set("broker", "confirm_timeout", "2s").start().await;
    let [_, outcomes] = rig.files.exchanges();
    broker.set_permissions("/", "guest", [".*", &format!("^(?!{}$).*", outcomes.replace('.', "\\.")), ".*"]);
    rig.bus.publish_all(&events(3)).await;
    rows.push(shown(&rig, "outcomes may not be published (403)", Instant::now(), &outcomes).await);

    let rig = rig_on(&broker).set("broker", "confirm_timeout", "2s").start().await;
    broker.set_permissions("/", "guest", [".*", ".*", ".*"]);
    let queue = rig.retry_queue("200ms");
    let found = format!("{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>))");
    broker.eval(&format!("{found}, sys:suspend(amqqueue:get_pid(Queue))."));
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": null, "fault": { "status": 503 } }));
    rig.bus.publish_all(&events(3)).await;
    rows.push(shown(&rig, "a retry queue has no leader", Instant::now(), &queue).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures for some minutes; run it by hand"]
async fn verdict_table() {
    let mut rows = Vec::new();
    refusals(&mut rows).await;
    files(&mut rows).await;
    worker_itself(&mut rows).await;
    broker(&mut rows).await;
    println!("| cause | status and page | state metric | after | log |\n| --- | --- | --- | --- | --- |");
    for Row { cause, verdict, after, metric, log } in &rows {
        println!("| {cause} | `{verdict}` | `{metric}` | {:.1} s | {log} |", after.as_secs_f64());
    }
    let late: Vec<_> = rows.iter().filter(|row| row.after > WITHIN).map(|row| row.cause).collect();
    assert_eq!((late, rows.len()), (Vec::new(), 22));
}
