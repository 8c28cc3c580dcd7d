//! Broker in memory: inbox, retry queues, dead letters and announced outcomes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::bus::{Announcement, Delivery, Received};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::destinations::Windows;
use super::flaw::Flaw;
use super::in_flight::InFlight;
use super::inbox::InboxConsumer;
use super::message::{Message, Place, UnsettledMessage, reverse};
use super::organization_queues::OrganizationQueues;
use super::publish::Stalled;
use super::scene::{ProcessLife, RunContext};

/// Delays of the retry queues.
pub const DELAYS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(3600),
];
/// `x-delivery-limit` of the inbox.
pub const DELIVERY_LIMIT: u64 = 20;
/// Probability that the connection breaks at each point where it may, and the limit on breaks.
const BREAKS: f64 = 0.01;
const MOST_BREAKS: u32 = 12;
/// Time after which RabbitMQ closes a channel that holds a message.
const ACK_TIMEOUT: Duration = Duration::from_secs(1800);
/// Longest time the worker may hold a message; a shared broker may have a lower limit than RabbitMQ's default.
const LONGEST_HOLD: Duration = Duration::from_secs(600);
/// Limit on deliveries at one instant. More indicate an endless loop in which the clock would never advance.
const MOST_AT_ONCE: u32 = 10_000;
/// Longest time in the inbox without faults.
const LONGEST_IN_THE_INBOX: Duration = Duration::from_secs(60);

/// Broker, which outlives the workers.
pub struct Broker {
    pub scene: Arc<RunContext>,
    pub prefetch: usize,
    pub windows: Windows,
    pub flaw: Option<Flaw>,
    /// Organizations whose queues the worker consumes.
    pub configured: watch::Sender<Vec<OrganizationId>>,
    /// A sender for each process: one with several receivers wakes them in a random order, and no seed would repeat.
    pub followers: Mutex<Vec<watch::Sender<Vec<OrganizationId>>>>,
    /// Wakes consumers that could not start, in order.
    pub changes: Notify,
    /// True if messages given back count as redelivered, as up to RabbitMQ 4.2.
    pub counts_given_back: bool,
    /// True if messages in flight may return in another order.
    pub shuffles: bool,
    state: Mutex<State>,
}

/// Observations during a run.
#[derive(Default)]
pub struct Notes {
    /// Announced outcomes, with the time since the start of the run.
    pub announced: Vec<(Duration, Announcement)>,
    /// Times at which messages were first moved to their organization's queue, by id.
    pub forwarded: BTreeMap<String, Duration>,
    /// Times at which messages were first put into a retry queue, by id.
    pub put_off: BTreeMap<String, Duration>,
    /// Times that copies of messages spent in retry queues, by id.
    pub delayed: BTreeMap<String, Vec<Range<Duration>>>,
    /// Invariants violated during the run.
    pub broken: BTreeSet<String>,
    pub disconnections: u32,
}

pub struct State {
    pub ready: BTreeMap<u64, Message>,
    pub flying: BTreeMap<u64, UnsettledMessage>,
    pub organizations: OrganizationQueues,
    pub stalled: Stalled,
    pub waiting: usize,
    pub dead: Vec<Message>,
    pub notes: Notes,
    pub connection: CancellationToken,
    numbers: u64,
    /// Time of the last delivery, and the number of deliveries at that time.
    moment: (Duration, u32),
    pub consumers: Vec<InboxConsumer>,
    /// Time at which a process last ended, or lost or regained its connection.
    pub disturbed: Duration,
    /// Time at which the connection is re-established.
    away_until: Option<Instant>,
    /// Time before which the inbox is not consumed.
    pub inbox_from: Duration,
}

