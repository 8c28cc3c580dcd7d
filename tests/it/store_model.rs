//! Random sequences of operations: every store must match an in-memory model, before and after it is reopened.

use std::sync::Arc;

use handoffd_engine::event::{EventKey, Kind};
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::store::EventScan;
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::ports::store::{Change, EventQuery, OutcomeFilter, SavedOrganization, Store};
use handoffd_engine::workflow::{Learned, LearnedChange, Phase, SessionState, Status};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;

use crate::store_samples::{
    all, at, change, chat, contact, contact_change, dead, finished, in_hand, incident, key, opened, session_change,
};
use crate::support::postgres::{self, Postgres};

const NAMES: [&str; 4] = ["a", "a\0", "ab", "B"];

#[derive(Clone, Debug)]
enum Operation {
    Note(Vec<Change>),
    Keep(Vec<Change>),
    Sweep(Timestamp),
    Reopen,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn sled_answers_as_the_model_does(operations in prop::collection::vec(operation(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        runtime.block_on(compare(operations, async || opened(&path)));
    }

    #[test]
    fn postgres_answers_as_the_model_does(operations in prop::collection::vec(operation(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let schema = postgres::new_schema(Postgres::shared()).await;
            compare(operations, async || {
                let store: Arc<dyn Store> = postgres::opened(&schema).await;
                store
            })
            .await;
        });
    }
}

async fn compare(operations: Vec<Operation>, opened: impl AsyncFn() -> Arc<dyn Store>) {
    let model: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut store = opened().await;
    for operation in operations {
        match operation {
            Operation::Note(changes) => {
                model.write(changes.clone()).await.unwrap();
                store.write(changes).await.unwrap();
            }
            Operation::Keep(changes) => {
                model.persist(changes.clone()).await.unwrap();
                store.persist(changes).await.unwrap();
            }
            Operation::Sweep(before) => {
                let expected = model.sweep(before).await.unwrap();
                assert_eq!(store.sweep(before).await.unwrap(), expected);
            }
            Operation::Reopen => {
                store.close().await.unwrap();
                store = opened().await;
            }
        }
    }
    same_answers(&model, &store).await;
    store.close().await.unwrap();
    let store = opened().await;
    same_answers(&model, &store).await;
    store.close().await.unwrap();
}

async fn same_answers(model: &Arc<dyn Store>, store: &Arc<dyn Store>) {
    for one in NAMES {
        for other in NAMES {
            let key = key(one, other);
            assert_eq!(store.record(&key).await.unwrap(), model.record(&key).await.unwrap());
            let (organization, session) = (one.into(), other.into());
            let query = EventQuery {
                key: key.clone(),
                session: other.into(),
                always_needs_session: one != other,
                email: Some(other.to_owned()),
                contact_not_before: at(5),
            };
            assert_eq!(store.known(&query).await.unwrap(), model.known(&query).await.unwrap());
            assert_eq!(
                store.session(&organization, &session).await.unwrap(),
                model.session(&organization, &session).await.unwrap()
            );
            assert_eq!(
                store.contact(&organization, other, at(5)).await.unwrap(),
                model.contact(&organization, other, at(5)).await.unwrap()
            );
        }
        assert_eq!(store.learned(&one.into()).await.unwrap(), model.learned(&one.into()).await.unwrap());
    }
    assert_eq!(store.organizations().await.unwrap(), model.organizations().await.unwrap());
    assert_eq!(store.pauses().await.unwrap(), model.pauses().await.unwrap());
    assert_eq!(store.organization_queues().await.unwrap(), model.organization_queues().await.unwrap());
    let queued = async |store: &Arc<dyn Store>| {
        let mut notes = store.queued(100).await.unwrap();
        notes.sort_by(|(one, _), (other, _)| one.cmp(other));
        notes
    };
    assert_eq!(queued(store).await, queued(model).await);
    for (id, unfinished_only) in [(None, true), (Some("a"), false), (Some("b"), false), (Some("cas-0"), false)] {
        let scan = EventScan { id: id.map(str::to_owned), unfinished_only, limit: 3, ..EventScan::default() };
        assert_eq!(store.scan(&scan).await.unwrap(), model.scan(&scan).await.unwrap(), "{scan:?}");
    }
    for filter in filters() {
        assert_eq!(all(store, &filter, 3).await, all(model, &filter, 3).await, "{filter:?}");
    }
}

fn filters() -> Vec<OutcomeFilter> {
    let none = OutcomeFilter::default;
    let mut filters = vec![
        none(),
        OutcomeFilter { status: Some(Status::Failed), ..none() },
        OutcomeFilter { after: Some(at(3)), before: Some(at(8)), ..none() },
        OutcomeFilter { ticket_number: Some("cas-00001-x1y2z3".to_owned()), ..none() },
    ];
    for name in NAMES {
        filters.extend([
            OutcomeFilter { organization: Some(name.into()), ..none() },
            OutcomeFilter { session: Some(name.into()), status: Some(Status::Succeeded), ..none() },
            OutcomeFilter { event_id: Some(name.to_owned()), ..none() },
        ]);
    }
    filters.extend((0..3).map(|number| OutcomeFilter { incident: Some(incident(number)), ..none() }));
    filters
}

fn operation() -> impl Strategy<Value = Operation> {
    let changes = || prop::collection::vec(one_change(), 1..6);
    prop_oneof![
        8 => changes().prop_map(Operation::Note),
        4 => changes().prop_map(Operation::Keep),
        1 => second().prop_map(Operation::Sweep),
        1 => Just(Operation::Reopen),
    ]
}

/// Returns some changes of a small world, in which many meet.
pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(one_change(), 1..30)
}

fn one_change() -> impl Strategy<Value = Change> {
    let name = || select(&NAMES[..]);
    prop_oneof![
        4 => (event(), name(), 0..6u8, 0..3u128, second()).prop_map(
            |(key, session, phase, number, second)| {
                let mut record = match phase {
                    0 | 1 => in_hand(session, second),
                    2 => dead(session, second),
                    3 => chat(session, number, second),
                    _ => finished(session, number, second),
                };
                if phase == 1 {
                    record.phase = Phase::Waiting;
                }
                change(&key, &record)
            }
        ),
        1 => (event(), any::<bool>(), second()).prop_map(|(key, is_queued, second)| {
            let note = QueuedNote { kind: Kind::Handoff, session_id: "ses".into(), received: second, moved: None };
            if is_queued { Change::Queued(key, note) } else { Change::ForgetQueued(key) }
        }),
        2 => (name(), name(), name(), 0..3u128, second()).prop_map(
            |(organization, session, event, number, second)| {
                let state = match number {
                    0 => SessionState::Opening,
                    _ => SessionState::Open { incident: incident(number), ticket_number: None },
                };
                session_change(organization, session, event, state, second)
            }
        ),
        1 => (name(), name(), 0..3u128, second()).prop_map(
            |(organization, email, number, second)| {
                contact_change(organization, email, number, second)
            }
        ),
        1 => (name(), name()).prop_map(|(organization, email)| Change::ForgetContact {
            organization: organization.into(),
            email: email.to_owned(),
        }),
        1 => (name(), 0..3u128).prop_map(|(organization, number)| {
            let nothing = Learned::default();
            let learned = match number {
                0 => Learned { queue_undeclared: true, ..nothing },
                _ => Learned { placeholder: Some(contact(number)), ..nothing },
            };
            Change::Learned(organization.into(), LearnedChange::between(nothing, learned))
        }),
        1 => (name(), 0..6u8, second()).prop_map(|(organization, what, second)| match what {
            0 => Change::Organization(SavedOrganization { id: organization.into(), document: second.to_string() }),
            1 => Change::ForgetOrganization(organization.into()),
            2 => Change::Pause(organization.into(), second),
            3 => Change::OrganizationQueue(organization.into(), second),
            4 => Change::ForgetOrganizationQueue(organization.into()),
            _ => Change::Resume(organization.into()),
        }),
    ]
}

fn event() -> impl Strategy<Value = EventKey> {
    (select(&NAMES[..]), select(&NAMES[..])).prop_map(|(one, other)| key(one, other))
}

fn second() -> impl Strategy<Value = Timestamp> {
    (0..10i64).prop_map(at)
}
