//! Sample records, sessions and stores.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use handoffd::sled::{CorruptionPolicy, SledOptions, open};
use handoffd_engine::event::{Channel, ContactId, EventKey, IncidentId, Kind, Route, SessionId, WorkItemId};
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::metrics::NoMetrics;
use handoffd_engine::ports::store::{Change, Cursor, OutcomeFilter, Store, StoredEvent};
use handoffd_engine::workflow::{
    Fit, HistoryEntry, IncidentRef, Outcome, Phase, PostedIncident, Progress, QueueBinding, Reason, Record,
    SessionEntry, SessionState, Status, StepName,
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::support::postgres::{self, Postgres};

/// Store with its folder.
pub struct Backend {
    pub name: &'static str,
    pub store: Arc<dyn Store>,
    _folder: Option<tempfile::TempDir>,
}

/// One empty store of each kind.
pub async fn backends() -> Vec<Backend> {
    let folder = tempfile::tempdir().unwrap();
    let schema = postgres::new_schema(Postgres::shared()).await;
    vec![
        Backend { name: "memory", store: Arc::new(MemoryStore::new()), _folder: None },
        Backend { name: "sled", store: opened(&folder.path().join("store.sled")), _folder: Some(folder) },
        Backend { name: "postgres", store: postgres::opened(&schema).await, _folder: None },
    ]
}

/// Options with which the tests open a store in a folder.
pub fn options(path: &Path) -> SledOptions {
    SledOptions {
        cache_bytes: 8 << 20,
        on_corruption: CorruptionPolicy::Stop,
        lock_wait: Duration::from_secs(10),
        ..SledOptions::at(path)
    }
}

/// Opens the store in this folder.
pub fn opened(path: &Path) -> Arc<dyn Store> {
    Arc::new(open(&options(path), Arc::new(NoMetrics)).unwrap().store)
}

/// Time a number of seconds after an arbitrary moment.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub fn key(organization: &str, event: &str) -> EventKey {
    EventKey { organization_id: organization.into(), event_id: event.into() }
}

pub fn incident(number: u128) -> IncidentId {
    IncidentId(Uuid::from_u128(number))
}

pub fn contact(number: u128) -> ContactId {
    ContactId(Uuid::from_u128(number))
}

/// Event in progress of a session.
pub fn in_hand(session: &str, first_seen: Timestamp) -> Record {
    Record {
        kind: Kind::Handoff,
        session_id: Some(SessionId::from(session)),
        body_digest: "0123456789abcdef0123456789abcdef".to_owned(),
        first_seen,
        attempts: 1,
        phase: Phase::InHand,
        progress: Progress::default(),
        history: vec![HistoryEntry {
            at: first_seen,
            attempt: 1,
            step: StepName::PostIncident,
            elapsed_ms: 12,
            status: Some(201),
            code: None,
            error: None,
            request_id: Some("2f0a6e4e-0000-0000-0000-000000000000".to_owned()),
        }],
        settled: false,
        poison: false,
        life: handoffd_engine::workflow::Life::default(),
    }
}

/// Event that created an incident.
pub fn finished(session: &str, number: u128, at: Timestamp) -> Record {
    let ticket_number = Some(format!("CAS-{number:05}-X1Y2Z3"));
    let mut record = in_hand(session, at);
    record.progress.incident = Some(PostedIncident {
        id: incident(number),
        ticket_number: ticket_number.clone(),
        contact: None,
        queue: QueueBinding::NoQueue,
        transcript: Fit::Whole,
    });
    record.phase = Phase::Finished(Outcome {
        route: Some(Route::Incident),
        incident: Some(IncidentRef { id: incident(number), ticket_number }),
        ..outcome(session, Status::Succeeded, at)
    });
    record
}

/// Event that became a live work item.
pub fn chat(session: &str, number: u128, at: Timestamp) -> Record {
    let mut record = in_hand(session, at);
    record.phase = Phase::Finished(Outcome {
        route: Some(Route::LiveWorkItem),
        work_item: Some(WorkItemId(Uuid::from_u128(number))),
        ..outcome(session, Status::Succeeded, at)
    });
    record
}

/// Event that failed permanently.
pub fn dead(session: &str, at: Timestamp) -> Record {
    let mut record = in_hand(session, at);
    record.phase =
        Phase::Dead(Outcome { reason: Some(Reason::RetriesExhausted), ..outcome(session, Status::Failed, at) });
    record
}

/// Outcome without any created record.
pub fn outcome(session: &str, status: Status, at: Timestamp) -> Outcome {
    Outcome {
        kind: Kind::Handoff,
        status,
        route: None,
        session_id: Some(SessionId::from(session)),
        channel: Some(Channel::new("email")),
        incident: None,
        closed: Vec::new(),
        work_item: None,
        contact_id: None,
        attempts: 1,
        warnings: Vec::new(),
        reason: None,
        error: None,
        finished_at: at,
    }
}

pub fn change(key: &EventKey, record: &Record) -> Change {
    Change::Record(key.clone(), Box::new(record.clone()))
}

pub fn session_change(organization: &str, session: &str, event: &str, state: SessionState, at: Timestamp) -> Change {
    Change::Session {
        organization: organization.into(),
        session: session.into(),
        entry: SessionEntry { event_id: event.into(), state, handed_off: None, closing: None },
        at,
    }
}

pub fn contact_change(organization: &str, email: &str, number: u128, at: Timestamp) -> Change {
    Change::Contact { organization: organization.into(), email: email.to_owned(), contact: contact(number), at }
}

/// All pages of a query, concatenated.
pub async fn all(store: &Arc<dyn Store>, filter: &OutcomeFilter, limit: usize) -> Vec<StoredEvent> {
    let mut found = Vec::new();
    let mut cursor: Option<Cursor> = None;
    for _ in 0..1000 {
        let page = store.outcomes(filter, cursor.as_ref(), limit).await.unwrap();
        assert!(page.found.len() <= limit);
        found.extend(page.found);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return found,
        }
    }
    panic!("the pages never end");
}

/// Event ids of the entries.
pub fn ids(found: &[StoredEvent]) -> Vec<&str> {
    found.iter().map(|found| found.key.event_id.as_str()).collect()
}

/// Generates one test per backend from a function over `Arc<dyn Store>`.
macro_rules! every_store {
    ($($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                for backend in $crate::store_samples::backends().await {
                    println!("backend: {}", backend.name);
                    cases::$name(backend.store.clone()).await;
                    backend.store.close().await.unwrap();
                }
            }
        )*
    };
}
pub(crate) use every_store;
