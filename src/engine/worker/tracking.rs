//! Updates of the tracker of unfinished events along the way of a delivery.

use std::collections::HashSet;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::arrival::Arrival;
use super::arrivals::RetriedMessage;
use super::core::Worker;
use super::event_tracker::{EventNotes, EventStage, MOST_TRACKED, TrackedEvent};
use super::settle::Disposition;
use super::settlement::Settlement;
use crate::event::{EventKey, OrganizationId};
use crate::ports::fleet::OwnershipState;
use crate::ports::store::queued::QueuedNote;
use crate::ports::store::{Change, EventScan, StoredEvent};
use crate::workflow::{Life, Milestone, MilestoneKind, Phase, Record};

/// Time after which a queued event is noted in the store. Most are begun long before.
const NOTED_AFTER: Duration = Duration::from_secs(2);
/// Interval between notes.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);
/// Most notes at once, for each shard of the tracker: 5,000 in all, which take the thread of the events 10 ms.
const MOST_NOTED: usize = 320;
/// Most records of other workers' events that are read at once before they are noted.
const READS_AT_ONCE: usize = 64;

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
            (NextStage::Retrying, Disposition::Acked) | (_, Disposition::Postponed) => {}
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
        let ownership = |organization: &OrganizationId| self.fleet.ownership(organization);
        let EventNotes { own, elsewhere } = self.tracker.notes(time, MOST_NOTED, ownership);
        let waiting = self.not_begun(elsewhere).await;
        let changes: Vec<_> = own.into_iter().chain(waiting).map(|(key, note)| Change::Queued(key, note)).collect();
        if !changes.is_empty()
            && let Err(problem) = self.store.write(changes).await
        {
            debug!(error = %problem, "could not note events that wait; a restart would forget them");
        }
    }

    /// Returns the notes of those events that no worker has begun since.
    async fn not_begun(&self, notes: Vec<(EventKey, QueuedNote)>) -> Vec<(EventKey, QueuedNote)> {
        let read = stream::iter(notes).map(async |(key, note)| {
            let record = self.store.record(&key).await.ok().flatten();
            record.is_none_or(|record| !is_newer(&record, &note)).then_some((key, note))
        });
        read.buffer_unordered(READS_AT_ONCE).filter_map(ready).collect().await
    }

    /// Reads which events waited in their organizations' queues when the last process ended. Without other workers they
    /// are all this one's, and their ages count.
    pub(super) async fn recall_queued(&self) {
        let is_own = |key: &EventKey| self.fleet.ownership(&key.organization_id) == OwnershipState::Sole;
        let notes: Vec<_> = match self.store.queued(MOST_TRACKED).await {
            Ok(notes) => notes.into_iter().filter(|(key, _)| is_own(key)).collect(),
            Err(problem) => {
                debug!(error = %problem, "could not read which events waited before this start");
                return;
            }
        };
        let mut arrived: Vec<(Timestamp, OrganizationId)> = notes
            .iter()
            .map(|(key, note)| (note.moved.unwrap_or(note.received), key.organization_id.clone()))
            .collect();
        arrived.sort_by_key(|(at, _)| *at);
        for (at, organization) in arrived {
            self.pending.arrivals(&organization, |arrivals| arrivals.arrive(at));
        }
        self.tracker.restore(notes);
    }

    /// Reads what is known of the events of organizations that are now this worker's.
    pub(super) async fn recall(&self, organizations: &HashSet<OrganizationId>) {
        self.recall_retried(|organization| organizations.contains(organization)).await;
        // Without other workers the notes have been read at the start.
        if organizations.iter().all(|organization| self.fleet.ownership(organization) == OwnershipState::Sole) {
            return;
        }
        match self.store.queued(MOST_TRACKED).await {
            Ok(mut notes) => {
                notes.retain(|(key, _)| organizations.contains(&key.organization_id));
                self.tracker.restore(self.not_begun(notes).await);
            }
            Err(problem) => debug!(error = %problem, "could not read which events wait"),
        }
    }

    /// Reads which events of organizations that are now this worker's wait in retry queues, for their ages. A worker that
    /// does not know them would show an organization without any event that waits.
    async fn recall_retried(&self, is_own: impl Fn(&OrganizationId) -> bool) {
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
                // It may have returned, and ended, since the store was read.
                if until <= self.now() && !self.still_waits(&key).await {
                    self.pending.arrivals(&key.organization_id, |arrivals| arrivals.returned(&message));
                }
            }
        }
    }

    async fn still_waits(&self, key: &EventKey) -> bool {
        let record = self.store.record(key).await;
        record.is_ok_and(|record| record.is_some_and(|record| record.phase == Phase::Waiting))
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

/// Returns true if another worker has written this record since it was handed the event: only a dead letter that was
/// replayed waits with an older one.
fn is_newer(record: &Record, note: &QueuedNote) -> bool {
    match &record.phase {
        Phase::Dead(outcome) => outcome.finished_at >= note.received,
        Phase::InHand | Phase::Quarantined { .. } | Phase::Waiting | Phase::Finished(_) => true,
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
