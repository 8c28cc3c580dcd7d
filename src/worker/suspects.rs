//! Events that may be what ends the process: carried one at a time, and written down as alone in hand before their first
//! request. A process that finds such a record of another life knows who was there when that one ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::drive::Drive;
use super::verdict::Verdict;
use super::{Worker, headers};
use crate::bus::Delivery;
use crate::machine::{ALONE, Fault, Phase, Reason, Record, Remedy, SUSPECT, Suspicion, Traces, rung, suspicion};
use crate::store::StoreError;

/// Longest silence of one that is on trial. What ends a process does so while it works on an answer, within milliseconds;
/// who waits longer for one than this waits like all others, and is not struck when something else ends the process.
const SILENCE: Duration = Duration::from_secs(1);
/// Suspects in hand at most; more of them wait in a retry queue, for here they would hold all of the prefetch.
const IN_HAND: usize = 32;

/// The suspects in hand, of which one is on trial.
pub(super) struct Suspects {
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

/// The place of the one on trial, who is alone as long as he keeps it.
#[derive(Debug)]
pub(super) struct Alone(#[allow(dead_code)] OwnedSemaphorePermit); // held, not looked at

impl Default for Suspects {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(IN_HAND)), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Suspects {
    /// Waits until it is alone; none when too many wait already, and when the worker stops.
    async fn turn(&self, stopping: &CancellationToken) -> Option<Alone> {
        let _place = self.places.try_acquire().ok()?;
        tokio::select! {
            biased;
            () = stopping.cancelled() => None,
            turn = self.turn.clone().acquire_owned() => turn.ok().map(Alone),
        }
    }
}

impl Worker {
    /// What the deaths of the process say of an event in hand.
    pub(super) fn suspicion(&self, delivery: &Delivery, known: Option<&Record>) -> Suspicion {
        let (told, deliveries) = (headers::past(&delivery.envelope).deaths, delivery.delivery_count);
        // After the broker's delivery limit, say, the store may still have it on trial.
        let comes_back = told > 0 || deliveries > 0;
        let of_this_life = |record: &&Record| headers::is_of_this_life(&delivery.envelope, record.first_seen);
        let phase = known.filter(|record| comes_back || of_this_life(record)).map(|record| &record.phase);
        suspicion(Traces { told, deliveries, phase, life: self.life })
    }
}

impl Drive<'_> {
    /// Where the event is a suspect: waits until it may be carried alone. A verdict when that is not now.
    pub(super) async fn stand_trial(&mut self, suspicion: Suspicion) -> Result<Option<Verdict>, StoreError> {
        match suspicion {
            Suspicion::None => Ok(None),
            Suspicion::Suspect(deaths) => self.go_alone(deaths).await,
            Suspicion::Struck(deaths) => {
                warn!(event_id = %self.event.key.event_id, deaths, "the worker died while it carried this event alone");
                // The longer the more often: what the worker has left in hand is carried meanwhile.
                let strikes = usize::try_from(deaths.saturating_sub(SUSPECT)).unwrap_or(usize::MAX);
                let rung = strikes.saturating_sub(1).min(self.worker.rules.policy.delays.len().saturating_sub(1));
                self.step_back(deaths, rung).await.map(Some)
            }
            Suspicion::Guilty(_) => {
                // This time it was not tried.
                self.record.attempts -= 1;
                let step = self.next_step();
                self.give_up(Reason::RetriesExhausted, killer(step)).await.map(Some)
            }
        }
    }

    async fn go_alone(&mut self, deaths: u32) -> Result<Option<Verdict>, StoreError> {
        let Some(alone) = self.worker.suspects.turn(&self.worker.stopping).await else {
            let soonest = rung(Duration::ZERO, &self.worker.rules.policy);
            return self.step_back(deaths, soonest).await.map(Some);
        };
        self.alone = Some(alone);
        self.record.phase = Phase::Quarantined { life: self.worker.life, deaths, waiting: false, silent: 0 };
        // On the disk before the first request, with the attempt.
        self.keep().await?;
        Ok(None)
    }

    /// Comes back from a retry queue, still a suspect.
    async fn step_back(&mut self, deaths: u32, rung: usize) -> Result<Verdict, StoreError> {
        self.record.attempts -= 1;
        self.deaths = deaths;
        self.later(rung, "suspected").await
    }

    /// Waits for this. One on trial is so no longer when it takes long, or when the worker is told to stop.
    pub(super) async fn observed<T>(&mut self, work: impl Future<Output = T>) -> Result<T, StoreError> {
        if self.alone.is_none() {
            return Ok(work.await);
        }
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = sleep(SILENCE) => {}
            () = self.worker.stopping.cancelled() => {}
        }
        info!(event_id = %self.event.key.event_id, "a suspect waits for an answer like all others: it is no longer on trial");
        self.record.phase = Phase::InHand;
        self.keep().await?;
        self.alone = None;
        Ok(work.await)
    }
}

fn killer(step: crate::machine::StepName) -> Fault {
    let message = format!("the worker died {ALONE} times while it carried this event alone");
    Fault {
        advice:
            "See how it ended (the end of its log, the system's log: out of memory?) and report it; replay the event \
                 with a version that mends it."
                .to_owned(),
        ..Fault::unanswered(step, Remedy::GiveUp, message)
    }
}
