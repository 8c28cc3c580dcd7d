//! A broker in memory: a work queue, retry queues, dead letters, and what was announced.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use handoffd::bus::{Announcement, Delivery};
use handoffd::event::Envelope;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep};

use super::backlogs::Backlogs;
use super::bus::InHand;
use super::scene::{Life, Scene};

/// The ladder of the runs.
pub const DELAYS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(3600),
];
/// `x-delivery-limit` of the work queue.
pub const DELIVERY_LIMIT: u64 = 20;
/// How likely the connection breaks at each point where it may, and how often it does at most.
const BREAKS: f64 = 0.01;
const MOST_BREAKS: u32 = 12;
/// RabbitMQ closes a channel that holds a message for longer.
const ACK_TIMEOUT: Duration = Duration::from_secs(1800);

#[derive(Clone, Debug)]
pub struct Message {
    pub envelope: Envelope,
    pub body: Bytes,
    pub routing_key: String,
    pub deliveries: u64,
}

/// The broker; it outlives the workers.
pub struct Broker {
    pub scene: Arc<Scene>,
    pub prefetch: usize,
    queues: Mutex<Queues>,
}

/// A message in a retry queue.
#[derive(Clone, Copy)]
pub struct PutOff {
    /// When it was put off first.
    pub first: Duration,
    /// Whether it was tried before. If not, only its process knows who is to wait for it.
    pub tried: bool,
}

#[derive(Default)]
pub struct Queues {
    ready: VecDeque<Message>,
    in_hand: BTreeMap<u64, Message>,
    waiting: usize,
    pub backlogs: Backlogs,
    pub dead: Vec<Message>,
    /// What was announced, and how long after the run began.
    pub announced: Vec<(Duration, Announcement)>,
    pub disconnections: u32,
    /// When a message was first put off, by its id.
    pub put_off: BTreeMap<String, PutOff>,
    tag: u64,
    consumer: Option<(Life, Sender<Delivery>)>,
    /// When the next connection is there.
    away_until: Option<Instant>,
}

impl Broker {
    pub fn new(scene: Arc<Scene>) -> Arc<Self> {
        let prefetch = scene.pick(&[2, 5, 20, 256]);
        Arc::new(Self { scene, prefetch, queues: Mutex::default() })
    }

    pub fn look<T>(&self, at: impl FnOnce(&mut Queues) -> T) -> T {
        at(&mut self.queues.lock().unwrap())
    }

    /// What is neither done nor dead: ready, in hand, and in the retry queues and backlogs.
    pub fn unfinished(&self) -> (usize, usize, usize) {
        self.look(|queues| (queues.ready.len(), queues.in_hand.len(), queues.waiting + queues.backlogs.count()))
    }

    pub fn publish(self: &Arc<Self>, message: Message) {
        self.look(|queues| queues.ready.push_back(message));
        self.deliver();
    }

    pub fn consume(self: &Arc<Self>, life: Life) -> Receiver<Delivery> {
        // Bounded by the prefetch: every message in it is in hand.
        let (sender, receiver) = channel(1024);
        self.look(|queues| queues.consumer = Some((life, sender)));
        self.deliver();
        receiver
    }

    /// Whether the connection breaks now; not so often that the delivery limit is all that one sees.
    pub fn breaks(&self) -> bool {
        self.scene.fails(BREAKS) && self.look(|queues| queues.disconnections < MOST_BREAKS)
    }

    pub fn is_away(&self) -> bool {
        self.look(|queues| queues.away_until.is_some_and(|until| Instant::now() < until))
    }

    pub fn holds(&self, tag: u64) -> bool {
        self.look(|queues| queues.in_hand.contains_key(&tag) || queues.backlogs.holds(tag))
    }

    pub fn ack(self: &Arc<Self>, tag: u64) {
        self.look(|queues| {
            queues.in_hand.remove(&tag);
            queues.backlogs.ack(tag);
        });
        self.deliver();
        self.deliver_from_backlogs();
    }

    /// A copy waits in the retry queue of this rung, and whatever comes after it in its session for it.
    pub fn put_off(self: &Arc<Self>, message: Message, rung: usize) {
        let (id, after) = (message.envelope.message_id.clone().unwrap_or_default(), self.scene.elapsed());
        let attempts = message.envelope.header("x-handoffd-attempts").and_then(|text| text.parse::<u32>().ok());
        let tried = attempts.is_some_and(|attempts| attempts > 0);
        self.look(|queues| {
            let known = queues.put_off.entry(id).or_insert(PutOff { first: after, tried });
            known.tried |= tried;
        });
        self.hold_back(message, rung);
    }

    /// A copy waits in the retry queue of this rung.
    pub fn hold_back(self: &Arc<Self>, message: Message, rung: usize) {
        self.look(|queues| queues.waiting += 1);
        let broker = self.clone();
        tokio::spawn(async move {
            sleep(DELAYS[rung]).await;
            broker.look(|queues| queues.waiting -= 1);
            broker.publish(message);
        });
    }

    /// The connection is gone: what is in hand comes again, with the next one.
    pub fn disconnect(self: &Arc<Self>, why: &'static str) {
        let away = Duration::from_secs(10).mul_f64(self.scene.lot());
        let shuffled = self.scene.happens(0.3);
        self.scene.tell(|| format!("DISCONNECTED: {why}"));
        self.look(|queues| {
            queues.disconnections += 1;
            let mut back: Vec<_> = std::mem::take(&mut queues.in_hand).into_values().collect();
            if shuffled {
                back.reverse();
            }
            for mut message in back.into_iter().rev() {
                message.deliveries += 1;
                match message.deliveries {
                    ..=DELIVERY_LIMIT => queues.ready.push_front(message),
                    _ => queues.dead.push(message),
                }
            }
            queues.backlogs.disconnect();
            queues.away_until = Some(Instant::now() + away);
        });
        let broker = self.clone();
        tokio::spawn(async move {
            sleep(away).await;
            broker.deliver_from_backlogs();
            broker.deliver();
        });
    }

    fn deliver(self: &Arc<Self>) {
        if self.is_away() {
            return;
        }
        self.look(|queues| {
            let Some((life, consumer)) = queues.consumer.clone().filter(|(life, _)| !life.is_over()) else { return };
            while queues.in_hand.len() < self.prefetch {
                let Some(message) = queues.ready.pop_front() else { return };
                queues.tag += 1;
                // Even, and odd in the backlogs.
                let tag = 2 * queues.tag;
                queues.in_hand.insert(tag, message.clone());
                let settle = InHand { broker: self.clone(), life: life.clone(), tag, message: message.clone() };
                let Message { envelope, body, routing_key, deliveries } = message;
                let delivery = Delivery::new(envelope, body, routing_key, deliveries, Box::new(settle));
                consumer.try_send(delivery).expect("the prefetch is smaller than the channel");
                self.watch_over(tag);
            }
        });
    }

    /// It is not held for ever.
    pub fn watch_over(self: &Arc<Self>, tag: u64) {
        let broker = self.clone();
        tokio::spawn(async move {
            sleep(ACK_TIMEOUT).await;
            if broker.holds(tag) {
                broker.disconnect("a message was held for too long");
            }
        });
    }
}
