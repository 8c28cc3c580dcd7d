//! Depths of the broker's queues: the one source for the metrics, the API and the page.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::metrics::BrokerQueue;

use super::{PrometheusMetrics, signed};

/// Messages in each queue; `None` while the number is unknown.
pub type QueueDepths = BTreeMap<BrokerQueue, Option<u64>>;

/// Depths, and what they consist of besides the messages that are ready.
#[derive(Default)]
pub(super) struct KnownDepths {
    queues: QueueDepths,
    /// Events that were taken from organizations' queues and not begun. They wait there like those that are ready.
    unbegun: BTreeMap<OrganizationId, u64>,
}

impl PrometheusMetrics {
    /// Returns the depths as last reported by the broker: those of the shared queues, and of the configured
    /// organizations.
    pub fn queue_depths(&self) -> QueueDepths {
        self.lock_depths().queues.clone()
    }

    /// Returns the number of events in an organization's queue; `None` if it is unknown.
    pub fn waiting(&self, organization: &OrganizationId) -> Option<u64> {
        self.lock_depths().queues.get(&BrokerQueue::Organization(organization.clone())).copied().flatten()
    }

    /// Records a depth. An unknown one has no series.
    pub(super) fn set_depth(&self, queue: &BrokerQueue, ready: Option<u64>) {
        let mut depths = self.lock_depths();
        // A queue of an organization that is not configured is not in the list.
        let (gauge, unbegun) = match queue {
            BrokerQueue::Organization(_) if !depths.queues.contains_key(queue) => return,
            BrokerQueue::Organization(id) => {
                (&self.families.organization_waiting, depths.unbegun.get(id).copied().unwrap_or_default())
            }
            _ => (&self.families.queue_messages, 0),
        };
        let messages = ready.map(|ready| ready + unbegun);
        depths.queues.insert(queue.clone(), messages);
        match messages {
            Some(messages) => gauge.with_label_values(&[label(queue)]).set(signed(messages)),
            // An error means that the series does not exist.
            None => _ = gauge.remove_label_values(&[label(queue)]),
        }
    }

    /// Records the number of an organization's events that were taken and not begun, for the next depth of its queue.
    pub(super) fn set_unbegun(&self, organization: &OrganizationId, events: usize) {
        let unbegun = &mut self.lock_depths().unbegun;
        match events {
            0 => _ = unbegun.remove(organization),
            _ => _ = unbegun.insert(organization.clone(), events as u64),
        }
    }

    /// Makes every depth unknown.
    pub(super) fn forget_depths(&self) {
        for queue in self.queue_depths().keys() {
            self.set_depth(queue, None);
        }
    }

    /// Starts or ends the record of an organization's queue.
    pub(super) fn keep_depth(&self, organization: &OrganizationId, kept: bool) {
        let queue = BrokerQueue::Organization(organization.clone());
        if kept {
            self.lock_depths().queues.entry(queue).or_insert(None);
        } else {
            self.set_depth(&queue, None);
            self.lock_depths().queues.remove(&queue);
        }
    }

    fn lock_depths(&self) -> MutexGuard<'_, KnownDepths> {
        self.depths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn label(queue: &BrokerQueue) -> &str {
    match queue {
        BrokerQueue::Inbox(name) | BrokerQueue::Retry(name) | BrokerQueue::DeadLetters(name) => name,
        BrokerQueue::Organization(id) => id.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use handoffd_engine::ports::metrics::{Measurement, Metrics};

    use super::*;

    #[test]
    fn a_depth_is_unknown_before_it_is_read_and_without_the_broker() {
        let metrics = PrometheusMetrics::new();
        let (acme, inbox) = (OrganizationId::from("org_acme"), BrokerQueue::Inbox("inbox".to_owned()));
        let of_acme = BrokerQueue::Organization(acme.clone());
        let series = || {
            let text = metrics.render();
            text.lines().filter(|line| line.ends_with("} 3")).map(str::to_owned).collect::<Vec<_>>()
        };
        metrics.configured([acme.clone()].iter());
        assert_eq!(metrics.queue_depths(), QueueDepths::from([(of_acme.clone(), None)]));

        for queue in [&inbox, &of_acme, &BrokerQueue::Organization("org_stranger".into())] {
            metrics.record(Measurement::QueueDepth(queue, Some(3)));
        }
        let known = QueueDepths::from([(inbox.clone(), Some(3)), (of_acme.clone(), Some(3))]);
        assert_eq!((metrics.queue_depths(), metrics.waiting(&acme)), (known, Some(3)));
        assert_eq!(
            series(),
            [
                "handoffd_organization_waiting{organization=\"org_acme\"} 3",
                "handoffd_queue_messages{queue=\"inbox\"} 3"
            ]
        );

        metrics.record(Measurement::Unbegun(&acme, 5));
        metrics.record(Measurement::QueueDepth(&of_acme, Some(2)));
        assert_eq!(metrics.waiting(&acme), Some(7), "of a paused organization: taken, and not begun");
        metrics.record(Measurement::Unbegun(&acme, 0));
        metrics.record(Measurement::QueueDepth(&of_acme, Some(7)));
        assert_eq!(metrics.waiting(&acme), Some(7));

        metrics.record(Measurement::BrokerConnected(false));
        let unknown = QueueDepths::from([(inbox.clone(), None), (of_acme, None)]);
        assert_eq!((metrics.queue_depths(), metrics.waiting(&acme)), (unknown, None));
        assert_eq!(series(), [""; 0]);

        metrics.configured([].iter());
        assert_eq!(metrics.queue_depths(), QueueDepths::from([(inbox, None)]));
    }
}
