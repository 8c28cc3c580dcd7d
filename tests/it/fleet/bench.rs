//! Rig of several workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::broker::eventually;
use crate::support::event::{Event, ORGANIZATION, handoff};
use crate::support::postgres::{Postgres, new_schema};
use crate::support::rig::{Plan, Rig, rig};
use crate::support::worker::Worker;

/// Heartbeat of the connections to the broker of workers that are cut off, in seconds.
pub const HEARTBEAT: u64 = 4;
/// Lease, twice the heartbeat, and 5 s (contract 11).
const TAKEOVER_LIMIT: Duration = Duration::from_secs(2 + 2 * HEARTBEAT + 5);

/// Organizations of the rig beside `ORGANIZATION`.
pub const OTHERS: [&str; 3] = ["org_b", "org_c", "org_d"];

/// Plan of workers that share a store, with a short lease.
pub async fn plan() -> Plan {
    plan_at(&new_schema(Postgres::shared()).await)
}

/// Plan of workers that share the store at this URL.
pub fn plan_at(url: &str) -> Plan {
    rig().set("store", "kind", "postgres").set("store", "url", url).set("fleet", "lease", "2s").set(
        "dynamics",
        "request_timeout",
        "60s",
    )
}

/// Two workers, `a` and `b`, that own two of four organizations each.
pub async fn pair(plan: Plan) -> (Rig, Arc<Worker>, Arc<Worker>) {
    let rig = plan.others(&OTHERS).lay_out().await;
    let a = rig.start_worker("a");
    a.ready().await;
    owns(&a, 4).await;
    let b = rig.start_worker("b");
    b.ready().await;
    owns(&a, 2).await;
    owns(&b, 2).await;
    // A worker's view of another's organizations is as old as its last heartbeat.
    eventually("two of each in both views", async || {
        owned_by(&a, "b").await.len() == 2 && owned_by(&b, "a").await.len() == 2
    })
    .await;
    (rig, a, b)
}

/// Cuts off `b`, which has an event in progress with an answer after this time, and asserts that another worker takes over in
/// time. Returns the events, which all have their outcomes.
pub async fn cut_off_and_replaced(rig: &Rig, a: &Worker, answer_ms: u64, cut: impl FnOnce()) -> Vec<Event> {
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": 1, "fault": { "delay_ms": answer_ms } }));
    let slow = handoff("email").with("/organization_id", owned_by(a, "b").await[0]);
    rig.bus.publish(&slow).await;
    eventually("a request", async || rig.crm.fired().await == 1).await;
    cut();
    let lost = Instant::now();
    let mut events = handoffs(20);
    rig.bus.publish_all(&events).await;
    events.push(slow);
    rig.bus.outcomes_of(&events).await;
    let taken = lost.elapsed();
    eprintln!("all events had their outcomes {taken:?} after the loss");
    assert!(taken < TAKEOVER_LIMIT, "{taken:?}");
    events
}

/// Waits until a worker owns this many organizations.
pub async fn owns(worker: &Worker, count: i64) {
    worker.counts("handoffd_organizations_owned", "", count).await;
}

/// All organizations of the rig.
pub fn organizations() -> impl Iterator<Item = &'static str> {
    std::iter::once(ORGANIZATION).chain(OTHERS)
}

/// Handoffs, in turn of each organization.
pub fn handoffs(count: usize) -> Vec<Event> {
    let all: Vec<&str> = organizations().collect();
    (0..count).map(|nth| handoff("email").with("/organization_id", all[nth % all.len()])).collect()
}

/// Name of the worker that owns an organization, as this worker sees it.
pub async fn owner(worker: &Worker, organization: &str) -> Option<String> {
    worker.stands(organization).await["worker"].as_str().map(str::to_owned)
}

/// Organizations that the worker of this name owns, as another one sees it.
pub async fn owned_by(seen_by: &Worker, name: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for organization in organizations() {
        if owner(seen_by, organization).await.as_deref() == Some(name) {
            found.push(organization);
        }
    }
    found
}

/// Workers as a command lists them: name and state.
pub async fn listed(worker: &Worker) -> Vec<(String, String)> {
    let listed = worker.command(&["workers", "list", "--json"]).await;
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    listed.iter().map(|one| (text(one, "name"), text(one, "state"))).collect()
}

/// Waits until the worker of this name is listed in this state.
pub async fn is_listed(worker: &Worker, name: &str, state: &str) {
    let entry = (name.to_owned(), state.to_owned());
    eventually(&format!("{name} to be {state}"), async || listed(worker).await.contains(&entry)).await;
}

/// Asserts that each of these events has one case and one outcome.
pub async fn carried_once(rig: &Rig, events: &[Event]) {
    rig.bus.outcomes_of(events).await;
    eventually("empty queues", async || rig.bus.unfinished().await == 0).await;
    assert_eq!(rig.crm.incidents().len(), events.len(), "a case for each event");
    assert_eq!(rig.bus.dead_letters().await, 0);
    let outcomes = rig.bus.all_outcomes().await;
    for event in events {
        let of_it = outcomes.iter().filter(|outcome| outcome.body["data"]["source_event_id"] == event.id());
        let bodies: std::collections::HashSet<_> = of_it.map(|outcome| &outcome.bytes).collect();
        assert_eq!(bodies.len(), 1, "the same outcome each time: {bodies:?}");
    }
}
