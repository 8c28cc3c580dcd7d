//! Queues of the organizations: which exist, and which can be used.
//!
//! RabbitMQ (3.10 to 4.3, one node, measured) loses a quorum queue, with everything it has confirmed there, if the node
//! is killed less than about a second after the declaration. So a queue is declared ahead of need, and stays unused for
//! `broker.new_queue_wait`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info};

use super::declare::{Declared, TopologyError, declare};
use super::queue_block::{BlockedQueue, QueueBlock, QueueTrouble};
use super::remake::delete_lost;
use super::{Declaration, organization_queue};
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
    /// Queues that are missing and may not be declared, that don't answer, or that the broker refuses.
    blocked: BTreeMap<OrganizationId, BlockedQueue>,
    /// True after the first connection. Before it a queue with other arguments is an error of the start; a queue found
    /// later blocks its organization alone.
    has_started: bool,
}

impl QueueTable {
    /// Returns true if the queue of every configured organization either exists or is found to be blocked.
    fn is_complete(&self) -> bool {
        let has = |id| self.usable.contains_key(id) || self.blocked.contains_key(id);
        self.served.as_ref().is_some_and(|served| served.configured.keys().all(has))
    }

    /// Records a queue that can't be used, and logs it if this is new.
    fn block(&mut self, id: OrganizationId, queue: &str, trouble: &QueueTrouble<'_>) {
        let before = self.blocked.get(&id);
        let blocked = BlockedQueue::new(queue, trouble, before);
        let QueueBlock { error, advice, .. } = &blocked.block;
        if before.is_none_or(|before| before.block.error != *error) {
            error!(organization_id = %id, queue, error, advice, "the organization's queue can't be used; its events are on hold");
        }
        self.blocked.insert(id, blocked);
    }

    /// Returns true if an organization's queue has no block, or a block after whose pause it is due to be tried again.
    fn is_due(&self, id: &OrganizationId) -> bool {
        self.blocked.get(id).is_none_or(|blocked| blocked.next <= Instant::now())
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
            table.blocked.retain(|id, _| next.configured.contains_key(id) || next.former.contains(id));
            table.served = Some(next);
        });
        // Each receiver of a change looks at everything again.
        send_if_new(&self.known, known);
        is_new
    }

    /// Waits until the queue of every configured organization either exists or is found to be blocked.
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

    /// Block of the organization by its queue.
    pub(in crate::rabbit) fn block(&self, organization: &OrganizationId) -> Option<QueueBlock> {
        self.table.borrow().blocked.get(organization).map(|blocked| blocked.block.clone())
    }

    /// Returns true if the organization's queue was found to be missing.
    pub(in crate::rabbit) fn is_missing(&self, organization: &OrganizationId) -> bool {
        self.table.borrow().blocked.get(organization).is_some_and(|blocked| blocked.is_missing)
    }

    /// Returns true if a blocked queue is due to be declared or checked again.
    pub(in crate::rabbit) fn has_due(&self) -> bool {
        let table = self.table.borrow();
        table.blocked.iter().any(|(id, blocked)| !blocked.is_unreadable && table.is_due(id))
    }

    /// Configured organizations whose queues are blocked.
    pub(in crate::rabbit) fn all_blocked(&self) -> Vec<OrganizationId> {
        let table = self.table.borrow();
        let is_configured =
            |id: &&OrganizationId| table.served.as_ref().is_some_and(|served| served.configured.contains_key(*id));
        table.blocked.keys().filter(is_configured).cloned().collect()
    }

    /// Records that this user may not consume an organization's queue, and returns the time of the next attempt.
    pub(in crate::rabbit) fn note_unreadable(&self, organization: &OrganizationId, error: &lapin::Error) -> Instant {
        let (queue, mut next) = (self.options.organization_queue(organization), Instant::now());
        self.table.send_modify(|table| {
            table.block(organization.clone(), &queue, &QueueTrouble::Unreadable(error));
            next = table.blocked.get(organization).map_or(next, |blocked| blocked.next);
        });
        next
    }

    /// Returns a guard for the time in which a consumer of an organization's queue is being started. At its end nobody is
    /// refused the queue any more, or nobody tries.
    pub(in crate::rabbit) fn while_unreadable(&self, organization: &OrganizationId) -> impl Drop + use<> {
        UnreadableGuard { table: self.table.clone(), organization: organization.clone() }
    }

    /// Queues that can be consumed.
    pub(in crate::rabbit) fn all(&self) -> Vec<(OrganizationId, String)> {
        let table = self.table.borrow();
        table.usable.keys().map(|id| (id.clone(), self.options.organization_queue(id))).collect()
    }

    /// Declares or checks the queues of all organizations. `made` means that a shared queue has just been declared.
    ///
    /// # Errors
    /// If the connection fails, or at the start if a queue exists with other arguments.
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
        self.table.send_modify(|table| table.has_started = true);
        Ok(())
    }

    /// Declares the queues of new organizations, and of blocked ones that are due.
    pub(in crate::rabbit) async fn declare_new(&self, reached: &Reached) -> Result<(), TopologyError> {
        let is_wanted = |id: &OrganizationId| !self.exists(id) && self.table.borrow().is_due(id);
        let OrganizationSet { mut configured, mut former } = self.table.borrow().served.clone().unwrap_or_default();
        configured.retain(|id, _| is_wanted(id));
        self.ensure(reached, configured, Ownership::Configured).await?;
        former.retain(is_wanted);
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
            table.blocked.clear();
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
        let mut result = declare(reached, &declarations, mode, &mut found).await;
        if result.is_ok() && !self.table.borrow().has_started {
            let wrong = found.refused.iter().position(|(_, error)| matches!(error, TopologyError::Wrong(_)));
            result = wrong.map_or(Ok(()), |wrong| Err(found.refused.swap_remove(wrong).1));
        }
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
                if let Some(trouble) = trouble_of(declaration, &found) {
                    // A former organization whose queue is missing has no events left there.
                    if ownership == Ownership::Configured || matches!(trouble, QueueTrouble::Refused(_)) {
                        table.block(id, &queue, &trouble);
                    }
                    continue;
                }
                let wait = match declared.filter(|_| mode == Declare::Create) {
                    _ if is_new => self.options.new_queue_wait,
                    declared => self.remaining_wait(declared),
                };
                is_young |= !wait.is_zero();
                if table.blocked.remove(&id).is_some() {
                    info!(organization_id = %id, queue, "the organization's queue can be used again");
                }
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

/// End of a block for lack of read permission.
struct UnreadableGuard {
    table: watch::Sender<QueueTable>,
    organization: OrganizationId,
}

impl Drop for UnreadableGuard {
    fn drop(&mut self) {
        self.table.send_if_modified(|table| {
            let is_unreadable = table.blocked.get(&self.organization).is_some_and(|blocked| blocked.is_unreadable);
            is_unreadable && table.blocked.remove(&self.organization).is_some()
        });
    }
}

fn trouble_of<'a>(declaration: &Declaration, found: &'a Declared) -> Option<QueueTrouble<'a>> {
    if found.missing.contains(declaration) {
        return Some(QueueTrouble::Missing);
    }
    if found.unanswered.contains(declaration) {
        return Some(QueueTrouble::Unanswered);
    }
    found.refused.iter().find(|(refused, _)| refused == declaration).map(|(_, error)| QueueTrouble::Refused(error))
}

/// Organizations whose queues were declared at an unknown time.
fn unaged(organizations: BTreeSet<OrganizationId>) -> BTreeMap<OrganizationId, Option<Timestamp>> {
    organizations.into_iter().map(|id| (id, None)).collect()
}
