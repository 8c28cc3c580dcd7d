//! The real process observed through the kernel: strace shows that the record's `fsync` has returned before its outcome
//! and its ack are sent, and kills the process at that `fsync`. Run by `make crash`, on systems that allow tracing.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command};

use crate::support::broker::eventually;
use crate::support::event::handoff;
use crate::support::rig::{Rig, rig};

/// Number of acks checked.
const SAMPLE: usize = 50;
/// AMQP's class `basic`, methods `publish` and `ack`, as encoded in a frame after its channel and size.
const PUBLISH: &str = "003c0028";
const ACK: &str = "0000000d003c0050";

/// System call of the process; the trace lists them in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    /// Request sent to Dynamics.
    Post,
    /// Start of a sync of the store's file.
    SyncBegins,
    /// End of that sync.
    SyncEnds,
    /// Message sent to the broker.
    Publish,
    /// Ack sent to the broker.
    Ack,
}

#[tokio::test]
#[ignore = "needs strace: make crash"]
async fn the_kernel_has_synced_the_record_before_outcome_and_ack_are_sent() {
    let rig = rig().lay_out().await;
    let trace = rig.folder.path().join("trace");
    let trace_path = trace.to_str().unwrap();
    let calls = "trace=fsync,fdatasync,write,writev,sendto,sendmsg";
    let strace =
        ["strace", "-D", "-f", "-qq", "-y", "-xx", "-s", "100000", "-e", calls, "-e", "signal=none", "-o", trace_path];
    rig.start_worker_under("worker", &strace).ready().await;
    for _ in 0..SAMPLE {
        // One at a time, so that all calls in between belong to this event.
        rig.hand_off(&handoff("web")).await;
    }
    rig.nothing_is_left().await;
    let calls = read(&trace);
    let acks = calls.iter().filter(|call| **call == Call::Ack).count();
    assert_eq!(acks, SAMPLE, "acks in the trace");
    for (number, event) in calls.split_inclusive(|call| *call == Call::Ack).take(SAMPLE).enumerate() {
        let post = event.iter().rposition(|call| *call == Call::Post).expect("a request to Dynamics");
        let rest: Vec<Call> = event[post..].to_vec();
        let order = [Call::Post, Call::SyncBegins, Call::SyncEnds, Call::Publish, Call::Ack];
        let mut next = order.iter().peekable();
        for call in &rest {
            if next.peek() == Some(&call) {
                next.next();
            } else {
                assert!(matches!(call, Call::SyncBegins | Call::SyncEnds), "event {number}: {rest:?}");
            }
        }
        assert!(next.next().is_none(), "event {number}: {rest:?}");
    }
    println!("{SAMPLE} acks: the store's fsync had returned before the outcome was sent, and that before the ack");
}

#[tokio::test]
#[ignore = "needs strace: make crash"]
async fn killed_at_the_sync_of_its_record_it_does_everything_once() {
    for rig in [rig().start().await, rig().stock().start().await] {
        rig.hand_off(&handoff("email")).await;
        // A new store has no pending writes that would be synced at another time.
        rig.stop_workers().await;
        rig.start_worker("worker").ready().await;
        let (worker, database) = (rig.worker(), rig.store("worker").join("db"));
        let mut strace = kill_at_sync(&worker.id(), &database);
        eventually("strace to have hold of every thread", async || {
            // strace gives up when a thread it is about to attach to ends; it is then started again.
            if strace.try_wait().unwrap().is_some() {
                strace = kill_at_sync(&worker.id(), &database);
            }
            worker.status().is_none() && is_traced(&worker.id())
        })
        .await;
        let event = handoff("web");
        rig.bus.publish(&event).await;
        eventually("the kill", async || worker.status().is_some()).await;
        strace.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&worker.status().unwrap()), Some(9));
        assert_eq!(rig.bus.all_outcomes().await.len(), 1, "the second event has no outcome");
        once_after_a_restart(&rig, event.id()).await;
    }
    println!("killed at the fsync of a record, both profiles: one work item, one outcome");
}

/// Makes the next sync of the store's file kill the process.
fn kill_at_sync(process: &str, database: &Path) -> Child {
    Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-p", process, "-P", database.to_str().unwrap()])
        .args(["-e", "trace=fsync", "-e", "inject=fsync:signal=KILL"])
        .spawn()
        .unwrap()
}

fn is_traced(process: &str) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.flatten().all(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    })
}

async fn once_after_a_restart(rig: &Rig, event: &str) {
    rig.bus.abandoned().await;
    rig.start_worker("worker").ready().await;
    let outcomes = rig.bus.outcomes(event, 1).await;
    rig.nothing_is_left().await;
    assert_eq!(rig.crm.rows("oc_liveworkitems").len(), 1);
    assert_eq!((outcomes.len(), rig.bus.all_outcomes().await.len()), (1, 2));
}

/// The relevant calls, in the order in which they were made.
fn read(trace: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(trace).unwrap();
    let mut syncing: HashMap<&str, bool> = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').expect("a thread and its call");
        let call = call.trim_start();
        if call.starts_with("fsync(") && is_store(call) {
            calls.push(Call::SyncBegins);
            syncing.insert(thread, true);
        }
        let ended = call.ends_with("= 0") && (call.starts_with("fsync(") || call.contains("fsync resumed"));
        if ended && syncing.remove(thread).is_some() {
            calls.push(Call::SyncEnds);
        }
        if ["write(", "writev(", "sendto(", "sendmsg("].iter().any(|name| call.starts_with(name)) {
            calls.extend(sent(call));
        }
    }
    calls
}

/// `fsync(9</…/worker.sled/db>)`; with `-xx` the path is in hexadecimal too.
fn is_store(call: &str) -> bool {
    call.contains("worker.sled/db>") || call.replace("\\x", "").contains(&hexadecimal("worker.sled/db"))
}

/// Frames in data sent on a socket, in order.
fn sent(call: &str) -> Vec<Call> {
    let data: String = call.split('"').skip(1).step_by(2).collect();
    let data = data.replace("\\x", "");
    let post = hexadecimal("POST /api/data");
    let mut found: Vec<(usize, Call)> = Vec::new();
    for (mark, meaning) in [(post.as_str(), Call::Post), (PUBLISH, Call::Publish), (ACK, Call::Ack)] {
        found.extend(data.match_indices(mark).filter(|(at, _)| at % 2 == 0).map(|(at, _)| (at, meaning)));
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, meaning)| meaning).collect()
}

fn hexadecimal(text: &str) -> String {
    text.bytes()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
