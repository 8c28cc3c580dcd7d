//! What the tracker of unfinished events learns from the way of a delivery.

use jiff::Timestamp;

use super::arrival::Arrival;
use super::core::Worker;
use super::event_tracker::{EventStage, TrackedEvent};
use super::settle::Disposition;
use super::settlement::Settlement;
use crate::event::EventKey;
use crate::workflow::{Life, Milestone, MilestoneKind};

/// Event whose delivery is being settled, with the stage that follows.
pub(super) struct TrackedSettlement {
    key: EventKey,
    next: NextStage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum NextStage {
    Over,
    Queued,
    Retrying,
}

impl Worker {
    /// Records the stage that a settlement leads to. A wait is recorded before its copy is published: a short one may be
    /// over before the settlement is.
    pub(super) fn track_settlement(&self, arrival: &Arrival, settlement: &Settlement) -> Option<TrackedSettlement> {
        let key = arrival.event()?.key.clone();
        let next = match settlement {
            Settlement::Later(postponed) => {
                self.track_retry(&key, postponed.rung, postponed.why);
                NextStage::Retrying
            }
            Settlement::GiveBack => NextStage::Queued,
            Settlement::Done(_) | Settlement::Known(..) | Settlement::Dead(_) | Settlement::Split(_) => NextStage::Over,
        };
        Some(TrackedSettlement { key, next })
    }

    /// Records the result of a settlement. A message that was not acknowledged is back in its queue.
    pub(super) fn track_end(&self, settled: Option<TrackedSettlement>, disposition: Disposition) {
        let Some(TrackedSettlement { key, next }) = settled else { return };
        match (next, disposition) {
            (NextStage::Over, Disposition::Acked) => self.tracker.ends(&key),
            (NextStage::Retrying, Disposition::Acked) => {}
            (NextStage::Queued, _) | (_, Disposition::Unacked) => {
                self.tracker.enters(&key, EventStage::Queued, self.now());
            }
        }
    }

    /// Records that a lost delivery is back in its queue.
    pub(super) fn track_return(&self, arrival: &Arrival) {
        if let Some(event) = arrival.event() {
            self.tracker.enters(&event.key, EventStage::Queued, self.now());
        }
    }

    /// Records that an event waits in a retry queue.
    pub(super) fn track_retry(&self, key: &EventKey, rung: usize, reason: &'static str) {
        let now = self.now();
        let until = now.saturating_add(self.delay(rung)).unwrap_or(now);
        self.tracker.enters(key, EventStage::Retrying { reason, until }, now);
    }
}

/// Adds the way of an event to its organization's queue to the life of a new run.
pub(super) fn began(mut life: Life, tracked: &TrackedEvent) -> Life {
    let mut add = |at: Option<Timestamp>, what| {
        if let Some(at) = at {
            life.add(Milestone::bare(at, what));
        }
    };
    add(tracked.received, MilestoneKind::Received);
    add(tracked.moved, MilestoneKind::Moved);
    life
}
