//! Broker in memory: an inbox, one organization's queue, and the end of each message.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::event::{Envelope, OrganizationId};
use crate::ports::bus::{
    Announced, Announcement, Bus, BusError, Consumption, CopyTo, Delivery, Forwarded, Forwarding, Part, Received,
    Settle, Settled,
};

type Headers = BTreeMap<&'static str, String>;

/// End of a message.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum End {
    Acked,
    GivenBack,
    Later { rung: usize, headers: Headers },
    Dead { headers: Headers },
    Split,
}

/// Place for the end of a message.
pub(super) type Slot = Arc<Mutex<Option<End>>>;

#[derive(Clone, Default)]
pub(super) struct QueuedMessage {
    envelope: Envelope,
    body: String,
    redelivered: bool,
    end: Slot,
}

#[derive(Default)]
pub(super) struct Broker {
    /// Bodies of the announced outcomes.
    pub(super) outcomes: Mutex<Vec<String>>,
    /// True to refuse the publish of outcomes.
    pub(super) refuses_outcomes: AtomicBool,
    pub(super) refuses_dead_letters: AtomicBool,
    pub(super) refuses_forwarding: AtomicBool,
    /// True while no outcome can be published for lack of a connection.
    pub(super) is_away: AtomicBool,
    /// Time that the start of a consumer takes.
    pub(super) start_takes: Mutex<Duration>,
    /// Ends the consumer of the organization's queue.
    consumer_ends: Notify,
    /// Prefetches that the consumers of the organization's queue have requested.
    pub(super) prefetches: Mutex<Vec<u16>>,
    /// Bodies of the returned messages, in that order.
    pub(super) given_back: Mutex<Vec<String>>,
    inbox: Mutex<Option<mpsc::Receiver<Delivery>>>,
    queue: Mutex<VecDeque<QueuedMessage>>,
    changed: Notify,
    me: Weak<Self>,
}

impl QueuedMessage {
    pub(super) fn new(envelope: Envelope, body: String) -> Self {
        Self { envelope, body, ..Self::default() }
    }

    /// Marks the message as in flight when a connection was lost.
    pub(super) fn redelivered(self) -> Self {
        Self { redelivered: true, ..self }
    }

    fn delivery(self, broker: &Arc<Broker>, redelivered: bool) -> Delivery {
        let received = Received {
            envelope: self.envelope.clone(),
            body: self.body.clone().into(),
            routing_key: "session.handoff.email".to_owned(),
            redelivered,
            lost: CancellationToken::new(),
        };
        Delivery::new(received, Box::new(Slip { broker: broker.clone(), message: self, copied: Mutex::default() }))
    }
}

impl Broker {
    pub(super) fn new() -> Arc<Self> {
        Arc::new_cyclic(|me| Self { me: me.clone(), ..Self::default() })
    }

    fn shared(&self) -> Arc<Self> {
        self.me.upgrade().expect("the broker is alive")
    }

    /// Puts messages into a new inbox, which ends when the sender is dropped.
    pub(super) fn begin(self: &Arc<Self>, messages: Vec<QueuedMessage>) -> (mpsc::Sender<Delivery>, Vec<Slot>) {
        let (sender, receiver) = mpsc::channel(messages.len().max(1));
        *self.inbox.lock().unwrap() = Some(receiver);
        let slots = messages.iter().map(|message| message.end.clone()).collect();
        for message in messages {
            sender.try_send(message.delivery(self, false)).unwrap();
        }
        (sender, slots)
    }

    /// Ends the consumer of the organization's queue, as the end of its connection does.
    pub(super) fn end_consumer(&self) {
        self.consumer_ends.notify_waiters();
    }

    /// Adds a message to the organization's queue.
    pub(super) fn add(&self, message: QueuedMessage) -> Slot {
        let end = message.end.clone();
        self.queue.lock().unwrap().push_back(message);
        self.changed.notify_waiters();
        end
    }

