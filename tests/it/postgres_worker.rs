//! A worker on PostgreSQL, from event to outcome.

use serde_json::{Value, json};

use crate::support::broker::eventually;
use crate::support::event::{ANOTHER_ORGANIZATION, Event, handoff, resolved};
use crate::support::postgres::{Postgres, client, new_schema};
use crate::support::rig::{Plan, rig};
use crate::support::simulator::SECRET;

fn on(url: &str) -> Plan {
    rig().set("store", "kind", "postgres").set("store", "url", url)
}

#[tokio::test]
async fn a_handoff_is_carried_closed_and_answered_by_another_worker() {
    let schema = new_schema(Postgres::shared()).await;
    let rig = on(&schema).queue().start().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    let closing = resolved(event.session());
    assert_eq!(rig.process(&closing).await.body["event"], "dynamics365.resolution.succeeded");
    let asked = rig.crm.operations();
    rig.stop_workers().await;

    rig.start_worker("another").ready().await;
    rig.bus.publish_all(&[event.clone(), closing.clone()]).await;
    for event in [&event, &closing] {
        let both = rig.bus.outcomes(event.id(), 2).await;
        assert_eq!(both[0].bytes, both[1].bytes);
    }
    assert_eq!(rig.crm.operations(), asked, "answered from the store");
    let listed = rig.worker().command(&["outcomes", "list", "--session", event.session(), "--json"]).await;
    assert!(listed.status.success());
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    rig.nothing_is_left().await;
    let listed = rig.worker().command(&["outcomes", "show", event.id()]).await;
    assert!(listed.status.success(), "it reads PostgreSQL itself, without a worker");
}

#[tokio::test]
async fn a_worker_whose_postgres_is_away_takes_nothing_and_goes_on_by_itself() {
    const EVENTS: usize = 40;
    let postgres = Postgres::start();
    let rig = on(postgres.url()).start().await;
    rig.hand_off(&handoff("email")).await;
    postgres.kill9();
    let worker = rig.worker();
    eventually("a worker that says so", async || {
        let reasons = worker.unready().await;
        reasons.iter().any(|why| why.contains("the store fails: the store is unavailable"))
    })
    .await;
    let events: Vec<_> = (0..EVENTS).map(|_| handoff("email")).collect();
    rig.bus.publish_all(&events).await;
    let asked = rig.crm.operations().len();
    postgres.restart();
    worker.ready().await;
    rig.bus.outcomes_of(&events).await;
    assert_eq!(rig.crm.incidents().len(), EVENTS + 1);
    assert!(asked <= 3, "{asked} requests while the store was away");
    for event in &events {
        assert_eq!(rig.bus.outcome(event.id()).await.body["data"]["attempts"], 1, "no attempt is spent");
    }
    assert!(worker.logged("the store works again"));
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn the_tables_are_made_by_a_command() {
    let schema = new_schema(Postgres::shared()).await;
    let rig = on(&schema).set("store", "migrate", false).lay_out().await;
    let worker = rig.start_worker("worker");
    eventually("a worker that says so", async || {
        worker.unready().await.iter().any(|why| why.contains("run `handoffd store migrate`"))
    })
    .await;
    let made = worker.command(&["store", "migrate"]).await;
    assert_eq!(String::from_utf8_lossy(&made.stdout), "the tables have version 3\n");
    worker.ready().await;
    rig.hand_off(&handoff("web")).await;
    let rows = client(&schema).await.query("SELECT finished_at IS NOT NULL FROM handoffd_events", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<bool>>(), [true]);
    rig.nothing_is_left().await;
}

/// Counts the statements of single events: everything known is read in one trip, and the end is committed in one. An event
/// that takes long also notes its progress, so the quickest of several counts.
#[tokio::test]
async fn an_event_takes_two_trips_and_a_closing_one_more() {
    const TRIES: usize = 5;
    let postgres = Postgres::start_with("-c log_statement=all");
    let rig = on(postgres.url()).start().await;
    let trips = async |event: &Event| {
        eventually("idle connections", async || postgres.log().contains("pg_stat_replication")).await;
        let count = || postgres.log().lines().filter(|line| line.contains("execute <unnamed>: WITH")).count();
        let before = count();
        rig.process(event).await;
        count() - before
    };
    let fewest = async |expected: usize, event: &dyn Fn() -> Event| {
        let mut fewest = usize::MAX;
        for _ in 0..TRIES {
            fewest = fewest.min(trips(&event()).await);
            if fewest == expected {
                break;
            }
        }
        fewest
    };
    assert_eq!(fewest(2, &|| handoff("web")).await, 2, "known and kept");
    assert_eq!(fewest(2, &|| handoff("email")).await, 2, "what is noted of a new customer goes along");
    let first = handoff("email");
    rig.hand_off(&first).await;
    assert_eq!(fewest(2, &|| handoff("email").with("/data/customer/email", first.email())).await, 2);
    let mut closing = usize::MAX;
    for _ in 0..TRIES {
        let opened = handoff("email");
        rig.hand_off(&opened).await;
        closing = closing.min(trips(&resolved(opened.session())).await);
        if closing == 3 {
            break;
        }
    }
    assert_eq!(closing, 3, "known, intent, kept");
    rig.nothing_is_left().await;
}

/// As someone does who may write to the database but has no key.
#[tokio::test]
async fn a_saved_organization_that_was_changed_in_the_database_is_blocked_and_asked_nothing() {
    const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let schema = new_schema(Postgres::shared()).await;
    let rig = on(&schema).set("organizations", "encryption_key", KEY).start().await;
    let document = json!({
        "environment_url": rig.crm.url(), "tenant_id": "11111111-1111-1111-1111-111111111111",
        "client_id": "22222222-2222-2222-2222-222222222222", "client_secret": SECRET,
    });
    let path = format!("/organizations/{ANOTHER_ORGANIZATION}");
    assert_eq!(rig.worker().api("PUT", &path, Some(&document)).await.0, 200);
    let theirs = || handoff("email").with("/organization_id", ANOTHER_ORGANIZATION);
    rig.hand_off(&theirs()).await;
    rig.stop_workers().await;

    let asked = rig.crm.environment().requests().len();
    let event = theirs();
    for change in [
        "replace(document, '11111111-1111-1111-1111-111111111111', '33333333-3333-3333-3333-333333333333')",
        "jsonb_set(document::jsonb, '{client_secret}', '\"simulator-secret\"')::text",
    ] {
        let update = format!("UPDATE handoffd_organizations SET document = {change}");
        assert_eq!(client(&schema).await.execute(&update, &[]).await.unwrap(), 1);
        rig.start_worker("worker").ready().await;
        rig.bus.publish(&event).await;
        rig.worker().counts("handoffd_organization_blocked", ANOTHER_ORGANIZATION, 1).await;
        eventually("the advice", async || {
            let stands = rig.worker().stands(ANOTHER_ORGANIZATION).await;
            stands["advice"].as_str().is_some_and(|advice| advice.contains("who wrote to the store"))
        })
        .await;
        rig.stop_workers().await;
    }
    assert_eq!(rig.crm.environment().requests().len(), asked);
    assert_eq!(rig.bus.dead_letters().await, 0);
}
