//! Store with prepared contents, and the interface in front of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use handoffd::admin::api::dead_letters::DeadLetterService;
use handoffd::admin::api::{ApiDeps, RunningServer, serve};
use handoffd::admin::deps::{StoreAcceptance, StoreAccepted, WorkerDirectory, WorkerView};
use handoffd::admin::events::QueueNames;
use handoffd::organizations::{CheckProgress, OrganizationError, OrganizationView, Organizations, TestReport};
use handoffd::telemetry::metrics::PrometheusMetrics;
use handoffd_engine::event::{
    Channel, ContactId, EventKey, IncidentId, Kind, Limits, OrganizationId, Route, SessionId,
};
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::bus::{DeadLetterError, DeadLetterQueue, DeadLetters, Notice};
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::ports::store::scan::ScanPage;
use handoffd_engine::ports::store::{
    Change, Cursor, OutcomeFilter, OutcomePage, SavedOrganization, Store, StoreError, StoredEvent, Swept,
};
use handoffd_engine::ports::store::{EventScan, ScannedEvents};
use handoffd_engine::workflow::{
    HistoryEntry, IncidentRef, Learned, Milestone, Outcome, Phase, Progress, Record, SessionEntry, Status, StepName,
    Warning,
};
use jiff::Timestamp;
use reqwest::Response;
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

/// Store with some events, which records the queries it receives.
#[derive(Default)]
pub struct FakeStore {
    pub found: Vec<StoredEvent>,
    pub asked: Mutex<Vec<(OutcomeFilter, Option<Cursor>, usize)>>,
    pub broken: bool,
    pub hangs: bool,
}

#[async_trait]
impl Store for FakeStore {
    async fn record(&self, key: &EventKey) -> Result<Option<Record>, StoreError> {
        self.answer()?;
        Ok(self.found.iter().find(|found| found.key == *key).map(|found| found.record.clone()))
    }

    async fn session(&self, _: &OrganizationId, _: &SessionId) -> Result<Vec<SessionEntry>, StoreError> {
        Ok(Vec::new())
    }

    async fn contact(&self, _: &OrganizationId, _: &str, _: Timestamp) -> Result<Option<ContactId>, StoreError> {
        Ok(None)
    }

    async fn learned(&self, _: &OrganizationId) -> Result<Learned, StoreError> {
        self.answer()?;
        Ok(Learned::default())
    }

    async fn organizations(&self) -> Result<Vec<SavedOrganization>, StoreError> {
        Ok(Vec::new())
    }

    async fn pauses(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
        Ok(Vec::new())
    }

    async fn organization_queues(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
        Ok(Vec::new())
    }

