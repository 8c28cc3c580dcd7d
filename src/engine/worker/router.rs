//! Router: moves every event from the inbox to its organization's queue, in order, and acknowledges it once the broker
//! has confirmed the copy.
//!
//! It never waits for an organization, the store or Dynamics. Messages that are no event, and those of organizations
//! that are not configured, are dead-lettered in tasks of their own.

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use tracing::debug;

use super::caught_panic::caught_at_once;
use super::core::Worker;
use super::settle::{EventName, log_unsettled};
use crate::event::{Decoded, Event, EventKey, SessionId, decode};
use crate::ports::bus::{Delivery, Forwarded, Forwarding};
use crate::ports::fleet::OwnershipState;
use crate::ports::metrics::Measurement;
use crate::workflow::shortest_rung;

impl Worker {
    /// Routes every message of the inbox until the bus is stopped.
    pub(super) async fn route(self: &Arc<Self>, in_flight: &TaskTracker) {
        let mut inbox = self.bus.inbox().await;
        while let Some(delivery) = inbox.recv().await {
            match self.destination(&delivery) {
                Some(event) => {
                    let organization = &event.key.organization_id;
                    self.tracker.routed(&event, self.now());
                    // The copy is queued for publishing here, in the order of the inbox; the task waits for its
                    // confirm.
                    let forwarding = delivery.forward(organization, shortest_rung(&self.settings.policy));
                    let session_id = event.session_id().clone();
                    in_flight.spawn(self.clone().forwarded(delivery, (event.key, session_id), forwarding));
                }
                None => self.spawn(delivery, in_flight),
            }
        }
    }

    /// Returns the event of an organization that is configured here or at another worker; `None` for a message that is no
    /// event or contains several.
    fn destination(&self, delivery: &Delivery) -> Option<Event> {
        let decoded = caught_at_once(|| decode(&delivery.envelope, &delivery.body, &self.settings.limits));
        let Ok(Ok(Decoded::Event(mut event))) = decoded else { return None };
        let organization = &mut event.key.organization_id;
        match self.destination.settings(organization) {
            // One text for all of its events, of which 100,000 may be tracked.
            Some(settings) => organization.clone_from(&settings.organization_id),
            None if self.fleet.is_configured_elsewhere(organization) => {}
            None => return None,
        }
        Some(event)
    }

    async fn forwarded(
        self: Arc<Self>,
        delivery: Delivery,
        (key, session_id): (EventKey, SessionId),
        forwarding: Forwarding,
    ) {
        match forwarding.await {
            Ok(Forwarded::Moved) => {
                self.tracker.moved(&key, self.now());
                self.metrics.record(Measurement::Forwarded);
                // Events that another worker takes are not seen here: they would seem to wait for ever.
                if self.fleet.ownership(&key.organization_id) != OwnershipState::None {
                    self.pending.arrivals(&key.organization_id, |arrivals| arrivals.arrive(self.now()));
                }
            }
            Ok(Forwarded::Waits) => {
                self.track_retry(&key, shortest_rung(&self.settings.policy), "new_queue");
                self.metrics.record(Measurement::Retried("new_queue"));
                debug!(
                    event_id = %key.event_id,
                    organization_id = %key.organization_id,
                    session_id = %session_id,
                    reason = "new_queue",
                    "event waits in a retry queue"
                );
            }
            Ok(Forwarded::Lost) => {}
            Err(problem) if problem.is_of_destination() => {
                debug!(
                    event_id = %key.event_id,
                    organization_id = %key.organization_id,
                    error = %problem,
                    "could not move an event to its organization's queue"
                );
                _ = self
                    .retry_refused(
                        delivery,
                        Some(EventName { key: &key, session_id: &session_id }),
                        ("queue_refused", false),
                    )
                    .await;
            }
            Err(problem) => {
                log_unsettled(&problem, "could not move an event; the broker will redeliver it");
            }
        }
    }

    /// Processes a message in a task of its own.
    fn spawn(self: &Arc<Self>, delivery: Delivery, in_flight: &TaskTracker) {
        let arrival = self.receive(delivery, None);
        let worker = self.clone();
        in_flight.spawn(async move { worker.process(arrival).await });
    }
}
