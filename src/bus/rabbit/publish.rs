//! Confirmed publishing: many messages in flight on one channel, each with an answer of its own, in the order of the calls.
//!
//! Every destination has an allowance of its own. RabbitMQ stops reading from a connection once one of its channels has 32
//! messages in flight to a queue that does not answer (`quorum_commands_soft_limit`); with fewer, a queue without a leader holds up
//! nobody but itself. What exceeds the allowance waits here.
//!
//! A destination that may not be written to (403, which also closes the channel) is tried with one message at a time, at growing
//! pauses; everything else for it waits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info};

use super::address::{Address, Failure, short};
use super::refusal;
use super::troubles::{Trouble, Troubles};
use crate::bus::Announced;

/// Messages in flight to one destination: below RabbitMQ's `quorum_commands_soft_limit`.
const ALLOWANCE: usize = 24;
/// Interval at which destinations are checked that owe confirms for too long, or may be tried again.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// Before a destination that may not be written to is tried again, the first time and at most (contract 1).
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Publishes on a channel of its own, and waits for confirms.
pub(super) struct ConfirmedPublisher {
    jobs: mpsc::UnboundedSender<Job>,
}

/// A message to publish.
struct Job {
    destination: Arc<str>,
    exchange: ShortString,
    routing_key: ShortString,
    body: Bytes,
    properties: BasicProperties,
    answer: oneshot::Sender<Answer>,
}

type Answer = Result<Announced, Failure>;

/// Result of a publish, by its number.
type Confirmed = (u64, lapin::Result<Confirmation>);

impl ConfirmedPublisher {
    /// Opens its channel with the first message. Ends when it is dropped.
    pub(super) fn start(connection: Arc<Connection>, confirm_timeout: Duration, troubles: Arc<Troubles>) -> Self {
        let (jobs, queue) = mpsc::unbounded_channel();
        let publishing = Publishing {
            connection,
            confirm_timeout,
            troubles,
            channel: None,
            destinations: HashMap::new(),
            in_flight: HashMap::new(),
            confirms: FuturesUnordered::new(),
            number: 0,
        };
        tokio::spawn(publishing.run(queue));
        Self { jobs }
    }

    /// Publishes, mandatory. The order of calls is the order of the messages; the answer is the broker's confirm.
    pub(super) fn send(
        &self,
        to: Address<'_>,
        body: Bytes,
        properties: BasicProperties,
    ) -> impl Future<Output = Answer> + Send + use<> {
        let queued = self.queue(to, body, properties);
        async move { queued?.await.unwrap_or_else(|_| Err(Failure::Gone)) }
    }

    fn queue(
        &self,
        to: Address<'_>,
        body: Bytes,
        properties: BasicProperties,
    ) -> Result<oneshot::Receiver<Answer>, Failure> {
        let (answer, confirmed) = oneshot::channel();
        let (exchange, routing_key) = (short(to.exchange)?, short(to.routing_key)?);
        let destination = to.name().into();
        let job = Job { destination, exchange, routing_key, body, properties, answer };
        self.jobs.send(job).map_err(|_| Failure::Gone)?;
        Ok(confirmed)
    }
}

/// The task behind it.
struct Publishing {
    connection: Arc<Connection>,
    confirm_timeout: Duration,
    troubles: Arc<Troubles>,
    channel: Option<Channel>,
    destinations: HashMap<Arc<str>, Destination>,
    in_flight: HashMap<u64, InFlight>,
    confirms: FuturesUnordered<futures_util::future::BoxFuture<'static, Confirmed>>,
    number: u64,
}

/// One exchange, or one queue.
struct Destination {
    waiting: VecDeque<Job>,
    in_flight: usize,
    /// When it last confirmed something, or owed nothing.
    heard: Instant,
    forbidden: Option<Forbidden>,
}

/// When a destination that may not be written to is tried again.
struct Forbidden {
    next: Instant,
    pause: Duration,
}

/// A message that is published and not confirmed.
struct InFlight {
    /// The channel that it was published on.
    channel: u16,
    destination: Arc<str>,
    exchange: ShortString,
    routing_key: ShortString,
    message_id: Option<ShortString>,
    body: Bytes,
    /// The broker has sent it back: no queue has it.
    returned: bool,
    answer: oneshot::Sender<Answer>,
}

