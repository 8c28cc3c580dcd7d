//! A resolution: what it waits for, and what is on record before a case is closed.

use jiff::Timestamp;

use super::Attempt;
use crate::ports::store::StoreError;
use crate::worker::remember::closing;
use crate::worker::settlement::Settlement;
use crate::workflow::{Again, Fault, Reason, Remedy, Step, StepName, between, look_again};

impl Attempt<'_> {
    /// Before a case is closed it is on record that it will be, in its session too: where it is not known what became of that,
    /// no event of the session closes it again before looking.
    pub(super) async fn put_intent_on_record(&mut self, step: &Step) -> Result<(), StoreError> {
        match step {
            Step::CloseIncident { incident, .. } => {
                let now = self.worker.now();
                if self.record.progress.intend(*incident, now) {
                    self.session.extend(closing(self.event, *incident, Some(now), &mut self.memory, now));
                    self.keep().await?;
                }
            }
            Step::LookAtIncident { incident, since } => self.record.progress.adopt(*incident, *since),
            _ => {}
        }
        Ok(())
    }

    /// After a request to close a case: its session may know of it no longer than the event itself does.
    pub(super) fn end_of_intent(&mut self, step: &Step) {
        let Step::CloseIncident { incident, .. } = step else { return };
        if self.record.progress.intent.is_none() {
            self.session.extend(closing(self.event, *incident, None, &mut self.memory, self.worker.now()));
        }
    }

    /// A resolution looks again later whether its handoff has come.
    pub(super) async fn wait(&mut self, until: Option<Timestamp>) -> Result<Settlement, StoreError> {
        self.age.begins();
        let left = until.map(|until| between(self.worker.now(), until));
        match look_again(self.age.now(), left, &self.worker.rules.policy) {
            Again::Later(rung) => {
                self.record.attempts -= 1;
                self.later(rung, "handoff_awaited").await
            }
            Again::Soon | Again::WhenAvailable | Again::Aside | Again::Never(_) => {
                let message = "the handoff of this session was still in progress after retry.max_age".to_owned();
                let fault = Fault {
                    advice: "See what became of the session's handoff, then replay.".to_owned(),
                    ..Fault::unanswered(StepName::CloseIncident, Remedy::GiveUp, message)
                };
                self.give_up(Reason::RetriesExhausted, fault).await
            }
        }
    }
}
