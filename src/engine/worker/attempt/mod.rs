//! One attempt at an event: decide on a step, perform it and record it, until the event is finished or has to wait.
//!
//! The workflow decides; this module performs. It writes the outcome to the store before the delivery is settled, and
//! never repeats a recorded step.

mod closing;
mod fault_log;
mod quarantined;
mod resumed;
mod waiting;

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::age::Age;
use super::arrival::{Arrival, is_current_run};
use super::backoff::Backoff;
use super::core::{MAX_HOLD, Worker};
use super::lanes::{Lane, Ticket};
use super::new_dead_letter;
use super::quarantine::Isolation;
use super::remember::{as_noted, given_up, handed_off, opening, own_as_noted, remember};
use super::settlement::{FinishedEvent, NewDeadLetter, Postponed, Settlement};
use crate::event::{ContactId, Event, Kind};
use crate::ports::destination::Performed;
use crate::ports::metrics::Measurement;
use crate::ports::store::{Change, EventQuery, KnownEvent, StoreError};
use crate::workflow::{
    ContactProgress, Decision, FailedAttempt, Fault, HistoryEntry, Memory, Outcome, Phase, Reason, Receipt, Record,
    Remedy, RetryDecision, Settings, Step, StepName, Time, after, apply, deaths, decide, finalize_unreadable,
    shortest_rung,
};

/// Duration after which progress is stored while an event is processed. Of a faster event only the end is stored: a
/// crash then costs the repetition of one request at most.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// One attempt to process an event.
pub(super) struct Attempt<'a> {
    pub(super) worker: &'a Worker,
    pub(super) event: &'a Event,
    pub(super) arrival: &'a Arrival,
    settings: &'a Settings,
    pub(super) record: Record,
    pub(super) memory: Memory,
    /// Session changes since the record was last persisted. They are persisted together with it: a crash may lose changes
    /// that were only written, and then the session would lack an outcome that OpenCX has received.
    session: Vec<Change>,
    /// Time the record was last written, or the attempt began.
    last_write: Timestamp,
    pauses: Backoff,
    age: Age,
    /// Turn in the contact's lane, held while this event looks up or creates its contact. Other events with the same
    /// email then find it in the store.
    contact_turn: Option<Ticket>,
    /// True until the event first takes its turn in that lane: the contact was read a moment ago.
    contact_is_fresh: bool,
    /// Isolation, held while this event is quarantined.
    pub(super) isolation: Option<Isolation>,
}

impl Worker {
    /// Processes an event as far as possible now.
    pub(super) async fn attempt(
        &self,
        event: &Event,
        settings: &Settings,
        known: KnownEvent,
        arrival: &Arrival,
    ) -> Result<Settlement, StoreError> {
        let redelivered = arrival.delivery.redelivered;
        let phase = known.record.as_ref().filter(|record| is_current_run(arrival, record)).map(|record| &record.phase);
        let deaths = deaths(redelivered, phase, self.life);
        let was_begun = known.record.is_some();
        let mut attempt = self.new_attempt(event, settings, known, arrival);
        attempt.begin();
        if let Some(deaths) = deaths {
            if let Some(settlement) = attempt.enter_quarantine(deaths).await? {
                return Ok(settlement);
            }
        } else if was_begun {
            attempt.write_progress(Vec::new()).await?;
        }
        loop {
            match attempt.next() {
                Decision::Call(step) => {
                    if let Some(settlement) = attempt.call(&step).await? {
                        return Ok(settlement);
                    }
                }
                Decision::WaitForHandoff(until) => return attempt.wait(until).await,
                Decision::Finish(outcome) => return attempt.finish(outcome).await,
                Decision::Refuse(fault) => return attempt.give_up(Reason::RejectedByDynamics, *fault).await,
            }
        }
    }

    /// Begins an attempt with everything that is stored about the event.
    pub(super) fn new_attempt<'a>(
        &'a self,
        event: &'a Event,
        settings: &'a Settings,
        known: KnownEvent,
        arrival: &'a Arrival,
    ) -> Attempt<'a> {
        let KnownEvent { record: known, mut memory } = known;
        memory.has_retried_handoff = self.tracker.has_retried_handoff(&event.key.organization_id, event.session_id());
        // Another worker may have moved the session's handoffs into the queue behind it. From a retry queue it returns
        // behind them.
        memory.handoffs_may_follow = arrival.message_history.age.is_none() && self.fleet.status().workers > 1;
        // Earlier notes may not have reached the disk, if an attempt ended in a panic or the store failed.
        let session_as_noted = match &known {
            Some(record) if record.outcome().is_none() => as_noted(event, &memory, self.now()),
            _ => own_as_noted(event, &memory, self.now()),
        };
        Attempt {
            worker: self,
            event,
            arrival,
            settings,
            record: self.resumed_record(event, known, arrival),
            session: session_as_noted,
            memory,
            last_write: self.now(),
            pauses: Backoff::new(),
            age: Age::new(arrival.message_history.age),
            contact_turn: None,
            contact_is_fresh: true,
            isolation: None,
        }
    }

    /// Reads everything stored that affects an event.
    pub(super) async fn load_known(&self, event: &Event, arrival: &Arrival) -> Result<KnownEvent, StoreError> {
        let query = EventQuery {
            key: event.key.clone(),
            session: event.session_id().clone(),
            // A new handoff does not depend on the rest of its session.
            always_needs_session: event.kind() != Kind::Handoff || arrival.delivery.redelivered,
            email: event.email().map(str::to_owned),
            contact_not_before: self.contact_not_before(),
        };
        self.store.known(&query).await
    }

    async fn known_contact(&self, event: &Event) -> Result<Option<ContactId>, StoreError> {
        let Some(email) = event.email() else { return Ok(None) };
        self.store.contact(&event.key.organization_id, email, self.contact_not_before()).await
    }

    fn contact_not_before(&self) -> Timestamp {
        self.now().saturating_sub(self.settings.contact_ttl).unwrap_or(Timestamp::MIN)
    }
}

