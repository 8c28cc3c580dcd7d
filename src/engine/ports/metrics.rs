//! In: measurements from every module.
//! Out: calls of one trait, which the metrics implement.
//! Absent: Prometheus, the text of labels, aggregation.

use std::time::{Duration, Instant};

use crate::event::{Kind, OrganizationId, Route};
use crate::workflow::{Reason, StepName};

/// Receiver of measurements. Must be cheap, since it is called on the hot path.
pub trait Metrics: Send + Sync + 'static {
    /// Records one measurement.
    fn record(&self, sighting: Measurement<'_>);
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub enum Measurement<'a> {
    /// An event ended, for now or for good.
    Event(Kind, EventEnd),
    /// An event has its final outcome.
    Finished {
        /// Kind of the event.
        kind: Kind,
        /// Route of the event.
        route: Option<Route>,
        /// Time since the worker received it.
        elapsed: Duration,
        /// Time since the event's own timestamp.
        age: Option<Duration>,
    },
    /// The number of events in progress grew or shrank by one.
    InFlight(i64),
    /// An event is retried at once (`in_process`), or waits in a retry queue: after a transient fault (`transient`),
    /// for its organization (`throttled`, `blocked`, `paused`), for a queue that is too young (`new_queue`), for a file
    /// whose organization can't be identified (`unknown_organization`), for other events of its session
    /// (`handoff_awaited`) or of its key (`first_awaited`), because of the worker itself (`store`, `panic`, `held`,
    /// `shutdown`), or because a destination refused it (`queue_refused`, `destination_refused`).
    Retried(&'a str),
    /// An event was moved from the inbox to its organization's queue.
    Forwarded,
    /// An event was dead-lettered.
    DeadLettered(Reason),
    /// A duplicate key arrived with a different body.
    BodyDiffers(Kind),
    /// No queue is bound for an outcome.
    OutcomeUnrouted(Kind),
    /// Dynamics or Entra ID answered, or did not (`status` 0).
    Answered {
        /// Step of the request.
        step: StepName,
        /// HTTP status.
        status: u16,
        /// Duration of the request.
        elapsed: Duration,
    },
    /// An event of an organization ended.
    OrganizationEvent(&'a OrganizationId, EventEnd),
    /// A request of an organization began or ended.
    Request(&'a OrganizationId, RequestChange),
    /// Dynamics throttled an organization.
    Throttled(&'a OrganizationId),
    /// An organization was blocked (`true`) or unblocked.
    Blocked(&'a OrganizationId, bool),
    /// Number of messages ready in a queue; `None` if it is unknown.
    QueueDepth(&'a BrokerQueue, Option<u64>),
    /// Number of events that were taken from an organization's queue and wait: not begun, as in one that was paused, or for
    /// a refused step.
    Unbegun(&'a OrganizationId, usize),
    /// The connection to the broker was made or lost. Without it no queue's depth is known.
    BrokerConnected(bool),
    /// A change was refused, or an event dropped, because another worker owns the organization.
    Fenced,
    /// This worker took an organization over, for this reason.
    TookOver(TakeoverReason),
    /// The store flushed to disk.
    StoreFlushed(Duration),
    /// Size of the store on disk, in bytes.
    StoreBytes(u64),
}

/// Reason that an organization has another owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TakeoverReason {
    /// Its owner was lost.
    Lost,
    /// Its owner has stopped.
    Left,
    /// Its owner gave it back, so that each worker has as many as another.
    Balance,
}

/// Queue at the broker. Lists are in this order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum BrokerQueue {
    /// Inbox, by its name.
    Inbox(String),
    /// Retry queue, by its name.
    Retry(String),
    /// Dead-letter queue, by its name.
    DeadLetters(String),
    /// Queue of an organization.
    Organization(OrganizationId),
}

/// Beginning or end of a request. Its result is known only once its answer has been interpreted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestChange {
    /// The request of this number was sent.
    Began(u64, StepName),
    /// The request of this number was answered or given up.
    Left(u64),
    /// A request that was sent at this time has this result.
    Ended(StepName, RequestOutcome, Instant),
}

/// Result of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RequestOutcome {
    /// It had the desired effect, or an answer that the workflow continues with.
    Ok,
    /// Refused.
    Refused,
    /// Throttled.
    Throttled,
    /// A server error, a broken connection or an unreadable answer.
    Failed,
    /// No answer within the time-out.
    TimedOut,
}

/// End of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventEnd {
    /// Processed.
    Succeeded,
    /// Nothing had to be done.
    Skipped,
    /// Moved to the dead letters.
    DeadLettered,
    /// Answered from the store.
    Duplicate,
    /// Moved to a retry queue.
    Retried,
}

/// Metrics that record nothing; for tests and commands.
#[derive(Clone, Copy, Debug)]
pub struct NoMetrics;

impl Metrics for NoMetrics {
    fn record(&self, _: Measurement<'_>) {}
}
