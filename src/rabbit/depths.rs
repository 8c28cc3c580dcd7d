//! Watches the number of messages in each queue, and that the broker still has our consumer.

use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::metrics::{Measurement, Metrics};

use super::settle::ConsumeContext;
use super::state::State;

/// How often the queues are asked. One question costs the broker about a millisecond.
const EVERY: Duration = Duration::from_secs(5);
/// Organizations' queues that are asked each time, in turn: with 200 organizations each one is asked every 20 s.
const QUEUES_AT_ONCE: usize = 50;
/// Answers in a row without a consumer of the inbox until it is taken for gone: just after it started the broker may not count it
/// yet.
const WITHOUT_CONSUMER: u32 = 2;

/// Reports the depths for as long as the line lives. Ends with a reason when the broker has lost our consumer, of which it does not
/// always say a word.
pub(super) async fn report(context: &Arc<ConsumeContext>, state: &State, watch: &dyn Metrics) -> String {
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
            return format!("the broker has no consumer of `{}` any more", options.queue);
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

/// Checks again for the queues of organizations that are missing; an organization without one is blocked.
async fn report_missing(context: &ConsumeContext, watch: &dyn Metrics, before: &mut Vec<OrganizationId>) {
    if !context.queues.all_missing().is_empty() {
        // What goes wrong with that is found out with the next check, or the next connection.
        _ = context.queues.declare_new(context.line.reached()).await;
    }
    let missing = context.queues.all_missing();
    for there in before.iter().filter(|id| !missing.contains(id)) {
        watch.record(Measurement::Blocked(there, false));
    }
    for id in &missing {
        watch.record(Measurement::Blocked(id, true));
    }
    *before = missing;
}