    /// Waits until all of these are settled.
    pub(super) async fn settled(&self, slots: &[Slot]) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if slots.iter().all(|slot| slot.lock().unwrap().is_some()) {
                return;
            }
            changed.await;
        }
    }

    fn refused(by: &AtomicBool, to: &str) -> Result<(), BusError> {
        let refused = BusError::Refused { to: to.to_owned(), problem: "no".to_owned() };
        if by.load(Ordering::Relaxed) { Err(refused) } else { Ok(()) }
    }

    /// Waits for the next message of the organization's queue.
    async fn next(self: &Arc<Self>) -> Delivery {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let next = self.queue.lock().unwrap().pop_front();
            if let Some(message) = next {
                let redelivered = message.redelivered;
                return message.delivery(self, redelivered);
            }
            changed.await;
        }
    }
}

#[async_trait]
impl Bus for Broker {
    async fn inbox(&self) -> mpsc::Receiver<Delivery> {
        self.inbox.lock().unwrap().take().expect("begun")
    }

    fn organizations(&self) -> watch::Receiver<Vec<OrganizationId>> {
        watch::Sender::new(vec!["org_acme".into()]).subscribe()
    }

    async fn consume(&self, _: &OrganizationId, prefetch: u16) -> Consumption {
        self.prefetches.lock().unwrap().push(prefetch);
        let start_takes = *self.start_takes.lock().unwrap();
        tokio::time::sleep(start_takes).await;
        let (cancel, closed) = (CancellationToken::new(), CancellationToken::new());
        // A returned message is back in its queue at once, so nothing is missing once the consumer is gone.
        let state = (self.shared(), cancel.clone(), closed.clone().drop_guard());
        let stream = stream::unfold(state, |(broker, cancel, closed)| async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => None,
                () = broker.consumer_ends.notified() => None,
                delivery = broker.next() => Some((delivery, (broker, cancel, closed))),
            }
        });
        Consumption { deliveries: stream.boxed(), cancel, closed }
    }

    async fn announce(&self, announcement: Announcement) -> Result<Announced, BusError> {
        Self::refused(&self.refuses_outcomes, "opencx.outcomes")?;
        if self.is_away.load(Ordering::Relaxed) {
            return Err(BusError::Away);
        }
        self.outcomes.lock().unwrap().push(String::from_utf8(announcement.body).unwrap());
        Ok(Announced::Routed)
    }

    async fn stop(&self) {}

    async fn close(&self) {}

    fn unready(&self) -> Vec<String> {
        Vec::new()
    }
}

struct Slip {
    broker: Arc<Broker>,
    message: QueuedMessage,
    /// End of the message once it is acknowledged.
    copied: Mutex<Option<End>>,
}

impl Slip {
    fn settled(&self, end: End) -> Settled {
        let before = self.message.end.lock().unwrap().replace(end);
        assert_eq!(before, None, "settled twice");
        self.broker.changed.notify_waiters();
        Settled::Taken
    }
}

#[async_trait]
impl Settle for Slip {
    async fn ack(&self) -> Settled {
        let end = self.copied.lock().unwrap().take().unwrap_or(End::Acked);
        self.settled(end)
    }

    async fn give_back(&self) -> Settled {
        self.broker.given_back.lock().unwrap().push(self.message.body.clone());
        self.settled(End::GivenBack)
    }

    async fn copy(&self, to: CopyTo, headers: Vec<(&'static str, String)>) -> Result<(), BusError> {
        let headers = headers.into_iter().collect();
        let end = match to {
            CopyTo::Retry(rung) => End::Later { rung, headers },
            CopyTo::DeadLetters => {
                Broker::refused(&self.broker.refuses_dead_letters, "handoffd.dead-letters")?;
                End::Dead { headers }
            }
        };
        *self.copied.lock().unwrap() = Some(end);
        Ok(())
    }

    async fn split(&self, _: Vec<Part>) -> Result<(), BusError> {
        *self.copied.lock().unwrap() = Some(End::Split);
        Ok(())
    }

    fn forward(&self, _: &OrganizationId, _: usize) -> Forwarding {
        let refused = Broker::refused(&self.broker.refuses_forwarding, "handoffd.organization.org_acme");
        if refused.is_ok() {
            self.broker.add(self.message.clone());
        }
        Box::pin(async move { refused.map(|()| Forwarded::Moved) })
    }
}
