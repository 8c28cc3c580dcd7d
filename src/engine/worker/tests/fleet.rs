//! Worker among others: it consumes what it owns, gives back only what is over, and leaves to others what is theirs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use uuid::Uuid;

use super::rig::{Mood, Rig, handoff, rig_in};
use crate::event::{Envelope, Event, EventKey, OrganizationId};
use crate::ports::bus::Delivery;
use crate::ports::bus::samples::{EndSlot, MessageEnd, QueuedMessage};
use crate::ports::fleet::{Claim, Fleet, FleetStatus, OwnershipState};
use crate::ports::store::{Change, Store};
use crate::worker::EventAges;
use crate::workflow::{Phase, samples};

/// Fleet whose decisions a test makes.
struct FakeFleet {
    ownership: Mutex<OwnershipState>,
    is_void: AtomicBool,
    is_elsewhere: AtomicBool,
    released: Mutex<Vec<Claim>>,
    changes: watch::Sender<()>,
}

fn claim(term: i64) -> Claim {
    Claim { organization: "org_acme".into(), worker: Uuid::nil(), term }
}

fn fleet() -> (Arc<FakeFleet>, Rig) {
    let fleet = Arc::new(FakeFleet {
        ownership: Mutex::new(OwnershipState::None),
        is_void: AtomicBool::new(false),
        is_elsewhere: AtomicBool::new(false),
        released: Mutex::default(),
        changes: watch::Sender::new(()),
    });
    let rig = rig_in(fleet.clone());
    (fleet, rig)
}

impl FakeFleet {
    /// Gives the organization to this worker, and makes its claim the present one.
    fn own(&self, rig: &Rig, term: i64) {
        rig.store.kept.set_owner(claim(term));
        self.set(OwnershipState::Term(claim(term)));
    }

    fn set(&self, ownership: OwnershipState) {
        *self.ownership.lock().unwrap() = ownership;
        self.changes.send_replace(());
    }

    fn released(&self) -> Vec<i64> {
        self.released.lock().unwrap().iter().map(|claim| claim.term).collect()
    }
}

#[async_trait]
impl Fleet for FakeFleet {
    fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn ownership(&self, _: &OrganizationId) -> OwnershipState {
        self.ownership.lock().unwrap().clone()
    }

    fn begin(&self, claim: &Claim) -> bool {
        *self.ownership.lock().unwrap() == OwnershipState::Term(claim.clone())
    }

    fn may_act(&self, _: &OrganizationId) -> bool {
        true
    }

    fn holds(&self, _: &Claim) -> bool {
        !self.is_void.load(Ordering::Relaxed)
    }

    fn released(&self, claim: &Claim) {
        self.released.lock().unwrap().push(claim.clone());
    }

    fn state_changed(&self, _: &OrganizationId) {}

    fn is_configured_elsewhere(&self, _: &OrganizationId) -> bool {
        self.is_elsewhere.load(Ordering::Relaxed)
    }

    async fn may_be_configured_elsewhere(&self, _: &OrganizationId) -> bool {
        self.is_elsewhere.load(Ordering::Relaxed)
    }

    fn owner(&self, _: &OrganizationId) -> Option<String> {
        None
    }

    fn status(&self) -> FleetStatus {
        FleetStatus { workers: 2, owned: Some(1), lease_age_seconds: 0.0 }
    }
}

fn message(event: &str) -> QueuedMessage {
    QueuedMessage::new(Envelope::default(), handoff(event))
}

/// Worker that has owned its organization for five seconds and processes `evt_1`, which takes thirty.
struct Busy {
    fleet: Arc<FakeFleet>,
    rig: Rig,
    settled: Vec<EndSlot>,
    running: JoinHandle<()>,
    inbox: mpsc::Sender<Delivery>,
}

async fn busy() -> Busy {
    let (fleet, rig) = fleet();
    fleet.own(&rig, 1);
    rig.mood("evt_1", Mood::Takes(30));
    let (inbox, settled) = rig.broker.begin(vec![message("evt_1")]);
    let running = tokio::spawn(rig.worker.clone().run());
    sleep(Duration::from_secs(5)).await;
    Busy { fleet, rig, settled, running, inbox }
}

#[tokio::test(start_paused = true)]
async fn only_the_owner_consumes_and_it_gives_back_what_is_over() {
    let (fleet, rig) = fleet();
    rig.mood("evt_1", Mood::Takes(30));
    let (inbox, settled) = rig.broker.begin(vec![message("evt_1")]);
    let running = tokio::spawn(rig.worker.clone().run());
    sleep(Duration::from_secs(5)).await;
    assert_eq!((rig.asked(), rig.broker.prefetches.lock().unwrap().len()), (0, 0), "another worker's");
    fleet.own(&rig, 1);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(rig.asked(), 1);
    fleet.set(OwnershipState::None);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(fleet.released(), [] as [i64; 0], "its event is in progress");
    let late = rig.broker.add(message("evt_2"));
    sleep(Duration::from_secs(15)).await;
    assert_eq!(*settled[0].lock().unwrap(), Some(MessageEnd::Acked));
    assert_eq!(rig.broker.outcomes.lock().unwrap().len(), 1);
    assert_eq!(fleet.released(), [1]);
    assert_eq!(*late.lock().unwrap(), None, "nothing more is taken");
    fleet.own(&rig, 2);
    rig.broker.settled(&[late]).await;
    drop(inbox);
    running.await.unwrap();
    assert_eq!(fleet.released(), [1, 2], "the end of the worker gives back too");
}