impl Attempt<'_> {
    /// Makes resolutions of the session wait for a handoff from now on.
    pub(super) fn begin(&mut self) {
        self.session.extend(opening(self.event, &mut self.memory, self.worker.now()));
    }

    /// Writes the progress together with other changes, without waiting for the disk.
    async fn write_progress(&mut self, others: Vec<Change>) -> Result<(), StoreError> {
        self.last_write = self.worker.now();
        let changes = others.into_iter().chain(self.session.iter().cloned()).chain([self.changed()]);
        self.worker.store.write(self.arrival.guarded(changes)).await
    }

    fn is_progress_due(&self) -> bool {
        let since = self.worker.now().duration_since(self.last_write);
        Duration::try_from(since).is_ok_and(|since| since >= PROGRESS_INTERVAL)
    }

    pub(super) fn next(&self) -> Decision {
        decide(self.event, self.settings, &self.memory, &self.record.progress, self.time())
    }

    /// Returns the name of the next step.
    pub(super) fn next_step(&self) -> StepName {
        match self.next() {
            Decision::Call(step) => step.name(),
            Decision::WaitForHandoff(_) | Decision::Finish(_) | Decision::Refuse(_) => StepName::Decode,
        }
    }

    /// Performs a step. Returns a settlement if the event can't continue now.
    async fn call(&mut self, step: &Step) -> Result<Option<Settlement>, StoreError> {
        if self.wait_for_contact(step).await? {
            return Ok(None);
        }
        self.put_intent_on_record(step).await?;
        let performing = self.worker.destination.perform(step, self.event, self.settings);
        let Performed { result, exchanges } = self.observed(performing).await?;
        for exchange in exchanges {
            self.record.note(HistoryEntry {
                at: exchange.at,
                attempt: self.record.attempts,
                step: exchange.step,
                elapsed_ms: u64::try_from(exchange.elapsed.as_millis()).unwrap_or(u64::MAX),
                status: exchange.status,
                code: exchange.code,
                error: exchange.error,
                request_id: exchange.request_id,
            });
        }
        match result.or_else(|fault| finalize_unreadable(step, self.settings, fault, self.record.requests_of_run())) {
            Ok(receipt) => self.record_receipt(step, &receipt).await,
            Err(fault) => {
                self.record.progress.step_failed(step, fault.remedy);
                self.end_of_intent(step);
                self.failed(fault).await
            }
        }
    }

    /// Waits for the contact's lane: of several events of one new customer, one creates the contact and the others wait
    /// for it. Returns true if the wait may have changed the next step.
    async fn wait_for_contact(&mut self, step: &Step) -> Result<bool, StoreError> {
        if !matches!(step.name(), StepName::LookUpContact | StepName::CreateContact) || self.contact_turn.is_some() {
            return Ok(false);
        }
        let Some(email) = self.event.email() else { return Ok(false) };
        let lane = Lane::Contact(self.event.key.organization_id.clone(), email.to_lowercase());
        let mut ticket = self.worker.lanes.queue(lane);
        let is_still_current = std::mem::take(&mut self.contact_is_fresh) && ticket.is_first();
        // No ticket in this lane is returned, because its events have started.
        _ = self.observed(ticket.turn()).await?;
        self.contact_turn = Some(ticket);
        if !is_still_current && self.record.progress.contact == ContactProgress::Unknown {
            self.memory.contact = self.worker.known_contact(self.event).await?;
        }
        Ok(!is_still_current)
    }

    async fn record_receipt(&mut self, step: &Step, receipt: &Receipt) -> Result<Option<Settlement>, StoreError> {
        match apply(std::mem::take(&mut self.record.progress), receipt) {
            Ok(progress) => self.record.progress = progress,
            Err(illegal) => {
                self.record.progress = *illegal.progress;
                let message = "unexpected receipt for this step (a bug in the worker)".to_owned();
                return self.failed(Fault::unanswered(step.name(), Remedy::Retry, message)).await;
            }
        }
        let changes = remember(self.event, receipt, &mut self.memory, self.worker.now());
        let contact_known =
            !matches!(self.record.progress.contact, ContactProgress::Absent { .. } | ContactProgress::Forgotten);
        let (own, others): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_of_session);
        self.session.extend(own);
        self.end_of_intent(step);
        // The last receipt is persisted with the outcome, immediately after. Changes that other events depend on are
        // written now.
        if self.is_progress_due() && !matches!(self.next(), Decision::Finish(_)) {
            self.write_progress(others).await?;
        } else if !others.is_empty() {
            self.worker.store.write(self.arrival.guarded(others)).await?;
        }
        if contact_known {
            self.contact_turn = None;
        }
        Ok(None)
    }

    async fn failed(&mut self, fault: Fault) -> Result<Option<Settlement>, StoreError> {
        self.contact_turn = None;
        if fault.remedy == Remedy::Retry {
            self.age.start();
        }
        let again = after(fault.remedy, self.failed_attempt(), &self.worker.settings.policy);
        let (again, why) = match again {
            RetryDecision::Now if self.is_held_too_long() => {
                (RetryDecision::After(shortest_rung(&self.worker.settings.policy)), "held")
            }
            again => (again, fault.remedy.as_str()),
        };
        self.log(&fault, again);
        match again {
            RetryDecision::Now if self.pause().await => {
                self.record.attempts += 1;
                self.worker.metrics.record(Measurement::Retried("in_process"));
                Ok(None)
            }
            RetryDecision::Now => {
                self.postpone(shortest_rung(&self.worker.settings.policy), "shutdown").await.map(Some)
            }
            RetryDecision::After(rung) => self.postpone(rung, why).await.map(Some),
            RetryDecision::WhenAvailable => self.when_available(&fault).await,
            RetryDecision::WhenStepAllowed => self.when_step_is_available(&fault).await,
            RetryDecision::GiveUp(reason) => self.give_up(reason, fault).await.map(Some),
        }
    }

    fn is_held_too_long(&self) -> bool {
        self.arrival.delivery.received.elapsed() >= MAX_HOLD
    }

    /// Waits before a retry. Returns false if the worker is stopping, which leaves no time for it.
    async fn pause(&mut self) -> bool {
        let pause: Duration = self.pauses.next((self.worker.clock.random)());
        tokio::select! {
            biased;
            () = tokio::time::sleep(pause) => true,
            () = self.arrival.ending.cancelled() => false,
        }
    }

    pub(super) async fn postpone(&mut self, rung: usize, why: &'static str) -> Result<Settlement, StoreError> {
        self.store_waiting(rung, why).await?;
        let age = self.age.now() + self.worker.delay(rung);
        Ok(Settlement::Later(Postponed { age: Some(age), ..self.postponed(rung, why) }))
    }

    fn postponed(&self, rung: usize, why: &'static str) -> Postponed {
        let Record { kind, attempts, first_seen, .. } = self.record;
        Postponed { rung, kind, attempts, first_seen, age: None, refusals: 0, announced: false, why }
    }

    async fn finish(&mut self, outcome: Box<Outcome>) -> Result<Settlement, StoreError> {
        self.record.phase = Phase::Finished((*outcome).clone());
        let now = self.worker.now();
        self.session.extend(handed_off(self.event, &self.record.progress, &mut self.memory, now));
        self.persist().await?;
        Ok(Settlement::Done(FinishedEvent { key: self.event.key.clone(), outcome, timestamp: self.event.timestamp }))
    }

    pub(super) async fn give_up(&mut self, reason: Reason, fault: Fault) -> Result<Settlement, StoreError> {
        let now = self.worker.now();
        let Record { attempts, first_seen, .. } = self.record;
        let letter =
            new_dead_letter::given_up(self.event, reason, fault, (&self.record.progress, attempts), (first_seen, now));
        self.record.phase = Phase::Dead(letter.outcome.clone());
        self.session.extend(given_up(self.event, &self.record.progress, &mut self.memory, now));
        self.persist().await?;
        let record = Some(Box::new(self.record.clone()));
        Ok(Settlement::Dead(Box::new(NewDeadLetter { record, ..letter })))
    }

    /// Makes the record and the session changes durable.
    pub(super) async fn persist(&mut self) -> Result<(), StoreError> {
        let session = std::mem::take(&mut self.session);
        self.worker.store.persist(self.arrival.guarded(session.into_iter().chain([self.changed()]))).await
    }

    fn changed(&self) -> Change {
        Change::Record(self.event.key.clone(), Box::new(self.record.clone()))
    }

    fn time(&self) -> Time {
        Time { now: self.worker.now(), age: self.age.now(), attempts: self.record.attempts }
    }

    pub(super) fn failed_attempt(&self) -> FailedAttempt {
        FailedAttempt { attempts: self.record.attempts, age: self.age.now() }
    }

    /// Raises the attempts to the number in the message's headers, this attempt included, if that is higher than the
    /// record's.
    pub(super) fn correct_attempts(&mut self, spent: u32) {
        self.record.attempts = (self.record.attempts - 1).max(spent);
        self.age.start();
    }
}

/// Digest to distinguish bodies, for no other purpose: 122 bits of SHA-1, by UUIDv5.
pub(super) fn digest(body: &[u8]) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, body).simple().to_string()
}

fn is_of_session(change: &Change) -> bool {
    matches!(change, Change::Session { .. })
}
