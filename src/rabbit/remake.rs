//! Queues that the broker may have lost before anything was put into them.
//!
//! A quorum queue whose node is killed within about a second of its declaration is there after the restart, but has no leader, never
//! gets one, and takes nothing (RabbitMQ 3.10 to 4.3, measured). Declaring it again changes nothing. So a queue that this process has
//! made, and has not trusted yet when its connection ended, is deleted and made anew, if nobody else has used it meanwhile.

use std::time::Duration;

use lapin::Connection;
use lapin::options::QueueDeleteOptions;
use tokio::time::timeout;
use tracing::{info, warn};

use super::addresses::Reached;
use super::channels::{hang_up, open, open_channel};
use super::look::Look;
use super::refusal;

/// For the broker to answer. It looks for the members of the queue before it deletes it.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Deletes those of them that are empty and that nobody consumes. One that can't be deleted stays as it is: what it does not confirm
/// makes the worker unready.
pub(super) async fn delete_lost(reached: &Reached, queues: &[String]) {
    let connection = match open(reached, "looks for lost queues").await {
        Ok(connection) => connection,
        Err(problem) => return warn!(error = problem, "could not look for queues that the broker may have lost"),
    };
    for queue in queues {
        match timeout(ANSWER_LIMIT, delete_unused(&connection, queue)).await {
            Ok(Ok(true)) => info!(queue, "makes a queue anew that the broker may have lost before it was used"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                let error = refusal::in_words(&error);
                warn!(queue, error, "could not delete a queue that the broker may have lost before it was used");
            }
            Err(_) => warn!(queue, "the broker does not delete a queue that it may have lost before it was used"),
        }
    }
    hang_up(&connection).await;
}

/// Deletes a queue that is there and unused; true when it was.
async fn delete_unused(connection: &Connection, queue: &str) -> lapin::Result<bool> {
    // A question about a queue that is not there closes its channel.
    let channel = open_channel(connection).await?;
    let found = match Look::at(queue, &channel).await {
        Ok(found) => found,
        Err(error) if error.is_amqp_soft_error() => return Ok(false),
        Err(error) => return Err(error),
    };
    if found.ready > 0 || found.consumers > 0 {
        return Ok(false);
    }
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
    Ok(true)
}
