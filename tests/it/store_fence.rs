//! The fence of every store that several workers share: what is stored about an event changes only by its owner.

use std::sync::Arc;

use handoffd_engine::event::SessionId;
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::fleet::Claim;
use handoffd_engine::ports::store::{Change, Store, StoreError};
use handoffd_engine::workflow::SessionState;
use jiff::Timestamp;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::store_samples::{at, change, contact_change, finished, in_hand, key, session_change};
use crate::support::broker::eventually;
use crate::support::postgres::{self, Postgres, new_schema};

/// Store whose owners a test sets.
enum FencedStore {
    Memory(Arc<MemoryStore>),
    Postgres(Arc<dyn Store>, Box<Client>),
}

async fn stores() -> [FencedStore; 2] {
    let schema = new_schema(Postgres::shared()).await;
    let store = postgres::opened(&schema).await;
    let client = Box::new(postgres::client(&schema).await);
    [FencedStore::Memory(Arc::new(MemoryStore::new())), FencedStore::Postgres(store, client)]
}

fn claim(organization: &str, worker: u128, term: i64) -> Claim {
    Claim { organization: organization.into(), worker: Uuid::from_u128(worker), term }
}

/// Statement that makes a worker the owner.
const OWN: &str = "INSERT INTO handoffd_owners (organization, worker, term) VALUES ($1, $2, $3) \
    ON CONFLICT (organization) DO UPDATE SET worker = $2, term = $3";

impl FencedStore {
    fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => store.clone(),
            Self::Postgres(store, _) => store.clone(),
        }
    }

    async fn own(&self, claim: &Claim) {
        match self {
            Self::Memory(store) => store.set_owner(claim.clone()),
            Self::Postgres(_, client) => {
                let organization = claim.organization.as_str().as_bytes();
                client.execute(OWN, &[&organization, &claim.worker, &claim.term]).await.unwrap();
            }
        }
    }
}

fn is_fenced(result: &Result<(), StoreError>) -> bool {
    matches!(result, Err(StoreError::Fenced))
}

#[tokio::test]
async fn only_the_owner_changes_what_is_stored_about_an_event() {
    for backend in stores().await {
        let store = backend.store();
        let (first, second) = (claim("org\0", 1, 1), claim("org\0", 2, 2));
        let event = key("org\0", "evt");
        let changes = |claim: &Claim, record| {
            vec![
                Change::Guard(claim.clone()),
                change(&event, &record),
                session_change("org\0", "ses", "evt", SessionState::Opening, at(0)),
                contact_change("org\0", "a@b.c", 7, at(0)),
            ]
        };
        assert!(is_fenced(&store.persist(changes(&first, in_hand("ses", at(0)))).await), "nobody owns it");
        backend.own(&first).await;
        store.persist(changes(&first, in_hand("ses", at(0)))).await.unwrap();
        backend.own(&second).await;
        let forget = Change::ForgetContact { organization: "org\0".into(), email: "a@b.c".to_owned() };
        for void in [&first, &claim("org\0", 1, 2), &claim("org\0", 2, 1)] {
            assert!(is_fenced(&store.persist(changes(void, finished("ses", 1, at(9)))).await), "{void:?}");
            assert!(is_fenced(&store.persist(vec![Change::Guard(void.clone()), forget.clone()]).await), "{void:?}");
            _ = store.write(changes(void, finished("ses", 1, at(9)))).await;
        }
        assert_eq!(store.record(&event).await.unwrap(), Some(in_hand("ses", at(0))));
        assert!(store.contact(&"org\0".into(), "a@b.c", Timestamp::MIN).await.unwrap().is_some());
        store.persist(changes(&second, finished("ses", 1, at(9)))).await.unwrap();
        assert_eq!(store.record(&event).await.unwrap(), Some(finished("ses", 1, at(9))));
        store.persist(vec![Change::Guard(second.clone()), forget]).await.unwrap();
        assert_eq!(store.contact(&"org\0".into(), "a@b.c", Timestamp::MIN).await.unwrap(), None);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_first_end_of_an_event_stands() {
    for backend in stores().await {
        let (store, owner, event) = (backend.store(), claim("org", 1, 1), key("org", "evt"));
        backend.own(&owner).await;
        let ends = |number| {
            let entry = session_change("org", "ses", "evt", SessionState::Dead, at(number));
            vec![Change::Guard(owner.clone()), change(&event, &finished("ses", 1, at(number))), entry]
        };
        store.persist(ends(1)).await.unwrap();
        let late = store.persist(ends(2)).await;
        assert!(matches!(late, Err(StoreError::Superseded)), "{late:?}");
        assert_eq!(store.record(&event).await.unwrap(), Some(finished("ses", 1, at(1))));
        assert_eq!(store.session(&"org".into(), &SessionId::from("ses")).await.unwrap().len(), 1);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_fenced_event_does_not_fail_the_others_of_its_batch() {
    for backend in stores().await {
        let store = backend.store();
        let (mine, lost) = (claim("mine", 1, 1), claim("lost", 1, 1));
        backend.own(&mine).await;
        backend.own(&claim("lost", 2, 2)).await;
        let calls = (0..100).map(|number| {
            let (store, is_mine) = (store.clone(), number % 2 == 0);
            let (claim, organization) = if is_mine { (mine.clone(), "mine") } else { (lost.clone(), "lost") };
            let key = key(organization, &number.to_string());
            tokio::spawn(async move {
                let result = store.persist(vec![Change::Guard(claim), change(&key, &finished("ses", 1, at(0)))]).await;
                (is_mine, result, store.record(&key).await.unwrap().is_some())
            })
        });
        for call in calls.collect::<Vec<_>>() {
            let (is_mine, result, is_stored) = call.await.unwrap();
            assert_eq!((is_mine, is_mine), (result.is_ok(), is_stored), "{result:?}");
            assert!(is_mine || is_fenced(&result));
        }
        store.close().await.unwrap();
    }
}

/// A commit that began before a takeover was committed waits for it, and finds its claim void.
#[tokio::test]
async fn a_commit_waits_for_a_takeover_under_way() {
    let schema = new_schema(Postgres::shared()).await;
    let store = postgres::opened(&schema).await;
    let (mut taker, watcher) = (postgres::client(&schema).await, postgres::client(&schema).await);
    let (owner, event) = (claim("org", 1, 1), key("org", "evt"));
    taker.execute(OWN, &[&"org".as_bytes(), &owner.worker, &owner.term]).await.unwrap();
    let taking = taker.transaction().await.unwrap();
    taking.execute(OWN, &[&"org".as_bytes(), &Uuid::from_u128(2), &2_i64]).await.unwrap();
    let commit = tokio::spawn({
        let store = store.clone();
        let changes = vec![Change::Guard(owner), change(&event, &finished("ses", 1, at(0)))];
        async move { store.persist(changes).await }
    });
    eventually("a commit that waits, or is over", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%held AS%'";
        let waits: i64 = watcher.query_one(waiting, &[]).await.unwrap().get(0);
        waits > 0 || commit.is_finished()
    })
    .await;
    taking.commit().await.unwrap();
    let result = commit.await.unwrap();
    assert!(is_fenced(&result), "{result:?}");
    assert_eq!(store.record(&event).await.unwrap(), None);
    store.close().await.unwrap();
}
