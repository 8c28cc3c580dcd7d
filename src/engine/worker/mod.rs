//! In: deliveries from the bus.
//! Out: each one settled, once: moved to its organization's queue; its outcome kept and announced; or its copy in a retry or
//! dead-letter queue.
//! Absent: RabbitMQ, Dynamics and sled, which are behind their seams; which step comes next is the machine's.
//!
//! Every event takes two steps. The router moves it from the inbox to its organization's queue, and waits for nobody. The
//! consumer of that organization takes from there what can be under way with Dynamics soon, and carries it.

mod router;

mod organization_consumer;
mod prefetch;

mod age;
mod attempt;
mod bury;
mod defect;
mod failures;
mod fault_log;
mod headers;
mod lanes;
mod letters;
mod pause;
mod pending;
mod process;
mod quarantine;
mod remember;
mod room;
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
use crate::ports::destination::Crm;
use crate::ports::metrics::Watch;
use crate::ports::store::Store;
use crate::workflow::Policy;
use lanes::Lanes;
use organization_consumer::OrganizationConsumer;
use pending::PendingEvents;
use quarantine::Quarantine;

pub use defect::watch_for_defects;

/// Longest time that a delivery is held unacked while its event can't go on. With a request under way at its end, and the broker's
/// confirms that may be waited for, nothing is held for 10 minutes (contract 5): RabbitMQ closes the channel after 30 by default, and
/// a shared broker may be set to less.
const HOLD: Duration = Duration::from_secs(240);

/// Carries events, many at once, one at a time per session.
pub struct Worker {
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    crm: Arc<dyn Crm>,
    watch: Arc<dyn Watch>,
    rules: Rules,
    chance: Chance,
    lanes: Lanes,
    pending: Arc<PendingEvents>,
    stopping: CancellationToken,
    quarantine: Quarantine,
    /// This life of the process, told apart from others in the store.
    life: u64,
}

/// What the worker works with.
pub struct Tools {
    /// The memory.
    pub store: Arc<dyn Store>,
    /// The broker.
    pub bus: Arc<dyn Bus>,
    /// Dynamics.
    pub crm: Arc<dyn Crm>,
    /// The metrics.
    pub watch: Arc<dyn Watch>,
}

/// Settings of the worker.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Limits of a legal event.
    pub limits: Limits,
    /// When to try again.
    pub policy: Policy,
    /// How long a contact is remembered without asking Dynamics.
    pub contact_ttl: Duration,
    /// Deliveries of one organization unacked at once, at most: those that `dynamics.max_concurrency` allows, a few whose turn is
    /// next, and those whose outcome is being written down and announced.
    pub prefetch: u16,
}

/// Clock and dice: real in the program, of the test's making in a simulation.
#[derive(Clone)]
pub struct Chance {
    /// The time now.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// A number from 0 to 1.
    pub dice: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Chance {
    /// The system's clock and dice.
    pub fn real() -> Self {
        Self { now: Arc::new(in_milliseconds), dice: Arc::new(rand::random::<f64>) }
    }
}

/// Finer than this, a time in a list is only longer.
fn in_milliseconds() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

impl Worker {
    /// A worker that does not run yet.
    pub fn new(tools: Tools, rules: Rules, chance: Chance) -> Arc<Self> {
        let Tools { store, bus, crm, watch } = tools;
        let life = (chance.dice)().to_bits();
        Arc::new(Self {
            store,
            bus,
            crm,
            watch,
            rules,
            chance,
            lanes: Lanes::default(),
            pending: Arc::default(),
            stopping: CancellationToken::new(),
            quarantine: Quarantine::default(),
            life,
        })
    }

    /// Carries events until the bus is stopped and the last one in flight is settled.
    pub async fn run(self: Arc<Self>) {
        let (stopped, in_flight) = (CancellationToken::new(), TaskTracker::new());
        let consumers = tokio::spawn(self.clone().consume_organizations(stopped.clone(), in_flight.clone()));
        self.route(&in_flight).await;
        stopped.cancel();
        // It ends with the token.
        _ = consumers.await;
        in_flight.close();
        in_flight.wait().await;
    }

    /// Starts a consumer for each organization as it becomes known. None ends before the worker does: the queue of an
    /// organization that was removed is drained into the dead letters.
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

    /// Ends all pauses: what would be tried again soon goes to a retry queue instead.
    pub fn hurry(&self) {
        self.stopping.cancel();
    }

    /// Age of the oldest unfinished event that this worker has taken from a queue. Zero when there is none.
    pub fn oldest_event(&self) -> Duration {
        let age = self.pending.oldest().map(|first_seen| self.now().duration_since(first_seen));
        age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default()
    }

    fn now(&self) -> Timestamp {
        (self.chance.now)()
    }
}

#[cfg(test)]
mod tests;
