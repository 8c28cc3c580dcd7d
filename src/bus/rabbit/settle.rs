//! How one message in hand is settled: first its copy is safe, then it is acked.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lapin::options::BasicAckOptions;
use lapin::{Acker, BasicProperties};
use tokio::time::sleep;
use tracing::warn;

use super::backlogs::{Backlogs, Hold};
use super::broker_deaths::BrokerDeaths;
use super::channels::{Address, short};
use super::copy;
use super::fit::fit;
use super::line::Line;
use super::options::Options;
use crate::bus::{Announced, BusError, Parked, Part, Settle, Settled};
use crate::event::OrganizationId;

/// Before a refused copy is offered again, the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The same, each further time.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How messages come, and go on.
#[derive(Clone)]
pub(super) struct Way {
    pub line: Arc<Line>,
    pub options: Arc<Options>,
    pub backlogs: Arc<Backlogs>,
    pub deaths: Arc<BrokerDeaths>,
}

/// A copy that the broker refuses (its queue is full, or without a leader) is offered again and again, as long as the line
/// is up: nowhere else is the message as safe as in hand, and from there it would not come again by itself.
struct Insistence {
    pause: Duration,
}

/// A message in hand, and the line that it came by: only there can it be acked.
pub(super) struct InHand {
    pub way: Way,
    /// Of a backlog's.
    pub hold: Option<Hold>,
    pub acker: Acker,
    pub properties: BasicProperties,
    pub body: Bytes,
    pub routing_key: String,
}

#[async_trait]
impl Settle for InHand {
    async fn ack(self: Box<Self>) -> Result<Settled, BusError> {
        Ok(self.done().await)
    }

    async fn later(self: Box<Self>, rung: usize, headers: Vec<(&'static str, String)>) -> Result<Settled, BusError> {
        let queue = self.way.options.retry_queue(rung);
        let copy = copy::for_retry(&self.properties, &headers);
        self.move_to(&queue, copy).await
    }

    async fn park(
        self: Box<Self>,
        organization: &OrganizationId,
        otherwise: usize,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Parked, BusError> {
        if self.is_lost() {
            return Ok(Parked::Lost);
        }
        let copy = self.fitting(copy::for_retry(&self.properties, &headers), organization.as_str());
        match self.put_behind(organization, copy).await {
            Ok(true) => Ok(parked(self.done().await, Parked::Behind)),
            Ok(false) => Ok(parked(self.later(otherwise, headers).await?, Parked::Later)),
            Err(BusError::Away) => Ok(Parked::Lost),
            Err(error) => Err(error),
        }
    }

    async fn dead(self: Box<Self>, headers: Vec<(&'static str, String)>) -> Result<Settled, BusError> {
        let copy = copy::for_dead_letters(&self.properties, &headers);
        let _copying = self.way.deaths.copying();
        self.move_to(&self.way.options.dead_letter_queue, copy).await
    }

    async fn split(self: Box<Self>, parts: Vec<Part>) -> Result<Settled, BusError> {
        let published = parts.iter().map(|part| self.publish_part(part));
        for published in futures_util::future::join_all(published).await {
            match published {
                Err(BusError::Away) => return Ok(Settled::Lost),
                published => published?,
            }
        }
        Ok(self.done().await)
    }
}

impl InHand {
    /// Puts a copy into a queue, and acks the source once the broker has confirmed it.
    async fn move_to(&self, queue: &str, copy: BasicProperties) -> Result<Settled, BusError> {
        match self.put(queue, &self.body, copy).await {
            Err(BusError::Away) => Ok(Settled::Lost),
            Err(error) => Err(error),
            Ok(()) => Ok(self.done().await),
        }
    }

    async fn publish_part(&self, part: &Part) -> Result<(), BusError> {
        let queue = &self.way.options.queue;
        let message_id = short(&part.message_id).map_err(|failure| failure.at(Address::queue(queue)))?;
        let copy = copy::for_part(&self.properties, &self.routing_key, message_id);
        self.put(queue, &part.body, copy).await
    }

    async fn put(&self, queue: &str, body: &[u8], copy: BasicProperties) -> Result<(), BusError> {
        // A source that can't be acked any more comes again by itself; a copy would be one too many.
        if self.is_lost() {
            return Err(BusError::Away);
        }
        let copy = self.fitting(copy, queue);
        let to = Address::queue(queue);
        match self.offer(to, body, copy).await? {
            Announced::Routed => Ok(()),
            Announced::Unrouted => {
                // Somebody deleted the queue. A new line declares it again.
                self.way.line.end(&format!("the queue `{queue}` is not there"));
                Err(BusError::Refused { to: queue.to_owned(), problem: "there is no such queue".to_owned() })
            }
        }
    }

    /// Into a backlog; false when it can't be had.
    async fn put_behind(&self, organization: &OrganizationId, copy: BasicProperties) -> Result<bool, BusError> {
        let Way { line, backlogs, .. } = &self.way;
        let mut insistence = Insistence::new();
        loop {
            match backlogs.put(line, organization, &self.body, copy.clone()).await {
                Err(refused @ BusError::Refused { .. }) => insistence.pause(line, &refused).await?,
                answer => return answer,
            }
        }
    }

    async fn offer(&self, to: Address<'_>, body: &[u8], copy: BasicProperties) -> Result<Announced, BusError> {
        let line = &self.way.line;
        let mut insistence = Insistence::new();
        loop {
            match line.publish(to, body, copy.clone()).await {
                Err(refused @ BusError::Refused { .. }) => insistence.pause(line, &refused).await?,
                answer => return answer,
            }
        }
    }

    /// With as many headers as a frame takes.
    fn fitting(&self, copy: BasicProperties, to: &str) -> BasicProperties {
        let (copy, left_out) = fit(copy, self.way.line.longest_frame());
        if left_out > 0 {
            warn!(
                to,
                left_out,
                "a message's headers do not fit into a frame with the worker's own: the largest were left out"
            );
        }
        copy
    }

    fn is_lost(&self) -> bool {
        self.way.line.has_ended() || !self.acker.usable()
    }

    /// Acks. Whatever goes wrong with that, the message is not acked, and comes again.
    async fn done(&self) -> Settled {
        match self.acker.ack(BasicAckOptions::default()).await {
            Ok(true) if !self.way.line.has_ended() => {
                if let Some(hold) = &self.hold {
                    hold.acked();
                }
                Settled::Taken
            }
            _ => Settled::Lost,
        }
    }
}

impl Insistence {
    fn new() -> Self {
        Self { pause: FIRST_PAUSE }
    }

    /// Waits before the next offer; the line may end meanwhile.
    async fn pause(&mut self, line: &Line, refused: &BusError) -> Result<(), BusError> {
        warn!(error = %refused, pause_ms = self.pause.as_millis(), "a copy was refused: it is offered again");
        tokio::select! {
            () = sleep(self.pause) => {}
            () = line.ended() => return Err(BusError::Away),
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

fn parked(settled: Settled, place: Parked) -> Parked {
    match settled {
        Settled::Taken => place,
        Settled::Lost => Parked::Lost,
    }
}
