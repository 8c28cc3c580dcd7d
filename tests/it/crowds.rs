//! Many events and many troubled organizations. Run manually: `make crowds`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::broker::eventually;
use crate::support::event::{ANOTHER_ORGANIZATION, Event, ORGANIZATION, handoff, resolved};
use crate::support::rig::{Rig, rig};
use crate::support::simulator::SECRET;

/// Sessions of the blocked organization, each with a handoff and a resolution.
const SESSIONS: usize = 30_000;
/// Number of hanging organizations, and number and size in bytes of their events.
const ORGANIZATIONS: usize = 200;
const EVENTS: usize = 500;
const BYTES: usize = 20_000;
/// Limit of the worker's resident memory, in a release build. The code of an unoptimized one takes 20 MiB more.
const MOST_RESIDENT_KIB: u64 = 160 * 1024;
/// Clock ticks per second of `/proc/<pid>/stat`: 100 on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make crowds"]
async fn sixty_thousand_events_of_a_blocked_organization_cost_nothing_and_are_processed_in_order() {
    let rig = rig().lay_out().await;
    let mut other = rig.files.clone();
    other.organize("client_secret", "another");
    other.write_another_organization(rig.folder.path(), ANOTHER_ORGANIZATION);
    rig.crm.environment().configure(&json!({ "client_secrets": ["another"] })).unwrap();
    rig.start_worker("worker").ready().await;

    let pairs: Vec<[Event; 2]> = (0..SESSIONS).map(|_| handoff("email")).map(with_its_resolution).collect();
    for some in pairs.chunks(5_000) {
        rig.bus.publish_all(some.as_flattened()).await;
    }
    gathered(&rig, 2 * SESSIONS).await;

    let start = Instant::now();
    rig.hand_off(&handoff("email").with("/organization_id", ANOTHER_ORGANIZATION)).await;
    println!("an event of another organization: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(1));

    let (before, watched) = (ticks(&rig), Duration::from_secs(60));
    sleep(watched).await;
    let share = (ticks(&rig) - before) / TICKS / watched.as_secs_f64();
    println!("processor time while {} events wait: {:.2} %", 2 * SESSIONS, share * 100.0);
    assert!(share < 0.02);

    rig.crm.environment().configure(&json!({ "client_secrets": ["another", SECRET] })).unwrap();
    rig.worker().api("POST", &format!("/organizations/{ORGANIZATION}/test"), None).await;
    let start = Instant::now();
    let mut answered = 0;
    while answered < 2 * SESSIONS + 1 {
        assert!(start.elapsed() < Duration::from_secs(1200), "{answered} answers");
        sleep(Duration::from_secs(1)).await;
        answered = rig.bus.all_outcomes().await.len();
    }
    println!("{answered} outcomes in {:?}", start.elapsed());
    in_order(&rig, &pairs).await;
    rig.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make crowds"]
async fn two_hundred_organizations_that_hang_take_little_memory() {
    let rig = rig().set("dynamics", "request_timeout", "100s").lay_out().await;
    let organizations: Vec<String> = (0..ORGANIZATIONS).map(|number| format!("org_{number}")).collect();
    for organization in &organizations {
        rig.files.write_another_organization(rig.folder.path(), organization);
    }
    rig.crm.fault(&json!({ "operation": "*", "times": null, "fault": "hang" }));
    rig.start_worker("worker").ready().await;
    let text = "x".repeat(BYTES);
    for organization in &organizations {
        let event = |_| {
            let place = "/data/transcript/0/text";
            handoff("email").with("/organization_id", organization.as_str()).with(place, text.as_str())
        };
        rig.bus.publish_all(&(0..EVENTS).map(event).collect::<Vec<_>>()).await;
    }
    eventually("an empty inbox", async || rig.bus.depth(&rig.files.work_queue()).await == 0).await;
    sleep(Duration::from_secs(60)).await;
    let (now, most) = (resident(&rig, "VmRSS:"), resident(&rig, "VmHWM:"));
    println!("resident: {} MiB, at most {} MiB", now / 1024, most / 1024);
    assert!(most <= MOST_RESIDENT_KIB);
}

fn with_its_resolution(handoff: Event) -> [Event; 2] {
    let resolution = resolved(handoff.session());
    [handoff, resolution]
}

/// Waits until all events but the few in flight are in the organization's queue.
async fn gathered(rig: &Rig, events: usize) {
    let start = Instant::now();
    while (rig.bus.ready(ORGANIZATION).await as usize) < events - 8 {
        assert!(start.elapsed() < Duration::from_secs(600), "the inbox is not emptied");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Asserts that each handoff is answered before its resolution, which closed its case.
async fn in_order(rig: &Rig, pairs: &[[Event; 2]]) {
    let mut answers: HashMap<String, (usize, Value)> = HashMap::new();
    for (place, outcome) in rig.bus.all_outcomes().await.into_iter().enumerate() {
        let id = outcome.body["data"]["source_event_id"].as_str().unwrap().to_owned();
        answers.entry(id).or_insert((place, outcome.body));
    }
    for [handoff, resolution] in pairs {
        let ((made, _), (closed, body)) = (&answers[handoff.id()], &answers[resolution.id()]);
        assert!(made < closed, "{body}");
        assert_eq!(body["event"], "dynamics365.resolution.succeeded", "{body}");
    }
}

/// Processor time of the worker so far, in ticks.
fn ticks(rig: &Rig) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", rig.worker().id())).unwrap();
    let numbers = text.rsplit_once(')').unwrap().1.split_whitespace().skip(11);
    numbers.take(2).map(|number| number.parse::<f64>().unwrap()).sum()
}

/// Value of a line of `/proc/<pid>/status`, in KiB.
fn resident(rig: &Rig, line: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", rig.worker().id())).unwrap();
    let found = text.lines().find_map(|one| one.strip_prefix(line)).unwrap();
    found.trim().trim_end_matches(" kB").parse().unwrap()
}
