//! Queues of the organizations: which exist, and which can be used.
//!
//! RabbitMQ (3.10 to 4.3, one node, measured) loses a quorum queue, with everything it has confirmed there, if the node
//! is killed less than about a second after the declaration. So a queue is declared ahead of need, and stays unused for
//! `broker.new_queue_wait`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info};

use super::addresses::Reached;
use super::declare::{Declared, TopologyError, declare, report};
use super::options::{Declare, RabbitOptions};
use super::remake::delete_lost;
use super::shared::lock;
use super::topology::{Declaration, organization_queue};

/// Organizations whose queues are used.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OrganizationSet {
    /// Configured organizations, and the time at which a worker first declared their queues, if it is known.
    pub configured: BTreeMap<OrganizationId, Option<Timestamp>>,
    /// Organizations that were configured before; the remaining events in their queues are consumed.
    pub former: BTreeSet<OrganizationId>,
}

/// Reason for which an organization's queue is used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ownership {
    Configured,
    Former,
}

/// Queues of the organizations.
pub(super) struct OrganizationQueues {
    options: Arc<RabbitOptions>,
    /// `None` until the organizations are set.
    served: Mutex<Option<OrganizationSet>>,
    /// Time from which each organization's queue can be used.
    usable: Mutex<HashMap<OrganizationId, Instant>>,
    /// Organizations whose queues this process has declared, and the time from which each is trusted. Between two
    /// connections: those not yet trusted when the first one ended, because the broker may have lost them.
    untrusted: Mutex<BTreeMap<OrganizationId, Instant>>,
    /// Queues that are missing and may not be declared, or that don't answer, and the time at which this was found.
    missing: Mutex<BTreeMap<OrganizationId, (String, Timestamp)>>,
    /// Organizations to consume.
    known: watch::Sender<Vec<OrganizationId>>,
    /// Counter of changes to the usable queues.
    changes: watch::Sender<u64>,
}

impl OrganizationQueues {
    pub(super) fn new(options: Arc<RabbitOptions>) -> Arc<Self> {
        Arc::new(Self {
            options,
            served: Mutex::default(),
            usable: Mutex::default(),
            untrusted: Mutex::default(),
            missing: Mutex::default(),
            known: watch::Sender::new(Vec::new()),
            changes: watch::Sender::new(0),
        })
    }

