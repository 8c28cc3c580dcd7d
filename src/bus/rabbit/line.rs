//! One line to the broker: two connections that live and die together.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::address::{Address, Failure};
use super::addresses::{Reached, reach};
use super::connect::connect;
use super::declare::{Declared, Shortfall, declare};
use super::look::Look;
use super::options::Options;
use super::organization_queues::OrganizationQueues;
use super::publish::ConfirmedPublisher;
use super::refusal;
use super::topology::{Declaration, topology};
use super::troubles::Troubles;
use crate::bus::{Announced, BusError};

/// For connecting and declaring everything: some 50 ms for a healthy broker, and 6 ms for each quorum queue that is not there yet.
const ESTABLISH_LIMIT: Duration = Duration::from_secs(120);
/// For a node that has greeted to open a connection; one that freezes meanwhile is replaced by another.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// For a queue to answer.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// Interval at which a connection is checked, should its end have gone unannounced.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// For the broker to answer a good-bye. One that hangs finds out by itself, from missing heartbeats.
pub(super) const GOODBYE: Duration = Duration::from_secs(4);
/// RabbitMQ's own limit of channels on a connection (`channel_max`).
const CHANNEL_NUMBERS: u16 = 2047;

/// Both connections, and when they ended. One failing ends both: what was in flight comes again.
pub(super) struct Line {
    reached: Reached,
    consuming: Connection,
    /// These are kept until the connection is closed. Dropped just before, they race with it, and
    /// lapin (4.12.3) now and then hangs up without waiting for the broker's answer.
    inbox: Channel,
    /// Connections beyond the first one to consume organizations' queues on, each with as many channels as the broker allows; only
    /// the last one has room.
    organizations: tokio::sync::Mutex<Vec<Connection>>,
    /// Apart from the others: a queue without a leader leaves questions unanswered, and RabbitMQ then ends their connection.
    questions: tokio::sync::Mutex<Option<(Connection, Channel)>>,
    publishing: Arc<Connection>,
    copies: ConfirmedPublisher,
    outcomes: ConfirmedPublisher,
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
        let consuming = open(&reached, "consumes").await.map_err(NoLine::Away)?;
        let publishing = Arc::new(open(&reached, "publishes").await.map_err(NoLine::Away)?);
        let failed = |error: lapin::Error| NoLine::Away(refusal::in_words(&error));
        let inbox = consuming.create_channel().await.map_err(failed)?;
        let publisher = || ConfirmedPublisher::start(publishing.clone(), options.confirm_timeout, troubles.clone());
        Ok(Self {
            reached,
            consuming,
            inbox,
            organizations: tokio::sync::Mutex::default(),
            questions: tokio::sync::Mutex::new(None),
            copies: publisher(),
            outcomes: publisher(),
            publishing,
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
        let mut organizations = self.organizations.lock().await;
        loop {
            let opened = match organizations.last() {
                Some(connection) => open_channel(connection).await,
                None => open_channel(&self.consuming).await,
            };
            match opened {
                Err(error) if is_full(&error) => {
                    let further = open(&self.reached, "consumes organizations").await;
                    let further = further.map_err(|why| lapin::Error::from(std::io::Error::other(why)))?;
                    organizations.push(further);
                }
                opened => return opened,
            }
        }
    }

    /// Publishes copies of events into queues.
    pub(super) fn copies(&self) -> &ConfirmedPublisher {
        &self.copies
    }

    /// Publishes outcomes.
    pub(super) fn outcomes(&self) -> &ConfirmedPublisher {
        &self.outcomes
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

    /// The longest frame that the broker takes, in bytes.
    pub(super) fn longest_frame(&self) -> usize {
        usize::try_from(self.publishing.configuration().frame_max()).unwrap_or(usize::MAX)
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
        let blocked = self.publishing.status().blocked();
        blocked.then(|| "the broker blocks publishers (memory or disk alarm)".to_owned())
    }

    /// Waits for the end, and returns the reason.
    pub(super) async fn broken(&self) -> String {
        tokio::select! {
            () = self.ended.cancelled() => {}
            why = lost(&self.consuming) => self.end(&why),
            why = lost(&self.publishing) => self.end(&why),
        }
        self.why.get().cloned().unwrap_or_default()
    }

    /// Says good-bye to the broker, if it listens; what is in flight comes again.
    pub(super) async fn close(&self) {
        self.end("closed");
        let organizations = self.organizations.lock().await;
        let further = futures_util::future::join_all(organizations.iter().map(hang_up));
        tokio::join!(hang_up(&self.consuming), hang_up(&self.publishing), further);
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

/// One more channel on a connection.
///
/// lapin (4.12.3) never forgets that the broker closed a channel of some number over an error (a queue that is missing, a
/// permission that is not given), and fails a new one of that number with the old error, once it has come round. So the next is
/// tried.
pub(super) async fn open_channel(connection: &Connection) -> lapin::Result<Channel> {
    let mut channel = connection.create_channel().await;
    for _ in 0..CHANNEL_NUMBERS {
        match &channel {
            Err(error) if error.is_amqp_soft_error() => channel = connection.create_channel().await,
            _ => break,
        }
    }
    channel
}

/// True when a connection has no channel left.
fn is_full(error: &lapin::Error) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ChannelsLimitReached)
}

/// Closes one connection in good order, if the broker listens.
pub(super) async fn hang_up(connection: &Connection) {
    if connection.status().connected() {
        // One that breaks meanwhile is closed too.
        let _ = timeout(GOODBYE, connection.close(200, "OK".into())).await;
    }
}

/// One connection, under a name that shows an operator at the broker what it is.
pub(super) async fn open(reached: &Reached, does: &str) -> Result<Connection, String> {
    let name = format!("handoffd {} {does}", env!("CARGO_PKG_VERSION"));
    let properties = ConnectionProperties::default()
        .with_connection_name(name.into())
        .with_client_property("product".into(), "handoffd".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    let connected = timeout(OPEN_LIMIT, connect(reached.uri.clone(), reached.address, properties)).await;
    connected.map_err(|_| "it does not answer in time".to_owned())?.map_err(|error| refusal::in_words(&error))
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
