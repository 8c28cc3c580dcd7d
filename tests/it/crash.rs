//! Worker and broker are killed in the middle of their work: nothing is lost and nothing is duplicated.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::broker::{Broker, eventually};
use crate::support::event::{Event, handoff, resolved};
use crate::support::rig::{Rig, rig, rig_on};

/// Number of events being processed while the worker is killed.
const EVENTS: usize = 500;
/// Number of their customers.
const CUSTOMERS: usize = 50;
/// Number of times the worker is killed.
const KILLS: usize = 10;
/// Contract: longest time until the worker consumes again after the broker's return.
const BACK_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_ten_times_loses_and_duplicates_nothing() {
    let rig = rig().start().await;
    rig.crm.environment().configure(&json!({ "latency_ms": 20 })).unwrap();
    let lost = json!({ "operation": "*.create", "times": null, "probability": 0.05, "fault": "reset_after_commit" });
    rig.crm.fault(&lost);
    let events = load(EVENTS);
    rig.bus.publish_all(&events).await;
    for kill in 1..=KILLS {
        let so_many = kill * EVENTS / (KILLS + 2);
        eventually(&format!("{so_many} records"), async || records(&rig) >= so_many).await;
        rig.worker().kill9();
        rig.start_worker("worker");
    }
    rig.bus.outcomes_of(&events).await;
    each_exactly_once(&rig, &events).await;
    rig.nothing_is_left().await;
}

/// A handoff and the resolution behind it were taken by two consumers: the prefetch grows after the first message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_with_a_handoff_and_its_resolution_closes_the_case() {
    let rig = rig().start().await;
    for _ in 0..8 {
        let event = handoff("email");
        rig.crm.fault(&json!({ "operation": "incidents.create", "fault": "hang" }));
        let resolution = resolved(event.session());
        rig.bus.publish_all(&[event.clone(), resolution.clone()]).await;
        eventually("both in progress", async || rig.worker().metric("handoffd_in_flight", "").await == 2).await;
        rig.worker().kill9();
        rig.start_worker("worker").ready().await;
        rig.bus.outcomes_of(&[event, resolution]).await;
    }
    let resolutions = rig.bus.all_outcomes().await.into_iter().map(|outcome| outcome.body);
    for outcome in resolutions.filter(|body| body["event"].as_str().unwrap().contains("resolution")) {
        assert_eq!(outcome["event"], "dynamics365.resolution.succeeded", "{outcome}");
    }
    assert!(rig.crm.incidents().iter().all(|row| row["statecode"] == 1), "{:?}", rig.crm.incidents());
    rig.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_under_load_loses_nothing() {
    let broker = Broker::start();
    let rig = rig_on(&broker).start().await;
    rig.crm.environment().configure(&json!({ "latency_ms": 100 })).unwrap();
    let mut events = load(300);
    rig.bus.publish_all(&events).await;
    eventually("some records", async || records(&rig) >= 50).await;
    broker.kill9();
    eventually("an unready worker", async || rig.worker().unready().await != [""; 0]).await;

    broker.restart();
    let back = Instant::now();
    rig.worker().ready().await;
    let took = back.elapsed();
    assert!(took <= BACK_WITHIN, "the worker consumed again {took:?} after the broker's return");
    rig.bus.reconnect().await;
    let more = load(50);
    rig.bus.publish_all(&more).await;
    events.extend(more);
    rig.bus.outcomes_of(&events).await;
    each_exactly_once(&rig, &events).await;
    rig.nothing_is_left().await;
}

/// Delays between publishing the events and killing the broker, at which a queue declared for them was once lost.
const KILLED_AFTER: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(500), Duration::from_millis(800)];

/// Of a slow organization, whose events still lie in its queue, and of one that is just being added.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_soon_after_events_were_published_loses_none() {
    let broker = Broker::start();
    let rig = rig_on(&broker).set("broker", "new_queue_wait", "5s").start().await;
    rig.crm.environment().configure(&json!({ "latency_ms": 1000 })).unwrap();
    let mut events = Vec::new();
    for (number, after) in KILLED_AFTER.into_iter().enumerate() {
        let added = format!("org_added_{number}");
        rig.files.write_another_organization(rig.folder.path(), &added);
        let queue = rig.files.organization_queue(&added);
        eventually("its queue", async || rig.bus.has_queue(&queue).await).await;
        let of_added = load(200).into_iter().map(|event| event.with("/organization_id", added.as_str()));
        let more: Vec<_> = load(200).into_iter().chain(of_added).collect();
        killed_after(after, &broker, &rig, &more).await;
        rig.bus.outcomes_of(&more).await;
        events.extend(more);
    }
    each_exactly_once(&rig, &events).await;
    rig.nothing_is_left().await;
}

/// Publishes events with confirms, then kills the broker without warning and restarts it.
async fn killed_after(after: Duration, broker: &Broker, rig: &Rig, events: &[Event]) {
    rig.bus.publish_all(events).await;
    tokio::time::sleep(after).await;
    broker.kill_at_once();
    broker.restart();
    rig.worker().ready().await;
    rig.bus.reconnect().await;
}

/// Handoffs of some customers, by all routes.
fn load(count: usize) -> Vec<Event> {
    let customers: Vec<Event> = (0..CUSTOMERS).map(|_| handoff("email")).collect();
    let channels = ["email", "slack", "web", "phone"];
    (0..count)
        .map(|number| {
            let event = handoff(channels[number % channels.len()]);
            event.with("/data/customer/email", customers[number % CUSTOMERS].email())
        })
        .collect()
}

fn records(rig: &Rig) -> usize {
    rig.crm.incidents().len() + rig.crm.rows("oc_liveworkitems").len()
}

/// Asserts one record per event, one contact per customer, and a single answer, however often it was sent.
async fn each_exactly_once(rig: &Rig, events: &[Event]) {
    let mut answers: HashMap<String, Vec<u8>> = HashMap::new();
    let mut made: HashMap<String, String> = HashMap::new();
    for outcome in rig.bus.all_outcomes().await {
        let data = &outcome.body["data"];
        let id = data["source_event_id"].as_str().unwrap().to_owned();
        assert_eq!(outcome.body["event"], "dynamics365.handoff.succeeded", "{}", outcome.body);
        let meta = &data["session_meta"];
        let record = [&meta["dynamics365_incident_id"], &meta["dynamics365_chat_id"]];
        let record = record.into_iter().find_map(Value::as_str).unwrap().to_owned();
        made.insert(record, id.clone());
        let answer = answers.entry(id).or_insert_with(|| outcome.bytes.clone());
        assert_eq!(*answer, outcome.bytes, "the same answer every time");
    }
    assert!(events.iter().all(|event| answers.contains_key(event.id())));
    let (incidents, items) = (rig.crm.incidents(), rig.crm.rows("oc_liveworkitems"));
    let keys = incidents.iter().map(|row| &row["incidentid"]).chain(items.iter().map(|row| &row["oc_liveworkitemid"]));
    for key in keys {
        assert!(made.contains_key(key.as_str().unwrap()), "a record that no outcome names: {key}");
    }
    assert_eq!(incidents.len() + items.len(), made.len());
    assert_eq!(made.len(), answers.len());
    let emails: std::collections::HashSet<String> =
        rig.crm.contacts().iter().map(|row| row["emailaddress1"].as_str().unwrap().to_lowercase()).collect();
    assert_eq!(emails.len(), rig.crm.contacts().len(), "two contacts of one email");
}
