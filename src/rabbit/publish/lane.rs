//! Confirmed publishing: many messages in flight, each with its own answer, in the order of the calls.
//!
//! Each destination has its own task and channel. RabbitMQ (3.10.8, measured) blocks a channel for up to a minute,
//! whatever else is sent on it, if its first message to a queue meets a leader that does not answer. It accepts later
//! ones without an answer, up to 32 (`quorum_commands_soft_limit`), and then stops reading from the connection. So a
//! destination has an allowance below that, any excess waits here, and a queue without a leader delays only its own
//! messages.
//!
//! A destination without write permission (403, which also closes the channel) is retried with one message at a time,
//! at growing pauses; all other messages for it wait. The first of them is kept for that even when its caller has given
//! up: consuming is paused meanwhile, so no other message would come to show that the permission is back. A second copy
//! of it is as harmless as any that a lost confirm leads to. A command does not wait: its messages fail.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use handoffd_engine::ports::bus::Announced;
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info};

use super::address::PublishFailure;
use super::destination_faults::{DestinationFaults, DestinationTrouble};
use super::lane_channel::LaneChannel;
use crate::rabbit::connection::confirm_pool::ConfirmPool;
use crate::rabbit::refusal;

/// Most messages in flight to one destination: fewer than RabbitMQ's `quorum_commands_soft_limit`.
const ALLOWANCE: usize = 24;
/// Interval between checks for overdue confirms and for destinations to retry.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// First and longest pause before a destination without write permission is retried (contract 1).
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Time without a message after which a destination that did not confirm counts as healthy again, because its state is
/// unknown.
const ASSUME_HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// Treatment of a destination that does not take messages.
#[derive(Clone)]
pub(in crate::rabbit) struct PublishPolicy {
    /// Time without a confirm after which a destination is in trouble.
    pub confirm_timeout: Duration,
    /// Record of the troubles of a worker; `None` for a command, whose messages fail without write permission.
    pub faults: Option<Arc<DestinationFaults>>,
}

/// Message to publish. On the heap, because it is 400 bytes and moves from one collection to the next.
pub(super) struct PublishJob {
    pub exchange: ShortString,
    pub routing_key: ShortString,
    pub body: Bytes,
    pub properties: BasicProperties,
    pub answer: oneshot::Sender<PublishResult>,
}

/// Confirm of a message, or the reason for which it was not confirmed.
pub(in crate::rabbit) type PublishResult = Result<Announced, PublishFailure>;

/// Number of a publish, and its result.
type Confirmed = (u64, lapin::Result<Confirmation>);

/// Messages for one exchange or queue.
pub(super) struct PublishLane {
    name: String,
    policy: PublishPolicy,
    channel: LaneChannel,
    waiting: VecDeque<Box<PublishJob>>,
    in_flight: BTreeMap<u64, Unconfirmed>,
    confirms: FuturesUnordered<BoxFuture<'static, Confirmed>>,
    number: u64,
    /// Time of its last confirm, or of the first message since it had none in flight.
    last_confirm: Instant,
    /// True if its confirms are overdue.
    is_unconfirmed: bool,
    forbidden: Option<Forbidden>,
}

/// Time of the next attempt at a destination without write permission.
struct Forbidden {
    next: Instant,
    pause: Duration,
}

/// Message that is published and not confirmed.
struct Unconfirmed {
    job: Box<PublishJob>,
    /// Number of the channel that it was published on.
    channel: u16,
    published: Instant,
    /// True if the broker has returned it because no queue is bound for it.
    returned: bool,
}

