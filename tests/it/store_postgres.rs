//! The store in PostgreSQL: outages, migrations, days.

use std::sync::Arc;

use handoffd::postgres::{PostgresOptions, migrate, open};
use handoffd_engine::event::EventKey;
use handoffd_engine::ports::metrics::NoMetrics;
use handoffd_engine::ports::store::{Change, OutcomeFilter, Store, StoreError, Swept};
use handoffd_engine::workflow::SessionState;
use jiff::{SignedDuration, Timestamp};

use crate::store_samples::{all, at, change, contact_change, finished, in_hand, key, session_change};
use crate::support::broker::eventually;
use crate::support::postgres::{Postgres, client, new_schema, opened, options};

/// With a setting that would lose commits: `off` is raised to `on`.
#[tokio::test]
async fn a_killed_server_loses_nothing_that_was_kept() {
    let postgres = Postgres::start_with("-c synchronous_commit=off");
    let store = opened(postgres.url()).await;
    let (mut kept, mut failed) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let (mut kept, mut failed) = (Vec::new(), Vec::new());
                    for number in 0..10_000 {
                        let key = key("org", &format!("{round}-{writer}-{number}"));
                        _ = store.write(vec![change(&key, &in_hand("ses", at(0)))]).await;
                        match store.persist(vec![change(&key, &finished("ses", 1, at(number)))]).await {
                            Ok(()) => kept.push(key),
                            Err(StoreError::Unavailable { .. }) => {
                                failed.push(key);
                                break;
                            }
                            Err(other) => panic!("{other}"),
                        }
                    }
                    (kept, failed)
                })
            })
            .collect();
        let first: Vec<EventKey> = (0..8).map(|writer| key("org", &format!("{round}-{writer}-20"))).collect();
        eventually("some commits", async || {
            let read = first.iter().map(|key| store.record(key));
            futures_util::future::join_all(read).await.iter().all(|record| matches!(record, Ok(Some(_))))
        })
        .await;
        postgres.kill9();
        for writer in writers {
            let (one, other) = writer.await.unwrap();
            kept.extend(one);
            failed.extend(other);
        }
        eventually("an unhealthy store", async || store.health().borrow().is_some()).await;
        postgres.restart();
        eventually("a healthy store", async || store.health().borrow().is_none()).await;
    }
    assert!(kept.len() >= 480 && !failed.is_empty());
    for key in kept {
        assert!(store.record(&key).await.unwrap().is_some(), "{key:?} is lost");
    }
    // What failed is all there or not at all.
    for key in failed {
        let record = store.record(&key).await.unwrap();
        assert!(record.is_none_or(|record| record == in_hand("ses", at(0)) || record.outcome().is_some()));
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_fails_every_call_until_it_is_back() {
    let postgres = Postgres::start();
    let store = opened(postgres.url()).await;
    let noted = key("org", "noted");
    store.persist(vec![change(&key("org", "kept"), &finished("ses", 1, at(0)))]).await.unwrap();
    postgres.stop();
    eventually("an unhealthy store", async || store.health().borrow().is_some()).await;
    let away = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Unavailable { .. }));
    assert!(away(store.record(&noted).await.map(drop)));
    assert!(away(store.write(vec![change(&noted, &in_hand("ses", at(0)))]).await));
    assert!(away(store.persist(vec![change(&noted, &in_hand("ses", at(0)))]).await));
    assert!(away(store.outcomes(&OutcomeFilter::default(), None, 1).await.map(drop)));
    assert!(away(store.pauses().await.map(drop)));
    assert!(away(store.bytes().await.map(drop)));

    postgres.restart();
    eventually("a healthy store", async || store.health().borrow().is_none()).await;
    store.persist(vec![change(&noted, &in_hand("ses", at(1)))]).await.unwrap();
    assert!(store.record(&key("org", "kept")).await.unwrap().is_some());
    let listed: Arc<dyn Store> = store.clone();
    eventually("the lists' connection", async || store.bytes().await.is_ok()).await;
    assert_eq!(all(&listed, &OutcomeFilter::default(), 9).await.len(), 1);
    store.close().await.unwrap();
}

