//! One line to the broker: two connections that live and die together.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Event};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::addresses::{Reached, reach};
use super::channels::{Address, Channels, Failure};
use super::connect::connect;
use super::declare::{Shortfall, declare};
use super::lock;
use super::look::Look;
use super::options::Options;
use super::refusal;
use super::stream::Stream;
use super::topology::topology;
use crate::bus::{Announced, BusError};

/// For connecting and declaring everything; a healthy broker takes some 50 ms.
const ESTABLISH_LIMIT: Duration = Duration::from_secs(30);
/// How often a connection is looked at, should its end have gone unannounced.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// RabbitMQ's own limit of channels on a connection (`channel_max`).
const CHANNEL_NUMBERS: u16 = 2047;

/// Both connections, and when they ended. One failing ends both: what was in hand comes again.
pub(super) struct Line {
    consuming: Connection,
    /// These two are kept until the connection is closed. Dropped just before, they race with it, and
    /// lapin (4.12.3) now and then hangs up without waiting for the broker's answer.
    deliveries: Channel,
    questions: Mutex<Option<Channel>>,
    channels: Channels,
    outcomes: Stream,
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
    /// Connects twice and sees to the topology.
    pub(super) async fn establish(options: &Options) -> Result<Self, NoLine> {
        let reached = reach(options).await.map_err(NoLine::Away)?;
        timeout(ESTABLISH_LIMIT, Self::to(&reached, options))
            .await
            .unwrap_or_else(|_| Err(NoLine::Away("it does not answer in time".to_owned())))
    }

    async fn to(reached: &Reached, options: &Options) -> Result<Self, NoLine> {
        let declared = declare(reached, &topology(options, reached.version), options.declare).await;
        for queue in &declared.made {
            info!(%queue, "declared a new queue");
        }
        for declaration in &declared.unanswered {
            warn!("the broker does not answer for {declaration}");
        }
        if let Some(shortfall) = declared.shortfall {
            return Err(NoLine::Unfit(shortfall));
        }
        let consuming = open(reached, "consumes").await.map_err(NoLine::Away)?;
        let publishing = open(reached, "publishes").await.map_err(NoLine::Away)?;
        let deliveries = consuming.create_channel().await.map_err(|error| NoLine::Away(refusal::in_words(&error)))?;
        Ok(Self {
            consuming,
            deliveries,
            questions: Mutex::new(None),
            channels: Channels::new(publishing),
            outcomes: Stream::new(),
            ended: CancellationToken::new(),
            why: OnceLock::new(),
        })
    }

    /// The channel to consume on.
    pub(super) fn deliveries(&self) -> &Channel {
        &self.deliveries
    }

    /// How many messages a queue has; nothing if it is not there.
    pub(super) async fn depth(&self, queue: &str) -> Option<u32> {
        let channel = self.question().await?;
        let look = Look::at(queue, &channel).await;
        if look.is_err() {
            lock(&self.questions).take();
        }
        Some(look.ok()?.ready)
    }

    /// What is in a queue; nothing if it is not there. On a channel of its own, which the broker closes in that case.
    pub(super) async fn look_apart(&self, queue: &str) -> Option<Look> {
        Look::at(queue, &self.channel().await.ok()?).await.ok()
    }

    /// One more channel on the connection that consumes.
    ///
    /// lapin (4.12.3) never forgets that the broker closed a channel of some number over an error (a queue that is not
    /// there), and fails a new one of that number with the error of old, once it has come round. So the next is tried.
    pub(super) async fn channel(&self) -> lapin::Result<Channel> {
        let mut channel = self.consuming.create_channel().await;
        for _ in 0..CHANNEL_NUMBERS {
            match &channel {
                Err(error) if refusal::is_missing(error) => channel = self.consuming.create_channel().await,
                _ => break,
            }
        }
        channel
    }

    /// A channel to ask on, apart from all others.
    async fn question(&self) -> Option<Channel> {
        let open = lock(&self.questions).clone();
        if open.is_some() {
            return open;
        }
        let channel = self.channel().await.ok()?;
        *lock(&self.questions) = Some(channel.clone());
        Some(channel)
    }

    /// Publishes and waits for the confirm, at most as long as the line lives.
    pub(super) async fn publish(
        &self,
        to: Address<'_>,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Announced, BusError> {
        self.live(to, self.channels.publish(to, body, properties)).await
    }

    /// The same for a message that may reach no queue.
    pub(super) async fn announce(
        &self,
        to: Address<'_>,
        id: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Announced, BusError> {
        self.live(to, self.outcomes.publish(self.channels.connection(), to, id, body, properties)).await
    }

    async fn live(
        &self,
        to: Address<'_>,
        publish: impl Future<Output = Result<Announced, Failure>>,
    ) -> Result<Announced, BusError> {
        let answer = tokio::select! {
            answer = publish => answer,
            () = self.ended.cancelled() => return Err(BusError::Away),
        };
        answer.map_err(|failure| {
            // A new line declares anew what this one found missing.
            if let Failure::Broken(error) = &failure {
                self.end(&refusal::in_words(error));
            }
            failure.at(to)
        })
    }

    /// The longest frame that the broker takes, in bytes.
    pub(super) fn longest_frame(&self) -> usize {
        let agreed = self.channels.connection().configuration().frame_max();
        usize::try_from(agreed).unwrap_or(usize::MAX)
    }

    /// Gives it up: what was in hand comes again on the next one.
    pub(super) fn end(&self, why: &str) {
        // The first reason is the cause, the others follow from it.
        let _ = self.why.set(why.to_owned());
        self.ended.cancel();
    }

    /// Waits until it is no longer good for anything.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether it is no longer good for anything.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Whether the broker holds publishers back, for want of memory or disk.
    pub(super) fn is_blocked(&self) -> bool {
        self.channels.connection().status().blocked()
    }

    /// Waits for the end, and says why.
    pub(super) async fn broken(&self) -> String {
        tokio::select! {
            () = self.ended.cancelled() => {}
            why = lost(&self.consuming) => self.end(&why),
            why = lost(self.channels.connection()) => self.end(&why),
        }
        self.why.get().cloned().unwrap_or_default()
    }

    /// Says good-bye to the broker, if it listens; what is in hand comes again.
    pub(super) async fn close(&self, limit: Duration) {
        self.end("closed");
        let both = async { tokio::join!(hang_up(&self.consuming), hang_up(self.channels.connection())) };
        // A broker that hangs finds out by itself, from missing heartbeats.
        let _ = timeout(limit, both).await;
    }
}

/// Closes one connection in good order.
pub(super) async fn hang_up(connection: &Connection) {
    if connection.status().connected() {
        // One that breaks meanwhile is closed too.
        let _ = connection.close(200, "OK".into()).await;
    }
}

/// One connection, under a name that tells an operator at the broker what it is.
pub(super) async fn open(reached: &Reached, does: &str) -> Result<Connection, String> {
    let name = format!("handoffd {} {does}", env!("CARGO_PKG_VERSION"));
    let properties = ConnectionProperties::default()
        .with_connection_name(name.into())
        .with_client_property("product".into(), "handoffd".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
    connect(reached.uri.clone(), reached.address, properties).await.map_err(|error| refusal::in_words(&error))
}

/// Waits until a connection is lost. Errors of single channels are their users' business.
async fn lost(connection: &Connection) -> String {
    let mut events = Box::pin(connection.events_listener());
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = tokio::time::sleep(LOOK_EVERY) => None,
        };
        if !connection.status().connected() {
            return match event {
                Some(Event::Error(error)) => refusal::in_words(&error),
                _ => "the connection is gone".to_owned(),
            };
        }
    }
}
