//! The queues of the organizations: which there are, and whether they can be used.
//!
//! RabbitMQ (3.10 to 4.3, one node, measured) loses a quorum queue, with all that it has confirmed there, that was declared less
//! than about a second before the node is killed. So a queue is declared ahead of need, and nothing is put into one that was made
//! less than `broker.new_queue_wait` ago.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info};

use super::addresses::Reached;
use super::declare::{Declared, Shortfall, declare};
use super::line::report;
use super::lock;
use super::options::{Declare, Options};
use super::remake::delete_lost;
use super::topology::{Declaration, organization_queue};

/// The organizations whose queues are used.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Served {
    /// Those that are configured, and when a worker first declared their queues, where that is known.
    pub configured: BTreeMap<OrganizationId, Option<Timestamp>>,
    /// Those that were configured before: what their queues still hold is consumed.
    pub former: BTreeSet<OrganizationId>,
}

/// Standing of an organization: it is configured, or was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ownership {
    Configured,
    Former,
}

/// The queues of the organizations.
pub(super) struct OrganizationQueues {
    options: Arc<Options>,
    /// None until they are set.
    served: Mutex<Option<Served>>,
    /// Since when the queue of an organization can be used, or from when on.
    usable: Mutex<HashMap<OrganizationId, Instant>>,
    /// Organizations whose queues this process has made, and from when on each is trusted. Between two connections: those that were
    /// not trusted yet when the first one ended, for the broker may have lost them.
    young: Mutex<BTreeMap<OrganizationId, Instant>>,
    /// Queues that are missing and may not be declared, or don't answer; and since when that is known.
    missing: Mutex<BTreeMap<OrganizationId, (String, Timestamp)>>,
    /// Organizations to consume.
    known: watch::Sender<Vec<OrganizationId>>,
    /// Counts changes of what is usable.
    changes: watch::Sender<u64>,
}

impl OrganizationQueues {
    pub(super) fn new(options: Arc<Options>) -> Arc<Self> {
        Arc::new(Self {
            options,
            served: Mutex::default(),
            usable: Mutex::default(),
            young: Mutex::default(),
            missing: Mutex::default(),
            known: watch::Sender::new(Vec::new()),
            changes: watch::Sender::new(0),
        })
    }

    /// Sets the organizations. True when there are new ones, whose queues are to be declared.
    pub(super) fn serve(&self, next: Served) -> bool {
        let known: Vec<_> = next.configured.keys().chain(&next.former).cloned().collect();
        let is_new = {
            let mut served = lock(&self.served);
            let before = served.take().unwrap_or_default();
            let is_new = next.configured.keys().any(|id| !before.configured.contains_key(id))
                || next.former.iter().any(|id| !before.former.contains(id) && !before.configured.contains_key(id));
            *served = Some(next);
            is_new
        };
        self.known.send_replace(known);
        self.changes.send_modify(|count| *count += 1);
        is_new
    }

    /// Waits until the queues of all configured organizations are there, or known to be missing.
    pub(super) async fn complete(&self) {
        // It lives as long as `self`.
        _ = self.changes.subscribe().wait_for(|_| self.is_complete()).await;
    }

    fn is_complete(&self) -> bool {
        let served = lock(&self.served);
        let (usable, missing) = (lock(&self.usable), lock(&self.missing));
        let has = |id| usable.contains_key(id) || missing.contains_key(id);
        served.as_ref().is_some_and(|served| served.configured.keys().all(has))
    }

    /// Organizations to consume.
    pub(super) fn known(&self) -> watch::Receiver<Vec<OrganizationId>> {
        self.known.subscribe()
    }

    /// Counts changes of what is usable.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The queue of an organization, if an event may be put into it now.
    pub(super) fn usable(&self, organization: &OrganizationId) -> Option<String> {
        let from = lock(&self.usable).get(organization).copied()?;
        (from <= Instant::now()).then(|| self.options.organization_queue(organization))
    }

    /// True when the queue of an organization is there to be consumed, however young.
    pub(super) fn exists(&self, organization: &OrganizationId) -> bool {
        lock(&self.usable).contains_key(organization)
    }

    /// The name of an organization's queue that is missing and may not be declared, and since when that is known.
    pub(super) fn missing(&self, organization: &OrganizationId) -> Option<(String, Timestamp)> {
        lock(&self.missing).get(organization).cloned()
    }

    /// Organizations whose queues are missing.
    pub(super) fn all_missing(&self) -> Vec<OrganizationId> {
        lock(&self.missing).keys().cloned().collect()
    }

    /// The queues that can be consumed.
    pub(super) fn all(&self) -> Vec<(OrganizationId, String)> {
        let usable = lock(&self.usable);
        usable.keys().map(|id| (id.clone(), self.options.organization_queue(id))).collect()
    }

