//! Failures of the worker itself: a panic, or a failing store.
//!
//! A panic is a bug that one event triggers, and counts as an attempt of that event only. A failing store is no event's
//! fault: it spends no attempt, and no event is ever dead-lettered for it.

use std::time::Duration;

use tracing::{error, warn};

use super::arrival::Arrival;
use super::attempt::Attempt;
use super::caught_panic::{CaughtPanic, caught};
use super::core::Worker;
use super::headers::MessageHistory;
use super::new_dead_letter;
use super::settlement::{Postponed, STORE_FAILED, Settlement};
use crate::event::{Event, Kind};
use crate::ports::metrics::Measurement;
use crate::ports::store::StoreError;
use crate::workflow::{FailedAttempt, Reason, RetryDecision, StepName, after, elapsed, rung};

/// Longest wait for a failing store, however old the event is, because the store may recover at any time.
const STORE_LOOK: Duration = Duration::from_secs(60);

impl Worker {
    /// Decides on a message and always returns a settlement. A panic is a bug that this one event triggers: it is
    /// retried like a transient fault, but from a retry queue and not at once, and affects no other event.
    pub(super) async fn settle_or_recover(&self, arrival: &Arrival) -> Settlement {
        let defect = match caught(self.decide_settlement(arrival)).await {
            Ok(Ok(settlement)) => return settlement,
            Ok(Err(problem)) => return self.after_store_error(arrival, &problem).await,
            Err(defect) => defect,
        };
        if let Some(event) = arrival.event() {
            match caught(self.stumble(event, arrival, &defect)).await {
                Ok(Ok(Some(settlement))) => return settlement,
                Ok(Err(problem)) => return self.after_store_error(arrival, &problem).await,
                // If that panics too, the message's headers carry the number of attempts.
                Ok(Ok(None)) | Err(_) => {}
            }
        }
        self.after_panic_from_headers(arrival, &defect)
    }

    /// Records a panic in the event's record and session. Returns `None` if the organization is not configured.
    async fn stumble(
        &self,
        event: &Event,
        arrival: &Arrival,
        defect: &CaughtPanic,
    ) -> Result<Option<Settlement>, StoreError> {
        let Some(settings) = self.destination.settings(&event.key.organization_id) else { return Ok(None) };
        let known = self.load_known(event, arrival).await?;
        if let Some(settlement) = self.stored_settlement(event, known.record.as_ref(), arrival) {
            return Ok(Some(settlement));
        }
        let mut attempt = self.new_attempt(event, &settings, known, arrival);
        attempt.begin();
        attempt.stumble(defect, arrival.message_history.attempts + 1).await.map(Some)
    }

    /// Decides on a panic by the message's headers alone.
    pub(super) fn after_panic_from_headers(&self, arrival: &Arrival, defect: &CaughtPanic) -> Settlement {
        let (message_history, now) = (&arrival.message_history, self.now());
        let (attempts, age) = (message_history.attempts + 1, message_history.age.unwrap_or_default());
        let first_seen = self.first_seen(message_history);
        let fault = defect.fault(StepName::Decode);
        error!(error = %fault.message, attempts, "the worker panicked while processing a message");
        match after(fault.remedy, FailedAttempt { attempts, age }, &self.settings.policy) {
            RetryDecision::GiveUp(_) => Settlement::Dead(Box::new(match arrival.event() {
                Some(event) => new_dead_letter::exhausted(event, fault, attempts, (first_seen, now)),
                None => new_dead_letter::unreadable(fault, attempts, (first_seen, now)),
            })),
            again => {
                let rung = ladder(again);
                let age = Some(age + self.delay(rung));
                Settlement::Later(Postponed {
                    attempts,
                    age,
                    ..self.postponed_from_headers(message_history, kind(arrival), rung, "panic")
                })
            }
        }
    }

    /// Decides on an event whose changes were not stored. One that another worker owns is left to it, and one that
    /// another worker has finished gets that outcome.
    async fn after_store_error(&self, arrival: &Arrival, problem: &StoreError) -> Settlement {
        match problem {
            StoreError::Fenced => self.fenced(),
            StoreError::Superseded => {
                let Some(event) = arrival.event() else { return self.without_store(arrival, problem) };
                match caught(self.store.record(&event.key)).await {
                    Ok(Ok(known)) => self.stored_settlement(event, known.as_ref(), arrival),
                    Ok(Err(_)) | Err(_) => None,
                }
                .unwrap_or_else(|| self.without_store(arrival, problem))
            }
            _ => self.without_store(arrival, problem),
        }
    }

    /// Leaves an event to the owner of its organization.
    pub(super) fn fenced(&self) -> Settlement {
        self.metrics.record(Measurement::Fenced);
        warn!("another worker owns the organization; leaving the event to it");
        Settlement::Requeue
    }

    /// Postpones an event because the store failed. This counts as no attempt, since a long failure would use up all of
    /// them, and the event is never dead-lettered for it.
    fn without_store(&self, arrival: &Arrival, problem: &StoreError) -> Settlement {
        error!(error = %problem, "the store failed; moving the event to a retry queue");
        let seen = arrival.message_history.first_seen.map_or(Duration::ZERO, |seen| elapsed(seen, self.now()));
        let rung = rung(seen.min(STORE_LOOK), &self.settings.policy);
        self.retry_later(arrival, rung, arrival.message_history.age, STORE_FAILED)
    }

    pub(super) fn retry_later(
        &self,
        arrival: &Arrival,
        rung: usize,
        age: Option<Duration>,
        why: &'static str,
    ) -> Settlement {
        Settlement::Later(Postponed {
            age,
            ..self.postponed_from_headers(&arrival.message_history, kind(arrival), rung, why)
        })
    }

    /// Builds a postponement from the past in the message's headers.
    pub(super) fn postponed_from_headers(
        &self,
        message_history: &MessageHistory,
        kind: Kind,
        rung: usize,
        why: &'static str,
    ) -> Postponed {
        let MessageHistory { attempts, age, announced, .. } = *message_history;
        let first_seen = self.first_seen(message_history);
        Postponed { rung, kind, attempts, first_seen, age, refusals: 0, announced, why }
    }
}

/// Returns the kind of the event; a handoff if the message is no event.
fn kind(arrival: &Arrival) -> Kind {
    arrival.event().map_or(Kind::Handoff, Event::kind)
}

impl Attempt<'_> {
    /// Records a panic as an attempt. `spent`: attempts in the message's headers, this one included.
    async fn stumble(mut self, defect: &CaughtPanic, spent: u32) -> Result<Settlement, StoreError> {
        // Beginning this attempt counted one more than were made, and the notes of the panicked one may be lost.
        self.correct_attempts(spent);
        let fault = defect.fault(self.next_step());
        let again = after(fault.remedy, self.failed_attempt(), &self.worker.settings.policy);
        self.log(&fault, again);
        match again {
            RetryDecision::GiveUp(_) => self.give_up(Reason::RetriesExhausted, fault).await,
            again => self.postpone(ladder(again), "panic").await,
        }
    }
}

/// Returns the rung for a retry after a panic. It is never retried at once, because the code is still the same.
fn ladder(again: RetryDecision) -> usize {
    match again {
        RetryDecision::After(rung) => rung,
        RetryDecision::Now
        | RetryDecision::WhenAvailable
        | RetryDecision::WhenStepAllowed
        | RetryDecision::GiveUp(_) => 0,
    }
}
