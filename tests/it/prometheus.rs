//! A real Prometheus scrapes a worker, answers queries for every metric of the contract, and accepts the alert rules.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use url::form_urlencoded;

use crate::support::broker::eventually;
use crate::support::event::handoff;
use crate::support::rig::rig;
use crate::support::worker::http;

/// Expected value of each metric of contract 10 after one handoff and one dead letter, as a query with an answer.
const QUERIES: &[&str] = &[
    r#"up{job="handoffd"} == 1"#,
    r#"handoffd_events_total{type="handoff",outcome="succeeded"} == 1"#,
    r#"handoffd_events_total{type="handoff",outcome="dead_lettered"} == 1"#,
    r#"handoffd_event_seconds_count{type="handoff",route="incident"} == 1"#,
    r#"handoffd_event_age_seconds_count{type="handoff"} >= 1"#,
    "handoffd_in_flight == 0",
    r#"handoffd_retries_total{reason="transient"} == 0"#,
    r#"handoffd_dead_letters_total{reason="invalid_event"} == 1"#,
    r#"handoffd_dynamics_requests_total{operation="post_incident",status="201"} == 1"#,
    r#"handoffd_dynamics_requests_total{operation="token",status="401"} == 0"#,
    r#"handoffd_dynamics_request_seconds_count{operation="post_incident"} == 1"#,
    r#"handoffd_dynamics_throttled_total{organization="org_acme"} == 0"#,
    r#"handoffd_organization_blocked{organization="org_acme"} == 0"#,
    r#"handoffd_organization_state{organization="org_acme",state="open"} == 1"#,
    r#"handoffd_organization_events_total{organization="org_acme",outcome="succeeded"} == 1"#,
    r#"handoffd_organization_requests_total{organization="org_acme",result="ok"} > 1"#,
    r#"handoffd_organization_requests_total{organization="org_acme",result="timeout"} == 0"#,
    r#"handoffd_organization_last_success_seconds{organization="org_acme"} > time() - 600"#,
    r#"handoffd_organization_waiting{organization="org_acme"} == 0"#,
    r#"handoffd_organization_oldest_seconds{organization="org_acme"} == 0"#,
    r#"handoffd_verdict{verdict="working"} == 1"#,
    "handoffd_unidentified_organization_files == 0",
    r#"handoffd_queue_messages{queue=~".+dead-letters"} == 1"#,
    "handoffd_broker_connected == 1",
    "handoffd_store_flush_seconds_count > 0",
    "handoffd_store_bytes > 0",
    "handoffd_build_info == 1",
    "handoffd_ready == 1",
    "handoffd_consuming == 1",
    "handoffd_store_healthy == 1",
    "handoffd_oldest_event_seconds == 0",
    r#"handoffd_insecure_settings{setting="dynamics.allow_insecure"} == 1"#,
];

/// Prometheus process, killed when dropped.
struct Prometheus {
    child: Child,
    base: String,
    client: reqwest::Client,
}

impl Prometheus {
    /// Starts Prometheus to scrape this address. Returns `None` if it is not installed.
    fn start(folder: &Path, target: &str) -> Option<Self> {
        Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules.yaml");
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{:?}]\nscrape_configs:\n  - job_name: \
             handoffd\n    static_configs: [{{ targets: [{target:?}] }}]\n",
            rules.display().to_string(),
        );
        std::fs::write(&config, text).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = std::fs::File::create(folder.join("prometheus.log")).unwrap();
        let child = tied()
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("series").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Some(Self { child, base: format!("http://{address}"), client: http() })
    }

    async fn ask(&self, path: &str) -> Option<Value> {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }

    /// Waits until a query has an answer.
    async fn knows(&self, query: &str) {
        let path = format!(
            "/api/v1/query?{}",
            form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish()
        );
        eventually(query, async || {
            let answer = self.ask(&path).await.unwrap_or_default();
            answer["data"]["result"].as_array().is_some_and(|series| !series.is_empty())
        })
        .await;
    }

    /// All alerts, once each has been evaluated.
    async fn alerts(&self) -> Vec<Value> {
        let mut rules = Vec::new();
        eventually("rules that were evaluated", async || {
            let answer = self.ask("/api/v1/rules").await.unwrap_or_default();
            rules = answer["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
            !rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")
        })
        .await;
        rules
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Command whose process ends with the test, even if the test is killed, where the system supports it.
fn tied() -> Command {
    if !Path::new("/usr/bin/setpriv").exists() {
        return Command::new("prometheus");
    }
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--pdeathsig", "KILL", "--", "prometheus"]);
    command
}

#[tokio::test]
async fn a_real_prometheus_scrapes_the_worker_and_accepts_the_rules() {
    let rig = rig().start().await;
    let Some(prometheus) = Prometheus::start(rig.folder.path(), &rig.worker().address().unwrap()) else {
        eprintln!("skipped: prometheus is not installed (Debian, Ubuntu: apt-get install prometheus)");
        return;
    };
    rig.hand_off(&handoff("email")).await;
    rig.process(&handoff("email").with("/data/channel", 5)).await;
    for query in QUERIES {
        prometheus.knows(query).await;
    }
    let alerts = prometheus.alerts().await;
    assert!(alerts.len() >= 18, "{} rules", alerts.len());
    for alert in alerts {
        assert_eq!(alert["health"], "ok", "{alert}");
        assert_ne!(alert["state"], "firing", "{alert}");
    }
}
