//! One line to the broker: two connections that live and die together.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use handoffd_engine::ports::bus::{Announced, BusError};
use lapin::{Channel, Connection, Event};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::addresses::{Reached, reach};
use super::connection::confirm_pool::{ConfirmPool, open, open_channel};
use super::options::RabbitOptions;
use super::publish::address::{Address, PublishFailure};
use super::publish::destination_faults::DestinationFaults;
use super::publish::lane::{PublishPolicy, PublishResult};
use super::publish::publisher::ConfirmedPublisher;
use super::queue_stats::{NoStats, QueueStats};
use super::refusal;
use super::shared::lock;
use super::topology::declare::{Declared, TopologyError, declare};
use super::topology::organization_queues::OrganizationQueues;
use super::topology::topology;

/// Longest time to connect and declare everything. A healthy broker takes some 50 ms, and 6 ms for each quorum queue
/// that does not exist yet.
const ESTABLISH_LIMIT: Duration = Duration::from_secs(120);
/// Longest wait for a queue to answer.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// Time for the broker to process acknowledgements. While 32 commands to a quorum queue are in progress, RabbitMQ keeps
/// further acknowledgements back in their channel, and drops them when that is closed (`rabbit_fifo_client`; measured
/// on 3.10.8: 167 of 200 messages were redelivered). Its disk usually writes them within milliseconds.
pub(super) const TAKE_ACKS: Duration = Duration::from_millis(200);
/// Interval between checks of a connection whose end may have gone unannounced.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Both connections. A failure of one ends both; the broker then redelivers the messages in flight.
pub(super) struct Link {
    reached: Reached,
    /// Channels of the inbox and of each organization's queue.
    consuming: ConfirmPool,
    /// Kept until the connection is closed. A channel dropped just before races with it, and lapin (4.12.3) then
    /// occasionally hangs up without waiting for the broker's answer.
    inbox: Channel,
    /// On a connection of its own: a queue without a leader leaves requests unanswered, and RabbitMQ then ends their
    /// connection.
    questions: tokio::sync::Mutex<Option<(Connection, Channel)>>,
    publisher: ConfirmedPublisher,
    /// Time of the last acknowledgement.
    acked: Mutex<Option<Instant>>,
    ended: CancellationToken,
    why: OnceLock<String>,
    /// Held once more by each unsettled message.
    unsettled: Arc<()>,
    /// Number of unsettled messages at the end.
    lost: OnceLock<usize>,
}

/// Reason for which there is no line.
#[derive(Debug)]
pub(super) enum LinkError {
    /// The broker does not answer, or refuses the connection.
    Away(String),
    /// The topology is incomplete or wrong.
    TopologyMismatch(TopologyError),
}

impl Link {
    /// Opens both connections, to the address that has fallen silent only if there is no other, and declares or checks the
    /// topology.
    pub(super) async fn establish(
        options: &RabbitOptions,
        faults: &Arc<DestinationFaults>,
        queues: &OrganizationQueues,
        silent: Option<SocketAddr>,
    ) -> Result<Self, LinkError> {
        timeout(ESTABLISH_LIMIT, Self::connect(options, faults, queues, silent))
            .await
            .unwrap_or_else(|_| Err(LinkError::Away("no answer in time".to_owned())))
    }

    async fn connect(
        options: &RabbitOptions,
        faults: &Arc<DestinationFaults>,
        queues: &OrganizationQueues,
        silent: Option<SocketAddr>,
    ) -> Result<Self, LinkError> {
        let reached = reach(options, silent).await.map_err(LinkError::Away)?;
        let shared = topology(options, reached.version);
        let mut declared = Declared::default();
        let declaring = declare(&reached, &shared, options.declare, &mut declared);
        declaring.await.map_err(LinkError::TopologyMismatch)?;
        if !declared.refused.is_empty() {
            return Err(LinkError::TopologyMismatch(declared.refused.swap_remove(0).1));
        }
        if !declared.missing.is_empty() {
            return Err(LinkError::TopologyMismatch(TopologyError::Missing(declared.missing)));
        }
        queues.declare(&reached, !declared.made.is_empty()).await.map_err(LinkError::TopologyMismatch)?;
        let consuming = ConfirmPool::connect(&reached, "consumes").await.map_err(LinkError::Away)?;
        let policy = PublishPolicy { confirm_timeout: options.confirm_timeout, faults: Some(faults.clone()) };
        let publisher = ConfirmedPublisher::connect(&reached, "publishes", policy).await.map_err(LinkError::Away)?;
        let failed = |error: lapin::Error| LinkError::Away(refusal::in_words(&error));
        let inbox = consuming.open().await.map_err(failed)?;
        Ok(Self {
            reached,
            consuming,
            inbox,
            questions: tokio::sync::Mutex::new(None),
            publisher,
            acked: Mutex::default(),
            ended: CancellationToken::new(),
            why: OnceLock::new(),
            unsettled: Arc::new(()),
            lost: OnceLock::new(),
        })
    }

    /// Node of the broker that the line is connected to.
    pub(super) fn reached(&self) -> &Reached {
        &self.reached
    }

    /// Channel for consuming the inbox.
    pub(super) fn inbox(&self) -> &Channel {
        &self.inbox
    }

