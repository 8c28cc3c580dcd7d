//! For every event, the record is durable before the outcome is published and the outcome before the ack, however many
//! events share a commit.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use handoffd::sled::{Disk, open_with};
use handoffd_engine::event::{Envelope, Event, Limits, OrganizationId, WorkItemId};
use handoffd_engine::ports::bus::samples::{BrokerFact, FakeBroker, MessageEnd, QueuedMessage};
use handoffd_engine::ports::destination::{Availability, Destination, Performed};
use handoffd_engine::ports::fleet::SoloFleet;
use handoffd_engine::ports::metrics::NoMetrics;
use handoffd_engine::ports::store::{Store, StoreError};
use handoffd_engine::worker::{Clock, Worker, WorkerDeps, WorkerSettings};
use handoffd_engine::workflow::samples::settings_with;
use handoffd_engine::workflow::{Policy, Receipt, Settings, Step};
use serde_json::Value;
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

    /// Notes what happens at the broker.
    fn note_of_broker(&self, fact: BrokerFact) {
        let text = |body: &str, pointer: &str| {
            let body: Value = serde_json::from_str(body).unwrap();
            body.pointer(pointer).unwrap().as_str().unwrap().to_owned()
        };
        self.note(match fact {
            BrokerFact::Announced(outcome) => Fact::Announced(text(&outcome, "/data/source_event_id")),
            BrokerFact::Settled(body, MessageEnd::Acked) => Fact::Acked(text(&body, "/event_id")),
            BrokerFact::Settled(body, MessageEnd::Later { .. }) => Fact::Postponed(text(&body, "/event_id")),
            BrokerFact::Settled(_, end) => panic!("unexpected {end:?}"),
        });
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
    let (crm, broker) = (Arc::new(diary.clone()), FakeBroker::new());
    let noted = diary.clone();
    broker.observe(move |fact| noted.note_of_broker(fact));
    let (inbox, settled) = broker.begin((0..events).map(|_| message()).collect());
    let deps = WorkerDeps {
        store: store.clone(),
        bus: broker.clone(),
        destination: crm,
        fleet: Arc::new(SoloFleet::new()),
        metrics: Arc::new(NoMetrics),
        tracker: Arc::default(),
    };
    let running = tokio::spawn(Worker::new(deps, rules(), Clock::real()).run());
    broker.settled(&settled).await;
    drop(inbox);
    running.await.unwrap();
    store.close().await.unwrap();
    diary.read()
}

fn message() -> QueuedMessage {
    let envelope = Envelope { content_type: Some("application/json".to_owned()), ..Envelope::default() };
    QueuedMessage::new(envelope, String::from_utf8(handoff("web").body()).unwrap())
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