    async fn write(&self, _: Vec<Change>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn persist(&self, _: Vec<Change>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn outcomes(
        &self,
        filter: &OutcomeFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<OutcomePage, StoreError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        self.answer()?;
        self.asked.lock().unwrap().push((filter.clone(), after.cloned(), limit));
        let ended = self.found.iter().filter(|found| found.record.outcome().is_some());
        Ok(OutcomePage { found: ended.cloned().collect(), next: Some(Cursor("next/page".to_owned())) })
    }

    async fn queued(&self, limit: usize) -> Result<Vec<(EventKey, QueuedNote)>, StoreError> {
        self.answer()?;
        Ok(Vec::<(EventKey, QueuedNote)>::new().into_iter().take(limit).collect())
    }

    async fn scan(&self, scan: &EventScan) -> Result<ScannedEvents, StoreError> {
        self.answer()?;
        let mut page = ScanPage::new(scan.clone())?;
        self.found.iter().cloned().for_each(|found| page.offer(found.key, found.record));
        Ok(page.end(false))
    }

    async fn record_discards(&self, _: &[EventKey], _: &Milestone) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn sweep(&self, _: Timestamp) -> Result<Swept, StoreError> {
        Ok(Swept::default())
    }

    async fn bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl FakeStore {
    fn answer(&self) -> Result<(), StoreError> {
        if self.broken { Err(StoreError::Closed) } else { Ok(()) }
    }
}

pub fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

pub fn guid(last: u128) -> Uuid {
    Uuid::from_u128(last)
}

pub fn outcome() -> Outcome {
    Outcome {
        kind: Kind::Handoff,
        status: Status::Succeeded,
        route: Some(Route::Incident),
        session_id: Some("ses_9f2c".into()),
        channel: Some(Channel::new("email")),
        incident: Some(IncidentRef { id: IncidentId(guid(1)), ticket_number: Some("CAS-01234-X1Y2Z3".to_owned()) }),
        closed: Vec::new(),
        work_item: None,
        contact_id: Some(ContactId(guid(2))),
        attempts: 1,
        warnings: vec![Warning::PlaceholderCustomer],
        reason: None,
        error: None,
        finished_at: time("2026-11-22T10:15:01Z"),
    }
}

pub fn found(event_id: &str, phase: Phase) -> StoredEvent {
    let key = EventKey { organization_id: "org_acme".into(), event_id: event_id.into() };
    let history = vec![HistoryEntry {
        at: time("2026-11-22T10:15:00Z"),
        attempt: 1,
        step: StepName::PostIncident,
        elapsed_ms: 12,
        status: Some(201),
        code: None,
        error: None,
        request_id: Some("req-1".to_owned()),
    }];
    let record = Record {
        kind: Kind::Handoff,
        session_id: Some("ses_9f2c".into()),
        body_digest: "00".to_owned(),
        first_seen: time("2026-11-22T10:14:59Z"),
        attempts: 1,
        phase,
        progress: Progress::default(),
        history,
        settled: false,
        poison: false,
        life: handoffd_engine::workflow::Life::default(),
    };
    StoredEvent { key, record }
}

/// Interface on a free port, with a client.
pub struct Rig {
    pub running: RunningServer,
    pub client: reqwest::Client,
    pub shelf: Arc<FakeStore>,
    pub reasons: Arc<Mutex<Vec<String>>>,
    pub metrics: Arc<PrometheusMetrics>,
}

impl Rig {
    pub async fn start(found: Vec<StoredEvent>) -> Self {
        Self::with(FakeStore { found, ..FakeStore::default() }, None).await
    }

    pub async fn with(shelf: FakeStore, token: Option<&str>) -> Self {
        let shelf = Arc::new(shelf);
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let metrics = Arc::new(PrometheusMetrics::new());
        let shared = Arc::clone(&reasons);
        let parts = ApiDeps {
            unready: Arc::new(move || shared.lock().unwrap().clone()),
            token: token.map(SecretString::from),
            ..given(Arc::clone(&metrics), shelf.clone())
        };
        let listen = "127.0.0.1:0".parse().expect("an address");
        let running = serve(listen, parts).await.expect("a free port");
        // Plain HTTP: the provider is never used, but the client requires one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(120)).build().expect("a client");
        Self { running, client, shelf, reasons, metrics }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.address)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.expect("an answer")
    }

    pub async fn json(&self, path: &str) -> Value {
        body(self.get(path).await).await
    }

    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// Interface without organizations and dead letters.
pub fn given(metrics: Arc<PrometheusMetrics>, store: Arc<FakeStore>) -> ApiDeps {
    let limits = Limits { max_event_bytes: 1 << 20 };
    ApiDeps {
        metrics,
        store: store.clone(),
        operators: Arc::new(MemoryStore::new()),
        unready: Arc::new(Vec::new),
        token: None,
        reader_token: None,
        private: vec!["broker.example:5672/acme".to_owned()],
        organizations: Arc::new(EmptyRegistry),
        acceptance: Arc::new(EmptyRegistry),
        workers: Arc::new(EmptyRegistry),
        letters: DeadLetterService::new(Arc::new(UnreachableBroker), store, limits),
        tracker: Arc::default(),
        names: QueueNames {
            organization: Arc::new(|id| format!("handoffd.organization.{id}")),
            retries: Vec::new(),
            dead_letters: "handoffd.dead-letters".to_owned(),
        },
        metrics_listen: None,
    }
}

/// Registry without an organization and without a store to accept.
struct EmptyRegistry;

#[async_trait]
impl StoreAcceptance for EmptyRegistry {
    async fn accept_store(&self) -> Result<StoreAccepted, StoreError> {
        Ok(StoreAccepted { accepted: false, set_aside: None })
    }
}

#[async_trait]
impl WorkerDirectory for EmptyRegistry {
    async fn workers(&self) -> Result<Vec<WorkerView>, String> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Organizations for EmptyRegistry {
    async fn list(&self) -> Vec<OrganizationView> {
        Vec::new()
    }

    async fn test(&self, id: &OrganizationId, _: CheckProgress) -> Result<TestReport, OrganizationError> {
        Err(OrganizationError::Unknown(id.clone()))
    }

    async fn pause(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError> {
        Err(OrganizationError::Unknown(id.clone()))
    }

    async fn resume(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError> {
        Err(OrganizationError::Unknown(id.clone()))
    }

    async fn save(&self, _: &OrganizationId, _: Value) -> Result<TestReport, OrganizationError> {
        Err(OrganizationError::Refused("there is no key".to_owned()))
    }

    async fn delete(&self, id: &OrganizationId) -> Result<(), OrganizationError> {
        Err(OrganizationError::Unknown(id.clone()))
    }
}

/// Unreachable broker.
struct UnreachableBroker;

#[async_trait]
impl DeadLetterQueue for UnreachableBroker {
    async fn open(&self, _: Notice<'_>) -> Result<Box<dyn DeadLetters>, DeadLetterError> {
        Err(away())
    }

    async fn ready(&self) -> Result<u64, DeadLetterError> {
        Err(away())
    }
}

fn away() -> DeadLetterError {
    DeadLetterError::Away { place: "nowhere".to_owned(), problem: "nobody listens".to_owned() }
}

pub async fn body(response: Response) -> Value {
    let text = response.text().await.expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Asserts a problem of this status and returns its detail.
pub async fn problem(response: Response, status: u16) -> String {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let body = body(response).await;
    assert_eq!(body["type"], "about:blank");
    assert_eq!(body["status"], status);
    assert!(body["title"].is_string());
    body["detail"].as_str().expect("a detail").to_owned()
}
