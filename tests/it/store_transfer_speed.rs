//! Measurements of `store export` and `store import`, run by hand:
//! `MOVED=100000 bash deploy/postgres.sh run -- cargo test --test it -- --ignored --nocapture store_transfer_speed`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use handoffd_engine::workflow::SessionState;

use crate::store_samples::{at, change, contact_change, finished, incident, key, opened, session_change};
use crate::support::postgres::{Postgres, new_schema};

/// Runs a command and prints its time and its largest resident memory.
fn measured(folder: &Path, name: &str, url: Option<&str>, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handoffd"));
    command.current_dir(folder).args(["--config", "handoffd.toml", "store"]).args(arguments);
    command.env("HANDOFFD_STORE__PATH", folder.join("store")).env("HANDOFFD_HTTP__LISTEN", "127.0.0.1:1");
    if let Some(url) = url {
        command.env("HANDOFFD_STORE__KIND", "postgres").env("HANDOFFD_STORE__URL", url);
    }
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut memory = String::new();
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.starts_with("VmHWM")) {
            line.clone_into(&mut memory);
        }
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(ended.success());
    println!("{name}: {:.1?}, {memory}", began.elapsed());
}

#[tokio::test]
#[ignore = "a measurement"]
async fn moves_many_events_there_and_back() {
    let count: u128 = std::env::var("MOVED").map_or(100_000, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("handoffd.toml"), "").unwrap();
    let store = opened(&folder.path().join("store"));
    for first in (0..count).step_by(500) {
        let mut changes = Vec::new();
        for number in first..(first + 500).min(count) {
            let (event, session) =
                (format!("evt_{:x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)), format!("ses_{number}"));
            let record = finished(&session, number, at(i64::try_from(number % 800_000).unwrap()));
            let state = SessionState::Open { incident: incident(number), ticket_number: None };
            changes.push(change(&key("org", &event), &record));
            changes.push(session_change("org", &session, &event, state, at(0)));
            changes.push(contact_change("org", &session, number, at(0)));
        }
        store.persist(changes).await.unwrap();
    }
    store.close().await.unwrap();
    let folder = folder.path();
    let schema = new_schema(Postgres::shared()).await;
    measured(folder, "export from sled", None, &["export", "out.jsonl"]);
    println!("{} bytes", folder.join("out.jsonl").metadata().unwrap().len());
    measured(folder, "import into PostgreSQL", Some(&schema), &["import", "out.jsonl"]);
    measured(folder, "import into PostgreSQL again", Some(&schema), &["import", "out.jsonl"]);
    measured(folder, "export from PostgreSQL", Some(&schema), &["export", "back.jsonl"]);
    std::fs::rename(folder.join("store"), folder.join("old")).unwrap();
    measured(folder, "import into sled", None, &["import", "back.jsonl"]);
    measured(folder, "import into sled again", None, &["import", "back.jsonl"]);
}
