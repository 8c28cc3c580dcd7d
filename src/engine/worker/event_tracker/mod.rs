//! Whereabouts of the events that this worker has moved to their organizations' queues and that are not over: in
//! memory, for operators' questions, and for resolutions that overtook a handoff. Events that wait longer are noted in
//! the store, so that they are known after a restart; an event that is carried at once costs the store nothing.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::compact_time::CompactTime;
use super::retried_handoffs::RetriedHandoffs;
use crate::event::{Event, EventKey, Kind, OrganizationId, SessionId};
use crate::ports::fleet::OwnershipState;
use crate::ports::store::queued::QueuedNote;

/// Most events that are tracked, which takes about 30 MB. Later ones are unknown until a worker begins them.
pub const MOST_TRACKED: usize = 100_000;
/// Number of independently locked parts: an operator's question holds a lock for less than a millisecond.
const SHARDS: usize = 16;

/// Registry of unfinished events by key.
pub struct EventTracker {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    retried: RetriedHandoffs,
    /// Signalled when an event is added to `recent`.
    queued: Notify,
}

#[derive(Default)]
struct Shard {
    events: HashMap<EventKey, TrackedEvent>,
    /// Events that were queued recently, oldest first, and may have to be noted. The clock of the machine may be set
    /// back, which would put a later event first.
    recent: VecDeque<(Instant, EventKey)>,
}

/// Unfinished event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackedEvent {
    /// Kind of the event.
    pub kind: Kind,
    /// Id of the conversation.
    pub session_id: SessionId,
    /// Stage of the event.
    pub stage: EventStage,
    received: Option<CompactTime>,
    moved: Option<CompactTime>,
    /// Time at which the stage began.
    since: CompactTime,
    /// True if the store has a note that it is queued.
    is_noted: bool,
    /// True if its delivery was lost while it was in progress, and it is to be received again.
    is_interrupted: bool,
}

/// Stage of an unfinished event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventStage {
    /// The event waits in its organization's queue.
    Queued,
    /// A worker processes the event.
    InProgress,
    /// A worker has begun the event and holds it until its organization, or the step, is available.
    OnHold(&'static str),
    /// The event waits in a retry queue.
    Retrying {
        /// Reason, as in the metric of retries.
        reason: &'static str,
        /// End of the wait.
        until: CompactTime,
    },
}

/// Notes of events that wait.
#[derive(PartialEq, Eq, Default, Debug)]
pub(super) struct EventNotes {
    /// Those of this worker's organizations.
    pub(super) own: Vec<(EventKey, QueuedNote)>,
    /// Those that other workers process. The tracker has forgotten them.
    pub(super) elsewhere: Vec<(EventKey, QueuedNote)>,
}

impl EventTracker {
    /// Registers an event that the router is moving to its organization's queue.
    pub(super) fn routed(&self, event: &Event, now: Timestamp) {
        let mut shard = self.shard(&event.key);
        let Shard { events, recent } = &mut *shard;
        let is_full = events.len() >= MOST_TRACKED / SHARDS;
        match events.get_mut(&event.key) {
            // A second copy of an event in progress changes nothing.
            Some(tracked) if matches!(tracked.stage, EventStage::InProgress | EventStage::OnHold(_)) => return,
            Some(tracked) => tracked.enter(EventStage::Queued, now),
            None if is_full => return,
            None => {
                events.insert(event.key.clone(), TrackedEvent::new(event, Some(now), EventStage::Queued, now));
            }
        }
        recent.push_back((Instant::now(), event.key.clone()));
        drop(shard);
        self.queued.notify_one();
    }

    /// Waits until an event may have to be noted, so that an idle worker does nothing.
    pub(super) async fn until_queued(&self) {
        while self.shards.iter().all(|shard| lock(shard).recent.is_empty()) {
            self.queued.notified().await;
        }
    }

    /// Records that the broker has confirmed an event in its organization's queue. It may have begun, or ended, before.
    pub(super) fn moved(&self, key: &EventKey, now: Timestamp) {
        if let Some(tracked) = self.shard(key).events.get_mut(key) {
            tracked.moved.get_or_insert(now.into());
        }
    }

