//! Account of a settled delivery: what it means for its organization's counts and ages.

use jiff::Timestamp;

use super::arrival::Arrival;
use super::arrivals::RetriedMessage;
use super::core::Worker;
use super::settlement::Settlement;
use crate::event::{EventKey, OrganizationId};
use crate::ports::metrics::{EventEnd, Measurement};
use crate::workflow::{Outcome, Status};

/// Entry for a settlement, made once its copy or announcement is confirmed.
pub(super) enum OrganizationAccount {
    /// No organization is known, or nothing ends.
    None,
    /// The event ended for good.
    Ended(OrganizationId, EventEnd),
    /// The event waits in the retry queue of a rung.
    Retried(EventKey, Timestamp, usize),
    /// The event is back in its organization's queue.
    Requeued(OrganizationId, Timestamp),
}

impl OrganizationAccount {
    pub(super) fn new(arrival: &Arrival, settlement: &Settlement) -> Self {
        let key = arrival.event().map(|event| &event.key);
        let entry = match settlement {
            Settlement::Done(done) => Some(Self::Ended(done.key.organization_id.clone(), end_of(&done.outcome))),
            Settlement::Known(key, _) => Some(Self::Ended(key.organization_id.clone(), EventEnd::Duplicate)),
            Settlement::Dead(letter) => {
                letter.organization_id.clone().map(|organization| Self::Ended(organization, EventEnd::DeadLettered))
            }
            Settlement::Later(later) => key.map(|key| Self::Retried(key.clone(), later.first_seen, later.rung)),
            Settlement::Requeue => {
                let first_seen = arrival.pending.first_seen();
                key.map(|key| Self::Requeued(key.organization_id.clone(), first_seen))
            }
            Settlement::Split(_) => None,
        };
        entry.unwrap_or(Self::None)
    }

    /// Makes the entry.
    pub(super) fn enter(self, worker: &Worker) {
        match self {
            Self::None => {}
            Self::Ended(organization, end) => {
                worker.metrics.record(Measurement::OrganizationEvent(&organization, end));
            }
            Self::Retried(key, first_seen, rung) => {
                let until = worker.now().saturating_add(worker.delay(rung)).unwrap_or(Timestamp::MAX);
                let message = RetriedMessage::new(first_seen, &key.event_id);
                worker.pending.arrivals(&key.organization_id, |arrivals| arrivals.retry(message, until));
                worker.metrics.record(Measurement::OrganizationEvent(&key.organization_id, EventEnd::Retried));
            }
            Self::Requeued(organization, first_seen) => {
                worker.pending.arrivals(&organization, |arrivals| arrivals.requeue(first_seen));
            }
        }
    }
}

/// Returns the end that an outcome is.
pub(super) fn end_of(outcome: &Outcome) -> EventEnd {
    match outcome.status {
        Status::Succeeded => EventEnd::Succeeded,
        Status::Skipped => EventEnd::Skipped,
        Status::Failed => EventEnd::DeadLettered,
    }
}
