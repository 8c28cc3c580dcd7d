//! Start and end of the worker: one router, and a consumer for each organization.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::core::Worker;
use super::organization_consumer::OrganizationConsumer;

impl Worker {
    /// Processes events until the bus is stopped and the last one in flight is settled.
    pub async fn run(self: Arc<Self>) {
        let (stopped, in_flight) = (CancellationToken::new(), TaskTracker::new());
        self.recall_queued().await;
        tokio::spawn(self.clone().note_queued(stopped.clone()));
        let consumers = tokio::spawn(self.clone().consume_organizations(stopped.clone(), in_flight.clone()));
        self.route(&in_flight).await;
        stopped.cancel();
        // The task ends once the token is cancelled.
        _ = consumers.await;
        in_flight.close();
        in_flight.wait().await;
        self.note_queued_since(self.now()).await;
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
}
