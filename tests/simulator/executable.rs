use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::http;

const DEADLINE: Duration = Duration::from_secs(20);

/// Process of the simulator, killed when dropped.
struct Simulator(Option<Child>);

impl Simulator {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dynamics-simulator"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().expect("the simulator starts")))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("not yet waited for")
    }

    /// Returns the first line of standard output.
    async fn line(&mut self) -> String {
        let output = self.child().stdout.take().expect("a pipe");
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).expect("text");
            line
        });
        tokio::time::timeout(DEADLINE, read).await.expect("in time").expect("read")
    }

    /// Waits for the process to exit and returns its status and output.
    async fn end(mut self) -> Output {
        let child = self.0.take().expect("not yet waited for");
        let id = child.id().to_string();
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
        let Ok(output) = tokio::time::timeout(DEADLINE, ended).await else {
            signal("-KILL", &id);
            panic!("it did not end");
        };
        output.expect("waited").expect("it ran")
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(signal: &str, id: &str) {
    let sent = Command::new("kill").args([signal, id]).status().expect("kill runs");
    assert!(sent.success());
}

#[tokio::test]
async fn it_reports_its_listeners_and_exits_on_signals() {
    for ending in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().expect("a folder");
        let ready = folder.path().join("ready.json");
        let two = ["--environment", "name=acme", "--environment", "name=globex,profile=stock"];
        let options = ["--json", "--latency", "5ms", "--ready-file", ready.to_str().expect("a plain path")];
        let mut simulator = Simulator::start(&[&two[..], &options[..]].concat());
        let environments: Value = serde_json::from_str(&simulator.line().await).expect("JSON");
        assert_eq!((&environments[0]["name"], &environments[1]["profile"]), (&json!("acme"), &json!("stock")));
        let file = std::fs::read_to_string(&ready).expect("the ready file precedes the line");
        assert_eq!(serde_json::from_str::<Value>(&file).expect("JSON"), environments);

        let url = environments[1]["url"].as_str().expect("a URL");
        let settings = http().get(format!("{url}/_simulator/settings")).send().await.expect("an answer");
        let settings: Value = serde_json::from_str(&settings.text().await.expect("text")).expect("JSON");
        assert_eq!((&settings["latency_ms"], &settings["customer"]), (&json!(5), &json!("required")));

        signal(ending, &simulator.child().id().to_string());
        let output = simulator.end().await;
        assert!(output.status.success(), "{ending}: {output:?}");
    }
}

#[tokio::test]
async fn errors_name_the_problem() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken_by_us = format!("name=acme,listen={}", taken.local_addr().expect("an address"));
    for (arguments, status, message) in [
        (vec![], 2, "--environment"),
        (vec!["--environment", "name=acme,profile=x"], 2, "expected `opencx` or `stock`"),
        (vec!["--environment", "name=a", "--environment", "name=a"], 1, "two environments are named `a`"),
        (vec!["--environment", &taken_by_us], 1, "environment `acme` can't listen on"),
        (vec!["--latency", "fast", "--environment", "name=acme"], 2, "250ms"),
    ] {
        let output = Simulator::start(&arguments).end().await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        assert!(text.contains(message), "{text}");
    }
}
