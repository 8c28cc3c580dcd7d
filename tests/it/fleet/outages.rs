//! PostgreSQL that hangs, or has no room left, while several workers are busy.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_postgres::Client;

use super::bench::{carried_once, handoffs, pair, plan_at};
use crate::support::broker::eventually;
use crate::support::event::Event;
use crate::support::postgres::{Postgres, client, new_schema};
use crate::support::rig::Rig;
use crate::support::worker::{Worker, http};

const OWNERS: &str = "SELECT organization, worker, term FROM handoffd_owners ORDER BY organization";
/// Tables of events and of the fleet.
const TABLES: [&str; 3] = ["handoffd_events", "handoffd_workers", "handoffd_owners"];

type Owners = Vec<(Vec<u8>, uuid::Uuid, i64)>;

async fn owners(client: &Client) -> Owners {
    let rows = client.query(OWNERS, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// Publishes events that need time, and waits until some of them are in progress at both workers.
async fn busy(rig: &Rig, workers: &[&Arc<Worker>], events: &[Event]) {
    rig.crm.fault(&json!({ "operation": "contacts.create", "times": null, "fault": { "delay_ms": 700 } }));
    rig.bus.publish_all(events).await;
    for worker in workers {
        eventually("events in progress", async || worker.metric("handoffd_in_flight", "").await > 3).await;
    }
}

async fn unready(worker: &Worker, why: &str) {
    eventually(why, async || worker.unready().await.iter().any(|reason| reason.contains(why))).await;
}

/// Returns the largest age of a worker's lease.
async fn lease_age(worker: &Worker) -> f64 {
    let text = worker.metrics().await;
    let line = text.lines().find(|line| line.starts_with("handoffd_lease_age_seconds ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn all_done_at_the_first_attempt(rig: &Rig, events: &[Event]) {
    carried_once(rig, events).await;
    for event in events {
        let outcome = rig.bus.outcome(event.id()).await;
        assert_eq!(outcome.body["data"]["attempts"], 1, "no attempt is spent: {}", outcome.body);
    }
}

#[tokio::test]
async fn a_postgres_that_hangs_under_load_stops_everything_and_moves_nothing() {
    let postgres = Postgres::start();
    let (rig, a, b) = pair(plan_at(postgres.url())).await;
    let before = owners(&client(postgres.url()).await).await;
    let events = handoffs(80);
    busy(&rig, &[&a, &b], &events[..60]).await;
    postgres.freeze();
    rig.bus.publish_all(&events[60..]).await;
    for worker in [&a, &b] {
        unready(worker, "the store fails").await;
        // Four leases: one whose worker could take over would do so.
        eventually("an old lease", async || lease_age(worker).await > 8.0).await;
    }
    let asked = rig.crm.total().await;
    eventually("an older lease", async || lease_age(&a).await > 10.0).await;
    assert_eq!(rig.crm.total().await, asked, "no request without a lease");
    postgres.thaw();
    a.ready().await;
    b.ready().await;
    all_done_at_the_first_attempt(&rig, &events).await;
    assert_eq!(owners(&client(postgres.url()).await).await, before);
    for worker in [&a, &b] {
        assert!(worker.status().is_none() && !worker.logged("this worker was declared lost"));
    }
    rig.nothing_is_left().await;
}

/// Probes and monitors are answered from what is known.
#[tokio::test]
async fn a_postgres_that_hangs_delays_no_probe_and_no_monitor() {
    const AT_ONCE: Duration = Duration::from_millis(900);
    let postgres = Postgres::start();
    let rig = plan_at(postgres.url()).start().await;
    let worker = rig.worker();
    let answer = async |path: &str| {
        let asked = Instant::now();
        let response = http().get(format!("http://{}{path}", worker.address().unwrap())).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap(), asked.elapsed())
    };
    postgres.freeze();
    let frozen = Instant::now();
    loop {
        for path in ["/livez", "/metrics"] {
            let (status, _, took) = answer(path).await;
            assert!(status == 200 && took < AT_ONCE, "{path} {status} after {took:?}");
        }
        let (status, text, took) = answer("/readyz").await;
        assert!(took < AT_ONCE, "/readyz {status} after {took:?}");
        if status == 503 {
            assert!(text.contains("the store fails"), "{text}");
            break;
        }
    }
    // It is known once the lease is too old.
    assert!(frozen.elapsed() < Duration::from_secs(4), "{:?}", frozen.elapsed());
    let asked = Instant::now();
    let (status, problem) = worker.api("GET", "/workers", None).await;
    assert!(status == 503 && asked.elapsed() < Duration::from_secs(3), "{problem} after {:?}", asked.elapsed());
    postgres.thaw();
    worker.ready().await;
    rig.nothing_is_left().await;
}

#[tokio::test]
async fn a_postgres_without_room_is_waited_for_and_moves_nothing() {
    for tables in [&TABLES[..1], &TABLES] {
        let schema = new_schema(Postgres::shared()).await;
        let (rig, a, b) = pair(plan_at(&schema)).await;
        let operator = client(&schema).await;
        let before = owners(&operator).await;
        let events = handoffs(80);
        busy(&rig, &[&a, &b], &events[..60]).await;
        fill(&operator, tables).await;
        rig.bus.publish_all(&events[60..]).await;
        for worker in [&a, &b] {
            unready(worker, "could not extend file").await;
        }
        let done = rig.crm.incidents().len();
        assert!(done < events.len(), "{done}");
        make_room(&operator, tables).await;
        a.ready().await;
        b.ready().await;
        all_done_at_the_first_attempt(&rig, &events).await;
        assert_eq!(owners(&operator).await, before, "{tables:?}");
        rig.nothing_is_left().await;
    }
}

/// Makes every write fail as it does on a full disk. Rows can be read, as there.
async fn fill(client: &Client, tables: &[&str]) {
    let mut text = "CREATE FUNCTION is_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;"
        .to_owned();
    for table in tables {
        // Writing to a string can't fail.
        _ = write!(
            text,
            "CREATE TRIGGER is_full BEFORE INSERT OR UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION is_full();"
        );
    }
    client.batch_execute(&text).await.unwrap();
}

async fn make_room(client: &Client, tables: &[&str]) {
    let drop = |table: &&str| format!("DROP TRIGGER is_full ON {table};");
    client.batch_execute(&tables.iter().map(drop).collect::<String>()).await.unwrap();
    client.batch_execute("DROP FUNCTION is_full()").await.unwrap();
}
