//! Message in flight over the broker in memory, settled as the adapter settles it.

use std::sync::Arc;

use async_trait::async_trait;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::bus::{BusError, CopyTo, Forwarded, Forwarding, Part, Settle, Settled};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::broker::{Broker, DELAYS};
use super::destinations::Destination;
use super::flaw::Flaw;
use super::message::Message;
use super::publish::{CONFIRM_LIMIT, CONFIRM_TIMEOUT, Sent};
use super::scene::ProcessLife;

/// Message in flight.
#[derive(Clone)]
pub struct InFlight {
    pub broker: Arc<Broker>,
    pub life: ProcessLife,
    pub tag: u64,
    pub message: Message,
    pub connection: CancellationToken,
}

type Headers = Vec<(&'static str, String)>;

#[async_trait]
impl Settle for InFlight {
    async fn ack(&self) -> Settled {
        self.life.pass("ack").await;
        let settled = self.done("acked", super::broker::Broker::ack);
        self.life.pass("after an ack").await;
        settled
    }

    async fn requeue(&self) -> Settled {
        self.life.pass("giving back").await;
        let settled = self.done("gave back", super::broker::Broker::requeue);
        self.life.pass("after giving back").await;
        settled
    }

    async fn copy(&self, to: CopyTo, headers: Headers) -> Result<(), BusError> {
        if self.broker.flaw == Some(Flaw::CopiesAfterTheAck) {
            self.broker.ack(self.tag);
        }
        match to {
            CopyTo::Retry(rung) => self.retry(rung, headers).await,
            CopyTo::DeadLetters => self.put(Destination::DeadLetters, self.copy(headers), limit()).await,
        }
    }

    async fn split(&self, parts: Vec<Part>) -> Result<(), BusError> {
        for part in parts {
            let mut copy = self.copy(Vec::new());
            copy.envelope.message_id = Some(part.message_id);
            copy.body = part.body;
            self.put(Destination::Inbox, copy, limit()).await?;
        }
        Ok(())
    }

    fn forward(&self, organization: &OrganizationId, otherwise: usize) -> Forwarding {
        let (message, to) = (self.clone(), Destination::Organization(organization.clone()));
        if !self.broker.is_usable(organization) {
            self.broker.scene.log(|| format!("{} waits for the queue of {organization}", self.message.name()));
            return Box::pin(async move {
                message.retry(otherwise, Vec::new()).await?;
                Ok(forwarded(message.ack().await, Forwarded::Waits))
            });
        }
        if self.broker.flaw == Some(Flaw::AcksBeforeTheConfirm) {
            self.broker.ack(self.tag);
        }
        // Publishes at the time of the call, not when the result is awaited, so that the order of calls is preserved.
        let sent = self.offer(&to, self.copy(Vec::new()));
        let limit = limit();
        Box::pin(async move {
            message.broker.confirmed(&message.life, sent, limit).await?;
            Ok(forwarded(message.ack().await, Forwarded::Moved))
        })
    }
}

impl InFlight {
    fn copy(&self, headers: Headers) -> Message {
        let mut copy = self.message.clone();
        for (name, value) in headers {
            copy.envelope.headers.retain(|(known, _)| known != name);
            copy.envelope.headers.push((name.to_owned(), value));
        }
        copy
    }

    /// Publishes to the retry queue of a rung, or to another one if that queue refuses.
    async fn retry(&self, rung: usize, headers: Headers) -> Result<(), BusError> {
        let copy = self.copy(headers);
        let mut answer = Err(BusError::Away);
        for rung in [rung].into_iter().chain((0..DELAYS.len()).filter(|other| *other != rung)) {
            answer = self.put(Destination::Retry(rung), copy.clone(), Instant::now() + CONFIRM_TIMEOUT).await;
            match &answer {
                Err(problem) if problem.is_of_destination() => {}
                _ => break,
            }
        }
        answer
    }

    async fn put(&self, to: Destination, message: Message, limit: Instant) -> Result<(), BusError> {
        self.life.pass("a copy").await;
        let sent = self.offer(&to, message);
        self.broker.confirmed(&self.life, sent, limit).await
    }

    /// Publishes on the connection that delivered the message.
    fn offer(&self, to: &Destination, message: Message) -> Sent {
        let there = to.clone();
        let effect = Box::new(move |broker: &Arc<Broker>| broker.put(&there, message));
        if self.connection.is_cancelled() {
            return Sent::away(to, &self.connection);
        }
        self.broker.send(&self.life, to, effect)
    }

    /// Settles the message. Acks are not confirmed, so one may be in transit when the connection breaks.
    fn done(&self, what: &'static str, settle: impl FnOnce(&Arc<Broker>, u64)) -> Settled {
        if !self.broker.holds(self.tag) {
            return Settled::Lost;
        }
        if self.broker.breaks() {
            self.broker.disconnect("an ack was lost");
            return if self.broker.scene.happens(0.5) { Settled::Taken } else { Settled::Lost };
        }
        self.broker.scene.log(|| format!("{what} {}", self.message.name()));
        settle(&self.broker, self.tag);
        Settled::Taken
    }
}

fn forwarded(settled: Settled, taken: Forwarded) -> Forwarded {
    match settled {
        Settled::Taken => taken,
        Settled::Lost => Forwarded::Lost,
    }
}

fn limit() -> Instant {
    Instant::now() + CONFIRM_LIMIT
}
