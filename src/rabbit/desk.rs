//! What all letters of one look have in common: connections, the operator's turn, words for what fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handoffd_engine::ports::bus::{DeadLetterError, Notice};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::addresses::{Reached, reach};
use super::channels::{Channels, hang_up, open};
use super::look::Look;
use super::options::Options;
use super::publish::ConfirmedPublisher;
use super::refusal;
use super::troubles::Troubles;

/// A command does not keep its user waiting longer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A broker that is busy with 100,000 unacked messages may be silent for more than the worker's heartbeat allows (measured).
const HEARTBEAT_SECONDS: u16 = 60;
/// How long another operator's command is waited for; a replay of 100,000 takes less.
const TURN_LIMIT: Duration = Duration::from_secs(300);
const TURN_LOOK: Duration = Duration::from_millis(200);
/// So many looks at the queue, so far apart, until two say the same.
const STEADY_LOOKS: u32 = 10;
const STEADY_FOR: Duration = Duration::from_millis(50);

/// What all letters of one look have in common.
pub(super) struct Desk {
    options: Options,
    connection: Connection,
    /// Only a replay needs it. Apart from the other: a broker short of memory or disk does not read from a connection that
    /// publishes.
    publishing: OnceCell<(Arc<Channels>, ConfirmedPublisher)>,
}

impl Desk {
    /// Connects, and waits until no other operator is at it.
    pub(super) async fn take(options: &Options, notice: Notice<'_>) -> Result<Self, DeadLetterError> {
        let connection = connected(options, async |reached| open(&reached, "reads dead letters").await).await?;
        let desk = Self { options: options.clone(), connection, publishing: OnceCell::new() };
        desk.take_turn(notice).await?;
        Ok(desk)
    }

    /// Where replayed letters go.
    pub(super) fn work_queue(&self) -> &str {
        &self.options.queue
    }

    /// Where dead letters are.
    pub(super) fn dead_letter_queue(&self) -> &str {
        &self.options.dead_letter_queue
    }

    /// Whether events wait for a worker in a queue of this name.
    pub(super) fn is_event_queue(&self, name: &str) -> bool {
        self.options.is_event_queue(name)
    }

    /// Publishes replayed letters.
    pub(super) async fn publisher(&self) -> Result<&ConfirmedPublisher, DeadLetterError> {
        let connect = async || {
            let replays = async |reached: Reached| Channels::connect(&reached, "replays dead letters").await;
            let channels = Arc::new(connected(&self.options, replays).await?);
            let (timeout, troubles) = (self.options.confirm_timeout, Arc::new(Troubles::new()));
            Ok((channels.clone(), ConfirmedPublisher::new(channels, timeout, troubles)))
        };
        self.publishing.get_or_try_init(connect).await.map(|(_, publisher)| publisher)
    }

    /// Ends the connections, and with them the turn.
    pub(super) async fn leave(&self) {
        // A broker that hangs finds out by itself, from missing heartbeats.
        if let Some((channels, _)) = self.publishing.get() {
            channels.hang_up().await;
        }
        hang_up(&self.connection).await;
    }

    /// A channel of its own.
    pub(super) async fn channel(&self) -> Result<Channel, DeadLetterError> {
        self.connection.create_channel().await.map_err(|error| self.failed(&error))
    }

    /// What is there once it no longer changes: messages of an operator who was killed a moment ago come back now.
    pub(super) async fn steady(&self) -> Result<Look, DeadLetterError> {
        let mut before = self.there().await?;
        for _ in 0..STEADY_LOOKS {
            tokio::time::sleep(STEADY_FOR).await;
            let now = self.there().await?;
            if now == before {
                break;
            }
            before = now;
        }
        Ok(before)
    }

    /// What is there now.
    pub(super) async fn there(&self) -> Result<Look, DeadLetterError> {
        let channel = self.channel().await?;
        Look::at(self.dead_letter_queue(), &channel).await.map_err(|error| self.failed(&error))
    }

    pub(super) fn broken(&self, problem: &str) -> DeadLetterError {
        DeadLetterError::Broken {
            queue: self.dead_letter_queue().to_owned(),
            place: self.options.place(),
            problem: problem.to_owned(),
        }
    }

    pub(super) fn missing(&self, queue: &str) -> DeadLetterError {
        DeadLetterError::Missing { queue: format!("the queue `{queue}`"), place: self.options.place() }
    }

    pub(super) fn failed(&self, error: &lapin::Error) -> DeadLetterError {
        if refusal::is_missing(error) {
            return self.missing(self.dead_letter_queue());
        }
        self.broken(&refusal::in_words(error))
    }

    /// The broker frees a connection's exclusive queue when the connection ends, however it ends: so it serves as the
    /// mark of the one who looks through the letters. Two at once would each see a part and take it for all.
    async fn take_turn(&self, notice: Notice<'_>) -> Result<(), DeadLetterError> {
        let mark = format!("{}.operator", self.dead_letter_queue());
        let exclusive = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let start = Instant::now();
        let mut told = false;
        while start.elapsed() < TURN_LIMIT {
            // A channel of its own: the broker closes it when it refuses.
            let channel = self.channel().await?;
            match channel.queue_declare(mark.as_str().into(), exclusive, FieldTable::default()).await {
                Ok(_) => return Ok(()),
                Err(error) if refusal::is_locked(&error) => {}
                Err(error) if refusal::is_forbidden(&error) => {
                    notice(&format!("warning: this user may not declare {mark}: another command may be at work too"));
                    return Ok(());
                }
                Err(error) => return Err(self.failed(&error)),
            }
            if !std::mem::replace(&mut told, true) {
                notice("another `dead-letters` command is at work: waiting for it to end");
            }
            tokio::time::sleep(TURN_LOOK).await;
        }
        Err(DeadLetterError::InUse {
            queue: self.dead_letter_queue().to_owned(),
            waited: format!("{} s", TURN_LIMIT.as_secs()),
        })
    }
}

/// Connects, as a command that does not wait for a broker that is away.
async fn connected<T>(
    options: &Options,
    connect: impl AsyncFnOnce(Reached) -> Result<T, String>,
) -> Result<T, DeadLetterError> {
    options.uris().map_err(|error| DeadLetterError::Settings(error.to_string()))?;
    let connected = async {
        let mut reached = reach(options).await?;
        // None (0) stays none.
        let heartbeat = &mut reached.uri.query.heartbeat;
        *heartbeat = heartbeat.map(|seconds| if seconds == 0 { 0 } else { seconds.max(HEARTBEAT_SECONDS) });
        connect(reached).await
    };
    timeout(CONNECT_LIMIT, connected)
        .await
        .unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
        .map_err(|problem| DeadLetterError::Away { place: options.place(), problem })
}
