//! A worker, a store in memory that may fail, a CRM that may panic, and what became of each message.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::super::{Chance, Rules, Tools, Worker};
use crate::bus::{Announced, Announcement, Backlog, Bus, BusError, Delivery, Parked, Part, Settle, Settled};
use crate::crm::{Crm, Performed, Shut, Standing};
use crate::event::{ContactId, Envelope, Event, EventKey, Limits, OrganizationId, SessionId};
use crate::machine::samples::{incident, settings};
use crate::machine::{
    Fault, Fit, LinkedCustomer, Policy, QueueBinding, Receipt, Record, Remedy, SessionEntry, Settings, Step,
};
use crate::store::memory::MemoryStore;
use crate::store::{Change, Cursor, Filter, Page, SavedOrganization, Store, StoreError, Swept};
use crate::watch::Blind;

/// The time in all of these tests.
pub(super) const NOW: &str = "2026-11-22T12:00:00Z";

/// What became of a message.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum End {
    Acked,
    Later { rung: usize, headers: BTreeMap<&'static str, String> },
    Dead { headers: BTreeMap<&'static str, String> },
    Split,
}

/// What Dynamics does with a step of an event whose summary begins so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mood {
    Panics,
    Refuses(Remedy),
}

pub(super) struct Rig {
    pub(super) store: Arc<Memory>,
    pub(super) crm: Arc<Destination>,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) worker: Arc<Worker>,
}

#[derive(Default)]
pub(super) struct Memory {
    pub(super) kept: MemoryStore,
    pub(super) fails: AtomicBool,
    pub(super) panics: AtomicBool,
}

#[derive(Default)]
pub(super) struct Destination {
    /// By event id.
    pub(super) moods: Mutex<BTreeMap<String, Mood>>,
    pub(super) unknown: AtomicBool,
    pub(super) throttled: AtomicBool,
}

#[derive(Default)]
pub(super) struct Outcomes(pub(super) Mutex<Vec<String>>);

pub(super) fn rig() -> Rig {
    let (store, crm, outcomes) = (Arc::<Memory>::default(), Arc::<Destination>::default(), Arc::<Outcomes>::default());
    let tools = Tools { store: store.clone(), bus: outcomes.clone(), crm: crm.clone(), watch: Arc::new(Blind) };
    let delays = [5, 30, 120].map(Duration::from_secs).to_vec();
    let rules = Rules {
        limits: Limits { max_event_bytes: 1 << 20 },
        policy: Policy { in_process: 3, delays, max_age: Duration::from_secs(3600) },
        contact_ttl: Duration::from_secs(3600),
        prefetch: 256,
    };
    let chance = Chance { now: Arc::new(|| NOW.parse().unwrap()), dice: Arc::new(|| 0.5) };
    let worker = Worker::new(tools, rules, chance);
    Rig { store, crm, outcomes, worker }
}

impl Rig {
    /// Hands over these messages at once; what became of each.
    pub(super) async fn hand_over(&self, messages: Vec<(Envelope, String)>) -> Vec<End> {
        let (sender, receiver) = mpsc::channel(64);
        let ends: Vec<Arc<Mutex<Option<End>>>> = messages.iter().map(|_| Arc::default()).collect();
        for ((envelope, body), end) in messages.into_iter().zip(&ends) {
            let settle = Box::new(Slip(end.clone()));
            let delivery = Delivery::new(envelope, body.into(), "session.handoff.email".to_owned(), 0, settle);
            sender.send(delivery).await.unwrap();
        }
        drop(sender);
        self.worker.clone().run(receiver).await;
        ends.iter().map(|end| end.lock().unwrap().clone().expect("it is settled")).collect()
    }

    /// Hands over one message.
    pub(super) async fn carry(&self, envelope: Envelope, body: String) -> End {
        self.hand_over(vec![(envelope, body)]).await.remove(0)
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
}

pub(super) fn key(event: &str) -> EventKey {
    EventKey { organization_id: "org_acme".into(), event_id: event.into() }
}

/// A handoff of a session of its own.
pub(super) fn handoff(event: &str) -> String {
    format!(
        r#"{{"event":"session.handoff","event_id":"{event}","organization_id":"org_acme","timestamp":"2026-11-22T10:15:00Z",
            "data":{{"session_id":"ses_{event}","channel":"email","summary":"Ann's secret"}}}}"#
    )
}

