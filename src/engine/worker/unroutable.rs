//! Dead-letters messages that never reached the workflow: undecodable ones and those of unknown organizations.

use jiff::Timestamp;

use super::arrival::Arrival;
use super::attempt::digest;
use super::core::Worker;
use super::event_tracker::TrackedEvent;
use super::remember::given_up_as;
use super::settlement::{NewDeadLetter, Settlement};
use super::tracking::began;
use super::{headers, new_dead_letter};
use crate::event::EventKey;
use crate::ports::store::{Change, StoreError};
use crate::workflow::{
    Milestone, MilestoneKind, Phase, Progress, Record, ReplayMark, SessionEntry, SessionState, new_run,
};

impl Worker {
    /// Dead-letters a message and records that for its key, unless the key belongs to another message that is finished
    /// or in progress. The first one wins, and this one becomes only a dead letter.
    pub(super) async fn dead_letter(&self, letter: NewDeadLetter, arrival: &Arrival) -> Result<Settlement, StoreError> {
        let replay = headers::replay(&arrival.delivery.envelope);
        let Some(key) = letter.key() else { return Ok(Settlement::Dead(Box::new(letter))) };
        let known = self.store.record(&key).await?;
        let digest = digest(&arrival.delivery.body);
        if known.as_ref().is_some_and(|record| belongs_to_other(record, &digest)) {
            return Ok(Settlement::Dead(Box::new(letter)));
        }
        let unsettled = known.as_ref().filter(|record| record.outcome().is_none());
        let letter = unsettled.into_iter().fold(letter, new_dead_letter::after_all);
        let record = buried(&letter, digest, known, replay, self.tracker.get(&key));
        let session = self.end_waiting_for(&key, &record, letter.outcome.finished_at).await?;
        let record = Box::new(record);
        let changes = session.into_iter().chain([Change::Record(key, record.clone())]);
        self.store.persist(arrival.guarded(changes)).await?;
        Ok(Settlement::Dead(Box::new(NewDeadLetter { record: Some(record), ..letter })))
    }

    /// Returns the session change after which no resolution waits for this handoff. A case it has opened stays open.
    async fn end_waiting_for(
        &self,
        key: &EventKey,
        record: &Record,
        at: Timestamp,
    ) -> Result<Option<Change>, StoreError> {
        let Some(session) = record.session_id.clone() else { return Ok(None) };
        let entries = self.store.session(&key.organization_id, &session).await?;
        let awaited = |entry: &SessionEntry| entry.event_id == key.event_id && entry.state == SessionState::Opening;
        Ok(entries.into_iter().find(awaited).map(|entry| Change::Session {
            organization: key.organization_id.clone(),
            session,
            entry: SessionEntry { state: given_up_as(&record.progress), ..entry },
            at,
        }))
    }
}

fn belongs_to_other(record: &Record, digest: &str) -> bool {
    match record.phase {
        Phase::Finished(_) => true,
        Phase::InHand | Phase::Quarantined { .. } | Phase::Waiting => record.body_digest != digest,
        // A dead letter does not answer its event.
        Phase::Dead(_) => false,
    }
}

/// Returns the record of a dead letter, with all that was recorded of its event before.
fn buried(
    letter: &NewDeadLetter,
    body_digest: String,
    known: Option<Record>,
    replay: Option<ReplayMark>,
    tracked: Option<TrackedEvent>,
) -> Record {
    let unsettled = known.as_ref().filter(|record| record.outcome().is_none());
    let is_new = unsettled.is_none();
    let progress = unsettled.map_or_else(Progress::default, |record| record.progress.clone());
    let (mut life, history) = new_run(known, replay);
    match tracked.filter(|tracked| tracked.received().is_some()) {
        _ if !is_new => {}
        Some(tracked) => life = began(life, &tracked),
        None => life.add(Milestone::bare(letter.first_seen, MilestoneKind::Received)),
    }
    Record {
        kind: letter.outcome.kind,
        session_id: letter.session_id.clone(),
        body_digest,
        first_seen: letter.first_seen,
        attempts: letter.outcome.attempts,
        phase: Phase::Dead(letter.outcome.clone()),
        settled: false,
        poison: false,
        progress,
        history,
        life,
    }
}
