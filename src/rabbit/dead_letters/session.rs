//! Shared context of all dead letters of one scan: connections, exclusive access for one operator, and error messages.

use std::time::{Duration, Instant};

use handoffd_engine::ports::bus::{DeadLetterError, Notice};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio::sync::OnceCell;

use crate::rabbit::connection::addresses::{Reached, connect_once};
use crate::rabbit::connection::confirm_pool::{hang_up, open, open_channel};
use crate::rabbit::options::RabbitOptions;
use crate::rabbit::publish::lane::PublishPolicy;
use crate::rabbit::publish::publisher::ConfirmedPublisher;
use crate::rabbit::queue_stats::QueueStats;
use crate::rabbit::refusal::{self, StartError};

/// Shortest heartbeat, in seconds. A broker that is busy with 100,000 unacked messages may be silent for longer than
/// the worker's heartbeat allows (measured).
const HEARTBEAT_SECONDS: u16 = 60;
/// Longest wait for another operator's command; a replay of 100,000 takes less.
const TURN_LIMIT: Duration = Duration::from_secs(300);
const TURN_LOOK: Duration = Duration::from_millis(200);
/// Number of measurements of the queue, and the pause between them, until two agree.
const STEADY_LOOKS: u32 = 10;
const STEADY_FOR: Duration = Duration::from_millis(50);

/// Shared context of all dead letters of one scan.
pub(super) struct DeadLetterSession {
    options: RabbitOptions,
    connection: Connection,
    /// Opened by the first replay. Separate from the other connection, because a broker short of memory or disk space
    /// does not read from a connection that publishes.
    publishing: OnceCell<ConfirmedPublisher>,
}

impl DeadLetterSession {
    /// Connects, without access to the dead letters.
    pub(super) async fn connect(options: &RabbitOptions) -> Result<Self, DeadLetterError> {
        let connection = connected(options, async |reached| open(&reached, "reads dead letters").await).await?;
        Ok(Self { options: options.clone(), connection, publishing: OnceCell::new() })
    }

    /// Connects, and waits until no other operator's command is running.
    pub(in crate::rabbit) async fn take(options: &RabbitOptions, notice: Notice<'_>) -> Result<Self, DeadLetterError> {
        let desk = Self::connect(options).await?;
        desk.acquire_exclusive_access(notice).await?;
        Ok(desk)
    }

    /// Name of the inbox, to which dead letters are replayed.
    pub(super) fn work_queue(&self) -> &str {
        &self.options.queue
    }

    /// Name of the dead-letter queue.
    pub(in crate::rabbit) fn dead_letter_queue(&self) -> &str {
        &self.options.dead_letter_queue
    }

    /// Returns true if events wait for a worker in a queue of this name.
    pub(in crate::rabbit) fn is_event_queue(&self, name: &str) -> bool {
        self.options.is_event_queue(name)
    }

    /// Publisher of replayed dead letters.
    pub(in crate::rabbit) async fn publisher(&self) -> Result<&ConfirmedPublisher, DeadLetterError> {
        let policy = PublishPolicy { confirm_timeout: self.options.confirm_timeout, faults: None };
        let replays = async |reached| ConfirmedPublisher::connect(&reached, "replays dead letters", policy).await;
        self.publishing.get_or_try_init(|| connected(&self.options, replays)).await
    }

    /// Closes the connections, which also ends the exclusive access.
    pub(in crate::rabbit) async fn leave(&self) {
        // A broker that hangs detects the end from missing heartbeats.
        if let Some(publisher) = self.publishing.get() {
            publisher.channels().close().await;
        }
        hang_up(&self.connection).await;
    }

    /// Opens a channel.
    pub(in crate::rabbit) async fn channel(&self) -> Result<Channel, DeadLetterError> {
        open_channel(&self.connection).await.map_err(|error| self.failed(&error))
    }

