//! How many messages wait in each queue.

use std::sync::Arc;
use std::time::Duration;

use super::backlogs::Backlogs;
use super::broker_deaths::BrokerDeaths;
use super::line::Line;
use crate::watch::{Sighting, Watch};

/// How often the queues are asked. One question costs the broker about a millisecond.
const EVERY: Duration = Duration::from_secs(5);

/// Reports the depths for ever. A queue that is not there has none.
pub(super) async fn report(
    line: &Arc<Line>,
    queues: &[String],
    backlogs: &Backlogs,
    deaths: &Arc<BrokerDeaths>,
    watch: &dyn Watch,
) {
    let label = backlogs.label();
    loop {
        for queue in queues {
            let asked = deaths.asks();
            if let Some(depth) = line.depth(queue).await {
                watch.saw(Sighting::QueueMessages(queue, u64::from(depth)));
                deaths.saw(queue, asked, depth);
            }
        }
        watch.saw(Sighting::QueueMessages(&label, backlogs.all_waiting(line).await));
        tokio::time::sleep(EVERY).await;
    }
}