/// A message that comes back from a retry queue with this past.
pub(super) fn envelope(headers: &[(&str, &str)]) -> Envelope {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Envelope { headers, ..Envelope::default() }
}

struct Slip(Arc<Mutex<Option<End>>>);

impl Slip {
    fn settled(&self, end: End) -> Settled {
        let before = self.0.lock().unwrap().replace(end);
        assert_eq!(before, None, "settled twice");
        Settled::Taken
    }
}

#[async_trait]
impl Settle for Slip {
    async fn ack(self: Box<Self>) -> Result<Settled, BusError> {
        Ok(self.settled(End::Acked))
    }

    async fn later(self: Box<Self>, rung: usize, headers: Vec<(&'static str, String)>) -> Result<Settled, BusError> {
        Ok(self.settled(End::Later { rung, headers: headers.into_iter().collect() }))
    }

    async fn park(
        self: Box<Self>,
        _: &OrganizationId,
        _: usize,
        _: Vec<(&'static str, String)>,
    ) -> Result<Parked, BusError> {
        panic!("there is room for all")
    }

    async fn dead(self: Box<Self>, headers: Vec<(&'static str, String)>) -> Result<Settled, BusError> {
        Ok(self.settled(End::Dead { headers: headers.into_iter().collect() }))
    }

    async fn split(self: Box<Self>, _: Vec<Part>) -> Result<Settled, BusError> {
        Ok(self.settled(End::Split))
    }
}

#[async_trait]
impl Bus for Outcomes {
    async fn deliveries(&self) -> mpsc::Receiver<Delivery> {
        mpsc::channel(1).1
    }

    async fn backlogs(&self) -> mpsc::UnboundedReceiver<Backlog> {
        mpsc::unbounded_channel().1
    }

    async fn waiting(&self, _: &OrganizationId) -> Option<u64> {
        None
    }

    async fn announce(&self, announcement: Announcement) -> Result<Announced, BusError> {
        self.0.lock().unwrap().push(String::from_utf8(announcement.body).unwrap());
        Ok(Announced::Routed)
    }

    async fn stop(&self) {}

    async fn close(&self) {}

    fn unready(&self) -> Vec<String> {
        Vec::new()
    }
}

#[async_trait]
impl Crm for Destination {
    async fn perform(&self, step: &Step, event: &Event, _: &Settings) -> Performed {
        let mood = self.moods.lock().unwrap().get(event.key.event_id.as_str()).copied();
        let result = match (mood, step) {
            // No hook hears of it, so the test's output stays clean.
            (Some(Mood::Panics), _) => resume_unwind(Box::new("Ann's secret")),
            (Some(Mood::Refuses(remedy)), _) => Err(Fault {
                remedy,
                step: step.name(),
                status: None,
                code: None,
                message: "no".to_owned(),
                advice: String::new(),
                request_id: None,
            }),
            (None, Step::PostIncident { .. }) => Ok(Receipt::IncidentPosted {
                id: incident(1),
                ticket_number: None,
                customer: LinkedCustomer::Nobody,
                queue: QueueBinding::NoQueue,
                transcript: Fit::Whole,
            }),
            (None, other) => panic!("{other:?} is not expected here"),
        };
        Performed { result, exchanges: Vec::new() }
    }

    fn settings(&self, _: &OrganizationId) -> Option<Arc<Settings>> {
        (!self.unknown.load(Ordering::Relaxed)).then(|| Arc::new(settings()))
    }

    fn standing(&self, _: &OrganizationId) -> Standing {
        if self.throttled.load(Ordering::Relaxed) {
            let until = NOW.parse::<Timestamp>().unwrap() + Duration::from_secs(30);
            return Standing::Shut { until, why: Shut::Throttled };
        }
        Standing::Open { room: usize::MAX }
    }
}

impl Memory {
    fn trouble(&self) -> Result<(), StoreError> {
        if self.panics.load(Ordering::Relaxed) {
            resume_unwind(Box::new("Ann's secret"));
        }
        if self.fails.load(Ordering::Relaxed) { Err(StoreError::Closed) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for Memory {
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

    async fn learned(&self, of: &OrganizationId) -> Result<crate::machine::Learned, StoreError> {
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

    async fn note(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.trouble()?;
        self.kept.note(changes).await
    }

    async fn keep(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.trouble()?;
        self.kept.keep(changes).await
    }

    async fn outcomes(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.kept.outcomes(filter, after, limit).await
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
