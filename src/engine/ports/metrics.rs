//! In: facts worth counting, from every room.
//! Out: calls of one trait, which the metrics implement; spans, which whoever exports traces takes.
//! Absent: prometheus, labels' text, aggregation; where traces go.

use std::time::Duration;

use crate::event::{Kind, OrganizationId, Route};
use crate::workflow::{Reason, StepName};

/// Something that counts what it is told. Must be cheap: it is called on the hot path.
pub trait Watch: Send + Sync + 'static {
    /// Counts one fact.
    fn saw(&self, sighting: Sighting<'_>);
}

/// One fact.
#[derive(Clone, Copy, Debug)]
pub enum Sighting<'a> {
    /// An event came to an end, for now or for good.
    Event(Kind, EventEnd),
    /// An event's final outcome, and how long after its receipt.
    Finished {
        /// Its kind.
        kind: Kind,
        /// Its route.
        route: Option<Route>,
        /// Since the worker received it.
        elapsed: Duration,
        /// Since its own timestamp.
        age: Option<Duration>,
    },
    /// One more (or one less) event in hand.
    InFlight(i64),
    /// An event is tried again at once (`in_process`), or waits in a retry queue: after a fault that may pass (`transient`), for
    /// its organization (`throttled`, `blocked`, `paused`), for a queue that is too young (`new_queue`), for a file whose
    /// organization can't be told (`unknown_organization`), for others of its
    /// session (`handoff_awaited`) or of its key (`first_awaited`), because of the worker itself (`store`, `panic`, `held`,
    /// `shutdown`), because a destination refused it (`queue_refused`, `destination_refused`).
    Retried(&'a str),
    /// An event was moved from the inbox to its organization's queue.
    Forwarded,
    /// An event was dead-lettered.
    DeadLettered(Reason),
    /// The same key came with another body.
    BodyDiffers(Kind),
    /// An outcome that no queue is bound for.
    OutcomeUnrouted(Kind),
    /// Dynamics (or Entra ID) answered, or did not (`status` 0).
    Answered {
        /// What was asked.
        step: StepName,
        /// HTTP status.
        status: u16,
        /// How long it took.
        elapsed: Duration,
    },
    /// Dynamics told an organization to wait.
    Throttled(&'a OrganizationId),
    /// An organization was blocked (`true`) or is open again.
    Blocked(&'a OrganizationId, bool),
    /// Messages ready in a queue.
    QueueMessages(&'a str, u64),
    /// Events ready in an organization's queue.
    OrganizationWaiting(&'a OrganizationId, u64),
    /// The broker is there, or not.
    BrokerConnected(bool),
    /// One flush of the store.
    StoreFlushed(Duration),
    /// The store's size on disk.
    StoreBytes(u64),
}

/// How an event came to an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventEnd {
    /// Done.
    Succeeded,
    /// Nothing to do.
    Skipped,
    /// Given up.
    DeadLettered,
    /// Answered from the store.
    Duplicate,
    /// Put into a retry queue.
    Retried,
}

/// Counts nothing; for tests and commands.
#[derive(Clone, Copy, Debug)]
pub struct Blind;

impl Watch for Blind {
    fn saw(&self, _: Sighting<'_>) {}
}
