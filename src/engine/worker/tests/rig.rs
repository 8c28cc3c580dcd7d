//! Test rig: a worker, a broker and a store in memory that may fail, a CRM that may panic, and the end of each message.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::super::{Clock, Worker, WorkerDeps, WorkerSettings};
use crate::event::{ContactId, Envelope, Event, EventKey, Limits, OrganizationId, SessionId};
use crate::memory_store::MemoryStore;
use crate::ports::bus::samples::{FakeBroker, MessageEnd, QueuedMessage};
use crate::ports::destination::{Availability, Destination, Performed, Unavailable};
use crate::ports::fleet::{Fleet, SoloFleet};
use crate::ports::metrics::NoMetrics;
use crate::ports::store::queued::QueuedNote;
use crate::ports::store::{Change, Cursor, OutcomeFilter, OutcomePage, SavedOrganization, Store, StoreError, Swept};
use crate::ports::store::{EventScan, ScannedEvents};
use crate::workflow::samples::{incident, settings};
use crate::workflow::{
    Fault, Fit, LinkedCustomer, Milestone, Policy, QueueBinding, Receipt, Record, Remedy, SessionEntry, Settings, Step,
    StepName,
};

/// Current time in all of these tests.
pub(super) const NOW: &str = "2026-11-22T12:00:00Z";

/// Reaction of Dynamics to a step of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mood {
    Panics,
    Refuses(Remedy),
    Hangs,
    /// Succeeds after this many seconds.
    Takes(u64),
}

pub(super) struct Rig {
    pub(super) store: Arc<FaultyStore>,
    pub(super) crm: Arc<FakeDestination>,
    pub(super) broker: Arc<FakeBroker>,
    pub(super) worker: Arc<Worker>,
}

#[derive(Default)]
pub(super) struct FaultyStore {
    pub(super) kept: MemoryStore,
    pub(super) fails: AtomicBool,
    pub(super) panics: AtomicBool,
}

#[derive(Default)]
pub(super) struct FakeDestination {
    /// Reactions by event id.
    pub(super) moods: Mutex<BTreeMap<String, Mood>>,
    pub(super) unknown: AtomicBool,
    /// True if some organization's configuration can't be identified.
    pub(super) incomplete: AtomicBool,
    /// Ids of the events whose steps were requested, in order.
    pub(super) asked: Mutex<Vec<String>>,
    /// Room for events, if limited.
    pub(super) room: Mutex<Option<usize>>,
    unavailable: Mutex<Option<Unavailable>>,
    changed: Notify,
}

pub(super) fn rig() -> Rig {
    rig_in(Arc::new(SoloFleet::new()))
}

/// Returns a rig whose worker is a member of this fleet.
pub(super) fn rig_in(fleet: Arc<dyn Fleet>) -> Rig {
    let (store, crm, broker) = (Arc::<FaultyStore>::default(), Arc::<FakeDestination>::default(), FakeBroker::new());
    let deps = WorkerDeps {
        store: store.clone(),
        bus: broker.clone(),
        destination: crm.clone(),
        fleet,
        metrics: Arc::new(NoMetrics),
        tracker: Arc::default(),
    };
    let delays = [5, 30, 120].map(Duration::from_secs).to_vec();
    let rules = WorkerSettings {
        limits: Limits { max_event_bytes: 1 << 20 },
        policy: Policy { in_process: 3, delays, max_age: Duration::from_secs(3600) },
        contact_ttl: Duration::from_secs(3600),
        prefetch: 64,
    };
    let chance = Clock { now: Arc::new(|| NOW.parse().unwrap()), random: Arc::new(|| 0.5) };
    let worker = Worker::new(deps, rules, chance);
    Rig { store, crm, broker, worker }
}

impl Rig {
    /// Puts messages into the inbox of a running worker, and returns their ends once all are settled.
    pub(super) async fn hand_over(&self, messages: Vec<QueuedMessage>) -> Vec<MessageEnd> {
        let (inbox, settled) = self.broker.begin(messages);
        let running = tokio::spawn(self.worker.clone().run());
        self.broker.settled(&settled).await;
        drop(inbox);
        running.await.unwrap();
        settled.iter().map(|end| end.lock().unwrap().clone().expect("every message is settled")).collect()
    }

    /// Processes one message.
    pub(super) async fn process(&self, envelope: Envelope, body: String) -> MessageEnd {
        self.hand_over(vec![QueuedMessage::new(envelope, body)]).await.remove(0)
    }

    pub(super) async fn record(&self, event: &str) -> Option<Record> {
        self.store.kept.record(&key(event)).await.unwrap()
    }

    pub(super) async fn session(&self, session: &str) -> Vec<SessionEntry> {
        self.store.kept.session(&"org_acme".into(), &session.into()).await.unwrap()
    }

    pub(super) fn mood(&self, event: &str, mood: Mood) {
        self.crm.moods.lock().unwrap().insert(event.to_owned(), mood);
    }

    /// Makes Dynamics work again.
    pub(super) fn recovers(&self) {
        self.crm.moods.lock().unwrap().clear();
        self.crm.stands(None);
    }

    /// Returns the number of steps requested of Dynamics.
    pub(super) fn asked(&self) -> usize {
        self.crm.asked.lock().unwrap().len()
    }
}

pub(super) fn key(event: &str) -> EventKey {
    EventKey { organization_id: "org_acme".into(), event_id: event.into() }
}

/// Returns a handoff with a session of its own.
pub(super) fn handoff(event: &str) -> String {
    format!(
        r#"{{"event":"session.handoff","event_id":"{event}","organization_id":"org_acme","timestamp":"2026-11-22T10:15:00Z",
            "data":{{"session_id":"ses_{event}","channel":"email","summary":"Ann's secret"}}}}"#
    )
}