    /// Declares, or checks, the queues of all organizations. `made`: something else was just made.
    pub(super) async fn declare(&self, reached: &Reached, made: bool) -> Result<(), Shortfall> {
        let Served { configured, former } = lock(&self.served).clone().unwrap_or_default();
        self.remake_young(reached).await;
        let young = self.ensure(reached, &configured, Ownership::Configured).await?;
        let old = former.into_iter().map(|id| (id, None)).collect();
        self.ensure(reached, &old, Ownership::Former).await?;
        if made || young {
            info!(
                wait_s = self.options.new_queue_wait.as_secs(),
                "declared new queues; no event is taken until the broker has them for good"
            );
            let from = Instant::now() + self.options.new_queue_wait;
            lock(&self.usable).values_mut().for_each(|usable| *usable = (*usable).max(from));
        }
        Ok(())
    }

    /// Declares the queues of organizations that were added.
    pub(super) async fn declare_new(&self, reached: &Reached) -> Result<(), Shortfall> {
        let Served { configured, former } = lock(&self.served).clone().unwrap_or_default();
        let new = configured.into_iter().filter(|(id, _)| !self.exists(id)).collect();
        self.ensure(reached, &new, Ownership::Configured).await?;
        let old = former.into_iter().filter(|id| !self.exists(id)).map(|id| (id, None)).collect();
        self.ensure(reached, &old, Ownership::Former).await.map(|_| ())
    }

    /// When the youngest queue can be used.
    pub(super) fn all_usable_from(&self) -> Option<Instant> {
        lock(&self.usable).values().copied().max()
    }

    /// The connection has ended: on the next one all is declared, or checked, anew.
    pub(super) fn forget(&self) {
        let now = Instant::now();
        lock(&self.young).retain(|_, trusted| *trusted > now);
        lock(&self.usable).clear();
        lock(&self.missing).clear();
    }

    /// Makes those anew that the broker may have lost.
    async fn remake_young(&self, reached: &Reached) {
        let young = std::mem::take(&mut *lock(&self.young));
        if !young.is_empty() {
            let queues: Vec<String> = young.keys().map(|id| self.options.organization_queue(id)).collect();
            delete_lost(reached, &queues).await;
        }
    }

    /// Declares or checks their queues; true when one of them was made just now, or so lately that the broker may still lose it.
    async fn ensure(
        &self,
        reached: &Reached,
        organizations: &BTreeMap<OrganizationId, Option<Timestamp>>,
        ownership: Ownership,
    ) -> Result<bool, Shortfall> {
        if organizations.is_empty() {
            return Ok(false);
        }
        // Nobody declares the queue of an organization that is no longer configured.
        let mode = if ownership == Ownership::Former { Declare::Check } else { self.options.declare };
        let declaration = |id| organization_queue(&self.options, id, reached.version);
        let mut wanted: Vec<(&OrganizationId, Declaration)> =
            organizations.keys().map(|id| (id, declaration(id))).collect();
        let declarations: Vec<_> = wanted.iter().map(|(_, declaration)| declaration.clone()).collect();
        let Declared { made, unanswered, shortfall } = declare(reached, &declarations, mode).await;
        report(&made, &unanswered);
        let missing = match shortfall {
            None => Vec::new(),
            Some(Shortfall::Missing(missing)) => missing,
            Some(other) => return Err(other),
        };
        wanted.retain(|(_, declaration)| !missing.contains(declaration) && !unanswered.contains(declaration));
        let mut is_young = false;
        let now = Instant::now();
        {
            let mut usable = lock(&self.usable);
            for (id, _) in &wanted {
                let declared = organizations.get(id).copied().flatten().filter(|_| mode == Declare::Create);
                let wait = self.wait(declared);
                let is_new = made.contains(&self.options.organization_queue(id));
                let wait = if is_new { self.options.new_queue_wait } else { wait };
                is_young |= !wait.is_zero();
                if is_new {
                    lock(&self.young).insert((*id).clone(), now + wait);
                }
                usable.insert((*id).clone(), now + wait);
            }
        }
        if ownership == Ownership::Configured {
            self.report_missing(organizations.keys(), &wanted);
        }
        self.changes.send_modify(|count| *count += 1);
        Ok(is_young)
    }

    /// Remaining time for which a queue is too young that was first declared then.
    fn wait(&self, declared: Option<Timestamp>) -> Duration {
        let age = declared.map(|at| Timestamp::now().duration_since(at)).and_then(|age| Duration::try_from(age).ok());
        age.map_or(Duration::ZERO, |age| self.options.new_queue_wait.saturating_sub(age))
    }

    /// Keeps account of the queues that are not there, or don't answer.
    fn report_missing<'a>(
        &self,
        asked: impl Iterator<Item = &'a OrganizationId>,
        found: &[(&OrganizationId, Declaration)],
    ) {
        let mut known = lock(&self.missing);
        for id in asked {
            if found.iter().any(|(there, _)| *there == id) {
                known.remove(id);
            } else if !known.contains_key(id) {
                let queue = self.options.organization_queue(id);
                error!(
                    organization_id = %id,
                    queue,
                    "the organization's queue is missing or does not answer; its events are on hold: create it (`handoffd topology`), or see whether it has a leader"
                );
                known.insert(id.clone(), (queue, Timestamp::now()));
            }
        }
    }
}
