//! A broker in memory: the inbox, retry queues, dead letters, and what was announced.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::bus::{Announcement, Delivery, Received};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::destinations::Windows;
use super::flaw::Flaw;
use super::in_flight::InFlight;
use super::message::{Flying, Message, Place, reverse};
use super::organization_queues::OrganizationQueues;
use super::publish::Stalled;
use super::scene::{Life, Scene};

/// The ladder of the runs.
pub const DELAYS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(3600),
];
/// `x-delivery-limit` of the inbox.
pub const DELIVERY_LIMIT: u64 = 20;
/// How likely the connection breaks at each point where it may, and how often it does at most.
const BREAKS: f64 = 0.01;
const MOST_BREAKS: u32 = 12;
/// RabbitMQ closes a channel that holds a message for longer.
const ACK_TIMEOUT: Duration = Duration::from_secs(1800);
/// The worker holds none for longer: a shared broker may be set to less than RabbitMQ's default.
const LONGEST_HOLD: Duration = Duration::from_secs(600);
/// Most deliveries at one moment: with more, something goes round in circles, and the clock would never go on.
const MOST_AT_ONCE: u32 = 10_000;
/// Longest time in the inbox while nothing is wrong.
const LONGEST_IN_THE_INBOX: Duration = Duration::from_secs(60);

/// The broker; it outlives the workers.
pub struct Broker {
    pub scene: Arc<Scene>,
    pub prefetch: usize,
    pub windows: Windows,
    pub flaw: Option<Flaw>,
    /// Organizations whose queues the worker consumes.
    pub configured: watch::Sender<Vec<OrganizationId>>,
    /// Wakes consumers that could not start, in order.
    pub changes: Notify,
    /// Whether what is given back counts as redelivered: up to RabbitMQ 4.2 it does.
    pub counts_given_back: bool,
    /// Whether what was in flight may come back in another order.
    pub shuffles: bool,
    state: Mutex<State>,
}

/// What became of a message on the way.
#[derive(Default)]
pub struct Notes {
    /// What was announced, and how long after the run began.
    pub announced: Vec<(Duration, Announcement)>,
    /// When a message was first moved to its organization's queue, by its id.
    pub forwarded: BTreeMap<String, Duration>,
    /// When a message was first put into a retry queue, by its id.
    pub put_off: BTreeMap<String, Duration>,
    /// When copies of a message lay in retry queues, by its id.
    pub delayed: BTreeMap<String, Vec<Range<Duration>>>,
    /// Rules that were broken while the run went on.
    pub broken: BTreeSet<String>,
    pub disconnections: u32,
}

pub struct State {
    pub ready: BTreeMap<u64, Message>,
    pub flying: BTreeMap<u64, Flying>,
    pub organizations: OrganizationQueues,
    pub stalled: Stalled,
    pub waiting: usize,
    pub dead: Vec<Message>,
    pub notes: Notes,
    pub connection: CancellationToken,
    numbers: u64,
    /// The moment of the last delivery, and how many there were at it.
    moment: (Duration, u32),
    consumer: Option<InboxConsumer>,
    /// When the next connection is there.
    away_until: Option<Instant>,
    /// The inbox is not consumed before.
    pub inbox_from: Duration,
}

struct InboxConsumer {
    life: Life,
    to: UnboundedSender<Delivery>,
    /// One at a time, until a message comes for the first time.
    careful: bool,
    since: Duration,
}

