//! Measures the number of messages in each queue, and checks that the broker still has this worker's consumer.

use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::metrics::{Measurement, Metrics};

use super::settle::ConsumeContext;
use super::state::SharedState;

/// Interval between measurements. One request costs the broker about a millisecond.
const EVERY: Duration = Duration::from_secs(5);
/// Organizations' queues measured each time, in turn; with 200 organizations each one is measured every 20 s.
const QUEUES_AT_ONCE: usize = 50;
/// Consecutive answers without a consumer of the inbox after which it counts as lost. The broker may not count a
/// consumer that has just started.
const WITHOUT_CONSUMER: u32 = 2;

/// Reports the depths until the broker has lost this worker's consumer, which it does not always announce. Returns the
/// reason.
pub(super) async fn report(context: &Arc<ConsumeContext>, state: &SharedState, watch: &dyn Metrics) -> String {
    let (line, options) = (&context.line, &context.options);
    let (mut without, mut next, mut missing) = (0, 0, Vec::new());
    loop {
        for queue in options.queues() {
            let consumed = state.consumes();
            let asked = context.deaths.asks();
            let Some(look) = line.look(&queue).await else { continue };
            watch.record(Measurement::QueueMessages(&queue, u64::from(look.ready)));
            context.deaths.saw(&queue, asked, look.ready);
            if queue == options.queue {
                without = if consumed && state.consumes() && look.consumers == 0 { without + 1 } else { 0 };
            }
        }
        if without >= WITHOUT_CONSUMER {
            return format!("the broker no longer has a consumer of `{}`", options.queue);
        }
        let organizations = context.queues.all();
        for step in 0..QUEUES_AT_ONCE.min(organizations.len()) {
            let (organization, queue) = &organizations[(next + step) % organizations.len()];
            if let Some(look) = line.look(queue).await {
                watch.record(Measurement::OrganizationWaiting(organization, u64::from(look.ready)));
            }
        }
        report_missing(context, watch, &mut missing).await;
        next = if organizations.is_empty() { 0 } else { (next + QUEUES_AT_ONCE) % organizations.len() };
        tokio::time::sleep(EVERY).await;
    }
}

/// Checks the missing queues of organizations again; an organization without a queue is blocked.
async fn report_missing(context: &ConsumeContext, watch: &dyn Metrics, before: &mut Vec<OrganizationId>) {
    if !context.queues.all_missing().is_empty() {
        // The next check, or the next connection, reports a failure.
        _ = context.queues.declare_new(context.line.reached()).await;
    }
    let missing = context.queues.all_missing();
    for restored in before.iter().filter(|id| !missing.contains(id)) {
        watch.record(Measurement::Blocked(restored, false));
    }
    for id in &missing {
        watch.record(Measurement::Blocked(id, true));
    }
    *before = missing;
}
