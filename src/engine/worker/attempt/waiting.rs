//! Waits for the organization, or for one step that its setup refuses. Neither spends attempts or age.

use std::time::Duration;

use tokio::time::sleep_until;

use super::Attempt;
use crate::ports::destination::Unavailable;
use crate::ports::store::StoreError;
use crate::worker::core::MAX_HOLD;
use crate::worker::event_tracker::EventStage;
use crate::worker::settlement::{Postponed, Settlement};
use crate::workflow::{Fault, Milestone, Phase, Remedy, elapsed, rung, shortest_rung};

/// Longest time in a retry queue for an event whose step is refused. With it, many such events cost little, and they
/// are processed soon after the step works again.
const LONGEST_ASIDE: Duration = Duration::from_secs(120);

impl Attempt<'_> {
    /// Waits for the organization. A short wait is spent in this process, and the event continues at the step that
    /// failed; a long one in a retry queue.
    pub(super) async fn when_available(&mut self, fault: &Fault) -> Result<Option<Settlement>, StoreError> {
        let age = self.pauses_age(fault).await?;
        if self.worker.wait_until_available(&self.event.key.organization_id, self.arrival).await {
            return self.resume(age).await;
        }
        self.postpone_waiting(shortest_rung(&self.worker.settings.policy), age, fault).await.map(Some)
    }

    /// Waits for one step, while other steps of the organization are not refused. The event makes room for others that
    /// may not need that step: it goes to a retry queue, for longer the longer the step is refused.
    pub(super) async fn when_step_is_available(&mut self, fault: &Fault) -> Result<Option<Settlement>, StoreError> {
        let age = self.pauses_age(fault).await?;
        if self.step_becomes_available(fault).await {
            return self.resume(age).await;
        }
        let held_for = match fault.remedy {
            Remedy::HoldStep(since) => elapsed(since, self.worker.now()),
            _ => Duration::ZERO,
        };
        let rung = rung(held_for.min(LONGEST_ASIDE), &self.worker.settings.policy);
        self.postpone_waiting(rung, age, fault).await.map(Some)
    }

    async fn step_becomes_available(&self, fault: &Fault) -> bool {
        let delivery = &self.arrival.delivery;
        let makes_room = async {
            match &self.arrival.slot {
                Some(slot) => slot.wait_for_step().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.worker.destination.step_available(&self.event.key.organization_id, fault.step) => true,
            () = makes_room => false,
            () = sleep_until(delivery.received + MAX_HOLD) => false,
            () = delivery.lost.cancelled() => false,
            () = self.arrival.ending.cancelled() => false,
        }
    }

    /// Pauses the age, notes the progress and leaves the quarantine. Returns the age so far.
    async fn pauses_age(&mut self, fault: &Fault) -> Result<Option<Duration>, StoreError> {
        self.worker.tracker.enters(&self.event.key, EventStage::OnHold(fault.remedy.as_str()), self.worker.now());
        let age = self.age.if_started();
        self.leave_quarantine().await?;
        self.write_progress(Vec::new()).await?;
        Ok(age)
    }

    async fn resume(&mut self, age: Option<Duration>) -> Result<Option<Settlement>, StoreError> {
        self.worker.tracker.begins(self.event, self.worker.now());
        self.age.resume_at(age);
        self.return_to_quarantine().await?;
        Ok(None)
    }

    /// Stores durably that the event waits, so that a resolution finds its pending handoff even after a crash.
    pub(super) async fn store_waiting(&mut self, rung: usize, why: &str) -> Result<(), StoreError> {
        self.record.phase = Phase::Waiting;
        self.waits(rung, why);
        self.persist().await
    }

    /// Adds the wait in a retry queue to the event's life.
    fn waits(&mut self, rung: usize, why: &str) {
        let now = self.worker.now();
        let until = now.saturating_add(self.worker.delay(rung)).unwrap_or(now);
        self.record.life.add(Milestone::waiting(now, why, until));
    }

    async fn postpone_waiting(
        &mut self,
        rung: usize,
        age: Option<Duration>,
        fault: &Fault,
    ) -> Result<Settlement, StoreError> {
        self.record.attempts -= 1;
        self.waits(rung, fault.remedy.as_str());
        // An answer that the organization is unavailable does not clear the suspicion that the event ends the process.
        if !matches!(self.record.phase, Phase::Quarantined { .. }) {
            self.record.phase = Phase::Waiting;
        }
        self.persist().await?;
        let is_owned = self.worker.fleet.may_act(&self.event.key.organization_id);
        let why = if is_owned { fault.remedy.as_str() } else { Unavailable::NotOwned.as_str() };
        Ok(Settlement::Later(Postponed { age, ..self.postponed(rung, why) }))
    }
}