    /// Records that a worker begins an event. Returns what is known of it.
    pub(super) fn begins(&self, event: &Event, now: Timestamp) -> TrackedEvent {
        let mut shard = self.shard(&event.key);
        // Events in progress are few, so they are tracked beyond the limit.
        let tracked = shard
            .events
            .entry(event.key.clone())
            .or_insert_with(|| TrackedEvent::new(event, None, EventStage::InProgress, now));
        tracked.enter(EventStage::InProgress, now);
        if tracked.received.is_some() {
            // It came from its queue, so only the answer to the confirm is late.
            tracked.moved.get_or_insert(now.into());
        }
        tracked.clone()
    }

    /// Records that the delivery of an event was lost to this worker, which may receive it again.
    pub(super) fn interrupt(&self, key: &EventKey) {
        if let Some(tracked) = self.shard(key).events.get_mut(key) {
            tracked.is_interrupted = true;
        }
    }

    /// Returns true if the last delivery of an event was lost to this worker, once.
    pub(super) fn take_interrupted(&self, key: &EventKey) -> bool {
        let mut shard = self.shard(key);
        shard.events.get_mut(key).is_some_and(|tracked| std::mem::take(&mut tracked.is_interrupted))
    }

    /// Records another stage of a tracked event.
    pub(super) fn enters(&self, key: &EventKey, stage: EventStage, now: Timestamp) {
        let mut shard = self.shard(key);
        let Some(tracked) = shard.events.get_mut(key) else { return };
        tracked.enter(stage, now);
        if matches!(stage, EventStage::Retrying { .. }) && tracked.kind == Kind::Handoff {
            self.retried.add(key, &tracked.session_id);
        }
    }

    /// Returns true if a handoff of this session waits in a retry queue, or returns from one, and is not over.
    pub(super) fn has_retried_handoff(&self, organization: &OrganizationId, session: &SessionId) -> bool {
        self.retried.contains(organization, session)
    }

    /// Forgets what waits of an organization that another worker takes: that one finishes it, and nothing would remove it
    /// here. What has no note yet gets one first.
    pub(super) fn give_back(&self, organization: &OrganizationId) {
        self.retried.forget(organization);
        for shard in &self.shards {
            let mut shard = lock(shard);
            let Shard { events, recent } = &mut *shard;
            let is_given = |key: &EventKey, it: &TrackedEvent| key.organization_id == *organization && it.waits();
            let unnoted = events.iter().filter(|(key, it)| is_given(key, it) && !it.is_noted);
            recent.extend(unnoted.map(|(key, _)| (Instant::now(), key.clone())));
            events.retain(|key, tracked| !(is_given(key, tracked) && tracked.is_noted));
        }
        self.queued.notify_one();
    }

    /// Forgets an event that is over. Returns true if the store was given a note of it.
    pub(super) fn ends(&self, key: &EventKey) -> bool {
        let Some(tracked) = self.shard(key).events.remove(key) else { return false };
        self.retried.remove(key, &tracked.session_id);
        tracked.is_noted
    }

    /// Returns notes of the events that were queued this long ago and have none, at most so many for each shard, and
    /// counts them as noted. Other workers learn by them of what is in progress here too. Forgets those of organizations
    /// elsewhere: their ends are not seen here.
    pub(super) fn notes(
        &self,
        queued_for: Duration,
        most: usize,
        ownership: impl Fn(&OrganizationId) -> OwnershipState,
    ) -> EventNotes {
        let (mut notes, now) = (EventNotes::default(), Instant::now());
        for shard in &self.shards {
            let mut shard = lock(shard);
            let Shard { events, recent } = &mut *shard;
            let mut room = most;
            while room > 0 && recent.front().is_some_and(|(since, _)| now.duration_since(*since) >= queued_for) {
                let Some((_, key)) = recent.pop_front() else { break };
                let Some(tracked) = events.get_mut(&key) else { continue };
                let ownership = ownership(&key.organization_id);
                if tracked.waits() && ownership == OwnershipState::None {
                    notes.elsewhere.push((key.clone(), tracked.note()));
                    events.remove(&key);
                    room -= 1;
                } else if !tracked.is_noted && tracked.is_worth_a_note(&ownership) {
                    tracked.is_noted = true;
                    notes.own.push((key, tracked.note()));
                    room -= 1;
                }
            }
            // Gives back the room that a flood took.
            if recent.len() < recent.capacity() / 4 {
                recent.shrink_to(2 * recent.len());
            }
        }
        notes
    }

