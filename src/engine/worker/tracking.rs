//! Updates of the tracker of unfinished events along the way of a delivery.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::arrival::Arrival;
use super::arrivals::RetriedMessage;
use super::core::Worker;
use super::event_tracker::{EventStage, MOST_TRACKED, TrackedEvent};
use super::settle::Disposition;
use super::settlement::Settlement;
use crate::event::{EventKey, OrganizationId};
use crate::ports::fleet::OwnershipState;
use crate::ports::store::{Change, EventScan, StoredEvent};
use crate::workflow::{Life, Milestone, MilestoneKind, Phase};

/// Time after which a queued event is noted in the store. Most are begun long before.
const NOTED_AFTER: Duration = Duration::from_secs(2);
/// Interval between notes.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);
/// Most notes at once, for each shard of the tracker: 5,000 in all, which take the thread of the events 10 ms.
const MOST_NOTED: usize = 320;

/// Most events in retry queues that are recalled.
const MOST_RECALLED: usize = 10_000;

/// Event whose delivery is being settled, with the stage that follows.
pub(super) struct TrackedSettlement {
    key: EventKey,
    next: NextStage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum NextStage {
    Over,
    /// Over without a record being written.
    Known,
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
            Settlement::Requeue => NextStage::Queued,
            Settlement::Known(..) => NextStage::Known,
            Settlement::Done(_) | Settlement::Dead(_) | Settlement::Split(_) => NextStage::Over,
        };
        Some(TrackedSettlement { key, next })
    }

    /// Records the result of a settlement. A message that was not acknowledged is back in its queue.
    pub(super) async fn track_end(&self, settled: Option<TrackedSettlement>, disposition: Disposition) {
        let Some(TrackedSettlement { key, next }) = settled else { return };
        match (next, disposition) {
            (NextStage::Over, Disposition::Acked) => _ = self.tracker.ends(&key),
            (NextStage::Known, Disposition::Acked) => {
                if self.tracker.ends(&key) {
                    // A note that stays is only told, and goes with the next sweep.
                    _ = self.store.write(vec![Change::ForgetQueued(key)]).await;
                }
            }
            (NextStage::Retrying, Disposition::Acked) => {}
            (NextStage::Queued, _) | (_, Disposition::Unacked) => {
                self.tracker.enters(&key, EventStage::Queued, self.now());
            }
        }
    }

    /// Notes events in the store that wait in their organizations' queues, until it is cancelled. Nothing waits for it.
    pub(super) async fn note_queued(self: Arc<Self>, stopped: CancellationToken) {
        let queued = async || {
            self.tracker.until_queued().await;
            sleep(NOTE_INTERVAL).await;
        };
        while stopped.run_until_cancelled(queued()).await.is_some() {
            self.note_queued_for(NOTED_AFTER).await;
        }
    }

    /// Notes events in the store that have been queued for this long.
    pub(super) async fn note_queued_for(&self, time: Duration) {
        let notes = self.tracker.notes(time, MOST_NOTED);
        if !notes.is_empty() {
            let changes = notes.into_iter().map(|(key, note)| Change::Queued(key, note)).collect();
            if let Err(problem) = self.store.write(changes).await {
                debug!(error = %problem, "could not note events that wait; a restart would forget them");
            }
        }
    }

    /// Reads which events waited in their organizations' queues when the last process ended. Without other workers they
    /// are all this one's, and their ages count.
    pub(super) async fn recall_queued(&self) {
        let notes = match self.store.queued(MOST_TRACKED).await {
            Ok(notes) => notes,
            Err(problem) => {
                debug!(error = %problem, "could not read which events waited before this start");
                return;
            }
        };
        let is_own = |key: &EventKey| self.fleet.ownership(&key.organization_id) == OwnershipState::Sole;
        let mut arrived: Vec<(Timestamp, OrganizationId)> = notes
            .iter()
            .filter(|(key, _)| is_own(key))
            .map(|(key, note)| (note.moved.unwrap_or(note.received), key.organization_id.clone()))
            .collect();
        arrived.sort_by_key(|(at, _)| *at);
        for (at, organization) in arrived {
            self.pending.arrivals(&organization, |arrivals| arrivals.arrive(at));
        }
        self.tracker.restore(notes);
    }

    /// Reads which events of organizations that are now this worker's wait in retry queues, for their ages. A worker that
    /// does not know them would show an organization without any event that waits.
    pub(super) async fn recall_retried(&self, is_own: impl Fn(&OrganizationId) -> bool) {
        let scan = EventScan { id: None, organization: None, unfinished_only: true, after: None, limit: MOST_RECALLED };
        let found = match self.store.scan(&scan).await {
            Ok(scanned) => scanned.found,
            Err(problem) => {
                debug!(error = %problem, "could not read which events wait in retry queues");
                return;
            }
        };
        for StoredEvent { key, record } in found {
            let until = record.life.last(MilestoneKind::Waiting).and_then(|wait| wait.until);
            if let Some(until) = until.filter(|_| record.phase == Phase::Waiting && is_own(&key.organization_id)) {
                let message = RetriedMessage::new(record.first_seen, &key.event_id);
                self.pending.arrivals(&key.organization_id, |arrivals| arrivals.recall(message, until));
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
        self.tracker.enters(key, EventStage::Retrying { reason, until: until.into() }, now);
    }
}

/// Adds the way of an event to its organization's queue to the life of a new run.
pub(super) fn began(mut life: Life, tracked: &TrackedEvent) -> Life {
    let mut add = |at: Option<Timestamp>, what| {
        if let Some(at) = at {
            life.add(Milestone::bare(at, what));
        }
    };
    add(tracked.received(), MilestoneKind::Received);
    add(tracked.moved(), MilestoneKind::Moved);
    life
}