impl PublishLane {
    /// Starts the task of a lane, which ends when the returned sender is dropped.
    pub(in crate::rabbit) fn begin(
        name: String,
        policy: PublishPolicy,
        channels: Arc<ConfirmPool>,
    ) -> mpsc::UnboundedSender<Box<PublishJob>> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let lane = Self {
            name,
            policy,
            channel: LaneChannel::new(channels),
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            confirms: FuturesUnordered::new(),
            number: 0,
            last_confirm: Instant::now(),
            is_unconfirmed: false,
            forbidden: None,
        };
        tokio::spawn(lane.run(queue));
        jobs
    }

    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Box<PublishJob>>) {
        let mut check = interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some(confirmed) = self.confirms.next(), if !self.confirms.is_empty() => self.confirmed(confirmed),
                job = queue.recv() => match job {
                    Some(job) => self.waiting.push_back(job),
                    None => return,
                },
                _ = check.tick(), if !self.is_idle() || self.is_unconfirmed => self.check(),
            }
            self.publish_waiting().await;
        }
    }

    fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.waiting.is_empty()
    }

    fn may_publish(&self) -> bool {
        match &self.forbidden {
            Some(forbidden) => self.in_flight.is_empty() && forbidden.next <= Instant::now(),
            None if self.channel.is_draining() => self.in_flight.is_empty(),
            None => self.in_flight.len() < ALLOWANCE,
        }
    }

    /// Publishes waiting messages, within the allowance.
    async fn publish_waiting(&mut self) {
        while self.may_publish() {
            let Some(job) = self.waiting.pop_front() else { return };
            // The caller may have stopped waiting and put the message elsewhere.
            if self.forbidden.is_some() || !job.answer.is_closed() {
                self.publish(job).await;
            }
        }
    }

    async fn publish(&mut self, job: Box<PublishJob>) {
        // On the heap, or every lane would hold its room all the time.
        let channel = match self.channel.get(self.in_flight.is_empty()).boxed().await {
            Ok(channel) => channel,
            Err(error) => {
                _ = job.answer.send(Err(error.into()));
                return;
            }
        };
        if self.in_flight.is_empty() {
            self.last_confirm = Instant::now();
        }
        self.number += 1;
        let to = (job.exchange.clone(), job.routing_key.clone());
        let (id, body, properties) = (channel.id(), job.body.clone(), job.properties.clone());
        let mut confirm = confirm(self.number, channel, to, body, properties).boxed();
        let in_flight = Unconfirmed { job, channel: id, published: Instant::now(), returned: false };
        self.in_flight.insert(self.number, in_flight);
        // lapin has the message after the first poll, which fixes the order of publishing. The write itself is not
        // awaited, or each message would cost two context switches.
        match (&mut confirm).now_or_never() {
            Some((number, confirmation)) => self.answer(number, confirmation),
            None => self.confirms.push(confirm),
        }
    }

    /// Processes one confirm, together with all those that the broker sent at once.
    ///
    /// The broker sends a returned message before its confirm. lapin (4.12.3) attaches it to the next confirm that it
    /// completes, and completes those of one frame in any order. So all of them are collected first; every message
    /// whose confirm is among them has then been returned before, if at all.
    fn confirmed(&mut self, first: Confirmed) {
        if let Some(channel) = self.channel.current() {
            // Acquires the lock under which lapin completes the confirms of one frame.
            _ = channel.wait_for_confirms().now_or_never();
        }
        let mut all = vec![first];
        take_ready(&mut self.confirms, &mut all);
        for (_, confirmation) in &all {
            if let Ok(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) = confirmation {
                self.came_back(message);
            }
        }
        // Errors come last, because a refusal ends whatever is in flight by then.
        all.sort_by_key(|(_, confirmation)| confirmation.is_err());
        for (number, confirmation) in all {
            self.answer(number, confirmation);
        }
    }

    fn came_back(&mut self, message: &BasicReturnMessage) {
        let is_it = |published: &&mut Unconfirmed| {
            let (job, back) = (&published.job, &message.delivery);
            !published.returned
                && job.exchange == back.exchange
                && job.routing_key == back.routing_key
                && job.properties.message_id() == back.properties.message_id()
                && job.body == back.data
        };
        if let Some(published) = self.in_flight.values_mut().find(is_it) {
            published.returned = true;
        }
    }

    fn answer(&mut self, number: u64, confirmation: lapin::Result<Confirmation>) {
        // Absent after a refusal, which ends all messages in flight.
        let Some(published) = self.in_flight.remove(&number) else { return };
        let answer = match confirmation {
            Ok(Confirmation::Ack(_)) if published.returned => Ok(Announced::Unrouted),
            Ok(Confirmation::Ack(_)) => Ok(Announced::Routed),
            Ok(Confirmation::Nack(_)) => {
                self.refused();
                Err(PublishFailure::Refused("basic.nack".to_owned()))
            }
            Ok(Confirmation::NotRequested) => {
                Err(PublishFailure::Refused("the channel is not in confirm mode".to_owned()))
            }
            Err(error) => {
                self.channel.failed(published.channel);
                if refusal::is_forbidden(&error) {
                    self.in_flight.insert(number, published);
                    return self.forbidden(&error);
                }
                Err(error.into())
            }
        };
        // A queue without a leader refuses after a minute, which does not prove that it works.
        let in_time = published.published.elapsed() < self.policy.confirm_timeout;
        if answer.is_ok() || in_time && matches!(answer, Err(PublishFailure::Refused(_))) {
            self.hear();
        }
        if let (Ok(_), Some(faults)) = (&answer, &self.policy.faults) {
            faults.accepted(&self.name);
        }
        // The caller may have stopped waiting.
        _ = published.job.answer.send(answer);
    }

    /// Records that the broker has refused a message.
    fn refused(&mut self) {
        self.channel.refused();
        if let Some(faults) = &self.policy.faults {
            faults.refused(&self.name);
        }
    }

    /// Records an answer by the destination.
    fn hear(&mut self) {
        self.last_confirm = Instant::now();
        self.forbidden = None;
        self.is_unconfirmed = false;
        if self.policy.faults.as_ref().is_some_and(|faults| faults.clear(&self.name)) {
            info!(destination = self.name, "the broker confirms messages again");
        }
    }

    /// Ends a channel that the broker has closed for lack of write permission. A worker's messages wait in their order
    /// for the next attempt.
    fn forbidden(&mut self, error: &lapin::Error) {
        let refused = std::mem::take(&mut self.in_flight).into_values().map(|published| published.job);
        let Some(faults) = &self.policy.faults else {
            for job in refused.chain(self.waiting.drain(..)) {
                _ = job.answer.send(Err(PublishFailure::Refused("this user has no write permission".to_owned())));
            }
            return;
        };
        refused.rev().for_each(|job| self.waiting.push_front(job));
        let pause = self.forbidden.as_ref().map_or(FIRST_PAUSE, |known| (known.pause * 2).min(LONGEST_PAUSE));
        self.forbidden = Some(Forbidden { next: Instant::now() + pause, pause });
        let problem = refusal::in_words(error);
        if faults.report(&self.name, DestinationTrouble::Forbidden(problem.clone())) {
            error!(
                destination = self.name,
                problem, "no write permission for a destination; consuming is paused until it is granted"
            );
        }
    }

    /// Checks for overdue confirms.
    fn check(&mut self) {
        let mut kept = usize::from(self.forbidden.is_some());
        self.waiting.retain(|job| !job.answer.is_closed() || std::mem::take(&mut kept) > 0);
        if self.channel.is_blocked() {
            // A blocked broker confirms nothing; that is no fault of a destination.
            self.last_confirm = Instant::now();
        } else if self.in_flight.is_empty() {
            if self.is_unconfirmed && self.last_confirm.elapsed() >= ASSUME_HEALTHY_AFTER {
                self.hear();
            }
        } else if self.last_confirm.elapsed() >= self.policy.confirm_timeout {
            self.is_unconfirmed = true;
            let faults = self.policy.faults.as_ref();
            if faults.is_some_and(|faults| faults.report(&self.name, DestinationTrouble::Unconfirmed)) {
                let timeout_s = self.policy.confirm_timeout.as_secs();
                error!(destination = self.name, timeout_s, "the broker does not confirm messages");
            }
        }
    }
}

/// Takes the confirms that are there. `FuturesUnordered` sometimes says that nothing is ready and wakes its task at once, to
/// let others run: then it is asked again, or a returned message would be taken for a routed one.
fn take_ready(confirms: &mut FuturesUnordered<BoxFuture<'static, Confirmed>>, all: &mut Vec<Confirmed>) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    loop {
        match confirms.poll_next_unpin(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(confirmed)) => all.push(confirmed),
            // Another thread may be just adding one.
            Poll::Pending if woken.0.swap(false, Ordering::AcqRel) => std::thread::yield_now(),
            Poll::Ready(None) | Poll::Pending => return,
        }
    }
}

/// Waker that records that it was used.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Publishes and waits for the confirm.
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
