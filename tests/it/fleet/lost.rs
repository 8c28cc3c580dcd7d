//! Workers that are killed, suspended or cut off, and what becomes of their organizations.

use serde_json::json;

use super::bench::{carried_once, handoffs, is_listed, owned_by, owner, owns, pair, plan, plan_at};
use crate::support::broker::{Broker, eventually};
use crate::support::event::{ORGANIZATION, handoff, resolved};
use crate::support::postgres::{Postgres, client, new_schema};

#[tokio::test]
async fn a_killed_worker_is_replaced_and_nothing_is_lost_or_doubled() {
    let (rig, a, b) = pair(plan().await).await;
    let events = handoffs(200);
    rig.bus.publish_all(&events[..100]).await;
    eventually("some cases", async || rig.crm.incidents().len() > 20).await;
    a.kill9();
    rig.bus.publish_all(&events[100..]).await;
    owns(&b, 4).await;
    carried_once(&rig, &events).await;
    assert_eq!(b.metric("handoffd_takeovers_total", "lost").await, 2);
    is_listed(&b, "a", "lost").await;
    // The same machine, a new life.
    let again = rig.start_worker("a");
    again.ready().await;
    owns(&again, 2).await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_suspended_worker_is_fenced_when_it_wakes_announces_nothing_and_joins_anew() {
    let broker = format!("{}?heartbeat=2", Broker::shared());
    let rig = plan().await.set("broker", "url", broker).lay_out().await;
    let a = rig.start_worker("a");
    a.ready().await;
    owns(&a, 1).await;
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": 1, "fault": { "delay_ms": 1000 } }));
    let event = handoff("email");
    rig.bus.publish(&event).await;
    eventually("a request", async || rig.crm.fired().await == 1).await;
    a.suspend();
    let b = rig.start_worker("b");
    b.ready().await;
    owns(&b, 1).await;
    let outcome = rig.bus.outcome(event.id()).await;
    assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded");
    assert_eq!(b.metric("handoffd_takeovers_total", "lost").await, 1);
    a.wake();
    a.counts("handoffd_fenced_total", "", 1).await;
    // Either of the two may be the first to learn of it.
    eventually("a new membership", async || a.logged("this worker was declared lost; joining again")).await;
    is_listed(&b, "a", "joined").await;
    a.ready().await;
    assert_eq!(owner(&a, ORGANIZATION).await.as_deref(), Some("b"), "it moves for nobody");
    carried_once(&rig, std::slice::from_ref(&event)).await;
    assert_eq!(rig.bus.outcomes(event.id(), 1).await.len(), 1, "the one that was fenced announced nothing");
    // It takes part again.
    b.kill9();
    owns(&a, 1).await;
    rig.hand_off(&handoff("web")).await;
    rig.start_worker("b").ready().await;
    rig.nothing_is_left().await;
}

/// A suspended worker keeps its connection to the broker until that notices, and what the broker has sent to it.
#[tokio::test]
async fn nobody_takes_over_while_the_queue_still_has_a_consumer() {
    let rig = plan().await.lay_out().await;
    let a = rig.start_worker("a");
    a.ready().await;
    owns(&a, 1).await;
    let b = rig.start_worker("b");
    b.ready().await;
    a.suspend();
    is_listed(&b, "a", "lost").await;
    eventually("looks at the queue", async || {
        b.log().matches("the organization's queue still has a consumer").count() >= 3
    })
    .await;
    assert_eq!(owner(&b, ORGANIZATION).await.as_deref(), Some("a"));
    assert_eq!((rig.bus.consumers(ORGANIZATION).await, b.metric("handoffd_organizations_owned", "").await), (1, 0));
    a.kill9();
    owns(&b, 1).await;
    rig.hand_off(&handoff("web")).await;
    rig.nothing_is_left().await;
}

/// Heartbeats end the consumers of workers; what consumes for longer is something else.
#[tokio::test]
async fn a_foreign_consumer_of_its_queue_keeps_no_organization_from_the_next_owner() {
    let broker = format!("{}?heartbeat=2", Broker::shared());
    let rig = plan().await.set("broker", "url", broker).lay_out().await;
    let a = rig.start_worker("a");
    a.ready().await;
    owns(&a, 1).await;
    let b = rig.start_worker("b");
    b.ready().await;
    let foreign = rig.bus.consume_one_for_ever(ORGANIZATION).await;
    a.kill9();
    owns(&b, 1).await;
    assert!(b.logged("something else consumes the organization's queue"), "{}", b.log());
    drop(foreign);
}

#[tokio::test]
async fn nothing_moves_when_postgres_was_away() {
    const OWNERS: &str = "SELECT organization, worker, term FROM handoffd_owners ORDER BY organization";
    let postgres = Postgres::start();
    let (rig, a, b) = pair(plan_at(postgres.url())).await;
    let owners = async || {
        let rows = client(postgres.url()).await.query(OWNERS, &[]).await.unwrap();
        let row = |row: &tokio_postgres::Row| (row.get(0), row.get(1), row.get(2));
        rows.iter().map(row).collect::<Vec<(Vec<u8>, uuid::Uuid, i64)>>()
    };
    let before = owners().await;
    postgres.kill9();
    for worker in [&a, &b] {
        eventually("a worker that says so", async || {
            worker.unready().await.iter().any(|why| why.contains("the store fails: the store is unavailable"))
        })
        .await;
    }
    let events = handoffs(40);
    rig.bus.publish_all(&events).await;
    // Longer than the lease.
    eventually("an old lease", async || {
        let age = |text: String| {
            let line = text.lines().find(|line| line.starts_with("handoffd_lease_age_seconds ")).map(str::to_owned);
            line.and_then(|line| line.rsplit(' ').next().map(|age| age.parse::<f64>().unwrap())).unwrap()
        };
        age(a.metrics().await) > 3.0 && age(b.metrics().await) > 3.0
    })
    .await;
    assert_eq!(rig.crm.incidents().len(), 0, "no request without a lease");
    postgres.restart();
    a.ready().await;
    b.ready().await;
    carried_once(&rig, &events).await;
    for event in &events {
        assert_eq!(rig.bus.outcome(event.id()).await.body["data"]["attempts"], 1, "no attempt is spent");
    }
    assert_eq!(owners().await, before);
    assert!(!a.logged("this worker was declared lost") && !b.logged("this worker was declared lost"));
    for line in ["can't read what operators have changed", "can't read which organizations have queues"] {
        for worker in [&a, &b] {
            let lines = worker.log().matches(line).count();
            assert!(lines <= 1, "an outage is one line: {lines} of {line}");
        }
    }
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_resolution_waits_for_a_handoff_whose_worker_is_gone() {
    let (rig, a, b) = pair(plan().await).await;
    let organization = owned_by(&b, "a").await[0];
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": 1, "fault": "hang" }));
    let event = handoff("email").with("/organization_id", organization);
    rig.bus.publish(&event).await;
    eventually("a request", async || rig.crm.fired().await == 1).await;
    let closing = resolved(event.session()).with("/organization_id", organization);
    rig.bus.publish(&closing).await;
    a.kill9();
    let closed = rig.bus.outcome(closing.id()).await;
    assert_eq!(closed.routing_key, "dynamics365.resolution.succeeded", "{}", closed.body);
    assert_eq!(rig.crm.incidents().len(), 1);
    assert_eq!(rig.crm.incidents()[0]["statecode"], 1);
    owns(&b, 4).await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_successor_keeps_to_the_retry_after_that_its_predecessor_was_told() {
    let (rig, a, b) = pair(plan().await).await;
    let organization = owned_by(&b, "a").await[0];
    let answer = json!({ "status": 429, "retry_after": 15 });
    rig.crm.fault(&json!({ "operation": "incidents.create", "times": 1, "fault": answer }));
    let event = handoff("email").with("/organization_id", organization);
    rig.bus.publish(&event).await;
    let schema = rig.files.get("store", "url").as_str().unwrap().to_owned();
    let states = client(&schema).await;
    eventually("a throttling that is written down", async || {
        let rows = states.query("SELECT state FROM handoffd_organization_state", &[]).await.unwrap();
        rows.iter().any(|row| row.get::<_, String>(0).contains("throttled_until"))
    })
    .await;
    a.kill9();
    owns(&b, 4).await;
    let asked = rig.crm.total().await;
    let stands = b.stands(organization).await;
    assert_eq!(stands["state"], "throttled", "{stands}");
    rig.bus.outcome(event.id()).await;
    assert!(rig.crm.total().await > asked);
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_hanging_worker_would_end_itself() {
    let schema = new_schema(Postgres::shared()).await;
    let rig = plan_at(&schema).start().await;
    let tasks = std::fs::read_dir(format!("/proc/{}/task", rig.worker().id())).unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    assert!(names.into_iter().any(|name| name.trim() == "self-stop"), "a thread of its own watches the heartbeat");
    rig.nothing_is_left().await;
}