    /// Opens a channel on the connection that consumes.
    pub(super) async fn consuming_channel(&self) -> lapin::Result<Channel> {
        self.consuming.open().await
    }

    /// Publisher of outcomes and of copies of events.
    pub(super) fn publisher(&self) -> &ConfirmedPublisher {
        &self.publisher
    }

    /// Returns the statistics of a queue, or `None` if it is missing or does not answer.
    pub(super) async fn look(&self, queue: &str) -> Option<QueueStats> {
        self.ask(queue).await.ok()
    }

    /// Returns the statistics of a queue.
    ///
    /// # Errors
    /// Tells whether the queue is missing, as opposed to one that does not answer.
    pub(super) async fn ask(&self, queue: &str) -> Result<QueueStats, NoStats> {
        tokio::select! {
            answer = self.ask_until_answered(queue) => answer,
            () = self.ended.cancelled() => Err(NoStats::Unknown),
        }
    }

    async fn ask_until_answered(&self, queue: &str) -> Result<QueueStats, NoStats> {
        let mut asking = self.questions.lock().await;
        if asking
            .as_ref()
            .is_none_or(|(connection, channel)| !connection.status().connected() || !channel.status().connected())
        {
            let connection = match asking.take() {
                Some((connection, _)) if connection.status().connected() => connection,
                _ => open(&self.reached.with_small_frames(), "asks").await.map_err(|_| NoStats::Unknown)?,
            };
            let channel = open_channel(&connection).await.map_err(|_| NoStats::Unknown)?;
            *asking = Some((connection, channel));
        }
        let (_, channel) = asking.as_ref().ok_or(NoStats::Unknown)?;
        if let Ok(found) = timeout(LOOK_LIMIT, QueueStats::at(queue, channel)).await {
            found.map_err(|error| if refusal::is_deleted(&error) { NoStats::Missing } else { NoStats::Unknown })
        } else {
            // The channel may never answer again.
            *asking = None;
            Err(NoStats::Unknown)
        }
    }

    /// Waits for the confirm of a published message, until `limit` or the end of the line.
    pub(super) async fn confirmed(
        &self,
        to: Address<'_>,
        limit: Instant,
        sent: impl Future<Output = PublishResult>,
    ) -> Result<Announced, BusError> {
        let answer = tokio::select! {
            answer = sent => answer,
            () = self.ended.cancelled() => return Err(BusError::Away),
            () = sleep_until(limit) => return Err(BusError::Unconfirmed { to: to.name().to_owned() }),
        };
        answer.map_err(|failure| {
            if let PublishFailure::Broken(error) = &failure {
                // The next connection declares again what was missing on this one.
                self.end(&refusal::in_words(error));
            }
            failure.at(to)
        })
    }

    /// Records an acknowledgement.
    pub(super) fn acked(&self) {
        *lock(&self.acked) = Some(Instant::now());
    }

    /// Waits until the broker has processed the acknowledgements.
    pub(super) async fn acks_taken(&self) {
        let acked = *lock(&self.acked);
        if let Some(acked) = acked {
            sleep_until(acked + TAKE_ACKS).await;
        }
    }

    /// Ends the line; the broker redelivers the messages in flight on the next one.
    pub(super) fn end(&self, why: &str) {
        // The first reason is the cause, later ones are its consequences.
        let _ = self.why.set(why.to_owned());
        // Before the messages learn of it and are dropped.
        let _ = self.lost.set(Arc::strong_count(&self.unsettled) - 1);
        self.ended.cancel();
    }

    /// Returns the mark that an unsettled message holds.
    pub(super) fn unsettled(&self) -> Arc<()> {
        self.unsettled.clone()
    }

    /// Returns the number of messages that were unsettled when the line ended.
    pub(super) fn lost(&self) -> usize {
        self.lost.get().copied().unwrap_or_default()
    }

    /// Cancelled when the line ends.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Returns true if the line has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Reason not to publish, while the broker blocks publishers for lack of memory or disk space.
    pub(super) fn blocked(&self) -> Option<String> {
        let blocked = self.publisher.channels().first().status().blocked();
        blocked.then(|| "the broker blocks publishers (memory or disk alarm)".to_owned())
    }

    /// Waits for the end of the line and returns its reason.
    pub(super) async fn wait_broken(&self) -> String {
        tokio::select! {
            () = self.ended.cancelled() => {}
            why = lost(self.consuming.first()) => self.end(&why),
            why = lost(self.publisher.channels().first()) => self.end(&why),
        }
        self.why.get().cloned().unwrap_or_default()
    }

    /// Closes both connections in good order if the broker responds; it redelivers the messages in flight.
    pub(super) async fn close(&self) {
        self.end("closed");
        tokio::join!(self.consuming.close(), self.publisher.channels().close());
    }
}

/// Waits until a connection is lost, and returns the reason. Errors of single channels are handled by their users.
async fn lost(connection: &Connection) -> String {
    let mut events = Box::pin(connection.events_listener());
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = tokio::time::sleep(CHECK_INTERVAL) => None,
        };
        if !connection.status().connected() {
            return match event {
                Some(Event::Error(error)) => refusal::in_words(&error),
                _ => "the connection closed".to_owned(),
            };
        }
    }
}
