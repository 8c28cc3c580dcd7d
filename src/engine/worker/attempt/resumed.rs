//! Record that an attempt continues: that of an event in progress, or a new one.

use jiff::Timestamp;

use super::digest;
use crate::event::Event;
use crate::worker::arrival::{Arrival, is_current_run};
use crate::worker::core::Worker;
use crate::worker::headers;
use crate::worker::tracking::began;
use crate::workflow::{Phase, Record, new_run};

impl Worker {
    /// Returns the record to continue with. A dead-lettered event that returns starts over.
    pub(super) fn resumed_record(&self, event: &Event, known: Option<Record>, arrival: &Arrival) -> Record {
        let message_history = &arrival.message_history;
        // The broker's delivery limit leaves the record of an event in flight, and a replay starts over after that too.
        let (going_on, earlier): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|record| record.outcome().is_none() && is_current_run(arrival, record));
        let going_on = going_on.into_iter().next();
        let (spent, seen) = going_on.as_ref().map_or((0, None), |record| (record.attempts, Some(record.first_seen)));
        let first_seen = message_history.first_seen.into_iter().chain(seen).fold(self.now(), Timestamp::min); // never in the future
        let progress = going_on.as_ref().map(|record| record.progress.clone().for_new_attempt()).unwrap_or_default();
        let tracked = self.tracker.begins(event, self.now());
        // A failing store spends no attempt: the one that it interrupted, in quarantine or not, goes on. The record counts it
        // and the message does not.
        let is_interrupted = message_history.waited_for_store
            && going_on
                .as_ref()
                .is_some_and(|record| record.phase != Phase::Waiting && record.attempts > message_history.attempts);
        let (life, history) = if let Some(record) = going_on {
            (record.life, record.history)
        } else {
            let replay = headers::replay(&arrival.delivery.envelope);
            let (life, history) = new_run(earlier.into_iter().next(), replay);
            (began(life, &tracked), history)
        };
        Record {
            kind: event.kind(),
            session_id: Some(event.session_id().clone()),
            body_digest: digest(&arrival.delivery.body),
            first_seen,
            attempts: spent.max(message_history.attempts) + u32::from(!is_interrupted),
            phase: Phase::InHand,
            settled: false,
            poison: false,
            progress,
            history,
            life,
        }
    }
}
