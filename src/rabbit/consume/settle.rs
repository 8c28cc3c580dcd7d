//! Settles one message in flight: its copy is confirmed first, then the message is acknowledged.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::bus::headers::ORIGINAL_ROUTING_KEY;
use handoffd_engine::ports::bus::{Announced, BusError, CopyTo, Forwarded, Forwarding, Part, Settle, Settled};
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::{Acker, BasicProperties};
use tokio::time::Instant;
use tracing::debug;

use super::held_channel::{HeldChannel, HeldChannels};
use crate::rabbit::dead_letters::broker_deaths::BrokerDeaths;
use crate::rabbit::link::Link;
use crate::rabbit::options::RabbitOptions;
use crate::rabbit::publish::address::{Address, short};
use crate::rabbit::publish::copy;
use crate::rabbit::publish::lane::PublishResult;
use crate::rabbit::refusal;
use crate::rabbit::topology::organization_queues::OrganizationQueues;

/// Dependencies for settling messages.
pub(in crate::rabbit) struct ConsumeContext {
    pub link: Arc<Link>,
    pub options: Arc<RabbitOptions>,
    pub queues: Arc<OrganizationQueues>,
    pub deaths: Arc<BrokerDeaths>,
    pub channels: HeldChannels,
}

/// Message in flight, and the connection it arrived on: only there can it be acknowledged.
#[derive(Clone)]
pub(super) struct Unacked(pub Arc<RabbitMessage>);

pub(super) struct RabbitMessage {
    pub context: Arc<ConsumeContext>,
    pub acker: Acker,
    pub properties: BasicProperties,
    pub body: Bytes,
    pub routing_key: String,
    /// Channel of an organization's queue, which returns the message when it is closed; `None` for the inbox.
    pub held: Option<Arc<HeldChannel>>,
    /// Mark of an unsettled message, which is only counted.
    pub _mark: Arc<()>,
}

#[async_trait]
impl Settle for Unacked {
    async fn ack(&self) -> Settled {
        self.0.ack().await
    }

    async fn requeue(&self) -> Settled {
        self.0.requeue().await
    }

    async fn copy(&self, to: CopyTo, headers: Vec<(&'static str, String)>) -> Result<(), BusError> {
        match to {
            CopyTo::Retry(rung) => self.0.retry(rung, &headers).await,
            CopyTo::DeadLetters => {
                let copy = copy::for_dead_letters(&self.0.properties, &headers);
                let _copying = self.0.context.deaths.copying();
                self.0.put(&self.0.context.options.dead_letter_queue, self.0.body.clone(), copy, self.0.limit()).await
            }
        }
    }

    async fn split(&self, parts: Vec<Part>) -> Result<(), BusError> {
        let published = parts.into_iter().map(|part| self.0.publish_part(part));
        futures_util::future::join_all(published).await.into_iter().collect()
    }

    fn forward(&self, organization: &OrganizationId, otherwise: usize) -> Forwarding {
        let message = self.0.clone();
        if message.is_lost() {
            return Box::pin(async { Ok(Forwarded::Lost) });
        }
        let headers = message.with_routing_key();
        let Some(queue) = message.context.queues.usable(organization) else {
            return Box::pin(async move {
                message.retry(otherwise, &headers).await?;
                Ok(forwarded(message.ack().await, Forwarded::Waits))
            });
        };
        let copy = copy::for_retry(&message.properties, &headers);
        // Published here, not when the answer is awaited, to keep the order of the calls.
        let sent = message.context.link.publisher().send(Address::queue(&queue), message.body.clone(), copy);
        Box::pin(async move {
            message.confirmed(&queue, message.limit(), sent).await?;
            Ok(forwarded(message.ack().await, Forwarded::Moved))
        })
    }
}

impl RabbitMessage {
    fn limit(&self) -> Instant {
        Instant::now() + self.context.options.confirm_limit()
    }

    async fn publish_part(&self, part: Part) -> Result<(), BusError> {
        let queue = &self.context.options.queue;
        let message_id = short(&part.message_id).map_err(|failure| failure.at(Address::queue(queue)))?;
        let copy = copy::for_part(&self.properties, &self.routing_key, message_id);
        self.put(queue, part.body, copy, self.limit()).await
    }

