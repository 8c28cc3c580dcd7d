//! One line to the broker: two connections that live and die together.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use handoffd_engine::ports::bus::{Announced, BusError};
use lapin::{Channel, Connection, Event};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::address::{Address, Failure};
use super::addresses::{Reached, reach};
use super::channels::{Channels, open, open_channel};
use super::declare::{Declared, Shortfall, declare};
use super::lock;
use super::look::Look;
use super::options::Options;
use super::organization_queues::OrganizationQueues;
use super::publish::ConfirmedPublisher;
use super::refusal;
use super::topology::{Declaration, topology};
use super::troubles::Troubles;

/// For connecting and declaring everything: some 50 ms for a healthy broker, and 6 ms for each quorum queue that is not there yet.
const ESTABLISH_LIMIT: Duration = Duration::from_secs(120);
/// For a queue to answer.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// For the broker to take what was acknowledged. While 32 commands to a quorum queue are under way, RabbitMQ keeps further
/// acknowledgements back in their channel, and forgets them when that is closed (`rabbit_fifo_client`; measured on 3.10.8: 167 of
/// 200 came again). Its disk has written them within some milliseconds as a rule.
pub(super) const TAKE_ACKS: Duration = Duration::from_millis(200);
/// Interval at which a connection is checked, should its end have gone unannounced.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Both connections, and when they ended. One failing ends both: what was in flight comes again.
pub(super) struct Line {
    reached: Reached,
    /// The inbox's channel, and one for each organization's queue.
    consuming: Channels,
    /// These are kept until the connection is closed. Dropped just before, they race with it, and
    /// lapin (4.12.3) now and then hangs up without waiting for the broker's answer.
    inbox: Channel,
    /// Apart from the others: a queue without a leader leaves questions unanswered, and RabbitMQ then ends their connection.
    questions: tokio::sync::Mutex<Option<(Connection, Channel)>>,
    publishing: Arc<Channels>,
    publisher: ConfirmedPublisher,
    /// When a message was acknowledged last.
    acked: Mutex<Option<Instant>>,
    ended: CancellationToken,
    why: OnceLock<String>,
}

/// Why there is no line.
#[derive(Debug)]
pub(super) enum NoLine {
    /// The broker does not answer, or refuses us.
    Away(String),
    /// Its queues and exchanges are not what they must be.
    Unfit(Shortfall),
}

impl Line {
    /// Connects twice and declares or checks the topology.
    pub(super) async fn establish(
        options: &Options,
        troubles: &Arc<Troubles>,
        queues: &OrganizationQueues,
    ) -> Result<Self, NoLine> {
        timeout(ESTABLISH_LIMIT, Self::connect(options, troubles, queues))
            .await
            .unwrap_or_else(|_| Err(NoLine::Away("it does not answer in time".to_owned())))
    }

    async fn connect(options: &Options, troubles: &Arc<Troubles>, queues: &OrganizationQueues) -> Result<Self, NoLine> {
        let reached = reach(options).await.map_err(NoLine::Away)?;
        let shared = topology(options, reached.version);
        let Declared { made, unanswered, shortfall } = declare(&reached, &shared, options.declare).await;
        report(&made, &unanswered);
        if let Some(shortfall) = shortfall {
            return Err(NoLine::Unfit(shortfall));
        }
        queues.declare(&reached, !made.is_empty()).await.map_err(NoLine::Unfit)?;
        let consuming = Channels::connect(&reached, "consumes").await.map_err(NoLine::Away)?;
        let publishing = Arc::new(Channels::connect(&reached, "publishes").await.map_err(NoLine::Away)?);
        let failed = |error: lapin::Error| NoLine::Away(refusal::in_words(&error));
        let inbox = consuming.open().await.map_err(failed)?;
        Ok(Self {
            reached,
            consuming,
            inbox,
            questions: tokio::sync::Mutex::new(None),
            publisher: ConfirmedPublisher::new(publishing.clone(), options.confirm_timeout, troubles.clone()),
            publishing,
            acked: Mutex::default(),
            ended: CancellationToken::new(),
            why: OnceLock::new(),
        })
    }

    /// The node of the broker.
    pub(super) fn reached(&self) -> &Reached {
        &self.reached
    }

    /// The channel to consume the inbox on.
    pub(super) fn inbox(&self) -> &Channel {
        &self.inbox
    }

    /// A channel to consume an organization's queue on.
    pub(super) async fn organization_channel(&self) -> lapin::Result<Channel> {
        self.consuming.open().await
    }