/// Returns the envelope of a message that returns from a retry queue with these headers.
pub(super) fn envelope(headers: &[(&str, &str)]) -> Envelope {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Envelope { headers, ..Envelope::default() }
}

impl FakeDestination {
    /// Sets the availability of the organization.
    pub(super) fn stands(&self, unavailable: Option<Unavailable>) {
        *self.unavailable.lock().unwrap() = unavailable;
        self.changed.notify_waiters();
    }

    fn refused(&self, step: &Step, remedy: Remedy) -> Fault {
        match remedy {
            Remedy::Hold => self.stands(Some(Unavailable::Blocked)),
            Remedy::NotBefore(_) => self.stands(Some(Unavailable::Throttled)),
            Remedy::Retry | Remedy::GiveUp | Remedy::HoldStep(_) => {}
        }
        Fault::unanswered(step.name(), remedy, "no".to_owned())
    }
}

#[async_trait]
impl Destination for FakeDestination {
    async fn perform(&self, step: &Step, event: &Event, _: &Settings) -> Performed {
        let id = event.key.event_id.as_str();
        self.asked.lock().unwrap().push(id.to_owned());
        let mut mood = self.moods.lock().unwrap().get(id).copied();
        if let Some(Mood::Takes(seconds)) = mood {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            mood = None;
        }
        let result = match (mood, step) {
            // The panic hook is bypassed, so that the test's output stays clean.
            (Some(Mood::Panics), _) => resume_unwind(Box::new("Ann's secret")),
            (Some(Mood::Hangs), _) => std::future::pending().await,
            (Some(Mood::Refuses(remedy)), _) => Err(self.refused(step, remedy)),
            (_, Step::PostIncident { .. }) => Ok(Receipt::IncidentPosted {
                id: incident(if id == "evt_2" { 2 } else { 1 }),
                ticket_number: None,
                customer: LinkedCustomer::Nobody,
                queue: QueueBinding::NoQueue,
                transcript: Fit::Whole,
                existed: false,
            }),
            (_, Step::CloseIncident { incident, .. }) => Ok(Receipt::IncidentClosed(*incident)),
            (_, other) => panic!("unexpected step {other:?}"),
        };
        Performed { result, exchanges: Vec::new() }
    }

    fn settings(&self, _: &OrganizationId) -> Option<Arc<Settings>> {
        (!self.unknown.load(Ordering::Relaxed)).then(|| Arc::new(settings()))
    }

    fn is_complete(&self) -> bool {
        !self.incomplete.load(Ordering::Relaxed)
    }

    fn availability(&self, _: &OrganizationId) -> Availability {
        let room = self.room.lock().unwrap().unwrap_or(64);
        self.unavailable.lock().unwrap().map_or(Availability::Available { room }, Availability::Unavailable)
    }

    async fn step_available(&self, _: &OrganizationId, _: StepName) {
        let is_held = |mood: &Mood| matches!(mood, Mood::Refuses(Remedy::HoldStep(_)));
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !self.moods.lock().unwrap().values().any(is_held) {
                return;
            }
            changed.await;
        }
    }

    async fn available(&self, organization: &OrganizationId) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if matches!(self.availability(organization), Availability::Available { .. }) {
                return;
            }
            changed.await;
        }
    }
}

impl FaultyStore {
    fn trouble(&self) -> Result<(), StoreError> {
        if self.panics.load(Ordering::Relaxed) {
            resume_unwind(Box::new("Ann's secret"));
        }
        if self.fails.load(Ordering::Relaxed) { Err(StoreError::Closed) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn record(&self, key: &EventKey) -> Result<Option<Record>, StoreError> {
        self.trouble()?;
        self.kept.record(key).await
    }

    async fn session(&self, of: &OrganizationId, session: &SessionId) -> Result<Vec<SessionEntry>, StoreError> {
        self.trouble()?;
        self.kept.session(of, session).await
    }

    async fn contact(
        &self,
        of: &OrganizationId,
        email: &str,
        not_before: Timestamp,
    ) -> Result<Option<ContactId>, StoreError> {
        self.kept.contact(of, email, not_before).await
    }

    async fn learned(&self, of: &OrganizationId) -> Result<crate::workflow::Learned, StoreError> {
        self.kept.learned(of).await
    }

    async fn organizations(&self) -> Result<Vec<SavedOrganization>, StoreError> {
        self.kept.organizations().await
    }

    async fn pauses(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
        self.kept.pauses().await
    }

    async fn organization_queues(&self) -> Result<Vec<(OrganizationId, Timestamp)>, StoreError> {
        self.kept.organization_queues().await
    }

    async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.trouble()?;
        self.kept.write(changes).await
    }

    async fn persist(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.trouble()?;
        self.kept.persist(changes).await
    }

    async fn outcomes(
        &self,
        filter: &OutcomeFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<OutcomePage, StoreError> {
        self.kept.outcomes(filter, after, limit).await
    }

    async fn queued(&self, limit: usize) -> Result<Vec<(EventKey, QueuedNote)>, StoreError> {
        self.kept.queued(limit).await
    }

    async fn scan(&self, scan: &EventScan) -> Result<ScannedEvents, StoreError> {
        self.kept.scan(scan).await
    }

    async fn record_discards(&self, events: &[EventKey], discard: &Milestone) -> Result<u64, StoreError> {
        self.kept.record_discards(events, discard).await
    }

    async fn sweep(&self, before: Timestamp) -> Result<Swept, StoreError> {
        self.kept.sweep(before).await
    }

    async fn bytes(&self) -> Result<u64, StoreError> {
        self.kept.bytes().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.kept.close().await
    }
}
