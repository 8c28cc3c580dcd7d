//! 100,000 dead letters. Run manually: `make dead-letters`.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use lapin::options::BasicPublishOptions;

use super::desk::{Dead, command};
use crate::support::broker::{Broker, Client};
use crate::support::event::handoff;
use crate::support::rig::{Rig, rig};

/// Number of dead letters; every tenth is of another organization, and every fourth has another reason.
const COUNT: usize = 100_000;
/// Length of a summary in characters, for a body of about 3 KB.
const SUMMARY: usize = 2000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; run manually: make dead-letters"]
async fn a_hundred_thousand_dead_letters() {
    let count = std::env::var("COUNT").map_or(COUNT, |text| text.parse().expect("COUNT is a number"));
    let rig = rig().start().await;
    rig.stop_workers().await;
    fill(&rig, count).await;
    println!("{count} dead letters of {} bytes", one(0).event.body().len());
    for (arguments, expected) in [
        (&["list", "--json"][..], count),
        (&["list", "--reason", "invalid_event", "--json"], count / 4),
        (&["replay", "--organization", "org_other", "--json"], count / 10),
        (&["discard", "--reason", "invalid_event", "--json"], count / 4 - count / 20),
        (&["replay", "--all", "--json"], count - count / 10 - (count / 4 - count / 20)),
    ] {
        measure(&rig, arguments, expected).await;
    }
    assert_eq!(rig.bus.dead_letters().await, 0);
}

fn one(number: usize) -> Dead {
    let event = handoff("email").with("/data/summary", "s".repeat(SUMMARY));
    let event = if number.is_multiple_of(10) { event.with("/organization_id", "org_other") } else { event };
    let reason = if number.is_multiple_of(4) { "invalid_event" } else { "rejected_by_dynamics" };
    Dead::of(event).reason(reason)
}

async fn fill(rig: &Rig, count: usize) {
    let client = Client::connect(Broker::shared()).await;
    let queue = rig.files.dead_letter_queue();
    for batch in (0..count).collect::<Vec<_>>().chunks(1000) {
        let mut confirms = Vec::new();
        for number in batch {
            let dead = one(*number);
            let (options, body, properties) = (BasicPublishOptions::default(), dead.event.body(), dead.properties());
            let sent = client.channel().basic_publish("".into(), queue.as_str().into(), options, &body, properties);
            confirms.push(sent.await.unwrap());
        }
        for confirm in confirms {
            assert!(confirm.await.unwrap().is_ack());
        }
    }
}

/// Runs a command and prints its time and peak memory.
async fn measure(rig: &Rig, arguments: &[&str], expected: usize) {
    let before = rig.bus.dead_letters().await;
    let inner = command(rig, arguments);
    // The shell reports its child's peak memory; /usr/bin/time may not be installed.
    let mut child = Command::new(inner.get_program());
    child.args(inner.get_args()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let start = Instant::now();
    let mut child = child.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_kilobytes(&status));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let elapsed = start.elapsed();
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&reader.join().unwrap()).unwrap();
    let after = rig.bus.dead_letters().await;
    println!(
        "{:<62} {:>7} entries  {:>6.1} s  {:>5.1} MB  dead letters {before} -> {after}",
        arguments.join(" "),
        entries.len(),
        elapsed.as_secs_f64(),
        f64::from(peak) / 1024.0
    );
    assert_eq!(entries.len(), expected);
    assert!(peak < 100 * 1024, "{peak} KB");
}

fn peak_kilobytes(status: &str) -> u32 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}