    /// Returns the statistics of the dead-letter queue once they no longer change: messages held by a command that was
    /// just killed return now.
    pub(super) async fn stable_stats(&self) -> Result<QueueStats, DeadLetterError> {
        let mut last = self.stats().await?;
        for _ in 0..STEADY_LOOKS {
            tokio::time::sleep(STEADY_FOR).await;
            let now = self.stats().await?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(last)
    }

    /// Returns the current statistics of the dead-letter queue.
    pub(in crate::rabbit) async fn stats(&self) -> Result<QueueStats, DeadLetterError> {
        let channel = self.channel().await?;
        QueueStats::at(self.dead_letter_queue(), &channel).await.map_err(|error| self.failed(&error))
    }

    pub(in crate::rabbit) fn broken(&self, problem: &str) -> DeadLetterError {
        broken(&self.options, problem.to_owned())
    }

    pub(in crate::rabbit) fn missing(&self, queue: &str) -> DeadLetterError {
        missing(&self.options, queue)
    }

    pub(in crate::rabbit) fn failed(&self, error: &lapin::Error) -> DeadLetterError {
        failure(&self.options, error)
    }

    /// Waits for exclusive access to the dead letters.
    ///
    /// An exclusive queue marks the command that has it, because the broker deletes that queue when its connection
    /// ends, for whatever reason. Of two concurrent scans, each would see a part of the dead letters and take it for
    /// all.
    async fn acquire_exclusive_access(&self, notice: Notice<'_>) -> Result<(), DeadLetterError> {
        let mark = format!("{}.operator", self.dead_letter_queue());
        let exclusive = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let start = Instant::now();
        let mut notified = false;
        while start.elapsed() < TURN_LIMIT {
            // On a separate channel, because the broker closes it when it refuses.
            let channel = self.channel().await?;
            match channel.queue_declare(mark.as_str().into(), exclusive, FieldTable::default()).await {
                Ok(_) => return Ok(()),
                Err(error) if refusal::is_locked(&error) => {}
                Err(error) if refusal::is_forbidden(&error) => {
                    notice(&format!(
                        "warning: this user may not declare {mark}; another `dead-letters` command may be running too"
                    ));
                    return Ok(());
                }
                Err(error) => return Err(self.failed(&error)),
            }
            if !std::mem::replace(&mut notified, true) {
                notice("another `dead-letters` command is running; waiting for it to end");
            }
            tokio::time::sleep(TURN_LOOK).await;
        }
        Err(DeadLetterError::InUse {
            queue: self.dead_letter_queue().to_owned(),
            waited: format!("{} s", TURN_LIMIT.as_secs()),
        })
    }
}

fn failure(options: &RabbitOptions, error: &lapin::Error) -> DeadLetterError {
    let problem = refusal::in_words(error);
    if refusal::is_missing(error) {
        return missing(options, &options.dead_letter_queue);
    }
    if refusal::is_forbidden(error) {
        return DeadLetterError::Forbidden {
            queue: options.dead_letter_queue.clone(),
            place: options.place(),
            problem,
        };
    }
    broken(options, problem)
}

fn broken(options: &RabbitOptions, problem: String) -> DeadLetterError {
    DeadLetterError::Broken { queue: options.dead_letter_queue.clone(), place: options.place(), problem }
}

fn missing(options: &RabbitOptions, queue: &str) -> DeadLetterError {
    DeadLetterError::Missing { queue: format!("the queue `{queue}`"), place: options.place() }
}

/// Connects with a heartbeat that allows for a busy broker.
async fn connected<T>(
    options: &RabbitOptions,
    connect: impl AsyncFnOnce(Reached) -> Result<T, String>,
) -> Result<T, DeadLetterError> {
    let connected = connect_once(options, async |mut reached: Reached| {
        // A heartbeat of 0 means none, and stays.
        let heartbeat = &mut reached.uri.query.heartbeat;
        *heartbeat = heartbeat.map(|seconds| if seconds == 0 { 0 } else { seconds.max(HEARTBEAT_SECONDS) });
        connect(reached).await
    });
    connected.await.map_err(|error| match error {
        StartError::Away { place, problem } => DeadLetterError::Away { place, problem },
        error => DeadLetterError::Settings(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use lapin::ErrorKind;
    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPSoftError};

    use super::*;
    use crate::rabbit::options::tests::options;

    #[test]
    fn a_missing_permission_is_no_reason_to_try_again() {
        let text = "ACCESS_REFUSED - read access to queue 'handoffd.dead-letters' in vhost '/' refused for user 'ann'";
        let refused = AMQPError::new(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED), text.into());
        let told = failure(&options(), &ErrorKind::ProtocolError(refused).into()).to_string();
        assert!(told.contains("refused for user 'ann'; give the user of broker.url this permission"), "{told}");
        assert!(!told.contains("again"), "{told}");
    }
}
