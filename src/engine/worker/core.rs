//! The worker itself: what it is made of, its settings and its clock.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::arrivals::EventAges;
use super::event_tracker::EventTracker;
use super::lanes::Lanes;
use super::pending::PendingEvents;
use super::quarantine::Quarantine;
use crate::event::{Limits, OrganizationId};
use crate::ports::bus::Bus;
use crate::ports::destination::Destination;
use crate::ports::fleet::Fleet;
use crate::ports::metrics::Metrics;
use crate::ports::store::Store;
use crate::workflow::Policy;

/// Longest time that a delivery is held unacked while its event can't continue. Together with a last request and the
/// broker's confirms, no delivery is held for 10 minutes (contract 5): RabbitMQ closes the channel after 30 minutes by
/// default, and a shared broker may be set to less.
pub(super) const MAX_HOLD: Duration = Duration::from_secs(240);

/// Processes events: many at once, but one at a time per session.
pub struct Worker {
    pub(super) store: Arc<dyn Store>,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) destination: Arc<dyn Destination>,
    pub(super) fleet: Arc<dyn Fleet>,
    pub(super) metrics: Arc<dyn Metrics>,
    pub(super) settings: WorkerSettings,
    pub(super) clock: Clock,
    pub(super) lanes: Lanes,
    pub(super) pending: Arc<PendingEvents>,
    pub(super) tracker: Arc<EventTracker>,
    pub(super) stopping: CancellationToken,
    pub(super) quarantine: Quarantine,
    /// Random identity of this process, which distinguishes it from earlier ones in the store.
    pub(super) life: u64,
}

/// Dependencies of the worker.
pub struct WorkerDeps {
    /// Store.
    pub store: Arc<dyn Store>,
    /// Message bus.
    pub bus: Arc<dyn Bus>,
    /// Destination.
    pub destination: Arc<dyn Destination>,
    /// Fleet of workers.
    pub fleet: Arc<dyn Fleet>,
    /// Metrics.
    pub metrics: Arc<dyn Metrics>,
    /// Registry of unfinished events, which operators query.
    pub tracker: Arc<EventTracker>,
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
    pub fn new(deps: WorkerDeps, settings: WorkerSettings, clock: Clock) -> Arc<Self> {
        let WorkerDeps { store, bus, destination, fleet, metrics, tracker } = deps;
        let life = (clock.random)().to_bits();
        Arc::new(Self {
            store,
            bus,
            destination,
            fleet,
            metrics,
            settings,
            clock,
            lanes: Lanes::default(),
            pending: Arc::default(),
            tracker,
            stopping: CancellationToken::new(),
            quarantine: Quarantine::default(),
            life,
        })
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

    /// Returns the arrivals of an organization's oldest unfinished events.
    pub fn event_ages(&self, organization: &OrganizationId) -> EventAges {
        self.pending.ages(organization, self.now())
    }

    /// Returns the current time.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock.now)()
    }
}
