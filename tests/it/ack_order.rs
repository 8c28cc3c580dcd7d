//! For every event, the record is durable before the outcome is published and the outcome before the ack, however many
//! events share a commit.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use handoffd::sled::{Disk, open_with};
use handoffd_engine::event::{Envelope, Event, Limits, OrganizationId, WorkItemId};
use handoffd_engine::ports::bus::{
    Announced, Announcement, Bus, BusError, Consumption, CopyTo, Delivery, Forwarding, Part, Received, Settle, Settled,
};
use handoffd_engine::ports::destination::{Availability, Destination, Performed};
use handoffd_engine::ports::metrics::NoMetrics;
use handoffd_engine::ports::store::{Store, StoreError};
use handoffd_engine::worker::{Clock, Worker, WorkerDeps, WorkerSettings};
use handoffd_engine::workflow::samples::settings_with;
use handoffd_engine::workflow::{Policy, Receipt, Settings, Step};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store_samples::options;
use crate::support::event::{ORGANIZATION, handoff};

/// Observed action; the diary lists them in order.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Fact {
    /// Dynamics has answered for this event.
    Answered(String),
    /// A sync of everything written so far begins.
    Asked,
    /// The sync has succeeded.
    Synced,
    /// The sync has failed.
    Failed,
    /// The broker has the outcome of this event.
    Announced(String),
    /// The message of this event is acked.
    Acked(String),
    /// The event goes to a retry queue.
    Postponed(String),
}

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<Fact>>>);

impl Diary {
    fn note(&self, fact: Fact) {
        self.0.lock().unwrap().push(fact);
    }

    /// Number of events acked or postponed.
    fn settled(&self) -> usize {
        self.read().iter().filter(|fact| matches!(fact, Fact::Acked(_) | Fact::Postponed(_))).count()
    }

    fn read(&self) -> Vec<Fact> {
        self.0.lock().unwrap().clone()
    }
}

struct Recorder {
    inner: Box<dyn Disk>,
    diary: Diary,
    /// Number of syncs that fail first.
    fails: Mutex<u32>,
}

impl Disk for Recorder {
    fn sync(&self) -> Result<(), StoreError> {
        self.diary.note(Fact::Asked);
        let mut fails = self.fails.lock().unwrap();
        if *fails > 0 {
            *fails -= 1;
            self.diary.note(Fact::Failed);
            return Err(StoreError::Write { source: Arc::new(std::io::Error::other("no space left")) });
        }
        self.inner.sync()?;
        self.diary.note(Fact::Synced);
        Ok(())
    }
}

#[async_trait]
impl Destination for Diary {
    async fn perform(&self, _: &Step, event: &Event, _: &Settings) -> Performed {
        self.note(Fact::Answered(event.key.event_id.to_string()));
        Performed {
            result: Ok(Receipt::WorkItemPosted { id: WorkItemId(Uuid::new_v4()), subject_cut: false }),
            exchanges: Vec::new(),
        }
    }

    fn settings(&self, organization: &OrganizationId) -> Option<Arc<Settings>> {
        Some(Arc::new(settings(organization)))
    }

    fn availability(&self, _: &OrganizationId) -> Availability {
        Availability::Available { room: usize::MAX }
    }

    async fn available(&self, _: &OrganizationId) {}
}

/// Bus whose single organization has all events in its queue, and whose inbox stays empty until they are acked or
/// postponed.
struct OneQueue {
    diary: Diary,
    events: usize,
    known: watch::Sender<Vec<OrganizationId>>,
    deliveries: Mutex<Vec<Delivery>>,
}

#[async_trait]
impl Bus for OneQueue {
    async fn inbox(&self) -> mpsc::Receiver<Delivery> {
        let (open, inbox) = mpsc::channel(1);
        let (diary, events) = (self.diary.clone(), self.events);
        tokio::spawn(async move {
            while diary.settled() < events {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            drop(open);
        });
        inbox
    }

    fn organizations(&self) -> watch::Receiver<Vec<OrganizationId>> {
        self.known.subscribe()
    }

    async fn consume(&self, _: &OrganizationId, prefetch: u16) -> Consumption {
        // All of them, except to a consumer that takes one: nothing here delivers more after an ack.
        let deliveries = {
            let mut all = self.deliveries.lock().unwrap();
            let count = if prefetch == 1 { all.len().min(1) } else { all.len() };
            all.drain(..count).collect::<Vec<_>>()
        };
        let cancel = CancellationToken::new();
        let ends = cancel.clone();
        let rest = stream::once(async move { ends.cancelled_owned().await });
        let deliveries = futures_util::StreamExt::chain(
            stream::iter(deliveries.into_iter().map(Some)),
            futures_util::StreamExt::map(rest, |()| None),
        );
        let deliveries = futures_util::StreamExt::filter_map(deliveries, async |delivery| delivery);
        Consumption { deliveries: Box::pin(deliveries), cancel, closed: closed() }
    }

    async fn announce(&self, announcement: Announcement) -> Result<Announced, BusError> {
        let body: Value = serde_json::from_slice(&announcement.body).unwrap();
        self.diary.note(Fact::Announced(body["data"]["source_event_id"].as_str().unwrap().to_owned()));
        Ok(Announced::Routed)
    }

    async fn stop(&self) {}

    async fn close(&self) {}

    fn unready(&self) -> Vec<String> {
        Vec::new()
    }
}

struct InHand(Diary, String);

#[async_trait]
impl Settle for InHand {
    async fn ack(&self) -> Settled {
        let fact = Fact::Acked(self.1.clone());
        if !self.0.read().contains(&Fact::Postponed(self.1.clone())) {
            self.0.note(fact);
        }
        Settled::Taken
    }