    /// Registers events that the store has notes of.
    pub fn restore(&self, notes: Vec<(EventKey, QueuedNote)>) {
        for (key, note) in notes {
            self.shard(&key).events.entry(key).or_insert_with(|| TrackedEvent::of_note(note));
        }
    }

    /// Returns one event.
    pub fn get(&self, key: &EventKey) -> Option<TrackedEvent> {
        self.shard(key).events.get(key).cloned()
    }

    /// Returns all events that a predicate selects, in no order.
    pub fn select(&self, is_wanted: impl Fn(&EventKey, &TrackedEvent) -> bool) -> Vec<(EventKey, TrackedEvent)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let wanted = shard.events.iter().filter(|(key, tracked)| is_wanted(key, tracked));
            found.extend(wanted.map(|(key, tracked)| (key.clone(), tracked.clone())));
        }
        found
    }

    /// Returns the number of events that a predicate selects.
    pub fn count(&self, is_wanted: impl Fn(&TrackedEvent) -> bool) -> u64 {
        let count =
            |shard: &Mutex<Shard>| lock(shard).events.values().filter(|tracked| is_wanted(tracked)).count() as u64;
        self.shards.iter().map(count).sum()
    }

    fn shard(&self, key: &EventKey) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(key);
        lock(&self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)])
    }
}

impl Default for EventTracker {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            retried: RetriedHandoffs::default(),
            queued: Notify::new(),
        }
    }
}

impl TrackedEvent {
    fn new(event: &Event, received: Option<Timestamp>, stage: EventStage, since: Timestamp) -> Self {
        let session_id = event.session_id().clone();
        let (received, since) = (received.map(CompactTime::from), since.into());
        Self {
            kind: event.kind(),
            session_id,
            received,
            moved: None,
            stage,
            since,
            is_noted: false,
            is_interrupted: false,
        }
    }

    /// Returns the event that a note in the store describes.
    pub fn of_note(note: QueuedNote) -> Self {
        let QueuedNote { kind, session_id, received, moved } = note;
        let (received, moved) = (received.into(), moved.map(CompactTime::from));
        let since = moved.unwrap_or(received);
        Self {
            kind,
            session_id,
            received: Some(received),
            moved,
            stage: EventStage::Queued,
            since,
            is_noted: true,
            is_interrupted: false,
        }
    }

    /// Returns the time at which the router received it; `None` if it was in its organization's queue before this
    /// worker started.
    pub fn received(&self) -> Option<Timestamp> {
        self.received.map(CompactTime::timestamp)
    }

    /// Returns the time at which the broker confirmed it in its organization's queue.
    pub fn moved(&self) -> Option<Timestamp> {
        self.moved.map(CompactTime::timestamp)
    }

    /// Returns the time at which the stage began.
    pub fn since(&self) -> Timestamp {
        self.since.timestamp()
    }

    fn note(&self) -> QueuedNote {
        QueuedNote {
            kind: self.kind,
            session_id: self.session_id.clone(),
            received: self.received.unwrap_or(self.since).timestamp(),
            moved: self.moved(),
        }
    }

    fn is_worth_a_note(&self, ownership: &OwnershipState) -> bool {
        match self.stage {
            EventStage::Queued => true,
            EventStage::InProgress | EventStage::OnHold(_) => matches!(ownership, OwnershipState::Term(_)),
            EventStage::Retrying { .. } => false,
        }
    }

    fn waits(&self) -> bool {
        matches!(self.stage, EventStage::Queued | EventStage::Retrying { .. })
    }

    fn enter(&mut self, stage: EventStage, now: Timestamp) {
        if self.stage != stage {
            (self.stage, self.since) = (stage, now.into());
        }
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
