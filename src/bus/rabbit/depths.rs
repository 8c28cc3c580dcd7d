//! How many messages wait in each queue.

use std::time::Duration;

use super::line::Line;
use crate::watch::{Sighting, Watch};

/// How often the queues are asked. One question costs the broker about a millisecond.
const EVERY: Duration = Duration::from_secs(5);

/// Reports the depths for ever. A queue that is not there has none.
pub(super) async fn report(line: &Line, queues: &[String], watch: &dyn Watch) {
    loop {
        for queue in queues {
            if let Some(depth) = line.depth(queue).await {
                watch.saw(Sighting::QueueMessages(queue, u64::from(depth)));
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
