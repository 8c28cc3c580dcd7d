//! Measures the number of messages in each queue, and checks that the broker still has this worker's consumer.

use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::metrics::{BrokerQueue, Measurement, Metrics};
use tokio::time::Instant;

use super::consume::settle::ConsumeContext;
use super::queue_stats::QueueStats;
use super::state::SharedState;

/// Interval between measurements. One request costs the broker about a millisecond.
const EVERY: Duration = Duration::from_secs(2);
/// Organizations' queues measured each time, in turn; with 200 organizations each one is measured every 8 s.
const QUEUES_AT_ONCE: usize = 50;
/// Time for them, so that queues that don't answer don't make the other depths old.
const QUEUES_TIME: Duration = Duration::from_secs(5);
/// Consecutive answers without a consumer of the inbox after which it counts as lost. The broker may not count a
/// consumer that has just started.
const WITHOUT_CONSUMER: u32 = 4;

/// Reports the depths until the broker has lost this worker's consumer, which it does not always announce. Returns the
/// reason.
pub(super) async fn report(context: &Arc<ConsumeContext>, state: &SharedState, metrics: &dyn Metrics) -> String {
    let (mut without, mut next, mut blocked) = (0, 0, Vec::new());
    loop {
        for (queue, name) in context.options.queues() {
            let (consumed, asked) = (state.consumes(), context.deaths.asks());
            let Some(found) = measure(context, metrics, &queue, &name).await else { continue };
            match queue {
                BrokerQueue::Inbox(_) if consumed && state.consumes() && found.consumers == 0 => without += 1,
                BrokerQueue::Inbox(_) => without = 0,
                BrokerQueue::DeadLetters(_) => context.deaths.saw(asked, found.ready),
                BrokerQueue::Retry(_) | BrokerQueue::Organization(_) => {}
            }
        }
        if without >= WITHOUT_CONSUMER {
            return format!("the broker no longer has a consumer of `{}`", context.options.queue);
        }
        next = measure_organizations(context, metrics, next).await;
        report_blocked(context, metrics, &mut blocked).await;
        tokio::time::sleep(EVERY).await;
    }
}

/// Measures some organizations' queues, from this one on, and returns the next one.
async fn measure_organizations(context: &ConsumeContext, metrics: &dyn Metrics, from: usize) -> usize {
    let (queues, start) = (context.queues.all(), Instant::now());
    let mut next = from;
    for _ in 0..QUEUES_AT_ONCE.min(queues.len()) {
        if start.elapsed() >= QUEUES_TIME {
            break;
        }
        let (organization, name) = &queues[next % queues.len()];
        measure(context, metrics, &BrokerQueue::Organization(organization.clone()), name).await;
        next += 1;
    }
    next.checked_rem(queues.len()).unwrap_or(0)
}

async fn measure(
    context: &ConsumeContext,
    metrics: &dyn Metrics,
    queue: &BrokerQueue,
    name: &str,
) -> Option<QueueStats> {
    let found = context.link.look(name).await;
    metrics.record(Measurement::QueueDepth(queue, found.map(|found| found.ready.into())));
    found
}

/// Tries the blocked queues of organizations again, and reports which organizations are blocked.
async fn report_blocked(context: &ConsumeContext, metrics: &dyn Metrics, before: &mut Vec<OrganizationId>) {
    if context.queues.has_due() {
        // The next check, or the next connection, reports a failure.
        _ = context.queues.declare_new(context.link.reached()).await;
    }
    let blocked = context.queues.all_blocked();
    for restored in before.iter().filter(|id| !blocked.contains(id)) {
        metrics.record(Measurement::Blocked(restored, false));
    }
    for id in &blocked {
        metrics.record(Measurement::Blocked(id, true));
    }
    *before = blocked;
}
