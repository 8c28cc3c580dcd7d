//! Helpers shared by the tests of these commands.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lapin::BasicProperties;
use serde_json::Value;

use crate::support::bus::headers;
use crate::support::event::{Event, handoff};
use crate::support::rig::Rig;
use crate::support::worker::program;

/// Default time of death of the dead letters in these tests.
pub const DEAD_AT: &str = "2026-11-22T10:16:00Z";

/// Dead letter as the worker publishes it.
pub struct Dead {
    pub event: Event,
    pub reason: &'static str,
    pub died: String,
}

impl Dead {
    pub fn of(event: Event) -> Self {
        Self { event, reason: "rejected_by_dynamics", died: DEAD_AT.to_owned() }
    }

    pub fn new() -> Self {
        Self::of(handoff("email"))
    }

    pub fn reason(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }

    pub fn at(self, died: &str) -> Self {
        Self { died: died.to_owned(), ..self }
    }

    pub fn properties(&self) -> BasicProperties {
        let table = headers(&[
            ("x-handoffd-reason", self.reason),
            ("x-handoffd-error", "0x80040265: refused by a plug-in"),
            ("x-handoffd-step", "post_incident"),
            ("x-handoffd-attempts", "1"),
            ("x-handoffd-event-id", self.event.id()),
            ("x-handoffd-organization-id", self.event.0["organization_id"].as_str().unwrap()),
            ("x-handoffd-session-id", self.event.session()),
            ("x-handoffd-first-seen", "2026-11-22T10:15:30Z"),
            ("x-handoffd-dead-at", &self.died),
            ("x-handoffd-original-routing-key", &self.event.routing_key()),
        ]);
        crate::support::bus::properties(&self.event).with_headers(table)
    }

    /// Puts it into the dead-letter queue.
    pub async fn bury(self, rig: &Rig) -> Event {
        rig.bus.put(&rig.files.dead_letter_queue(), &self.event.body(), self.properties()).await;
        self.event
    }
}

/// `handoffd --config … dead-letters …`, with or without a running worker.
pub fn command(rig: &Rig, arguments: &[&str]) -> Command {
    let config = rig.files.write(rig.folder.path(), "worker");
    let mut command = program();
    command.arg("--config").arg(config).arg("dead-letters").args(arguments).stdin(Stdio::null());
    command
}

/// Runs the command.
pub async fn run(rig: &Rig, arguments: &[&str]) -> Output {
    let mut command = command(rig, arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Runs the command on a terminal, types an answer, and returns what the terminal shows.
pub async fn on_a_terminal(rig: &Rig, arguments: &[&str], answer: &str) -> String {
    let inner = command(rig, arguments);
    let words = std::iter::once(inner.get_program()).chain(inner.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut outer = Command::new("script");
    outer.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
    let mut outer = outer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script (bsdutils) runs");
    outer.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = tokio::task::spawn_blocking(move || outer.wait_with_output().unwrap()).await.unwrap();
    text(&output.stdout)
}

/// Entries that a successful command prints with `--json`.
pub async fn entries(rig: &Rig, arguments: &[&str]) -> Vec<Value> {
    let (status, entries) = results(rig, arguments).await;
    assert_eq!(status, 0, "{arguments:?}");
    entries
}

/// Exit status of a command, and the entries that it prints with `--json`.
pub async fn results(rig: &Rig, arguments: &[&str]) -> (i32, Vec<Value>) {
    let mut all = arguments.to_vec();
    all.push("--json");
    let output = run(rig, &all).await;
    let entries = serde_json::from_slice(&output.stdout);
    let entries = entries.unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    (output.status.code().unwrap(), entries)
}

/// Event ids of the entries.
pub fn ids(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["event_id"].as_str().unwrap()).collect()
}

/// Ids of the dead letters themselves.
pub fn letters(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["letter_id"].as_str().unwrap()).collect()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn write(folder: &Path, name: &str, value: &Value) -> String {
    let path = folder.join(name);
    std::fs::write(&path, value.to_string()).unwrap();
    path.display().to_string()
}
