//! Queues of the organizations: which exist, and which can be used.
//!
//! RabbitMQ (3.10 to 4.3, one node, measured) loses a quorum queue, with everything it has confirmed there, if the node
//! is killed less than about a second after the declaration. So a queue is declared ahead of need, and stays unused for
//! `broker.new_queue_wait`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info};

use super::declare::{Declared, TopologyError, declare};
use super::organization_queue;
use super::remake::delete_lost;
use crate::rabbit::connection::addresses::Reached;
use crate::rabbit::options::{Declare, RabbitOptions};
use crate::rabbit::shared::send_if_new;

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
pub(in crate::rabbit) struct OrganizationQueues {
    options: Arc<RabbitOptions>,
    table: watch::Sender<QueueTable>,
    /// Organizations to consume.
    known: watch::Sender<Vec<OrganizationId>>,
}

/// Organizations, and the state of their queues.
#[derive(Default)]
pub(in crate::rabbit) struct QueueTable {
    /// `None` until the organizations are set.
    served: Option<OrganizationSet>,
    /// Time from which the shared queues can be used, if this process has declared one of them.
    shared: Option<Instant>,
    /// Time from which each existing queue can be used.
    usable: HashMap<OrganizationId, Instant>,
    /// Organizations whose queues this process has declared, and the time from which each is trusted. Between two
    /// connections: those not yet trusted when the first one ended, because the broker may have lost them.
    untrusted: BTreeMap<OrganizationId, Instant>,
    /// Queues that are missing and may not be declared, or that don't answer, and the time at which this was found.
    missing: BTreeMap<OrganizationId, (String, Timestamp)>,
}

impl QueueTable {
    /// Returns true if the queue of every configured organization either exists or is found to be missing.
    fn is_complete(&self) -> bool {
        let has = |id| self.usable.contains_key(id) || self.missing.contains_key(id);
        self.served.as_ref().is_some_and(|served| served.configured.keys().all(has))
    }

    /// Records and logs a queue that is missing or does not answer.
    fn note_missing(&mut self, id: OrganizationId, queue: String) {
        if let Entry::Vacant(entry) = self.missing.entry(id) {
            error!(
                organization_id = %entry.key(),
                queue,
                "the organization's queue is missing or does not answer; its events are on hold; create the queue (`handoffd topology`) or check that it has a leader"
            );
            entry.insert((queue, Timestamp::now()));
        }
    }
}

impl OrganizationQueues {
    pub(in crate::rabbit) fn new(options: Arc<RabbitOptions>) -> Arc<Self> {
        Arc::new(Self { options, table: watch::Sender::default(), known: watch::Sender::default() })
    }

    /// Sets the organizations. Returns true if there are new ones, whose queues must be declared.
    pub(in crate::rabbit) fn set_organizations(&self, next: OrganizationSet) -> bool {
        let known = next.configured.keys().chain(&next.former).cloned().collect();
        let mut is_new = false;
        self.table.send_modify(|table| {
            let before = table.served.take().unwrap_or_default();
            is_new = next.configured.keys().any(|id| !before.configured.contains_key(id))
                || next.former.iter().any(|id| !before.former.contains(id) && !before.configured.contains_key(id));
            table.served = Some(next);
        });
        // Each receiver of a change looks at everything again.
        send_if_new(&self.known, known);
        is_new
    }

    /// Waits until the queue of every configured organization either exists or is found to be missing.
    pub(in crate::rabbit) async fn complete(&self) {
        // The sender lives as long as `self`.
        _ = self.table.subscribe().wait_for(QueueTable::is_complete).await;
    }

    /// Subscribes to the organizations to consume.
    pub(in crate::rabbit) fn known(&self) -> watch::Receiver<Vec<OrganizationId>> {
        self.known.subscribe()
    }

    /// Subscribes to changes.
    pub(in crate::rabbit) fn changes(&self) -> watch::Receiver<QueueTable> {
        self.table.subscribe()
    }

    /// Returns the name of an organization's queue if an event may be put into it now.
    pub(in crate::rabbit) fn usable(&self, organization: &OrganizationId) -> Option<String> {
        let from = self.table.borrow().usable.get(organization).copied()?;
        (from <= Instant::now()).then(|| self.options.organization_queue(organization))
    }

    /// Organizations whose queues are used.
    pub(in crate::rabbit) fn served(&self) -> OrganizationSet {
        self.table.borrow().served.clone().unwrap_or_default()
    }

    /// Returns true if the queue of an organization can be consumed, however new it is.
    pub(in crate::rabbit) fn exists(&self, organization: &OrganizationId) -> bool {
        self.table.borrow().usable.contains_key(organization)
    }

    /// Name of the organization's queue, if it is missing and may not be declared, and the time at which this was
    /// found.
    pub(in crate::rabbit) fn missing(&self, organization: &OrganizationId) -> Option<(String, Timestamp)> {
        self.table.borrow().missing.get(organization).cloned()
    }