    async fn give_back(&self) -> Settled {
        unreachable!("nothing has to wait here")
    }

    async fn copy(&self, to: CopyTo, _: Vec<(&'static str, String)>) -> Result<(), BusError> {
        assert!(matches!(to, CopyTo::Retry(_)), "nothing is given up here");
        self.0.note(Fact::Postponed(self.1.clone()));
        Ok(())
    }

    async fn split(&self, _: Vec<Part>) -> Result<(), BusError> {
        unreachable!("nothing is split here")
    }

    fn forward(&self, _: &OrganizationId, _: usize) -> Forwarding {
        unreachable!("the inbox is empty")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_announced_or_acked_before_its_record_is_on_the_disk() {
    const EVENTS: usize = 300;
    let facts = carry(EVENTS, 0).await;
    let place = |fact: &Fact| facts.iter().position(|other| other == fact).unwrap_or_else(|| panic!("no {fact:?}"));
    let done: Vec<String> =
        facts.iter().filter_map(|fact| if let Fact::Acked(id) = fact { Some(id.clone()) } else { None }).collect();
    assert_eq!(done.len(), EVENTS);
    for id in done {
        let after = |place: usize, fact: &Fact| {
            place + facts[place..].iter().position(|other| other == fact).unwrap_or_else(|| panic!("{id}: no {fact:?}"))
        };
        let begun = after(place(&Fact::Answered(id.clone())), &Fact::Asked);
        let synced = after(begun, &Fact::Synced);
        let (announced, acked) = (place(&Fact::Announced(id.clone())), place(&Fact::Acked(id.clone())));
        assert!(synced < announced, "{id}: announced before its record was on the disk");
        assert!(announced < acked, "{id}: acked before it was announced");
    }
    let syncs = facts.iter().filter(|fact| **fact == Fact::Synced).count();
    assert!(syncs < EVENTS / 2, "{syncs} syncs: they are shared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_record_is_not_on_the_disk_is_neither_announced_nor_acked() {
    let facts = carry(1, 1).await;
    assert!(facts.contains(&Fact::Failed));
    assert!(facts.iter().any(|fact| matches!(fact, Fact::Postponed(_))));
    assert!(!facts.iter().any(|fact| matches!(fact, Fact::Announced(_) | Fact::Acked(_))), "{facts:?}");
}

/// Processes a number of events at once on a real store whose first syncs fail.
async fn carry(events: usize, fails: u32) -> Vec<Fact> {
    let folder = tempfile::tempdir().unwrap();
    let diary = Diary::default();
    let recorded = diary.clone();
    let opened = open_with(&options(&folder.path().join("store")), Arc::new(NoMetrics), |inner| {
        Box::new(Recorder { inner, diary: recorded, fails: Mutex::new(fails) })
    });
    let store: Arc<dyn Store> = Arc::new(opened.unwrap().store);
    let deliveries = (0..events).map(|_| delivery(&diary)).collect();
    let known = watch::Sender::new(vec![OrganizationId::from(ORGANIZATION)]);
    let bus = OneQueue { diary: diary.clone(), events, known, deliveries: Mutex::new(deliveries) };
    let (crm, bus) = (Arc::new(diary.clone()), Arc::new(bus));
    let deps = WorkerDeps { store: store.clone(), bus, destination: crm, metrics: Arc::new(NoMetrics) };
    Worker::new(deps, rules(), Clock::real()).run().await;
    store.close().await.unwrap();
    diary.read()
}

fn delivery(diary: &Diary) -> Delivery {
    let event = handoff("web");
    let settle = Box::new(InHand(diary.clone(), event.id().to_owned()));
    let envelope =
        Envelope { content_type: Some("application/json".to_owned()), message_id: None, headers: Vec::new() };
    let received = Received {
        envelope,
        body: Bytes::from(event.body()),
        routing_key: event.routing_key(),
        redelivered: false,
        lost: CancellationToken::new(),
    };
    Delivery::new(received, settle)
}

fn rules() -> WorkerSettings {
    WorkerSettings {
        limits: Limits { max_event_bytes: 1 << 20 },
        policy: Policy { in_process: 1, delays: vec![Duration::from_secs(1)], max_age: Duration::from_secs(60) },
        contact_ttl: Duration::from_secs(60),
        prefetch: 1000,
    }
}

fn settings(organization: &OrganizationId) -> Settings {
    assert_eq!(organization.as_str(), ORGANIZATION);
    settings_with(|settings| settings.organization_id = organization.clone())
}

/// Makes the return of messages complete at once.
fn closed() -> CancellationToken {
    let closed = CancellationToken::new();
    closed.cancel();
    closed
}
