//! An attempt in quarantine: how it enters, waits and leaves.

use std::time::Duration;

use tokio::time::{sleep, sleep_until};
use tracing::{info, warn};

use super::Attempt;
use crate::ports::store::StoreError;
use crate::worker::core::MAX_HOLD;
use crate::worker::quarantine::Isolation;
use crate::worker::settlement::Settlement;
use crate::workflow::{Deaths, Fault, Phase, Reason, Remedy, StepName};

/// Longest time without an answer for which a quarantined event keeps others out. An event that ends the process mostly
/// does so while the worker handles an answer, within milliseconds; if the process dies during a longer wait, that
/// event is hardly the cause.
const SILENCE: Duration = Duration::from_secs(1);

impl Attempt<'_> {
    /// Records a redelivered event before its first request. Returns a settlement if it is given up, or can't be
    /// started now.
    pub(super) async fn enter_quarantine(&mut self, deaths: Deaths) -> Result<Option<Settlement>, StoreError> {
        if deaths.is_poison() {
            // This attempt was not made.
            self.record.attempts -= 1;
            self.record.poison = true;
            let step = self.next_step();
            return self.give_up(Reason::RetriesExhausted, poison(step, deaths)).await.map(Some);
        }
        if !self.isolate(deaths).await? {
            return Ok(Some(Settlement::Requeue));
        }
        if deaths.needs_quarantine() {
            warn!(event_id = %self.event.key.event_id, deaths = deaths.count, "processing an event alone; it was in flight when the process died");
        }
        Ok(None)
    }

    /// Waits until the event may be processed, and records that durably before the next request. Returns false if it
    /// can't be processed now.
    async fn isolate(&mut self, deaths: Deaths) -> Result<bool, StoreError> {
        let alone = if deaths.needs_quarantine() {
            let turn = self.worker.quarantine.0.clone().acquire_owned();
            tokio::select! {
                biased;
                () = self.arrival.ending.cancelled() => return Ok(false),
                () = self.arrival.delivery.lost.cancelled() => return Ok(false),
                () = sleep_until(self.arrival.delivery.received + MAX_HOLD) => return Ok(false),
                turn = turn => turn.ok(),
            }
        } else {
            None
        };
        self.isolation = Some(Isolation { _alone: alone });
        self.record.phase = self.quarantined(deaths, false);
        self.persist().await?;
        Ok(true)
    }

    /// Awaits a future. If that takes long or the worker stops, a quarantined event no longer keeps others out.
    pub(super) async fn observed<T>(&mut self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        if self.isolation.is_none() {
            return Ok(work.await);
        }
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = sleep(SILENCE) => {}
            () = self.arrival.ending.cancelled() => {}
        }
        self.leave_quarantine().await?;
        let done = work.await;
        self.return_to_quarantine().await?;
        Ok(done)
    }

    /// Isolates the event again after a wait, so that a death counts as its own. Has no effect if the worker is
    /// stopping or the connection is gone.
    pub(super) async fn return_to_quarantine(&mut self) -> Result<(), StoreError> {
        if let Phase::Quarantined { deaths, silent, waiting: true, .. } = self.record.phase {
            self.isolate(Deaths { count: deaths, while_waiting: silent }).await?;
        }
        Ok(())
    }

    /// Admits others, because the event waits long for an answer or for its organization.
    pub(super) async fn leave_quarantine(&mut self) -> Result<(), StoreError> {
        if self.isolation.is_none() {
            return Ok(());
        }
        info!(event_id = %self.event.key.event_id, "a quarantined event is waiting; processing other events meanwhile");
        if let Phase::Quarantined { waiting, .. } = &mut self.record.phase {
            *waiting = true;
        }
        self.persist().await?;
        self.isolation = None;
        Ok(())
    }

    fn quarantined(&self, deaths: Deaths, waiting: bool) -> Phase {
        Phase::Quarantined { life: self.worker.life, deaths: deaths.count, waiting, silent: deaths.while_waiting }
    }
}

fn poison(step: StepName, deaths: Deaths) -> Fault {
    let message =
        format!("the worker died about {} times with this event in flight", deaths.count.max(deaths.while_waiting));
    Fault {
        advice:
            "Check how the process ended (the end of its log, the system's log, out of memory) and report it, then replay \
                 the event with a fixed version."
                .to_owned(),
        ..Fault::unanswered(step, Remedy::GiveUp, message)
    }
}
