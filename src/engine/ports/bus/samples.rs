//! Broker in memory for tests: an inbox, one organization's queue, and the end of each message.

#![allow(clippy::missing_panics_doc, reason = "for tests")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Announced, Announcement, Bus, BusError, Consumption, CopyTo, Delivery, Forwarded, Forwarding, Part, Received,
    Settle, Settled,
};
use crate::event::{Envelope, OrganizationId};

/// Headers set on a copy.
pub type FakeHeaders = BTreeMap<&'static str, String>;

/// End of a message.
#[derive(Clone, PartialEq, Debug)]
pub enum MessageEnd {
    /// Acknowledged without a copy.
    Acked,
    /// Returned to its queue.
    Requeued,
    /// Acknowledged after a copy to a retry queue.
    Later {
        /// Rung of the retry ladder.
        rung: usize,
        /// Headers set on the copy.
        headers: FakeHeaders,
    },
    /// Acknowledged after a copy to the dead-letter queue.
    Dead {
        /// Headers set on the copy.
        headers: FakeHeaders,
    },
    /// Acknowledged after its parts were published.
    Split,
}

/// Change that an observer of the broker sees.
#[derive(Clone, PartialEq, Debug)]
pub enum BrokerFact {
    /// This outcome, as JSON, is confirmed.
    Announced(String),
    /// The message with this body has come to its end.
    Settled(String, MessageEnd),
}

/// Place for the end of a message.
pub type EndSlot = Arc<Mutex<Option<MessageEnd>>>;

/// Message to put into the inbox.
#[derive(Clone, Default)]
pub struct QueuedMessage {
    envelope: Envelope,
    body: String,
    redelivered: bool,
    end: EndSlot,
}

/// Broker in memory.
#[derive(Default)]
pub struct FakeBroker {
    /// Bodies of the announced outcomes.
    pub outcomes: Mutex<Vec<String>>,
    /// True to refuse the publish of outcomes.
    pub refuses_outcomes: AtomicBool,
    /// True to refuse the publish of dead letters.
    pub refuses_dead_letters: AtomicBool,
    /// True to refuse the move to the organization's queue.
    pub refuses_forwarding: AtomicBool,
    /// True to refuse copies in every retry queue.
    pub refuses_retries: AtomicBool,
    /// True while the organization's queue is too new to be used, so that its events go to a retry queue.
    pub has_new_queue: AtomicBool,
    /// True while no outcome can be published for lack of a connection.
    pub is_away: AtomicBool,
    /// Time that the start of a consumer takes.
    pub start_takes: Mutex<Duration>,
    /// Consumers that are being started, counted by references: one beside them.
    pub starting: Arc<()>,
    /// Ends the consumer of the organization's queue.
    consumer_ends: Notify,
    /// Prefetches that the consumers of the organization's queue have requested.
    pub prefetches: Mutex<Vec<u16>>,
    /// Bodies of the returned messages, in that order.
    pub given_back: Mutex<Vec<String>>,
    inbox: Mutex<Option<mpsc::Receiver<Delivery>>>,
    queue: Mutex<VecDeque<QueuedMessage>>,
    observer: OnceLock<Box<dyn Fn(BrokerFact) + Send + Sync>>,
    changed: Notify,
    me: Weak<Self>,
}

impl QueuedMessage {
    /// Creates a message.
    pub fn new(envelope: Envelope, body: String) -> Self {
        Self { envelope, body, ..Self::default() }
    }

    /// Marks the message as in flight when a connection was lost.
    #[must_use]
    pub fn redelivered(self) -> Self {
        Self { redelivered: true, ..self }
    }

    fn delivery(self, broker: &Arc<FakeBroker>, redelivered: bool) -> Delivery {
        let received = Received {
            envelope: self.envelope.clone(),
            body: self.body.clone().into(),
            routing_key: "session.handoff.email".to_owned(),
            redelivered,
            lost: CancellationToken::new(),
        };
        Delivery::new(
            received,
            Box::new(FakeDelivery { broker: broker.clone(), message: self, copied: Mutex::default() }),
        )
    }
}