impl Broker {
    pub fn new(scene: Arc<RunContext>, windows: Windows, configured: Vec<OrganizationId>) -> Arc<Self> {
        let prefetch = scene.pick(&[2, 5, 20, 256]);
        let state = State {
            ready: BTreeMap::new(),
            flying: BTreeMap::new(),
            organizations: OrganizationQueues::default(),
            stalled: Stalled::default(),
            waiting: 0,
            dead: Vec::new(),
            notes: Notes::default(),
            connection: CancellationToken::new(),
            numbers: 0,
            moment: (Duration::ZERO, 0),
            consumers: Vec::new(),
            disturbed: Duration::ZERO,
            away_until: None,
            inbox_from: Duration::ZERO,
        };
        Arc::new(Self {
            prefetch,
            windows,
            flaw: Flaw::of_the_run(),
            configured: watch::Sender::new(configured),
            followers: Mutex::default(),
            changes: Notify::new(),
            counts_given_back: scene.happens(0.7),
            shuffles: scene.happens(0.2),
            state: Mutex::new(state),
            scene,
        })
    }

    pub fn look<T>(&self, at: impl FnOnce(&mut State) -> T) -> T {
        at(&mut self.state.lock().unwrap())
    }

    /// Returns the number of unfinished messages: in the inbox, in flight, in organizations' queues, in retry queues, in transit.
    pub fn unfinished(&self) -> [usize; 5] {
        self.look(|state| {
            let queued = state.organizations.ready();
            [state.ready.len(), state.flying.len(), queued, state.waiting, state.stalled.count()]
        })
    }

    pub fn publish(self: &Arc<Self>, message: Message) {
        let arrived = self.scene.elapsed();
        self.look(|state| {
            let number = state.number();
            state.ready.insert(number, Message { arrived, redelivered: false, deliveries: 0, ..message });
        });
        self.deliver();
    }

    /// Returns true if the connection breaks now. The limit keeps the delivery limit from dominating the runs.
    pub fn breaks(&self) -> bool {
        self.scene.fails(BREAKS) && self.look(|state| state.notes.disconnections < MOST_BREAKS)
    }

    pub fn is_away(&self) -> bool {
        self.look(|state| state.away_until.is_some_and(|until| Instant::now() < until))
    }

    /// Returns true if the worker currently consumes nothing.
    pub fn is_paused(&self) -> bool {
        self.windows.forbidden(self.scene.elapsed()).is_some()
    }

    pub fn holds(&self, tag: u64) -> bool {
        self.look(|state| state.flying.contains_key(&tag))
    }

    pub fn connection(&self, life: &ProcessLife) -> CancellationToken {
        self.look(|state| life.connection(&state.connection))
    }

    pub fn ack(self: &Arc<Self>, tag: u64) {
        self.settled(tag);
        self.deliver();
    }

    pub fn requeue(self: &Arc<Self>, tag: u64) {
        let flying = self.settled(tag);
        self.look(|state| {
            let Some(mut flying) = flying else { return };
            if self.flaw == Some(Flaw::GivesBackToTheEnd) {
                flying.number = state.number();
            }
            state.take_back(flying, self.counts_given_back);
        });
        self.deliver();
    }

    fn settled(&self, tag: u64) -> Option<UnsettledMessage> {
        self.look(|state| {
            let flying = state.flying.remove(&tag)?;
            state.check_hold(&flying);
            Some(flying)
        })
    }

    /// Breaks the connection. Messages in flight are redelivered on the next connection.
    pub fn disconnect(self: &Arc<Self>, why: &'static str) {
        let away = Duration::from_secs(10).mul_f64(self.scene.random());
        let shuffled = self.shuffles && self.scene.happens(0.5);
        self.scene.log(|| format!("DISCONNECTED: {why}"));
        let over = self.look(|state| {
            state.notes.disconnections += 1;
            state.away_until = Some(Instant::now() + away);
            state.organizations.end_consumers();
            let mut back: Vec<UnsettledMessage> = std::mem::take(&mut state.flying).into_values().collect();
            if shuffled {
                reverse(&mut back);
            }
            for flying in back {
                state.check_hold(&flying);
                state.take_back(flying, true);
            }
            std::mem::replace(&mut state.connection, CancellationToken::new())
        });
        over.cancel();
        let broker = self.clone();
        tokio::spawn(async move {
            sleep(away).await;
            broker.connect();
        });
    }

    /// Re-establishes the connection.
    pub fn connect(self: &Arc<Self>) {
        if self.is_away() {
            return;
        }
        self.declare();
        self.wake();
        let (broker, from) = (self.clone(), self.look(|state| state.inbox_from));
        tokio::spawn(async move {
            sleep(from.saturating_sub(broker.scene.elapsed())).await;
            broker.deliver();
        });
    }

