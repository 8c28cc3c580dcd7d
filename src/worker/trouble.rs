//! What goes wrong with the worker itself: a defect of its own, a store that fails.

use std::time::Duration;

use tracing::error;

use super::defect::{Defect, caught};
use super::drive::Drive;
use super::intake::Arrival;
use super::verdict::{Postponed, Verdict};
use super::{Worker, headers, letters};
use crate::event::{Decoded, Event, Kind};
use crate::machine::{Again, Phase, Reason, Record, StepName, Trial, after, between, rung};
use crate::store::StoreError;

/// However old an event is, it does not wait longer for a store that fails: that may be back at any time.
const STORE_LOOK: Duration = Duration::from_secs(60);

impl Worker {
    /// Judges a message, whatever happens. A panic is a defect of ours, in this one event: it is tried again like any
    /// fault that may pass, from a retry queue and not at once, and disturbs no other.
    pub(super) async fn judge_safely(&self, arrival: &Arrival) -> Verdict {
        let defect = match caught(self.judge(arrival)).await {
            Ok(Ok(verdict)) => return verdict,
            Ok(Err(problem)) => return self.without_store(arrival, &problem),
            Err(defect) => defect,
        };
        if let Ok(Decoded::Event(event)) = &arrival.decoded {
            match caught(self.stumble(event, arrival, &defect)).await {
                Ok(Ok(Some(verdict))) => return verdict,
                Ok(Err(problem)) => return self.without_store(arrival, &problem),
                // Where even that panics, the message itself tells how often it was tried.
                Ok(Ok(None)) | Err(_) => {}
            }
        }
        self.stumble_blindly(arrival, &defect)
    }

    /// A defect met an event: its record and its session say so too. None when its organization is not configured.
    async fn stumble(&self, event: &Event, arrival: &Arrival, defect: &Defect) -> Result<Option<Verdict>, StoreError> {
        let Some(settings) = self.crm.settings(&event.key.organization_id) else { return Ok(None) };
        let known = self.store.record(&event.key).await?;
        if let Some(Record { phase: Phase::Finished(outcome), .. }) = known {
            return Ok(Some(Verdict::Known(event.key.clone(), Box::new(outcome))));
        }
        let mut drive = self.board(event, &settings, known, arrival).await?;
        drive.begin();
        drive.stumble(defect, headers::past(&arrival.delivery.envelope).attempts + 1).await.map(Some)
    }

    /// By what the message tells of itself.
    pub(super) fn stumble_blindly(&self, arrival: &Arrival, defect: &Defect) -> Verdict {
        let past = headers::past(&arrival.delivery.envelope);
        let (now, attempts) = (self.now(), past.attempts + 1);
        let first_seen = past.first_seen.unwrap_or(now);
        let fault = defect.fault(StepName::Decode);
        error!(error = %fault.message, attempts, "a message met a defect in the worker");
        match after(fault.remedy, Trial { attempts, now, first_seen }, &self.rules.policy) {
            Again::Never(_) => Verdict::Dead(Box::new(match &arrival.decoded {
                Ok(Decoded::Event(event)) => letters::exhausted(event, fault, attempts, (first_seen, now)),
                _ => letters::unreadable(fault, attempts, (first_seen, now)),
            })),
            again => self.put_off(arrival, ladder(again), attempts, "panic"),
        }
    }

    /// No attempt of the event's: a store that is away for long would leave it none. Nor is it ever given up for that.
    fn without_store(&self, arrival: &Arrival, problem: &StoreError) -> Verdict {
        error!(error = %problem, "the store failed: the event goes to a retry queue");
        let past = headers::past(&arrival.delivery.envelope);
        let age = past.first_seen.map_or(Duration::ZERO, |seen| between(seen, self.now()));
        self.put_off(arrival, rung(age.min(STORE_LOOK), &self.rules.policy), past.attempts, "store")
    }

    pub(super) fn put_off(&self, arrival: &Arrival, rung: usize, attempts: u32, why: &'static str) -> Verdict {
        Verdict::Later(self.as_told(arrival, rung, attempts, why))
    }

    /// With what the message tells of its past.
    pub(super) fn as_told(&self, arrival: &Arrival, rung: usize, attempts: u32, why: &'static str) -> Postponed {
        let envelope = &arrival.delivery.envelope;
        let past = headers::past(envelope);
        let kind = match &arrival.decoded {
            Ok(Decoded::Event(event)) => event.kind(),
            _ => Kind::Handoff,
        };
        let first_seen = past.first_seen.unwrap_or_else(|| self.now());
        let deaths = headers::deaths_to_tell(envelope, past.deaths);
        Postponed { rung, kind, attempts, first_seen, deaths, why }
    }
}

impl Drive<'_> {
    /// A defect met this event. `told`: the attempts that the message knows of, this one included.
    async fn stumble(mut self, defect: &Defect, told: u32) -> Result<Verdict, StoreError> {
        // It was taken up anew, but not tried anew; and what the failed attempt has noted of itself may be lost.
        self.record.attempts = (self.record.attempts - 1).max(told);
        let fault = defect.fault(self.next_step());
        let again = after(fault.remedy, self.trial(), &self.worker.rules.policy);
        self.log(&fault, again);
        match again {
            Again::Never(_) => self.give_up(Reason::RetriesExhausted, fault).await,
            again => self.later(ladder(again), "panic").await,
        }
    }
}

/// What is wrong with the code is as wrong a moment later: a defect is never tried again at once.
fn ladder(again: Again) -> usize {
    match again {
        Again::Later(rung) => rung,
        Again::Soon | Again::InLine | Again::Never(_) => 0,
    }
}