impl FakeBroker {
    /// Creates a broker without messages.
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|me| Self { me: me.clone(), ..Self::default() })
    }

    /// Calls the observer with each later fact, in their order.
    pub fn observe(&self, observer: impl Fn(BrokerFact) + Send + Sync + 'static) {
        assert!(self.observer.set(Box::new(observer)).is_ok(), "observed twice");
    }

    fn report(&self, fact: BrokerFact) {
        if let Some(observer) = self.observer.get() {
            observer(fact);
        }
    }

    fn shared(&self) -> Arc<Self> {
        self.me.upgrade().expect("the broker is alive")
    }

    /// Puts messages into a new inbox, which ends when the sender is dropped.
    pub fn begin(self: &Arc<Self>, messages: Vec<QueuedMessage>) -> (mpsc::Sender<Delivery>, Vec<EndSlot>) {
        let (sender, receiver) = mpsc::channel(messages.len().max(1));
        *self.inbox.lock().unwrap() = Some(receiver);
        let slots = messages.iter().map(|message| message.end.clone()).collect();
        for message in messages {
            sender.try_send(message.delivery(self, false)).unwrap();
        }
        (sender, slots)
    }

    /// Ends the consumer of the organization's queue, as the end of its connection does.
    pub fn end_consumer(&self) {
        self.consumer_ends.notify_waiters();
    }

    /// Adds a message to the organization's queue.
    pub fn add(&self, message: QueuedMessage) -> EndSlot {
        let end = message.end.clone();
        self.queue.lock().unwrap().push_back(message);
        self.changed.notify_waiters();
        end
    }

    /// Waits until all of these are settled.
    pub async fn settled(&self, slots: &[EndSlot]) {
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
impl Bus for FakeBroker {
    async fn inbox(&self) -> mpsc::Receiver<Delivery> {
        self.inbox.lock().unwrap().take().expect("begun")
    }

    fn organizations(&self) -> watch::Receiver<Vec<OrganizationId>> {
        watch::Sender::new(vec!["org_acme".into()]).subscribe()
    }

    async fn consume(&self, _: &OrganizationId, prefetch: u16) -> Consumption {
        self.prefetches.lock().unwrap().push(prefetch);
        let (start_takes, starting) = (*self.start_takes.lock().unwrap(), self.starting.clone());
        tokio::time::sleep(start_takes).await;
        drop(starting);
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
        let outcome = String::from_utf8(announcement.body).unwrap();
        self.outcomes.lock().unwrap().push(outcome.clone());
        self.report(BrokerFact::Announced(outcome));
        Ok(Announced::Routed)
    }

    async fn stop(&self) {}

    async fn close(&self) {}

    fn unready(&self) -> Vec<String> {
        Vec::new()
    }
}

struct FakeDelivery {
    broker: Arc<FakeBroker>,
    message: QueuedMessage,
    /// MessageEnd of the message once it is acknowledged.
    copied: Mutex<Option<MessageEnd>>,
}

impl FakeDelivery {
    fn settled(&self, end: MessageEnd) -> Settled {
        let before = self.message.end.lock().unwrap().replace(end.clone());
        assert_eq!(before, None, "settled twice");
        self.broker.report(BrokerFact::Settled(self.message.body.clone(), end));
        self.broker.changed.notify_waiters();
        Settled::Taken
    }
}

#[async_trait]
impl Settle for FakeDelivery {
    async fn ack(&self) -> Settled {
        let end = self.copied.lock().unwrap().take().unwrap_or(MessageEnd::Acked);
        self.settled(end)
    }

    async fn requeue(&self) -> Settled {
        self.broker.given_back.lock().unwrap().push(self.message.body.clone());
        self.settled(MessageEnd::Requeued)
    }

    async fn copy(&self, to: CopyTo, headers: Vec<(&'static str, String)>) -> Result<(), BusError> {
        let headers = headers.into_iter().collect();
        let end = match to {
            CopyTo::Retry(rung) => {
                FakeBroker::refused(&self.broker.refuses_retries, "handoffd.retry.5s")?;
                MessageEnd::Later { rung, headers }
            }
            CopyTo::DeadLetters => {
                FakeBroker::refused(&self.broker.refuses_dead_letters, "handoffd.dead-letters")?;
                MessageEnd::Dead { headers }
            }
        };
        *self.copied.lock().unwrap() = Some(end);
        Ok(())
    }

    async fn split(&self, _: Vec<Part>) -> Result<(), BusError> {
        *self.copied.lock().unwrap() = Some(MessageEnd::Split);
        Ok(())
    }

    fn forward(&self, _: &OrganizationId, rung: usize) -> Forwarding {
        if self.broker.has_new_queue.load(Ordering::Relaxed) {
            self.settled(MessageEnd::Later { rung, headers: BTreeMap::new() });
            return Box::pin(async { Ok(Forwarded::Waits) });
        }
        let refused = FakeBroker::refused(&self.broker.refuses_forwarding, "handoffd.organization.org_acme");
        if refused.is_ok() {
            self.broker.add(self.message.clone());
        }
        Box::pin(async move { refused.map(|()| Forwarded::Moved) })
    }
}
