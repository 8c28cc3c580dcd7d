//! Closing of cases: the wait of a resolution for its handoff, and the intent that is recorded before a case is closed.

use jiff::Timestamp;

use super::Attempt;
use crate::ports::store::StoreError;
use crate::worker::remember::closing;
use crate::worker::settlement::Settlement;
use crate::workflow::{Fault, Reason, Remedy, RetryDecision, Step, StepName, elapsed, recheck_after};

impl Attempt<'_> {
    /// Records the intent to close a case before the request, in the session too. If the result of the request is
    /// unknown, no event of the session closes the case again before it has read it.
    pub(super) async fn put_intent_on_record(&mut self, step: &Step) -> Result<(), StoreError> {
        match step {
            Step::CloseIncident { incident, .. } => {
                let now = self.worker.now();
                if self.record.progress.intend(*incident, now) {
                    self.session.extend(closing(self.event, *incident, Some(now), &mut self.memory, now));
                    self.persist().await?;
                }
            }
            Step::LookAtIncident { incident, since } => self.record.progress.adopt_intent(*incident, *since),
            _ => {}
        }
        Ok(())
    }

    /// Removes the intent from the session once the event itself no longer has it.
    pub(super) fn end_of_intent(&mut self, step: &Step) {
        let Step::CloseIncident { incident, .. } = step else { return };
        if self.record.progress.intent.is_none() {
            self.session.extend(closing(self.event, *incident, None, &mut self.memory, self.worker.now()));
        }
    }

    /// Postpones a resolution, which checks again later for its handoff.
    pub(super) async fn wait(&mut self, until: Option<Timestamp>) -> Result<Settlement, StoreError> {
        self.age.start();
        let left = until.map(|until| elapsed(self.worker.now(), until));
        match recheck_after(self.age.now(), left, &self.worker.settings.policy) {
            RetryDecision::After(rung) => {
                self.record.attempts -= 1;
                self.postpone(rung, "handoff_awaited").await
            }
            RetryDecision::Now
            | RetryDecision::WhenAvailable
            | RetryDecision::WhenStepAllowed
            | RetryDecision::GiveUp(_) => {
                let message = "the handoff of this session was still in progress after retry.max_age".to_owned();
                let fault = Fault {
                    advice: "Check the outcome of the session's handoff, then replay.".to_owned(),
                    ..Fault::unanswered(StepName::CloseIncident, Remedy::GiveUp, message)
                };
                self.give_up(Reason::RetriesExhausted, fault).await
            }
        }
    }
}
