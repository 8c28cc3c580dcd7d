//! In: deliveries from the bus.
//! Out: each one settled, once: its outcome kept and announced, or its copy in a retry or dead-letter queue.
//! Absent: RabbitMQ, Dynamics and sled, which are behind their seams; which step comes next is the machine's.

mod away;
mod bury;
mod defect;
mod desk;
mod drive;
mod fault_log;
mod headers;
mod intake;
mod lanes;
mod letters;
mod obstacle;
mod pause;
mod reception;
mod remember;
mod settle;
mod suspects;
mod trouble;
mod unfinished;
mod verdict;
mod visit;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::crm::Crm;
use crate::event::Limits;
use crate::machine::Policy;
use crate::store::Store;
use crate::watch::Watch;
use away::Away;
use lanes::Lanes;
use suspects::Suspects;
use unfinished::Unfinished;

pub use defect::watch_for_defects;

/// Carries events, many at once, one at a time per session.
pub struct Worker {
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    crm: Arc<dyn Crm>,
    watch: Arc<dyn Watch>,
    rules: Rules,
    chance: Chance,
    lanes: Lanes,
    away: Away,
    unfinished: Arc<Unfinished>,
    stopping: CancellationToken,
    suspects: Suspects,
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
    /// Who counts.
    pub watch: Arc<dyn Watch>,
}

/// What the worker goes by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What an event may be.
    pub limits: Limits,
    /// When to try again.
    pub policy: Policy,
    /// How long a contact is remembered without asking Dynamics.
    pub contact_ttl: Duration,
    /// Of the work queue: events in hand at once, of all organizations. No organization takes more than half of it.
    pub prefetch: usize,
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
    /// A worker, not yet at work.
    pub fn new(tools: Tools, rules: Rules, chance: Chance) -> Arc<Self> {
        let Tools { store, bus, crm, watch } = tools;
        let (lanes, away, suspects) = (Lanes::default(), Away::default(), Suspects::default());
        let unfinished = Arc::default();
        let (stopping, life) = (CancellationToken::new(), (chance.dice)().to_bits());
        Arc::new(Self { store, bus, crm, watch, rules, chance, lanes, away, unfinished, stopping, suspects, life })
    }

    /// Ends all pauses: what would be tried again soon goes to a retry queue instead.
    pub fn hurry(&self) {
        self.stopping.cancel();
    }

    /// How long ago a worker first saw the oldest event that is not over: of those in hand, those that wait for room here
    /// and the first one of each backlog among them, and those that this process has put into a retry queue and that are
    /// not overdue from there. Zero when there is none.
    pub fn oldest_event(&self) -> Duration {
        let age = self.unfinished.oldest().map(|first_seen| self.now().duration_since(first_seen));
        age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default()
    }

    fn now(&self) -> Timestamp {
        (self.chance.now)()
    }
}

#[cfg(test)]
mod tests;