    /// Puts a copy into the retry queue of a rung, or into another one if that one refuses it or has not answered
    /// lately.
    async fn retry(&self, rung: usize, headers: &[(&'static str, String)]) -> Result<(), BusError> {
        let copy = copy::for_retry(&self.properties, headers);
        let options = &self.context.options;
        let others = (0..options.delays.len()).filter(|other| *other != rung);
        let mut queues: Vec<String> = [rung].into_iter().chain(others).map(|rung| options.retry_queue(rung)).collect();
        queues.sort_by_key(|queue| self.context.link.publisher().is_in_trouble(queue));
        let mut answer = Err(BusError::Away);
        for queue in queues {
            let limit = Instant::now() + options.confirm_timeout;
            answer = self.put(&queue, self.body.clone(), copy.clone(), limit).await;
            match &answer {
                Err(problem) if problem.is_of_destination() => {
                    debug!(error = %problem, queue, "could not put an event into a retry queue");
                }
                _ => break,
            }
        }
        answer
    }

    /// Puts a copy into a queue; returns once the broker has confirmed it.
    async fn put(&self, queue: &str, body: Bytes, copy: BasicProperties, limit: Instant) -> Result<(), BusError> {
        // The broker redelivers a source that can't be acked any more; a copy would duplicate it.
        if self.is_lost() {
            return Err(BusError::Away);
        }
        let sent = self.context.link.publisher().send(Address::queue(queue), body, copy);
        self.confirmed(queue, limit, sent).await
    }

    fn is_lost(&self) -> bool {
        self.context.link.has_ended() || !self.acker.usable()
    }

    /// Waits for the confirm of a copy.
    async fn confirmed(
        &self,
        queue: &str,
        limit: Instant,
        sent: impl Future<Output = PublishResult> + Send,
    ) -> Result<(), BusError> {
        let link = &self.context.link;
        if link.confirmed(Address::queue(queue), limit, sent).await? == Announced::Unrouted {
            // The queue was deleted; the next connection declares it again.
            link.end(&format!("the queue `{queue}` is missing"));
            return Err(BusError::Away);
        }
        Ok(())
    }

    fn with_routing_key(&self) -> Vec<(&'static str, String)> {
        vec![(ORIGINAL_ROUTING_KEY, self.routing_key.clone())]
    }

    /// Acknowledges the message. If that fails, the message stays unacked and the broker redelivers it.
    async fn ack(&self) -> Settled {
        let answer = self.taken(self.acker.ack(BasicAckOptions::default())).await;
        self.context.link.acked();
        answer
    }

    async fn requeue(&self) -> Settled {
        if self.held.is_some() {
            return Settled::Taken;
        }
        self.taken(self.acker.nack(BasicNackOptions { requeue: true, multiple: false })).await
    }

    /// Waits until lapin has taken a command for the broker, or for the end of the line: lapin (4.12.3) never completes one
    /// that comes in just as its connection dies, for it lies in a queue that nobody reads any more. The event would keep
    /// those behind it waiting for ever.
    async fn taken(&self, command: impl Future<Output = lapin::Result<bool>>) -> Settled {
        tokio::select! {
            biased;
            answer = command => self.settled(&answer),
            () = self.context.link.ended().cancelled() => Settled::Lost,
        }
    }

    /// Returns the result of an acknowledgement. If it failed on a line that is up, only this side has given up the
    /// channel: the broker would keep the message unacked, and its consumer without room for another. So the line ends.
    fn settled(&self, answer: &lapin::Result<bool>) -> Settled {
        let link = &self.context.link;
        match answer {
            _ if link.has_ended() => return Settled::Lost,
            Ok(true) => return Settled::Taken,
            Ok(false) => link.end("the channel of a message failed"),
            Err(error) => link.end(&refusal::in_words(error)),
        }
        Settled::Lost
    }
}

fn forwarded(settled: Settled, taken: Forwarded) -> Forwarded {
    match settled {
        Settled::Taken => taken,
        Settled::Lost => Forwarded::Lost,
    }
}
