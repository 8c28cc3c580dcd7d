//! Poison messages: an event that ends the process (out of memory, a stack overflow, an abort) comes again with all others that
//! were in flight, and would do so for ever.
//!
//! A message that the broker delivers again is written down as quarantined before its first call, with the number of deaths that it has
//! seen. A process that finds a record quarantined by an earlier one counts one more: the event was in flight when that one died.
//! So were a few others, so from the second death on quarantined events are carried one at a time: then a death is this
//! event's own, and its neighbours, which wait, count none. Whoever gets an answer, or waits long for one, lets the next one in.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, sleep_until};
use tracing::{info, warn};

use super::HOLD;
use super::attempt::Attempt;
use super::settlement::Settlement;
use crate::ports::store::StoreError;
use crate::workflow::{Deaths, Fault, Phase, Reason, Remedy, StepName};

/// Longest time without an answer that a quarantined event keeps others out. What ends a process mostly does so while it
/// works on an answer, within milliseconds; one that waits longer says little when the process dies meanwhile.
const SILENCE: Duration = Duration::from_secs(1);

/// The place of the one quarantined event that is carried alone.
pub(super) struct Quarantine(Arc<Semaphore>);

impl Default for Quarantine {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// Held while a quarantined event is carried.
pub(super) struct Isolation {
    /// None while few deaths speak against it: others are carried beside it.
    _alone: Option<OwnedSemaphorePermit>,
}

impl Attempt<'_> {
    /// Writes a redelivered event down before its first call. A settlement when it is given up, or can't be begun now.
    pub(super) async fn enter_quarantine(&mut self, deaths: Deaths) -> Result<Option<Settlement>, StoreError> {
        if deaths.is_poison() {
            // This time it was not tried.
            self.record.attempts -= 1;
            self.record.poison = true;
            let step = self.next_step();
            return self.give_up(Reason::RetriesExhausted, poison(step, deaths)).await.map(Some);
        }
        if !self.isolate(deaths).await? {
            return Ok(Some(Settlement::GiveBack));
        }
        if deaths.is_alone() {
            warn!(event_id = %self.event.key.event_id, deaths = deaths.count, "carries an event alone that was in flight when the process died");
        }
        Ok(None)
    }

    /// Waits until it may be carried, and writes it down: on the disk before the next request. False when it can't be carried now.
    async fn isolate(&mut self, deaths: Deaths) -> Result<bool, StoreError> {
        let alone = if deaths.is_alone() {
            let turn = self.worker.quarantine.0.clone().acquire_owned();
            tokio::select! {
                biased;
                () = self.worker.stopping.cancelled() => return Ok(false),
                () = self.arrival.delivery.lost.cancelled() => return Ok(false),
                () = sleep_until(self.arrival.delivery.received + HOLD) => return Ok(false),
                turn = turn => turn.ok(),
            }
        } else {
            None
        };
        self.isolation = Some(Isolation { _alone: alone });
        self.record.phase = self.quarantined(deaths, false);
        self.keep().await?;
        Ok(true)
    }

    /// Waits for this. A quarantined event for which it takes long, or whose worker stops, keeps nobody out any more.
    pub(super) async fn observed<T>(&mut self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        if self.isolation.is_none() {
            return Ok(work.await);
        }
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = sleep(SILENCE) => {}
            () = self.worker.stopping.cancelled() => {}
        }
        self.leave_quarantine().await?;
        let done = work.await;
        self.return_to_quarantine().await?;
        Ok(done)
    }

    /// The wait is over: from here on a death is its own again. Not where the worker stops, or its connection is gone.
    pub(super) async fn return_to_quarantine(&mut self) -> Result<(), StoreError> {
        if let Phase::Quarantined { deaths, silent, waiting: true, .. } = self.record.phase {
            self.isolate(Deaths { count: deaths, silent }).await?;
        }
        Ok(())
    }

    /// Lets others in: it waits long, for an answer or for its organization.
    pub(super) async fn leave_quarantine(&mut self) -> Result<(), StoreError> {
        if self.isolation.is_none() {
            return Ok(());
        }
        info!(event_id = %self.event.key.event_id, "a quarantined event waits; others are carried meanwhile");
        if let Phase::Quarantined { waiting, .. } = &mut self.record.phase {
            *waiting = true;
        }
        self.keep().await?;
        self.isolation = None;
        Ok(())
    }

    fn quarantined(&self, deaths: Deaths, waiting: bool) -> Phase {
        Phase::Quarantined { life: self.worker.life, deaths: deaths.count, waiting, silent: deaths.silent }
    }
}

fn poison(step: StepName, deaths: Deaths) -> Fault {
    let message = format!("the worker died about {} times with this event in flight", deaths.count.max(deaths.silent));
    Fault {
        advice:
            "See how it ended (the end of its log, the system's log: out of memory?) and report it; replay the event \
                 with a version that is fixed."
                .to_owned(),
        ..Fault::unanswered(step, Remedy::GiveUp, message)
    }
}