/// Stopped processes keep their connections open and answer nothing.
#[tokio::test]
async fn a_server_that_hangs_makes_the_store_unhealthy() {
    let postgres = Postgres::start();
    let store = opened(postgres.url()).await;
    postgres.freeze();
    let keeping = {
        let store = store.clone();
        tokio::spawn(async move { store.persist(vec![change(&key("org", "evt"), &finished("ses", 1, at(0)))]).await })
    };
    assert!(matches!(store.record(&key("org", "evt")).await, Err(StoreError::Unavailable { .. })));
    eventually("an unhealthy store", async || store.health().borrow().is_some()).await;
    postgres.thaw();
    eventually("a healthy store", async || store.health().borrow().is_none()).await;
    keeping.await.unwrap().unwrap();
    assert!(store.record(&key("org", "evt")).await.unwrap().is_some());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let postgres = Postgres::start();
    postgres.stop();
    let store = opened(postgres.url()).await;
    assert!(store.health().borrow().is_some());
    postgres.restart();
    eventually("a healthy store", async || store.health().borrow().is_none()).await;
    store.persist(vec![change(&key("org", "evt"), &finished("ses", 1, at(0)))]).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn of_many_workers_one_creates_the_tables() {
    let schema = new_schema(Postgres::shared()).await;
    let opening = (0..8).map(|_| opened(&schema));
    let stores = futures_util::future::join_all(opening).await;
    for (nth, store) in stores.iter().enumerate() {
        eventually("a healthy store", async || store.health().borrow().is_none()).await;
        store.persist(vec![change(&key("org", &nth.to_string()), &finished("ses", 1, at(0)))]).await.unwrap();
    }
    let listed: Arc<dyn Store> = stores[0].clone();
    assert_eq!(all(&listed, &OutcomeFilter::default(), 9).await.len(), 8);
}

#[tokio::test]
async fn without_migrate_the_tables_are_waited_for() {
    let schema = new_schema(Postgres::shared()).await;
    let checking = PostgresOptions { migrate: false, ..options(&schema) };
    let store = open(&checking, Arc::new(NoMetrics)).await.unwrap();
    let problem = store.health().borrow().clone().expect("an unhealthy store").to_string();
    assert!(problem.contains("have version 0, expected 3; run `handoffd store migrate`"), "{problem}");
    assert_eq!(migrate(&options(&schema)).await.unwrap(), 3);
    assert_eq!(migrate(&options(&schema)).await.unwrap(), 3, "nothing is left to do");
    eventually("a healthy store", async || store.health().borrow().is_none()).await;
    store.persist(vec![change(&key("org", "evt"), &finished("ses", 1, at(0)))]).await.unwrap();
}

/// Of two neighbouring versions, the newer one migrates the tables under the other.
#[tokio::test]
async fn tables_of_the_next_version_are_used() {
    let schema = new_schema(Postgres::shared()).await;
    let version = migrate(&options(&schema)).await.unwrap();
    let next = format!("INSERT INTO handoffd_schema (version) VALUES ({})", version + 1);
    client(&schema).await.batch_execute(&next).await.unwrap();
    let store = opened(&schema).await;
    store.persist(vec![change(&key("org", "evt"), &finished("ses", 1, at(0)))]).await.unwrap();
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused() {
    let schema = new_schema(Postgres::shared()).await;
    migrate(&options(&schema)).await.unwrap();
    client(&schema).await.batch_execute("INSERT INTO handoffd_schema (version) VALUES (99)").await.unwrap();
    let refused = open(&options(&schema), Arc::new(NoMetrics)).await.unwrap_err().to_string();
    assert!(refused.contains("have version 99, but this program supports up to 4"), "{refused}");
}

#[tokio::test]
async fn what_the_server_refuses_ends_the_start_without_the_password() {
    let url = Postgres::shared().replace("/postgres?", "/nowhere?").replace("postgres@", "postgres:hidden@");
    let refused = open(&options(&url), Arc::new(NoMetrics)).await.unwrap_err().to_string();
    assert!(refused.contains("database \"nowhere\" does not exist") && !refused.contains("hidden"), "{refused}");
}

/// A user who may read and write the tables, and owns none of them.
#[tokio::test]
async fn a_worker_needs_no_right_to_create_or_drop() {
    let schema = new_schema(Postgres::shared()).await;
    migrate(&options(&schema)).await.unwrap();
    let name = schema.split("search_path%3D").last().unwrap();
    let grants = format!(
        "CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA {name} TO {name};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {name};
         GRANT EXECUTE ON FUNCTION handoffd_add_day(int8), handoffd_drop_day(int8) TO {name}"
    );
    client(&schema).await.batch_execute(&grants).await.unwrap();
    let worker = PostgresOptions { migrate: false, ..options(&schema.replace("postgres@", &format!("{name}@"))) };
    let store = open(&worker, Arc::new(NoMetrics)).await.unwrap();
    store.persist(vec![change(&key("org", "evt"), &finished("ses", 1, at(0)))]).await.unwrap();
    assert_eq!(store.sweep(at(200_000)).await.unwrap(), Swept { records: 1, ..Swept::default() });
    assert_eq!(days(&schema).await, today());
}

#[tokio::test]
async fn old_days_are_dropped_and_coming_ones_are_there() {
    const DAY: i64 = 86_400;
    let schema = new_schema(Postgres::shared()).await;
    let store = opened(&schema).await;
    eventually("the coming days", async || days(&schema).await == today()).await;
    for day in 0..4 {
        store.persist(vec![change(&key("org", &day.to_string()), &finished("ses", 1, at(day * DAY)))]).await.unwrap();
    }
    let listed: Arc<dyn Store> = store.clone();
    assert_eq!(days(&schema).await.len(), today().len() + 4);
    assert_eq!(store.sweep(at(2 * DAY)).await.unwrap().records, 2);
    assert_eq!(all(&listed, &OutcomeFilter::default(), 9).await.len(), 2);
    // Samples are of the year 2027: the days made ahead are older, and were dropped and made again.
    assert_eq!(days(&schema).await.len(), today().len() + 2);
    // One that is older than what was swept already.
    store.persist(vec![change(&key("org", "late"), &finished("ses", 1, at(0)))]).await.unwrap();
    assert_eq!(store.sweep(at(2 * DAY)).await.unwrap().records, 1);
    store.close().await.unwrap();
}

/// A change that PostgreSQL refuses affects no other call of its commit.
#[tokio::test]
async fn a_refused_change_is_its_own_call() {
    let store = opened(&new_schema(Postgres::shared()).await).await;
    let nul = handoffd_engine::ports::store::SavedOrganization { id: "org".into(), document: "\0".to_owned() };
    let (bad, good) = (Change::Organization(nul), change(&key("org", "evt"), &finished("ses", 1, at(0))));
    let other = key("org", "other");
    let (refused, kept) = tokio::join!(
        store.persist(vec![bad, change(&other, &finished("ses", 2, at(0)))]),
        store.persist(vec![good, contact_change("org", "a@b.c", 1, at(0))]),
    );
    assert!(matches!(refused, Err(StoreError::Write { .. })), "{refused:?}");
    kept.unwrap();
    assert!(store.record(&key("org", "evt")).await.unwrap().is_some());
    assert_eq!(store.record(&other).await.unwrap(), None, "all of a call or nothing");
    assert!(store.health().borrow().is_none());
}

/// Commits fail while the connection is well, as on a full disk.
#[tokio::test]
async fn what_was_noted_is_committed_once_the_server_takes_it() {
    let schema = new_schema(Postgres::shared()).await;
    let (store, admin) = (opened(&schema).await, client(&schema).await);
    let (noted, kept) = (key("org", "noted"), key("org", "kept"));
    admin.batch_execute("ALTER TABLE handoffd_events RENAME TO away").await.unwrap();
    store.write(vec![change(&noted, &in_hand("ses", at(0)))]).await.unwrap();
    let problem = store.persist(vec![change(&kept, &finished("ses", 1, at(0)))]).await.unwrap_err();
    assert!(matches!(problem, StoreError::Unavailable { .. }), "{problem}");
    assert!(store.health().borrow().is_some());
    assert!(store.record(&noted).await.is_err());
    admin.batch_execute("ALTER TABLE away RENAME TO handoffd_events").await.unwrap();
    eventually("a healthy store", async || store.health().borrow().is_none()).await;
    assert_eq!(store.record(&noted).await.unwrap(), Some(in_hand("ses", at(0))));
    assert!(store.record(&kept).await.unwrap().is_some(), "a `keep` that failed may be durable later");
    store.close().await.unwrap();
}

/// A host that only reads is a standby; the worker connects again until a host accepts writes.
#[tokio::test]
async fn a_server_that_takes_no_writes_makes_the_store_unhealthy_until_it_does() {
    let postgres = Postgres::start();
    let store = opened(postgres.url()).await;
    let admin = client(postgres.url()).await;
    let (noted, kept) = (key("org", "noted"), key("org", "kept"));
    let cut = "ALTER DATABASE postgres SET default_transaction_read_only = on; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'handoffd'";
    store.write(vec![change(&noted, &in_hand("ses", at(0)))]).await.unwrap();
    admin.batch_execute(cut).await.unwrap();
    eventually("an unhealthy store", async || store.health().borrow().is_some()).await;
    let problem = store.persist(vec![change(&kept, &finished("ses", 1, at(0)))]).await.unwrap_err();
    assert!(matches!(problem, StoreError::Unavailable { .. }), "{problem}");
    admin
        .batch_execute(
            "SET default_transaction_read_only = off; ALTER DATABASE postgres RESET default_transaction_read_only",
        )
        .await
        .unwrap();
    eventually("a healthy store", async || store.health().borrow().is_none()).await;
    store.persist(vec![change(&kept, &finished("ses", 1, at(0)))]).await.unwrap();
    store.close().await.unwrap();
}

/// Ids may be long, and no index takes a row of more than 2,700 bytes.
#[tokio::test]
async fn the_longest_ids_are_kept() {
    let store = opened(&new_schema(Postgres::shared()).await).await;
    let long = |seed: u32| -> String {
        (0..255u32).map(|nth| char::from_u32(0x1F300 + (nth * 7919 + seed) % 700).unwrap()).collect()
    };
    let (organization, session, event) = (long(1), long(2), long(3));
    let key = key(&organization, &event);
    let changes = vec![
        change(&key, &finished(&session, 1, at(0))),
        session_change(&organization, &session, &event, SessionState::Opening, at(0)),
        Change::Pause(key.organization_id.clone(), at(0)),
    ];
    store.persist(changes).await.unwrap();
    let listed: Arc<dyn Store> = store.clone();
    let filter = OutcomeFilter { session: Some(session.as_str().into()), ..OutcomeFilter::default() };
    assert_eq!(all(&listed, &filter, 1).await[0].key, key);
    assert_eq!(store.pauses().await.unwrap().len(), 1);
}

async fn days(schema: &str) -> Vec<String> {
    let client = client(schema).await;
    let text = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = to_regclass('handoffd_outcomes') ORDER BY 1";
    client.query(text, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Partitions of today and the next three days.
fn today() -> Vec<String> {
    let day = |ahead| Timestamp::now() + SignedDuration::from_hours(24 * ahead);
    (0..4i64).map(|ahead| format!("handoffd_outcomes_{}", day(ahead).strftime("%Y%m%d"))).collect()
}