/// The start of a consumer may hold what the end of another channel waits for. Unpolled, it would keep it for ever.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_being_started_is_dropped_before_what_is_in_progress_is_awaited() {
    let Busy { fleet, rig, settled, running, inbox: _inbox } = busy().await;
    *rig.broker.start_takes.lock().unwrap() = Duration::from_secs(3600);
    rig.broker.end_consumer();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(Arc::strong_count(&rig.broker.starting), 2, "another consumer is being started");
    fleet.set(OwnershipState::None);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(Arc::strong_count(&rig.broker.starting), 1);
    assert_eq!(fleet.released(), [] as [i64; 0], "its event is in progress");
    rig.broker.settled(&settled).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(fleet.released(), [1]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_when_the_organization_is_given_back() {
    let (fleet, rig) = fleet();
    fleet.own(&rig, 1);
    *rig.crm.room.lock().unwrap() = Some(1);
    rig.mood("evt_1", Mood::Refuses(crate::workflow::Remedy::Hold));
    let (_inbox, settled) = rig.broker.begin(vec![message("evt_1")]);
    let running = tokio::spawn(rig.worker.clone().run());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(*settled[0].lock().unwrap(), None, "it waits for its organization");
    fleet.set(OwnershipState::None);
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(*settled[0].lock().unwrap(), Some(MessageEnd::Later { .. })));
    assert_eq!(fleet.released(), [1]);
    // Another worker receives it from the retry queue, and finishes it.
    assert_eq!(rig.worker.event_ages(&"org_acme".into()), EventAges::default());
    assert_eq!(rig.worker.tracker.select(|_, _| true), [], "the others know it by its record");
    assert_eq!(rig.record("evt_1").await.map(|record| record.phase), Some(Phase::Waiting));
    running.abort();
}

/// The owner begins what this worker moves, and this worker does not see its end.
#[tokio::test(start_paused = true)]
async fn an_event_of_another_workers_organization_is_forgotten_once_it_is_noted() {
    let (_, rig) = fleet();
    let (_inbox, _settled) = rig.broker.begin(Vec::new());
    let running = tokio::spawn(rig.worker.clone().run());
    sleep(Duration::from_secs(1)).await;
    for event in ["evt_waits", "evt_begun"] {
        rig.worker.tracker.routed(&decoded(event), rig.worker.now());
    }
    let begun = samples::record(Phase::InHand);
    rig.store.kept.persist(vec![Change::Record(decoded("evt_begun").key, Box::new(begun))]).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(rig.worker.tracker.select(|_, _| true), []);
    let noted = rig.store.kept.queued(9).await.unwrap();
    assert_eq!(noted.iter().map(|(key, _)| key.event_id.as_str()).collect::<Vec<_>>(), ["evt_waits"]);
    running.abort();
}

fn decoded(event: &str) -> Event {
    let mut decoded = crate::event::samples::handoff(|_| {});
    decoded.key = EventKey { organization_id: "org_acme".into(), event_id: event.into() };
    decoded
}

#[tokio::test(start_paused = true)]
async fn a_fenced_event_is_left_to_the_owner() {
    let Busy { fleet: _, rig, settled, running, inbox: _inbox } = busy().await;
    // Another worker takes over, and this one does not know.
    rig.store.kept.set_owner(claim(2));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(*settled[0].lock().unwrap(), Some(MessageEnd::Requeued));
    assert_eq!(*rig.broker.outcomes.lock().unwrap(), [] as [String; 0], "nothing is announced");
    assert!(rig.record("evt_1").await.is_none_or(|record| record.outcome().is_none()));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_announced_once_the_claim_is_void() {
    let Busy { fleet, rig, settled, running, inbox: _inbox } = busy().await;
    fleet.is_void.store(true, Ordering::Relaxed);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(*settled[0].lock().unwrap(), Some(MessageEnd::Requeued));
    assert_eq!(*rig.broker.outcomes.lock().unwrap(), [] as [String; 0]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn an_organization_of_another_worker_is_not_unknown() {
    let (fleet, rig) = fleet();
    rig.crm.unknown.store(true, Ordering::Relaxed);
    fleet.is_elsewhere.store(true, Ordering::Relaxed);
    // Into its queue, from which nothing is consumed here.
    let (inbox, settled) = rig.broker.begin(vec![message("evt_1")]);
    let running = tokio::spawn(rig.worker.clone().run());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(*settled[0].lock().unwrap(), None);
    // Another worker may have taken it meanwhile.
    assert_eq!(rig.worker.event_ages(&"org_acme".into()).waiting, None);
    // Its owner does not have it configured yet.
    fleet.own(&rig, 1);
    rig.broker.settled(&settled).await;
    assert!(matches!(*settled[0].lock().unwrap(), Some(MessageEnd::Later { .. })));
    fleet.is_elsewhere.store(false, Ordering::Relaxed);
    let unknown = rig.broker.add(message("evt_2"));
    rig.broker.settled(std::slice::from_ref(&unknown)).await;
    assert!(matches!(*unknown.lock().unwrap(), Some(MessageEnd::Dead { .. })));
    drop(inbox);
    running.await.unwrap();
}
