//! Speed of the stores that are on disk. Run by hand, and prints figures:
//! `bash deploy/postgres.sh run -- cargo test --test it store_speed -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::Instant;

use handoffd_engine::ports::store::{EventQuery, Store};
use handoffd_engine::workflow::SessionState;
use jiff::Timestamp;

use crate::store_samples::{backends, change, contact_change, finished, incident, key, session_change};

/// Number of events.
const EVENTS: usize = 20_000;

#[tokio::test]
#[ignore = "a measurement"]
async fn events_a_second() {
    for concurrent in [1, 50, 250] {
        for backend in backends().await.into_iter().filter(|backend| backend.name != "memory") {
            let events = if concurrent == 1 { EVENTS / 20 } else { EVENTS };
            let (began, store) = (Instant::now(), backend.store);
            let workers: Vec<_> = (0..concurrent)
                .map(|worker| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        for number in (worker..events).step_by(concurrent) {
                            one(&store, number).await;
                        }
                    })
                })
                .collect();
            for worker in workers {
                worker.await.unwrap();
            }
            let each = began.elapsed() / u32::try_from(events).unwrap();
            let read = reads(&store, events, concurrent).await;
            println!("{:<9} {concurrent:>3} at a time: {each:?} for an event, {read:?} for a read", backend.name);
            store.close().await.unwrap();
        }
    }
}

/// Makes the calls of a worker for the event of a new customer.
async fn one(store: &Arc<dyn Store>, number: usize) {
    let (event, session, now) = (format!("evt_{number}"), format!("ses_{number}"), Timestamp::now());
    let (key, email) = (key("org_acme", &event), format!("{number}@example.com"));
    store.known(&query(number)).await.unwrap();
    store.write(vec![contact_change("org_acme", &email, 1, now)]).await.unwrap();
    let open = SessionState::Open { incident: incident(number as u128), ticket_number: None };
    let ended = vec![
        session_change("org_acme", &session, &event, open, now),
        change(&key, &finished(&session, number as u128, now)),
    ];
    store.persist(ended).await.unwrap();
}

async fn reads(store: &Arc<dyn Store>, events: usize, concurrent: usize) -> std::time::Duration {
    let began = Instant::now();
    let workers: Vec<_> = (0..concurrent)
        .map(|worker| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in (worker..events).step_by(concurrent) {
                    assert!(store.known(&query(number)).await.unwrap().record.is_some());
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    began.elapsed() / u32::try_from(events).unwrap()
}

fn query(number: usize) -> EventQuery {
    EventQuery {
        key: key("org_acme", &format!("evt_{number}")),
        session: format!("ses_{number}").into(),
        always_needs_session: false,
        email: Some(format!("{number}@example.com")),
        contact_not_before: Timestamp::MIN,
    }
}