    /// Organizations whose queues are missing.
    pub(in crate::rabbit) fn all_missing(&self) -> Vec<OrganizationId> {
        self.table.borrow().missing.keys().cloned().collect()
    }

    /// Queues that can be consumed.
    pub(in crate::rabbit) fn all(&self) -> Vec<(OrganizationId, String)> {
        let table = self.table.borrow();
        table.usable.keys().map(|id| (id.clone(), self.options.organization_queue(id))).collect()
    }

    /// Declares or checks the queues of all organizations. `made` means that a shared queue has just been declared.
    pub(in crate::rabbit) async fn declare(&self, reached: &Reached, made: bool) -> Result<(), TopologyError> {
        let OrganizationSet { configured, former } = self.table.borrow().served.clone().unwrap_or_default();
        self.remake_young(reached).await;
        let young = self.ensure(reached, configured, Ownership::Configured).await?;
        self.ensure(reached, unaged(former), Ownership::Former).await?;
        if made || young {
            info!(
                wait_s = self.options.new_queue_wait.as_secs(),
                "declared new queues; consuming starts after the wait"
            );
            let from = Instant::now() + self.options.new_queue_wait;
            self.table.send_modify(|table| {
                table.shared = Some(from);
                table.usable.values_mut().for_each(|usable| *usable = (*usable).max(from));
            });
        }
        Ok(())
    }

    /// Declares the queues of new organizations.
    pub(in crate::rabbit) async fn declare_new(&self, reached: &Reached) -> Result<(), TopologyError> {
        let OrganizationSet { mut configured, mut former } = self.table.borrow().served.clone().unwrap_or_default();
        configured.retain(|id, _| !self.exists(id));
        self.ensure(reached, configured, Ownership::Configured).await?;
        former.retain(|id| !self.exists(id));
        self.ensure(reached, unaged(former), Ownership::Former).await.map(drop)
    }

    /// Time from which every queue can be used.
    pub(in crate::rabbit) fn all_usable_from(&self) -> Option<Instant> {
        let table = self.table.borrow();
        table.usable.values().copied().chain(table.shared).max()
    }

    /// Forgets the queues at the end of a connection; the next one declares or checks all of them again.
    pub(in crate::rabbit) fn forget(&self) {
        let now = Instant::now();
        self.table.send_modify(|table| {
            table.untrusted.retain(|_, trusted| *trusted > now);
            table.usable.clear();
            table.missing.clear();
        });
    }

    /// Deletes the queues that the broker may have lost, so that they are declared again.
    async fn remake_young(&self, reached: &Reached) {
        let mut young = BTreeMap::new();
        self.table.send_modify(|table| young = std::mem::take(&mut table.untrusted));
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
        organizations: BTreeMap<OrganizationId, Option<Timestamp>>,
        ownership: Ownership,
    ) -> Result<bool, TopologyError> {
        if organizations.is_empty() {
            return Ok(false);
        }
        // The queue of an organization that is no longer configured is never declared.
        let mode = if ownership == Ownership::Former { Declare::Check } else { self.options.declare };
        let declarations: Vec<_> =
            organizations.keys().map(|id| organization_queue(&self.options, id, reached.version)).collect();
        let mut found = Declared::default();
        let result = declare(reached, &declarations, mode, &mut found).await;
        let (mut is_young, now) = (false, Instant::now());
        self.table.send_modify(|table| {
            for ((id, declared), declaration) in organizations.into_iter().zip(&declarations) {
                let queue = self.options.organization_queue(&id);
                let is_new = found.made.contains(&queue);
                if is_new {
                    // The broker may lose it also if the rest failed.
                    table.untrusted.insert(id.clone(), now + self.options.new_queue_wait);
                }
                if result.is_err() {
                    continue;
                }
                if found.missing.contains(declaration) || found.unanswered.contains(declaration) {
                    if ownership == Ownership::Configured {
                        table.note_missing(id, queue);
                    }
                    continue;
                }
                let wait = match declared.filter(|_| mode == Declare::Create) {
                    _ if is_new => self.options.new_queue_wait,
                    declared => self.remaining_wait(declared),
                };
                is_young |= !wait.is_zero();
                table.missing.remove(&id);
                table.usable.insert(id, now + wait);
            }
        });
        result.map(|()| is_young)
    }

    /// Returns the remaining time for which a queue first declared at this time stays unused.
    fn remaining_wait(&self, declared: Option<Timestamp>) -> Duration {
        let age = declared.map(|at| Timestamp::now().duration_since(at)).and_then(|age| Duration::try_from(age).ok());
        age.map_or(Duration::ZERO, |age| self.options.new_queue_wait.saturating_sub(age))
    }
}

/// Organizations whose queues were declared at an unknown time.
fn unaged(organizations: BTreeSet<OrganizationId>) -> BTreeMap<OrganizationId, Option<Timestamp>> {
    organizations.into_iter().map(|id| (id, None)).collect()
}
