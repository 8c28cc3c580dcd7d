//! Deletes queues that the broker may have lost before they were used.
//!
//! A quorum queue whose node is killed within about a second of its declaration exists after the restart, but never
//! gets a leader, and accepts nothing (RabbitMQ 3.10 to 4.3, measured). Declaring it again changes nothing. So a queue
//! that this process has declared, and did not yet trust when its connection ended, is deleted and declared again,
//! unless it has been used meanwhile.

use std::time::Duration;

use lapin::Connection;
use lapin::options::QueueDeleteOptions;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::rabbit::connection::addresses::Reached;
use crate::rabbit::connection::confirm_pool::{hang_up, open, open_channel};
use crate::rabbit::queue_stats::QueueStats;
use crate::rabbit::refusal;

/// Longest wait for the broker's answer. It contacts the members of the queue before it deletes it.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Deletes those queues that are empty and have no consumer. A queue that can't be deleted stays as it is; the confirms
/// that it then owes make the worker unready.
pub(super) async fn delete_lost(reached: &Reached, queues: &[String]) {
    let connection = match open(reached, "looks for lost queues").await {
        Ok(connection) => connection,
        Err(problem) => return warn!(error = problem, "could not check for queues that the broker may have lost"),
    };
    for queue in queues {
        match timeout(ANSWER_LIMIT, delete_unused(&connection, queue)).await {
            Ok(Ok(true)) => info!(queue, "deleted an unused queue that the broker may have lost; declaring it again"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                let error = refusal::in_words(&error);
                warn!(queue, error, "could not delete an unused queue that the broker may have lost");
            }
            Err(_) => warn!(queue, "the broker did not answer the deletion of an unused queue that it may have lost"),
        }
    }
    hang_up(&connection).await;
}

/// Deletes a queue if it exists and is unused; returns true if it did.
async fn delete_unused(connection: &Connection, queue: &str) -> lapin::Result<bool> {
    // A request for a missing queue closes its channel.
    let channel = open_channel(connection).await?;
    let found = match QueueStats::at(queue, &channel).await {
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
