//! Load on a cluster, and what must be true of it afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::support::broker::{Client, eventually};
use crate::support::bus::properties;
use crate::support::cluster::Cluster;
use crate::support::event::{Event, ORGANIZATION, handoff, resolved};
use crate::support::rig::{Plan, Rig, rig_at};

/// Organizations beside `ORGANIZATION`.
pub const OTHERS: [&str; 3] = ["org_b", "org_c", "org_d"];
/// Sessions published in any case, beside those that are published during the outage.
const SESSIONS: usize = 60;
/// Pause between two sessions.
const PACE: Duration = Duration::from_millis(60);
/// Longest wait of the publisher for a confirm; then it publishes again elsewhere.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);

/// Plan of a rig whose workers know all nodes.
pub fn plan(cluster: &Cluster) -> Plan {
    rig_at(cluster.urls()).others(&OTHERS).set("broker", "confirm_timeout", "5s").set("worker", "resolution_wait", "2m")
}

/// Order of a session's events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionOrder {
    /// One worker moves them from the inbox.
    Kept,
    /// Several workers do, in no common order: a resolution waits for the first handoff of its session, and does not know
    /// of another one that arrives later. The case of that one stays open.
    MayBeLost,
}

/// Publishes sessions while an outage takes its course, and some before and after.
pub async fn publish_during(rig: &Rig, urls: &str, outage: impl Future<Output = ()>) -> Vec<Event> {
    let (over, mut ends) = tokio::sync::oneshot::channel();
    let publish = async {
        let mut publisher = UntilConfirmed { rig, urls: urls.split(',').collect(), client: None };
        let (mut events, mut nth, mut left) = (Vec::new(), 0, SESSIONS);
        while left > 0 {
            if !matches!(ends.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty)) {
                left -= 1;
            }
            nth += 1;
            for event in session(nth) {
                publisher.publish(&event).await;
                events.push(event);
            }
            sleep(PACE).await;
        }
        events
    };
    let outage = async {
        eventually("some cases", async || rig.crm.incidents().len() >= SESSIONS / 2).await;
        outage.await;
        // The publisher may have panicked.
        _ = over.send(());
    };
    tokio::join!(publish, outage).0
}

/// Two handoffs of a session and its resolution.
fn session(nth: usize) -> [Event; 3] {
    let organizations = [ORGANIZATION, OTHERS[0], OTHERS[1], OTHERS[2]];
    let organization = organizations[nth % organizations.len()];
    let first = handoff("email").with("/organization_id", organization);
    let closing = resolved(first.session()).with("/organization_id", organization);
    let second = first.next();
    [first, second, closing]
}

/// Careful publisher: what is not confirmed is published again, through any node.
struct UntilConfirmed<'a> {
    rig: &'a Rig,
    urls: Vec<&'a str>,
    client: Option<Client>,
}

impl UntilConfirmed<'_> {
    async fn publish(&mut self, event: &Event) {
        self.rig.bus.note(&event.body());
        let [exchange, _] = self.rig.files.exchanges();
        eventually("a confirm of the publisher's", async || {
            if self.client.is_none() {
                self.client = Client::try_connect(&self.urls.join(",")).await.ok();
            }
            let Some(client) = &self.client else { return false };
            let (key, body) = (event.routing_key(), event.body());
            let published = client.try_publish(&exchange, &key, &body, properties(event));
            let confirmed = matches!(timeout(CONFIRM_LIMIT, published).await, Ok(Ok(true)));
            if !confirmed {
                self.client = None;
                self.urls.rotate_left(1);
            }
            confirmed
        })
        .await;
    }
}

/// Asserts that each event has one answer, that each handoff has one case, and that the resolution of its session,
/// published after it, has closed it, unless the handoff was answered after the resolution.
pub async fn each_once(rig: &Rig, events: &[Event], order: SessionOrder) {
    rig.bus.reconnect().await;
    let mut answers: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    // Ids of events in the order of their first answers.
    let mut answered: Vec<String> = Vec::new();
    let mut read = 0;
    eventually("an outcome of each event", async || {
        let all = rig.bus.all_outcomes().await;
        for outcome in &all[read..] {
            let id = outcome.body["data"]["source_event_id"].as_str().expect("an id").to_owned();
            if !answers.contains_key(&id) {
                answered.push(id.clone());
            }
            answers.entry(id).or_default().insert(outcome.bytes.clone());
        }
        read = all.len();
        sleep(PACE).await;
        answers.len() >= events.len()
    })
    .await;
    println!("{} events, {read} outcomes", events.len());
    for event in events {
        let of_it = &answers[event.id()];
        let texts: Vec<_> = of_it.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        assert_eq!(of_it.len(), 1, "the same answer every time: {texts:#?}");
        assert!(texts[0].contains(".succeeded\""), "{}", texts[0]);
    }
    assert_eq!(answers.len(), events.len());
    let cases = rig.crm.incidents();
    let handoffs = events.iter().filter(|event| event.0["event"] == "session.handoff").count();
    assert_eq!(cases.len(), handoffs, "a case for each handoff");
    let open = cases.iter().filter(|case| case["statecode"] != 1).map(|case| case["incidentid"].as_str().unwrap());
    let open: BTreeSet<&str> = open.collect();
    println!("{} cases are open", open.len());
    assert!(order == SessionOrder::MayBeLost || open.is_empty(), "a resolution before its handoffs: {open:?}");
    let place = |event: &Event| answered.iter().position(|id| id == event.id());
    for session in events.chunks(3) {
        for handoff in &session[..2] {
            let answer: Value = serde_json::from_slice(answers[handoff.id()].first().unwrap()).unwrap();
            let case = answer["data"]["session_meta"]["dynamics365_incident_id"].as_str().unwrap();
            assert!(!open.contains(case) || place(handoff) > place(&session[2]), "{case} was left open");
        }
    }
    rig.nothing_is_left().await;
}
