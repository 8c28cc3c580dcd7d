//! In: deliveries from the bus.
//! Out: each delivery settled exactly once: moved to its organization's queue, or its outcome stored and announced, or
//! a copy confirmed in a retry queue or the dead-letter queue.
//! Absent: RabbitMQ, Dynamics and sled, which are behind the ports; and the choice of the next step, which is the
//! workflow's.
//!
//! Every event passes through two stages. The router moves it from the inbox to its organization's queue, and waits for
//! no organization. The organization's consumer takes from there only the deliveries that can soon have a request to
//! Dynamics in progress, and processes them.

mod router;

mod organization_consumer;
mod prefetch;

mod age;
mod attempt;
mod unroutable;
mod caught_panic;
mod failures;
mod fault_log;
mod headers;
mod lanes;
mod new_dead_letter;
mod backoff;
mod pending;
mod process;
mod quarantine;
mod remember;
mod organization_load;
mod settle;
mod settlement;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event::Limits;
use crate::ports::bus::Bus;
use crate::ports::destination::Destination;
use crate::ports::metrics::Metrics;
use crate::ports::store::Store;
use crate::workflow::Policy;
use lanes::Lanes;
use organization_consumer::OrganizationConsumer;
use pending::PendingEvents;
use quarantine::Quarantine;

pub use caught_panic::report_panics;

/// Longest time that a delivery is held unacked while its event can't continue. Together with a last request and the
/// broker's confirms, no delivery is held for 10 minutes (contract 5): RabbitMQ closes the channel after 30 minutes by
/// default, and a shared broker may be set to less.
const HOLD: Duration = Duration::from_secs(240);

/// Processes events: many at once, but one at a time per session.
pub struct Worker {
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    destination: Arc<dyn Destination>,
    metrics: Arc<dyn Metrics>,
    settings: WorkerSettings,
    clock: Clock,
    lanes: Lanes,
    pending: Arc<PendingEvents>,
    stopping: CancellationToken,
    quarantine: Quarantine,
    /// Random identity of this process, which distinguishes it from earlier ones in the store.
    life: u64,
}

/// Dependencies of the worker.
pub struct WorkerDeps {
    /// Store.
    pub store: Arc<dyn Store>,
    /// Message bus.
    pub bus: Arc<dyn Bus>,
    /// Destination.
    pub crm: Arc<dyn Destination>,
    /// Metrics.
    pub watch: Arc<dyn Metrics>,
}

/// Settings of the worker.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Limits of a valid event.
    pub limits: Limits,
    /// Retry policy.
    pub policy: Policy,
    /// Time for which a stored contact is used without asking Dynamics.
    pub contact_ttl: Duration,
    /// Most deliveries of one organization that are unacked at once: those that `dynamics.max_concurrency` allows, some
    /// that are next, and those whose outcome is being stored and announced.
    pub prefetch: u16,
}

/// Clock and random source: real in the program, controlled by the test in a simulation.
#[derive(Clone)]
pub struct Clock {
    /// Returns the current time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Returns a random number from 0 to 1.
    pub random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Clock {
    /// Uses the system's clock and random source.
    pub fn real() -> Self {
        Self { now: Arc::new(in_milliseconds), random: Arc::new(rand::random::<f64>) }
    }
}

/// Returns the time in milliseconds; more digits would only lengthen lists.
fn in_milliseconds() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

impl Worker {
    /// Creates a worker that does not run yet.
    pub fn new(tools: WorkerDeps, rules: WorkerSettings, chance: Clock) -> Arc<Self> {
        let WorkerDeps { store, bus, crm, watch } = tools;
        let life = (chance.random)().to_bits();
        Arc::new(Self {
            store,
            bus,
            destination: crm,
            metrics: watch,
            settings: rules,
            clock: chance,
            lanes: Lanes::default(),
            pending: Arc::default(),
            stopping: CancellationToken::new(),
            quarantine: Quarantine::default(),
            life,
        })
    }

    /// Processes events until the bus is stopped and the last one in flight is settled.
    pub async fn run(self: Arc<Self>) {
        let (stopped, in_flight) = (CancellationToken::new(), TaskTracker::new());
        let consumers = tokio::spawn(self.clone().consume_organizations(stopped.clone(), in_flight.clone()));
        self.route(&in_flight).await;
        stopped.cancel();
        // The task ends once the token is cancelled.
        _ = consumers.await;
        in_flight.close();
        in_flight.wait().await;
    }

    /// Starts a consumer for each organization as it becomes known. None ends before the worker does: the queue of a
    /// removed organization is drained into the dead letters.
    async fn consume_organizations(self: Arc<Self>, stopped: CancellationToken, in_flight: TaskTracker) {
        let (mut known, mut started, consumers) = (self.bus.organizations(), HashSet::new(), TaskTracker::new());
        loop {
            let organizations = known.borrow_and_update().clone();
            for organization in organizations {
                if started.insert(organization.clone()) {
                    let consumer = OrganizationConsumer::new(self.clone(), organization, in_flight.clone());
                    consumers.spawn(consumer.run(stopped.clone()));
                }
            }
            tokio::select! {
                changed = known.changed() => if changed.is_err() { stopped.cancelled().await },
                () = stopped.cancelled() => {}
            }
            if stopped.is_cancelled() {
                break;
            }
        }
        consumers.close();
        consumers.wait().await;
    }

    /// Ends all pauses, so that events that would soon be retried go to a retry queue instead.
    pub fn stop_pausing(&self) {
        self.stopping.cancel();
    }

    /// Returns the age of the oldest unfinished event that this worker has taken from a queue; zero if there is none.
    pub fn oldest_event(&self) -> Duration {
        let age = self.pending.oldest().map(|first_seen| self.now().duration_since(first_seen));
        age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default()
    }

    fn now(&self) -> Timestamp {
        (self.clock.now)()
    }
}

#[cfg(test)]
mod tests;
