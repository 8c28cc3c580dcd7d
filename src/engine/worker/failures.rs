//! Failures of the worker itself: a defect of its own, a store that fails.

use std::time::Duration;

use tracing::error;

use super::Worker;
use super::attempt::Attempt;
use super::defect::{Defect, caught};
use super::headers::Past;
use super::letters;
use super::process::Arrival;
use super::settlement::{Postponed, Settlement};
use crate::event::{Event, Kind};
use crate::ports::store::StoreError;
use crate::workflow::{Again, Reason, StepName, Trial, after, between, rung};

/// However old an event is, it does not wait longer for a store that fails: that may be back at any time.
const STORE_LOOK: Duration = Duration::from_secs(60);

impl Worker {
    /// Judges a message, whatever happens. A panic is a defect of ours, in this one event: it is tried again like any
    /// fault that may pass, from a retry queue and not at once, and disturbs no other.
    pub(super) async fn judge_safely(&self, arrival: &Arrival) -> Settlement {
        let defect = match caught(self.judge(arrival)).await {
            Ok(Ok(settlement)) => return settlement,
            Ok(Err(problem)) => return self.without_store(arrival, &problem),
            Err(defect) => defect,
        };
        if let Some(event) = arrival.event() {
            match caught(self.stumble(event, arrival, &defect)).await {
                Ok(Ok(Some(settlement))) => return settlement,
                Ok(Err(problem)) => return self.without_store(arrival, &problem),
                // Where even that panics, the message itself carries how often it was tried.
                Ok(Ok(None)) | Err(_) => {}
            }
        }
        self.stumble_blindly(arrival, &defect)
    }

    /// A defect met an event: its record and its session say so too. None when its organization is not configured.
    async fn stumble(
        &self,
        event: &Event,
        arrival: &Arrival,
        defect: &Defect,
    ) -> Result<Option<Settlement>, StoreError> {
        let Some(settings) = self.crm.settings(&event.key.organization_id) else { return Ok(None) };
        let known = self.store.record(&event.key).await?;
        if let Some(settlement) = self.decided(event, known.as_ref(), arrival) {
            return Ok(Some(settlement));
        }
        let mut attempt = self.take_up(event, &settings, known, arrival).await?;
        attempt.begin();
        attempt.stumble(defect, arrival.past.attempts + 1).await.map(Some)
    }

    /// Treats a defect by what the message carries of its past.
    pub(super) fn stumble_blindly(&self, arrival: &Arrival, defect: &Defect) -> Settlement {
        let (past, now) = (&arrival.past, self.now());
        let (attempts, age) = (past.attempts + 1, past.age.unwrap_or_default());
        let first_seen = self.first_seen(past);
        let fault = defect.fault(StepName::Decode);
        error!(error = %fault.message, attempts, "a defect in the worker met a message");
        match after(fault.remedy, Trial { attempts, age }, &self.rules.policy) {
            Again::Never(_) => Settlement::Dead(Box::new(match arrival.event() {
                Some(event) => letters::exhausted(event, fault, attempts, (first_seen, now)),
                None => letters::unreadable(fault, attempts, (first_seen, now)),
            })),
            again => {
                let rung = ladder(again);
                let age = Some(age + self.delay(rung));
                Settlement::Later(Postponed { attempts, age, ..self.as_told(past, kind(arrival), rung, "panic") })
            }
        }
    }

    /// No attempt of the event's: a store that is away for long would leave it none. Nor is it ever given up for that.
    fn without_store(&self, arrival: &Arrival, problem: &StoreError) -> Settlement {
        error!(error = %problem, "the store failed; the event goes to a retry queue");
        let seen = arrival.past.first_seen.map_or(Duration::ZERO, |seen| between(seen, self.now()));
        let rung = rung(seen.min(STORE_LOOK), &self.rules.policy);
        self.put_off(arrival, rung, arrival.past.age, "store")
    }

    pub(super) fn put_off(
        &self,
        arrival: &Arrival,
        rung: usize,
        age: Option<Duration>,
        why: &'static str,
    ) -> Settlement {
        Settlement::Later(Postponed { age, ..self.as_told(&arrival.past, kind(arrival), rung, why) })
    }

    /// A postponement with what the message carries of its past.
    pub(super) fn as_told(&self, past: &Past, kind: Kind, rung: usize, why: &'static str) -> Postponed {
        let (attempts, first_seen) = (past.attempts, self.first_seen(past));
        Postponed { rung, kind, attempts, first_seen, age: past.age, refusals: 0, why }
    }
}

/// The kind of an event; a handoff where there is none.
fn kind(arrival: &Arrival) -> Kind {
    arrival.event().map_or(Kind::Handoff, Event::kind)
}

impl Attempt<'_> {
    /// A defect met this event. `told`: the attempts that the message carries, this one included.
    async fn stumble(mut self, defect: &Defect, told: u32) -> Result<Settlement, StoreError> {
        // It was taken up anew, but not tried anew; and what the failed attempt has noted of itself may be lost.
        self.correct_attempts(told);
        let fault = defect.fault(self.next_step());
        let again = after(fault.remedy, self.trial(), &self.worker.rules.policy);
        self.log(&fault, again);
        match again {
            Again::Never(_) => self.give_up(Reason::RetriesExhausted, fault).await,
            again => self.later(ladder(again), "panic").await,
        }
    }
}

/// The code is as wrong a moment later: after a defect an event is never tried again at once.
fn ladder(again: Again) -> usize {
    match again {
        Again::Later(rung) => rung,
        Again::Soon | Again::WhenAvailable | Again::Aside | Again::Never(_) => 0,
    }
}