impl Publishing {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Job>) {
        let mut check = interval(CHECK_EVERY);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some(confirmed) = self.confirms.next(), if !self.confirms.is_empty() => self.confirmed(confirmed).await,
                job = queue.recv() => match job {
                    Some(job) => self.admit(job).await,
                    None => return,
                },
                _ = check.tick(), if !self.destinations.is_empty() => self.check().await,
            }
        }
    }

    async fn admit(&mut self, job: Job) {
        let name = job.destination.clone();
        let destination = self.destinations.entry(name.clone()).or_insert_with(Destination::new);
        destination.waiting.push_back(job);
        self.publish_waiting(&name).await;
    }

    /// Publishes what a destination's allowance permits.
    async fn publish_waiting(&mut self, name: &Arc<str>) {
        loop {
            let Some(destination) = self.destinations.get_mut(name) else { return };
            if !destination.may_publish(Instant::now()) {
                return;
            }
            let Some(job) = destination.waiting.pop_front() else {
                if destination.is_idle() {
                    self.destinations.remove(name);
                }
                return;
            };
            // Nobody waits for its answer any more: it was put elsewhere.
            if !job.answer.is_closed() {
                self.publish(job).await;
            }
        }
    }

    async fn publish(&mut self, job: Job) {
        let channel = match self.channel().await {
            Ok(channel) => channel,
            Err(error) => {
                _ = job.answer.send(Err(self.failed(&job.destination, error)));
                return;
            }
        };
        self.number += 1;
        let Job { destination, exchange, routing_key, body, properties, answer } = job;
        self.owe(&destination);
        let in_flight = InFlight {
            channel: channel.id(),
            destination,
            exchange: exchange.clone(),
            routing_key: routing_key.clone(),
            message_id: properties.message_id().clone(),
            body: body.clone(),
            returned: false,
            answer,
        };
        self.in_flight.insert(self.number, in_flight);
        let mut confirm = confirm(self.number, channel, (exchange, routing_key), body, properties).boxed();
        // lapin has the message after the first poll: the order of publishing is this one. That it is written is not waited for, or
        // each message would cost two changes of threads.
        match (&mut confirm).now_or_never() {
            Some((number, confirmation)) => self.answer(number, confirmation),
            None => self.confirms.push(confirm),
        }
    }

    fn owe(&mut self, name: &Arc<str>) {
        if let Some(destination) = self.destinations.get_mut(name) {
            if destination.in_flight == 0 {
                destination.heard = Instant::now();
            }
            destination.in_flight += 1;
        }
    }

    /// One confirm came, and with it all that the broker sent at once.
    ///
    /// The broker sends a returned message before its confirm; lapin (4.12.3) hands it to whichever confirm it completes next, and
    /// completes those of one frame in any order. So all of them are collected first: then every message whose confirm is here has
    /// been returned before, if ever.
    async fn confirmed(&mut self, first: Confirmed) {
        if let Some(channel) = &self.channel {
            // Takes the lock under which lapin completes the confirms of one frame.
            _ = channel.wait_for_confirms().now_or_never();
        }
        let mut all = vec![first];
        while let Some(Some(confirmed)) = self.confirms.next().now_or_never() {
            all.push(confirmed);
        }
        for (_, confirmation) in &all {
            if let Ok(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) = confirmation {
                self.came_back(message);
            }
        }
        let mut heard: Vec<Arc<str>> = Vec::new();
        for (number, confirmation) in all {
            let Some(published) = self.in_flight.get(&number) else { continue };
            if !heard.contains(&published.destination) {
                heard.push(published.destination.clone());
            }
            self.answer(number, confirmation);
        }
        for name in heard {
            self.publish_waiting(&name).await;
        }
    }

    fn came_back(&mut self, message: &BasicReturnMessage) {
        let is_it = |published: &&mut InFlight| {
            !published.returned
                && published.exchange == message.delivery.exchange
                && published.routing_key == message.delivery.routing_key
                && published.message_id == *message.delivery.properties.message_id()
                && published.body == message.delivery.data
        };
        if let Some(published) = self.in_flight.values_mut().find(is_it) {
            published.returned = true;
        }
    }

    fn answer(&mut self, number: u64, confirmation: lapin::Result<Confirmation>) {
        let Some(published) = self.in_flight.remove(&number) else { return };
        let name = published.destination;
        if let Some(destination) = self.destinations.get_mut(&name) {
            destination.in_flight = destination.in_flight.saturating_sub(1);
        }
        let answer = match confirmation {
            Ok(Confirmation::Ack(_)) if published.returned => Ok(Announced::Unrouted),
            Ok(Confirmation::Ack(_)) => Ok(Announced::Routed),
            Ok(Confirmation::Nack(_)) => Err(Failure::Refused("basic.nack".to_owned())),
            Ok(Confirmation::NotRequested) => Err(Failure::Refused("its channel does not confirm".to_owned())),
            Err(error) => {
                self.channel.take_if(|channel| channel.id() == published.channel);
                Err(self.failed(&name, error))
            }
        };
        if matches!(answer, Ok(_) | Err(Failure::Refused(_))) {
            self.hear(&name);
        }
        // Nobody waits for it any more.
        _ = published.answer.send(answer);
    }

    /// A destination has answered.
    fn hear(&mut self, name: &Arc<str>) {
        let Some(destination) = self.destinations.get_mut(name) else { return };
        destination.heard = Instant::now();
        destination.forbidden = None;
        if self.troubles.ends(name) {
            info!(destination = %name, "the broker confirms messages again");
        }
    }

    fn failed(&mut self, name: &Arc<str>, error: lapin::Error) -> Failure {
        if !refusal::is_forbidden(&error) {
            return Failure::Broken(error);
        }
        if let Some(destination) = self.destinations.get_mut(name) {
            let pause =
                destination.forbidden.as_ref().map_or(FIRST_PAUSE, |known| (known.pause * 2).min(LONGEST_PAUSE));
            // Several were in flight: that is one refusal.
            if destination.forbidden.as_ref().is_none_or(|known| known.next <= Instant::now()) {
                destination.forbidden = Some(Forbidden { next: Instant::now() + pause, pause });
            }
        }
        let problem = refusal::in_words(&error);
        if self.troubles.begins(name, Trouble::Forbidden(problem.clone())) {
            error!(destination = %name, problem, "may not write to a destination; no event is taken until it may be written to");
        }
        Failure::Forbidden
    }

    /// Finds destinations that owe confirms for too long, and tries those that may be tried again.
    async fn check(&mut self) {
        // While the broker blocks publishers nothing is confirmed, and nothing is wrong with a destination.
        let blocked = self.connection.status().blocked();
        let names: Vec<Arc<str>> = self.destinations.keys().cloned().collect();
        for name in names {
            if let Some(destination) = self.destinations.get_mut(&name) {
                destination.waiting.retain(|job| !job.answer.is_closed());
                if blocked || destination.in_flight == 0 {
                    destination.heard = Instant::now();
                } else if destination.heard.elapsed() >= self.confirm_timeout
                    && self.troubles.begins(&name, Trouble::Unconfirmed)
                {
                    error!(destination = %name, timeout_s = self.confirm_timeout.as_secs(), "the broker does not confirm messages");
                }
            }
            self.publish_waiting(&name).await;
        }
    }

    async fn channel(&mut self) -> lapin::Result<Channel> {
        if let Some(channel) = &self.channel {
            return Ok(channel.clone());
        }
        let channel = super::line::open_channel(&self.connection).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        self.channel = Some(channel.clone());
        Ok(channel)
    }
}

impl Destination {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), in_flight: 0, heard: Instant::now(), forbidden: None }
    }

    fn may_publish(&self, now: Instant) -> bool {
        match &self.forbidden {
            Some(forbidden) => self.in_flight == 0 && forbidden.next <= now,
            None => self.in_flight < ALLOWANCE,
        }
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty() && self.forbidden.is_none()
    }
}

/// Publishes, and waits for the confirm.
async fn confirm(
    number: u64,
    channel: Channel,
    to: (ShortString, ShortString),
    body: Bytes,
    properties: BasicProperties,
) -> Confirmed {
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let confirmation = match channel.basic_publish(to.0, to.1, options, &body, properties).await {
        Ok(confirm) => confirm.await,
        Err(error) => Err(error),
    };
    (number, confirmation)
}