    /// Sets the organizations. Returns true if there are new ones, whose queues must be declared.
    pub(super) fn set_organizations(&self, next: OrganizationSet) -> bool {
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

    /// Waits until the queue of every configured organization either exists or is found to be missing.
    pub(super) async fn complete(&self) {
        // The sender lives as long as `self`.
        _ = self.changes.subscribe().wait_for(|_| self.is_complete()).await;
    }

    fn is_complete(&self) -> bool {
        let served = lock(&self.served);
        let (usable, missing) = (lock(&self.usable), lock(&self.missing));
        let has = |id| usable.contains_key(id) || missing.contains_key(id);
        served.as_ref().is_some_and(|served| served.configured.keys().all(has))
    }

    /// Subscribes to the organizations to consume.
    pub(super) fn known(&self) -> watch::Receiver<Vec<OrganizationId>> {
        self.known.subscribe()
    }

    /// Subscribes to the counter of changes to the usable queues.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Returns the name of an organization's queue if an event may be put into it now.
    pub(super) fn usable(&self, organization: &OrganizationId) -> Option<String> {
        let from = lock(&self.usable).get(organization).copied()?;
        (from <= Instant::now()).then(|| self.options.organization_queue(organization))
    }

    /// True if the queue of an organization can be consumed, however new it is.
    pub(super) fn exists(&self, organization: &OrganizationId) -> bool {
        lock(&self.usable).contains_key(organization)
    }

    /// Name of the organization's queue, if it is missing and may not be declared, and the time at which this was
    /// found.
    pub(super) fn missing(&self, organization: &OrganizationId) -> Option<(String, Timestamp)> {
        lock(&self.missing).get(organization).cloned()
    }

    /// Organizations whose queues are missing.
    pub(super) fn all_missing(&self) -> Vec<OrganizationId> {
        lock(&self.missing).keys().cloned().collect()
    }

    /// Queues that can be consumed.
    pub(super) fn all(&self) -> Vec<(OrganizationId, String)> {
        let usable = lock(&self.usable);
        usable.keys().map(|id| (id.clone(), self.options.organization_queue(id))).collect()
    }

    /// Declares or checks the queues of all organizations. `made` means that a shared queue has just been declared.
    pub(super) async fn declare(&self, reached: &Reached, made: bool) -> Result<(), TopologyError> {
        let OrganizationSet { configured, former } = lock(&self.served).clone().unwrap_or_default();
        self.remake_young(reached).await;
        let young = self.ensure(reached, &configured, Ownership::Configured).await?;
        let old = former.into_iter().map(|id| (id, None)).collect();
        self.ensure(reached, &old, Ownership::Former).await?;
        if made || young {
            info!(
                wait_s = self.options.new_queue_wait.as_secs(),
                "declared new queues; consuming starts after the wait"
            );
            let from = Instant::now() + self.options.new_queue_wait;
            lock(&self.usable).values_mut().for_each(|usable| *usable = (*usable).max(from));
        }
        Ok(())
    }

    /// Declares the queues of new organizations.
    pub(super) async fn declare_new(&self, reached: &Reached) -> Result<(), TopologyError> {
        let OrganizationSet { configured, former } = lock(&self.served).clone().unwrap_or_default();
        let new = configured.into_iter().filter(|(id, _)| !self.exists(id)).collect();
        self.ensure(reached, &new, Ownership::Configured).await?;
        let old = former.into_iter().filter(|id| !self.exists(id)).map(|id| (id, None)).collect();
        self.ensure(reached, &old, Ownership::Former).await.map(|_| ())
    }

    /// Time from which every queue can be used.
    pub(super) fn all_usable_from(&self) -> Option<Instant> {
        lock(&self.usable).values().copied().max()
    }

    /// Forgets the queues at the end of a connection; the next one declares or checks all of them again.
    pub(super) fn forget(&self) {
        let now = Instant::now();
        lock(&self.untrusted).retain(|_, trusted| *trusted > now);
        lock(&self.usable).clear();
        lock(&self.missing).clear();
    }

    /// Deletes the queues that the broker may have lost, so that they are declared again.
    async fn remake_young(&self, reached: &Reached) {
        let young = std::mem::take(&mut *lock(&self.untrusted));
        if !young.is_empty() {
            let queues: Vec<String> = young.keys().map(|id| self.options.organization_queue(id)).collect();
            delete_lost(reached, &queues).await;
        }
    }

    /// Declares or checks the queues of these organizations. Returns true if one of them is so new that the broker may
    /// still lose it.
    async fn ensure(
        &self,
        reached: &Reached,
        organizations: &BTreeMap<OrganizationId, Option<Timestamp>>,
        ownership: Ownership,
    ) -> Result<bool, TopologyError> {
        if organizations.is_empty() {
            return Ok(false);
        }
        // The queue of an organization that is no longer configured is never declared.
        let mode = if ownership == Ownership::Former { Declare::Check } else { self.options.declare };
        let declaration = |id| organization_queue(&self.options, id, reached.version);
        let mut wanted: Vec<(&OrganizationId, Declaration)> =
            organizations.keys().map(|id| (id, declaration(id))).collect();
        let declarations: Vec<_> = wanted.iter().map(|(_, declaration)| declaration.clone()).collect();
        let Declared { made, unanswered, shortfall } = declare(reached, &declarations, mode).await;
        report(&made, &unanswered);
        let missing = match shortfall {
            None => Vec::new(),
            Some(TopologyError::Missing(missing)) => missing,
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
                    lock(&self.untrusted).insert((*id).clone(), now + wait);
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

    /// Returns the remaining time for which a queue first declared at this time stays unused.
    fn wait(&self, declared: Option<Timestamp>) -> Duration {
        let age = declared.map(|at| Timestamp::now().duration_since(at)).and_then(|age| Duration::try_from(age).ok());
        age.map_or(Duration::ZERO, |age| self.options.new_queue_wait.saturating_sub(age))
    }

    /// Records and logs the queues that are missing or don't answer.
    fn report_missing<'a>(
        &self,
        asked: impl Iterator<Item = &'a OrganizationId>,
        found: &[(&OrganizationId, Declaration)],
    ) {
        let mut known = lock(&self.missing);
        for id in asked {
            if found.iter().any(|(existing, _)| *existing == id) {
                known.remove(id);
            } else if !known.contains_key(id) {
                let queue = self.options.organization_queue(id);
                error!(
                    organization_id = %id,
                    queue,
                    "the organization's queue is missing or does not answer; its events are on hold; create the queue (`handoffd topology`) or check that it has a leader"
                );
                known.insert(id.clone(), (queue, Timestamp::now()));
            }
        }
    }
}