impl Broker {
    pub fn new(scene: Arc<Scene>, windows: Windows, configured: Vec<OrganizationId>) -> Arc<Self> {
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
            consumer: None,
            away_until: None,
            inbox_from: Duration::ZERO,
        };
        Arc::new(Self {
            prefetch,
            windows,
            flaw: Flaw::of_the_run(),
            configured: watch::Sender::new(configured),
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

    /// What is neither done nor dead: in the inbox, in flight, in organizations' queues, in retry queues or on the way.
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

    pub fn consume_inbox(self: &Arc<Self>, life: Life) -> UnboundedReceiver<Delivery> {
        let (to, receiver) = unbounded_channel();
        let since = self.scene.elapsed();
        if !life.is_stopped() {
            self.look(|state| state.consumer = Some(InboxConsumer { life, to, careful: true, since }));
        }
        self.deliver();
        receiver
    }

    /// The stream of a process' inbox ends.
    pub fn stop_consuming_inbox(&self, life: &Life) {
        life.stop();
        self.look(|state| state.consumer = None);
    }

    /// Whether the connection breaks now; not so often that the delivery limit is all that one sees.
    pub fn breaks(&self) -> bool {
        self.scene.fails(BREAKS) && self.look(|state| state.notes.disconnections < MOST_BREAKS)
    }

    pub fn is_away(&self) -> bool {
        self.look(|state| state.away_until.is_some_and(|until| Instant::now() < until))
    }

    /// Whether the worker consumes nothing for the moment.
    pub fn is_paused(&self) -> bool {
        self.windows.forbidden(self.scene.elapsed()).is_some()
    }

    pub fn holds(&self, tag: u64) -> bool {
        self.look(|state| state.flying.contains_key(&tag))
    }

    pub fn connection(&self) -> CancellationToken {
        self.look(|state| state.connection.clone())
    }

    pub fn ack(self: &Arc<Self>, tag: u64) {
        self.settled(tag);
        self.deliver();
    }

    pub fn give_back(self: &Arc<Self>, tag: u64) {
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

    fn settled(&self, tag: u64) -> Option<Flying> {
        self.look(|state| {
            let flying = state.flying.remove(&tag)?;
            state.check_hold(&flying);
            Some(flying)
        })
    }

    /// The connection is gone: what is in flight comes again, with the next one.
    pub fn disconnect(self: &Arc<Self>, why: &'static str) {
        let away = Duration::from_secs(10).mul_f64(self.scene.lot());
        let shuffled = self.shuffles && self.scene.happens(0.5);
        self.scene.tell(|| format!("DISCONNECTED: {why}"));
        let over = self.look(|state| {
            state.notes.disconnections += 1;
            state.away_until = Some(Instant::now() + away);
            state.organizations.end_consumers();
            let mut back: Vec<Flying> = std::mem::take(&mut state.flying).into_values().collect();
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

    /// Both sides are there again.
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

    /// What waits for the broker looks again.
    pub fn wake(self: &Arc<Self>) {
        self.changes.notify_waiters();
        self.deliver();
    }

    pub fn deliver(self: &Arc<Self>) {
        if self.is_away() || self.is_paused() {
            return;
        }
        self.look(|state| {
            if state.goes_round_in_circles(self.scene.elapsed()) {
                return;
            }
            state.deliver_inbox(self);
            state.deliver_organizations(self);
        });
    }

    /// What must hold at any time.
    pub fn inspect(self: &Arc<Self>) {
        let timed_out = self.look(|state| state.flying.values().any(|flying| flying.held() > ACK_TIMEOUT));
        if timed_out {
            self.disconnect("a message was held for too long");
        }
        let (now, away) = (self.scene.elapsed(), self.is_away());
        let Some(calm) = self.windows.calm_since(now).filter(|_| !away) else { return };
        self.look(|state| {
            let Some(consumer) = state.consumer.as_ref().filter(|consumer| !consumer.life.is_over()) else { return };
            let since = calm.max(state.inbox_from).max(consumer.since);
            let flying = state.flying.values().filter(|flying| flying.place == Place::Inbox);
            let inbox = state.ready.values().chain(flying.map(|flying| &flying.message));
            let late = inbox.filter(|message| now.saturating_sub(since.max(message.arrived)) > LONGEST_IN_THE_INBOX);
            let late: Vec<_> = late.map(|message| format!("{}: lies in the inbox", message.name())).collect();
            state.notes.broken.extend(late);
        });
    }
}

impl State {
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Whether something is delivered again and again at this moment; for this moment nothing more is delivered then.
    fn goes_round_in_circles(&mut self, now: Duration) -> bool {
        let is_endless = self.moment.0 == now && self.moment.1 > MOST_AT_ONCE;
        if is_endless {
            self.notes.broken.insert(format!("delivered again and again at {now:?}"));
        }
        is_endless
    }

    fn deliver_inbox(&mut self, broker: &Arc<Broker>) {
        if broker.scene.elapsed() < self.inbox_from {
            return;
        }
        loop {
            let flying = self.flying.values().filter(|flying| flying.place == Place::Inbox).count();
            let Some(consumer) = self.consumer.as_mut().filter(|consumer| !consumer.life.is_over()) else { return };
            let prefetch = if consumer.careful { 1 } else { broker.prefetch };
            if flying >= prefetch {
                return;
            }
            let Some((number, message)) = self.ready.pop_first() else {
                consumer.careful &= flying > 0;
                return;
            };
            consumer.careful &= message.deliveries > 0;
            let (life, to) = (consumer.life.clone(), consumer.to.clone());
            let redelivered = message.deliveries > 0;
            let delivery = self.take_off(broker, life, (Place::Inbox, 0), (number, message), redelivered);
            // Whoever has taken it before its death holds it no more once the connection ends.
            _ = to.send(delivery);
        }
    }

    /// Sends a message to a consumer.
    pub fn take_off(
        &mut self,
        broker: &Arc<Broker>,
        life: Life,
        (place, consumer): (Place, u64),
        (number, message): (u64, Message),
        redelivered: bool,
    ) -> Delivery {
        let tag = self.number();
        let now = broker.scene.elapsed();
        self.moment = if self.moment.0 == now { (now, self.moment.1 + 1) } else { (now, 1) };
        let received = Received {
            envelope: message.envelope.clone(),
            body: message.body.clone(),
            routing_key: message.routing_key.clone(),
            redelivered,
            lost: self.connection.clone(),
        };
        let connection = self.connection.clone();
        let settle = InFlight { broker: broker.clone(), life, tag, message: message.clone(), connection };
        self.flying.insert(tag, Flying { message, place, number, consumer, since: Instant::now() });
        Delivery::new(received, Box::new(settle))
    }

    /// Puts it back at its old place.
    fn take_back(&mut self, flying: Flying, counts: bool) {
        let Flying { mut message, place, number, .. } = flying;
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

    fn check_hold(&mut self, flying: &Flying) {
        if flying.held() > LONGEST_HOLD {
            let place = &flying.place;
            let text = format!("{}: held for {:?} from {place:?}", flying.message.name(), flying.held());
            self.notes.broken.insert(text);
        }
    }
}
