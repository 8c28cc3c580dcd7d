//! How many messages wait in each queue.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};

use crate::watch::{Sighting, Watch};

/// How often the queues are asked. One question costs the broker about a millisecond.
const EVERY: Duration = Duration::from_secs(5);

/// Reports the depths for ever.
pub(super) async fn report(connection: &Connection, queues: &[String], watch: &dyn Watch) {
    let mut channel = None;
    loop {
        for queue in queues {
            if let Some(depth) = depth(connection, &mut channel, queue).await {
                watch.saw(Sighting::QueueMessages(queue, u64::from(depth)));
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Asks on a channel of its own, for the broker closes it over a queue that is not there.
async fn depth(connection: &Connection, channel: &mut Option<Channel>, queue: &str) -> Option<u32> {
    let asked = match channel.take() {
        Some(open) => open,
        None => connection.create_channel().await.ok()?,
    };
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let answer = asked
        .queue_declare(queue.into(), passive, FieldTable::default())
        .await
        .ok()?;
    *channel = Some(asked);
    Some(answer.message_count())
}
