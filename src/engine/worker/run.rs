//! Start and end of the worker: one router, and a consumer for each organization that this worker owns.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::arrivals::OrganizationArrivals;
use super::core::Worker;
use super::organization_consumer::OrganizationConsumer;
use crate::event::OrganizationId;
use crate::ports::fleet::OwnershipState;

/// Consumers of organizations' queues.
struct Consumers {
    worker: Arc<Worker>,
    in_flight: TaskTracker,
    stopped: CancellationToken,
    /// Those that have not ended, each with its term and with the token that ends it.
    running: BTreeMap<OrganizationId, (OwnershipState, CancellationToken)>,
    tasks: JoinSet<OrganizationId>,
}

impl Worker {
    /// Processes events until the bus is stopped and the last one in flight is settled.
    pub async fn run(self: Arc<Self>) {
        let (stopped, in_flight) = (CancellationToken::new(), TaskTracker::new());
        self.recall_queued().await;
        tokio::spawn(self.clone().note_queued(stopped.clone()));
        let consumers = Consumers {
            worker: self.clone(),
            in_flight: in_flight.clone(),
            stopped: stopped.clone(),
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        let consumers = tokio::spawn(consumers.run());
        self.route(&in_flight).await;
        stopped.cancel();
        // The task ends once the token is cancelled.
        _ = consumers.await;
        in_flight.close();
        in_flight.wait().await;
        self.note_queued_for(Duration::ZERO).await;
    }
}

impl Consumers {
    /// Starts a consumer for each organization that becomes known and owned. A consumer ends when its organization is
    /// no longer owned; without other workers none ends before the worker does: the queue of a removed organization is
    /// drained into the dead letters.
    async fn run(mut self) {
        let (mut known, mut fleet) = (self.worker.bus.organizations(), self.worker.fleet.changes());
        while !self.stopped.is_cancelled() {
            let organizations = known.borrow_and_update().clone();
            fleet.borrow_and_update();
            self.end_disowned();
            let started: HashSet<OrganizationId> =
                organizations.into_iter().filter(|organization| self.start(organization.clone())).collect();
            if !started.is_empty() {
                let worker = self.worker.clone();
                tokio::spawn(async move { worker.recall(&started).await });
            }
            tokio::select! {
                biased;
                () = change(&mut known) => {}
                () = change(&mut fleet) => {}
                Some(ended) = self.tasks.join_next() => self.ended(ended.ok()),
                () = self.stopped.cancelled() => {}
            }
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended.ok());
        }
    }

    /// Ends the consumers of organizations that are owned no more, or for another term.
    fn end_disowned(&self) {
        for (organization, (ownership, end)) in &self.running {
            if self.worker.fleet.ownership(organization) != *ownership {
                end.cancel();
            }
        }
    }

    /// Starts a consumer, unless there is one or the organization is not owned. Returns true if it has.
    fn start(&mut self, organization: OrganizationId) -> bool {
        if self.running.contains_key(&organization) {
            return false;
        }
        let ownership = self.worker.fleet.ownership(&organization);
        let claim = match &ownership {
            OwnershipState::None => return false,
            OwnershipState::Sole => None,
            OwnershipState::Term(claim) if !self.worker.fleet.begin(claim) => return false,
            OwnershipState::Term(claim) => Some(claim.clone()),
        };
        let end = self.stopped.child_token();
        self.running.insert(organization.clone(), (ownership, end.clone()));
        let consumer =
            OrganizationConsumer::new(self.worker.clone(), organization.clone(), claim, self.in_flight.clone());
        self.tasks.spawn(async move {
            consumer.run(end).await;
            organization
        });
        true
    }

    /// Reports an organization of which nothing is in progress any more.
    fn ended(&mut self, organization: Option<OrganizationId>) {
        // A consumer that panicked has no name; its organization stays with this worker until the worker ends.
        let Some(organization) = organization else { return };
        if let Some((OwnershipState::Term(claim), _)) = self.running.remove(&organization) {
            self.worker.tracker.give_back(&claim.organization);
            self.worker.pending.arrivals(&claim.organization, OrganizationArrivals::forget_queued);
            self.worker.fleet.released(&claim);
        }
    }
}

/// Waits for a change; forever once there can be none.
async fn change<T>(watched: &mut watch::Receiver<T>) {
    if watched.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