    /// Wakes all waiters for the broker.
    pub fn wake(self: &Arc<Self>) {
        self.changes.notify_waiters();
        self.deliver();
    }

    pub fn deliver(self: &Arc<Self>) {
        if self.is_away() || self.is_paused() {
            return;
        }
        self.look(|state| {
            if state.loops_endlessly(self.scene.elapsed()) {
                return;
            }
            state.deliver_inbox(self);
            state.deliver_organizations(self);
        });
    }

    /// Checks the invariants that hold at any time.
    pub fn inspect(self: &Arc<Self>) {
        let timed_out = self.look(|state| state.flying.values().any(|flying| flying.held() > ACK_TIMEOUT));
        if timed_out {
            self.disconnect("a message was held for too long");
        }
        let (now, away) = (self.scene.elapsed(), self.is_away());
        let Some(calm) = self.windows.calm_since(now).filter(|_| !away) else { return };
        self.look(|state| {
            // A suspended process that is still connected holds what it was sent.
            if state.consumers.iter().any(|consumer| consumer.life.is_frozen()) {
                return;
            }
            let running = state.consumers.iter().filter(|consumer| !consumer.life.is_over());
            let Some(consumed) = running.map(|consumer| consumer.since).max() else { return };
            let since = calm.max(state.inbox_from).max(consumed).max(state.disturbed);
            let flying = state.flying.values().filter(|flying| flying.place == Place::Inbox);
            let inbox = state.ready.values().chain(flying.map(|flying| &flying.message));
            let late = inbox.filter(|message| now.saturating_sub(since.max(message.arrived)) > LONGEST_IN_THE_INBOX);
            let late: Vec<_> = late.map(|message| format!("{}: stuck in the inbox", message.name())).collect();
            state.notes.broken.extend(late);
        });
    }
}

impl State {
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Returns true if deliveries repeat endlessly at this instant; no more are made at it then.
    fn loops_endlessly(&mut self, now: Duration) -> bool {
        let is_endless = self.moment.0 == now && self.moment.1 > MOST_AT_ONCE;
        if is_endless {
            self.notes.broken.insert(format!("endless redelivery at {now:?}"));
        }
        is_endless
    }

    /// Delivers a message to a consumer.
    pub fn deliver_to(
        &mut self,
        broker: &Arc<Broker>,
        life: ProcessLife,
        (place, consumer): (Place, u64),
        (number, message): (u64, Message),
        redelivered: bool,
    ) -> Delivery {
        let tag = self.number();
        let now = broker.scene.elapsed();
        self.moment = if self.moment.0 == now { (now, self.moment.1 + 1) } else { (now, 1) };
        let connection = life.connection(&self.connection);
        let received = Received {
            envelope: message.envelope.clone(),
            body: message.body.clone(),
            routing_key: message.routing_key.clone(),
            redelivered,
            lost: connection.clone(),
        };
        let process = life.id;
        let settle = InFlight { broker: broker.clone(), life, tag, message: message.clone(), connection };
        self.flying.insert(tag, UnsettledMessage { message, place, number, consumer, process, since: Instant::now() });
        Delivery::new(received, Box::new(settle))
    }

    /// Returns a message to its old position.
    pub fn take_back(&mut self, flying: UnsettledMessage, counts: bool) {
        let UnsettledMessage { mut message, place, number, .. } = flying;
        match place {
            Place::Inbox => {
                message.deliveries += u64::from(counts);
                if message.deliveries > DELIVERY_LIMIT {
                    self.dead.push(message);
                } else {
                    self.ready.insert(number, message);
                }
            }
            Place::Organization(organization) => {
                message.redelivered |= counts;
                self.organizations.insert(&organization, number, message);
            }
        }
    }

    pub fn check_hold(&mut self, flying: &UnsettledMessage) {
        if flying.held() > LONGEST_HOLD {
            let place = &flying.place;
            let text = format!("{}: held for {:?} from {place:?}", flying.message.name(), flying.held());
            self.notes.broken.insert(text);
        }
    }
}
