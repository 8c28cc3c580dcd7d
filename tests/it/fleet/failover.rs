//! A primary of PostgreSQL that is killed, and its standby that takes its place.

use std::collections::HashSet;

use super::bench::{carried_once, handoffs, is_listed, owned_by, owns, pair, plan_at};
use crate::support::broker::eventually;
use crate::support::event::{Event, resolved};
use crate::support::postgres::{Postgres, client};
use crate::support::rig::Rig;

const WARNING: &str = "PostgreSQL has a standby that commits do not wait for";

/// Primary and standby, and the URL that names both.
struct Servers {
    primary: Postgres,
    standby: Postgres,
    url: String,
}

impl Servers {
    fn start() -> Self {
        let primary = Postgres::start();
        let standby = primary.standby();
        let place = |server: &Postgres| {
            let (_, rest) = server.url().split_once('@').unwrap();
            rest.split_once('/').unwrap().0.to_owned()
        };
        let url = format!("postgres://postgres@{},{}/postgres?sslmode=disable", place(&standby), place(&primary));
        Self { primary, standby, url }
    }

    /// Makes every commit wait for the standby.
    async fn synchronize(&self) {
        let operator = client(self.primary.url()).await;
        operator.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await.unwrap();
        operator.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        eventually("a synchronous standby", async || {
            let rows = operator.query("SELECT sync_state FROM pg_stat_replication", &[]).await.unwrap();
            rows.iter().any(|row| row.get::<_, &str>(0) == "sync")
        })
        .await;
    }

    /// Ends the replication: what is committed from then on is in the primary alone.
    async fn separate(&self) {
        let operator = client(self.primary.url()).await;
        let row = operator.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap();
        let standby = client(self.standby.url()).await;
        let reached = format!("SELECT pg_last_wal_replay_lsn() >= '{}'::pg_lsn", row.get::<_, &str>(0));
        eventually("a standby without a lag", async || standby.query_one(&reached, &[]).await.unwrap().get(0)).await;
        standby.batch_execute("ALTER SYSTEM SET primary_conninfo = ''").await.unwrap();
        standby.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        eventually("the end of replication", async || {
            operator.query("SELECT 1 FROM pg_stat_replication", &[]).await.unwrap().is_empty()
        })
        .await;
    }

    async fn fail_over(&self) {
        self.primary.kill9();
        self.standby.promote().await;
    }
}

/// Publishes events again, and waits for another answer to each.
async fn publish_again(rig: &Rig, events: &[Event]) {
    let before = rig.bus.all_outcomes().await.len();
    rig.bus.publish_all(events).await;
    eventually("another answer to each", async || rig.bus.all_outcomes().await.len() >= before + events.len()).await;
}

/// Asserts that each of these events has one case, which all its answers name.
async fn one_case_each(rig: &Rig, events: &[Event]) {
    rig.bus.outcomes_of(events).await;
    assert_eq!(rig.crm.incidents().len(), events.len(), "a case for each event");
    for event in events {
        let outcomes = rig.bus.outcomes(event.id(), 1).await;
        let cases: HashSet<_> = outcomes
            .iter()
            .map(|outcome| {
                assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded", "{}", outcome.body);
                outcome.body["data"]["session_meta"]["dynamics365_incident_id"].as_str().unwrap()
            })
            .collect();
        assert_eq!(cases.len(), 1, "the same case each time: {outcomes:?}");
    }
}

#[tokio::test]
async fn a_synchronous_standby_that_takes_over_has_forgotten_nothing() {
    let servers = Servers::start();
    servers.synchronize().await;
    let (rig, a, b) = pair(plan_at(&servers.url)).await;
    let events = handoffs(200);
    rig.bus.publish_all(&events[..150]).await;
    eventually("some cases", async || rig.crm.incidents().len() > 20).await;
    servers.fail_over().await;
    rig.bus.publish_all(&events[150..]).await;
    for worker in [&a, &b] {
        worker.ready().await;
    }
    carried_once(&rig, &events).await;
    for event in &events {
        assert_eq!(rig.bus.outcome(event.id()).await.body["data"]["attempts"], 1, "no attempt is spent");
    }
    let asked = rig.crm.total().await;
    publish_again(&rig, &events).await;
    carried_once(&rig, &events).await;
    assert_eq!(rig.crm.total().await, asked, "all are answered from the store");
    for worker in [&a, &b] {
        assert!(!worker.logged(WARNING) && !worker.logged("this worker was declared lost"));
    }
    rig.nothing_is_left().await;
}

/// Commits in the primary alone are lost, and what comes again of them is done again: no case is doubled, and answers may
/// differ.
#[tokio::test]
async fn an_asynchronous_standby_that_takes_over_has_forgotten_the_last_commits_and_doubles_nothing() {
    let servers = Servers::start();
    let (rig, a, b) = pair(plan_at(&servers.url)).await;
    assert!(a.logged(WARNING));
    let events = handoffs(200);
    let (kept, rest) = events.split_at(20);
    let (forgotten, in_progress) = rest.split_at(40);
    rig.bus.publish_all(kept).await;
    carried_once(&rig, kept).await;
    servers.separate().await;
    rig.bus.publish_all(forgotten).await;
    carried_once(&rig, &events[..60]).await;
    rig.bus.publish_all(in_progress).await;
    eventually("some cases", async || rig.crm.incidents().len() > 80).await;
    // Neither worker may have read it before the primary is gone.
    let paused = a.command(&["org", "pause", "org_b"]).await;
    assert!(paused.status.success());

    servers.fail_over().await;
    for worker in [&a, &b] {
        worker.ready().await;
    }
    // The pause is forgotten too, or these would wait.
    one_case_each(&rig, &events).await;

    let (late, forgotten) = forgotten.split_first().unwrap();
    let asked = rig.crm.total().await;
    publish_again(&rig, kept).await;
    assert_eq!(rig.crm.total().await, asked, "those are answered from the store");
    publish_again(&rig, forgotten).await;
    assert!(rig.crm.total().await > asked, "those are not");
    one_case_each(&rig, &events).await;

    let closing = resolved(late.session()).with("/organization_id", late.0["organization_id"].clone());
    let outcome = rig.process(&closing).await;
    assert_eq!(outcome.body["data"]["reason"], "no_incident", "{}", outcome.body);
    rig.nothing_is_left().await;
}

/// Owners in the standby are old: it knows nothing of the last one, and the one that it knows is gone.
#[tokio::test]
async fn organizations_that_changed_hands_in_what_was_lost_find_their_owner_again() {
    let servers = Servers::start();
    let (rig, a, b) = pair(plan_at(&servers.url)).await;
    servers.separate().await;
    let events = handoffs(120);
    rig.bus.publish_all(&events[..60]).await;
    a.kill9();
    owns(&b, 4).await;
    eventually("some cases", async || rig.crm.incidents().len() > 20).await;
    servers.fail_over().await;
    rig.bus.publish_all(&events[60..]).await;
    b.ready().await;
    one_case_each(&rig, &events).await;
    owns(&b, 4).await;
    assert_eq!(owned_by(&b, "b").await.len(), 4);
    is_listed(&b, "a", "lost").await;
    rig.nothing_is_left().await;
}