    /// Publishes outcomes, and copies of events.
    pub(super) fn publisher(&self) -> &ConfirmedPublisher {
        &self.publisher
    }

    /// Looks at a queue; nothing if it is missing, or does not answer.
    pub(super) async fn look(&self, queue: &str) -> Option<Look> {
        let mut asking = self.questions.lock().await;
        if asking
            .as_ref()
            .is_none_or(|(connection, channel)| !connection.status().connected() || !channel.status().connected())
        {
            let connection = match asking.take() {
                Some((connection, _)) if connection.status().connected() => connection,
                _ => open(&self.reached, "asks").await.ok()?,
            };
            let channel = open_channel(&connection).await.ok()?;
            *asking = Some((connection, channel));
        }
        let (_, channel) = asking.as_ref()?;
        if let Ok(look) = timeout(LOOK_LIMIT, Look::at(queue, channel)).await {
            look.ok()
        } else {
            // The channel may never answer again.
            *asking = None;
            None
        }
    }

    /// Waits for the confirm of a message that was offered to a publisher, at most as long as the line lives, and until `limit`. It is
    /// offered again where this user may not write: the publisher says when.
    pub(super) async fn confirmed<P: Future<Output = Result<Announced, Failure>>>(
        &self,
        to: Address<'_>,
        limit: Instant,
        offered: P,
        offer: impl Fn() -> P,
    ) -> Result<Announced, BusError> {
        let answered = async {
            let mut answer = offered.await;
            while matches!(answer, Err(Failure::Forbidden)) {
                answer = offer().await;
            }
            answer
        };
        let answer = tokio::select! {
            answer = answered => answer,
            () = self.ended.cancelled() => return Err(BusError::Away),
            () = sleep_until(limit) => return Err(BusError::Unconfirmed { to: to.name().to_owned() }),
        };
        answer.map_err(|failure| {
            if let Failure::Broken(error) = &failure {
                // The next connection declares anew what this one found missing.
                self.end(&refusal::in_words(error));
            }
            failure.at(to)
        })
    }

    /// A message was acknowledged.
    pub(super) fn acked(&self) {
        *lock(&self.acked) = Some(Instant::now());
    }

    /// Waits until the broker has taken what was acknowledged.
    pub(super) async fn acks_taken(&self) {
        let acked = *lock(&self.acked);
        if let Some(acked) = acked {
            sleep_until(acked + TAKE_ACKS).await;
        }
    }

    /// The longest frame that the broker takes, in bytes.
    pub(super) fn longest_frame(&self) -> usize {
        usize::try_from(self.publishing.first().configuration().frame_max()).unwrap_or(usize::MAX)
    }

    /// Gives it up: what was in flight comes again on the next one.
    pub(super) fn end(&self, why: &str) {
        // The first reason is the cause, the others follow from it.
        let _ = self.why.set(why.to_owned());
        self.ended.cancel();
    }

    /// Cancelled once it is no longer good for anything.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Whether it is no longer good for anything.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// The reason not to publish, while the broker holds publishers back for want of memory or disk.
    pub(super) fn blocked(&self) -> Option<String> {
        let blocked = self.publishing.first().status().blocked();
        blocked.then(|| "the broker blocks publishers (memory or disk alarm)".to_owned())
    }

    /// Waits for the end, and returns the reason.
    pub(super) async fn broken(&self) -> String {
        tokio::select! {
            () = self.ended.cancelled() => {}
            why = lost(self.consuming.first()) => self.end(&why),
            why = lost(self.publishing.first()) => self.end(&why),
        }
        self.why.get().cloned().unwrap_or_default()
    }

    /// Says good-bye to the broker, if it listens; what is in flight comes again.
    pub(super) async fn close(&self) {
        self.end("closed");
        tokio::join!(self.consuming.hang_up(), self.publishing.hang_up());
    }
}

/// Reports queues that are new, and what did not answer.
pub(super) fn report(made: &BTreeSet<String>, unanswered: &[Declaration]) {
    for queue in made {
        info!(queue, "declared a new queue");
    }
    for declaration in unanswered {
        warn!("the broker does not answer for {declaration}");
    }
}

/// Waits until a connection is lost. Errors of single channels are their users' business.
async fn lost(connection: &Connection) -> String {
    let mut events = Box::pin(connection.events_listener());
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = tokio::time::sleep(CHECK_EVERY) => None,
        };
        if !connection.status().connected() {
            return match event {
                Some(Event::Error(error)) => refusal::in_words(&error),
                _ => "the connection is gone".to_owned(),
            };
        }
    }
}
