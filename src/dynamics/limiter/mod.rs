//! Concurrency limiter of one organization.
//!
//! The limiter admits requests up to the current limit, queues the rest first come, first served, and rejects all while Dynamics
//! throttles the organization or the circuit breaker is open. Dataverse's limits apply to an application user, so all requests of
//! an organization share one limiter. It must never keep a request waiting for an organization that admits none: such requests
//! are rejected at once, because their events wait elsewhere.

pub(super) mod probing;
mod request_result;
mod start;
mod status;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use handoffd_engine::workflow::{Fault, StepName};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};

use super::aimd::Aimd;
use super::circuit_breaker::{BreakerChange, BreakerPermission, CircuitBreaker, TrialResult};

pub(super) use request_result::RequestResult;
pub(super) use start::LimiterStart;
pub use status::LimiterStatus;
pub(super) use status::{LimiterAvailability, Rejected};

/// Concurrency limiter of one organization.
pub(super) struct Limiter {
    state: Mutex<LimiterState>,
    /// Wakes tasks that wait for the organization to become available.
    changed: Notify,
}

struct LimiterState {
    aimd: Aimd,
    breaker: CircuitBreaker,
    shut_until: Option<Instant>,
    under_way: usize,
    /// Waiting requests, first come, first served.
    waiting: VecDeque<oneshot::Sender<Permit>>,
    /// True while a task probes the blocked organization.
    is_probed: bool,
    /// True while a due probe waits for a permit. The next free one is kept for it.
    probe_waits: bool,
    /// True once the organization has another limiter or was removed. It grants no permit then and reports no change.
    retired: bool,
    /// Limiter for the same organization with a changed file. Requests that are still under way here count there too.
    successor: Weak<Limiter>,
}

/// Permit to have a request under way. Dropping it releases it, even without a result.
pub(super) struct Permit {
    limiter: Arc<Limiter>,
    started: Instant,
    released: bool,
    trial: Option<StepTrial>,
}

/// Trial of a held step. If it is dropped without a result, another event may try later.
struct StepTrial {
    limiter: Arc<Limiter>,
    step: StepName,
    over: bool,
}

impl Limiter {
    /// Creates the limiter of a new organization.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Self::with(most, CircuitBreaker::default())
    }

    /// Waits for a permit to perform a step. Permits are granted in the order of the calls.
    pub(super) async fn acquire(self: &Arc<Self>, step: StepName) -> Result<Permit, Rejected> {
        loop {
            let (turn, tries) = {
                let now = Instant::now();
                let mut state = self.lock();
                state.admits(now)?;
                let tries = state.may_try(step, now)?;
                let is_free = state.waiting.is_empty() && state.has_place(now);
                (if is_free { Ok(self.permit(&mut state, now)) } else { Err(state.queue()) }, tries)
            };
            let trial = tries.then(|| StepTrial { limiter: self.clone(), step, over: false });
            let permit = match turn {
                Ok(permit) => Some(permit),
                // An error means that waiting requests were rejected. The organization may be available again already.
                Err(turn) => turn.await.ok(),
            };
            if let Some(mut permit) = permit {
                permit.trial = trial;
                return Ok(permit);
            }
        }
    }

    /// Returns the time to check a held step again, or `None` if the step is admitted.
    pub(super) fn held_until(&self, step: StepName, now: Instant) -> Option<Instant> {
        match self.lock().breaker.entry(step, now) {
            BreakerPermission::Free | BreakerPermission::Trial => None,
            BreakerPermission::Held(_, until) => Some(until),
        }
    }

    /// Returns the start of a step's hold, if the step is held while others are not.
    pub(super) fn held_since(&self, step: StepName, now: Instant) -> Option<Instant> {
        let state = self.lock();
        match state.breaker.entry(step, now) {
            BreakerPermission::Held(cause, _) if state.breaker.blocked().is_none() => Some(cause.since),
            _ => None,
        }
    }

    /// Completes at the next change of availability. Enable it before reading the state.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Signals a change outside the limiter, such as a pause.
    pub(super) fn notify(&self) {
        self.changed.notify_waiters();
    }

    /// Returns the availability of the organization.
    pub(super) fn availability(&self, now: Instant) -> LimiterAvailability {
        let state = self.lock();
        match (state.breaker.blocked(), state.wait(now)) {
            (Some(_), _) => LimiterAvailability::Blocked,
            (None, Some(_)) => LimiterAvailability::Throttled,
            (None, None) => LimiterAvailability::Open(state.aimd.room(now)),
        }
    }

    /// Returns the remaining time of a throttling.
    pub(super) fn throttled(&self, now: Instant) -> Option<Duration> {
        self.lock().wait(now)
    }

    /// Rejects all requests for `wait`. Returns true if requests were admitted until now.
    pub(super) fn throttle(&self, wait: Duration, now: Instant) -> bool {
        let mut state = self.lock();
        let was_open = state.wait(now).is_none();
        let until = now + wait;
        state.shut_until = Some(state.shut_until.map_or(until, |known| known.max(until)));
        if state.wait(now).is_some() {
            state.waiting.clear();
        }
        self.notify();
        was_open && !wait.is_zero() && !state.retired
    }

    /// Blocks the organization until a probe succeeds, for a fault that every step would meet.
    pub(super) fn block(&self, fault: &Fault, now: Instant) -> BreakerChange {
        let mut state = self.lock();
        let change = state.breaker.held(fault.step, fault, now, now);
        state.reject_waiting();
        self.notify();
        state.unless_retired(change)
    }

    /// Applies the concurrency that Dynamics recommends.
    pub(super) fn advise(&self, concurrency: usize) {
        self.lock().aimd.advise(concurrency);
    }

    /// Retires this limiter and returns the one for the same organization with a changed file.
    pub(super) fn succeeded_by(&self, most: usize, now: Instant) -> Arc<Self> {
        let mut state = self.lock();
        let next = Self::with(most, state.breaker.succeeding(now));
        next.lock().under_way = state.under_way;
        state.successor = Arc::downgrade(&next);
        self.retire_with(state);
        next
    }

    /// Retires the limiter of an organization that was removed, or that another worker owns.
    pub(super) fn retire(&self) {
        self.retire_with(self.lock());
    }

    fn retire_with(&self, mut state: MutexGuard<'_, LimiterState>) {
        state.retired = true;
        state.waiting.clear();
        self.notify();
    }

    /// Releases everything after a test that has passed.
    pub(super) fn clear(&self, now: Instant) -> BreakerChange {
        let mut state = self.lock();
        let change = state.breaker.clear(now);
        self.notify();
        state.unless_retired(change)
    }

    /// Returns a snapshot for lists and pages.
    pub(super) fn condition(&self, now: Instant) -> LimiterStatus {
        let state = self.lock();
        LimiterStatus {
            concurrency: state.aimd.places(now),
            under_way: state.under_way,
            wait: state.wait(now),
            cause: state.breaker.cause().cloned(),
        }
    }

    /// Creates the limiter of an organization that another worker owned.
    pub(super) fn taken_over(most: usize, start: LimiterStart, now: Instant) -> Arc<Self> {
        let breaker = start
            .blocked
            .map_or_else(CircuitBreaker::default, |(since, fault)| CircuitBreaker::blocked_since(&fault, since, now));
        Self::starting(Aimd::low(most, start.recommended), breaker, start.wait.map(|wait| now + wait))
    }

    /// Returns what the limiter of the next owner starts with.
    pub(super) fn handover(&self, now: Instant) -> LimiterStart {
        let state = self.lock();
        let blocked = state.breaker.blocked().map(|cause| (cause.since, (*cause.fault).clone()));
        LimiterStart { wait: state.wait(now), blocked, recommended: state.aimd.recommended() }
    }

    fn with(most: usize, breaker: CircuitBreaker) -> Arc<Self> {
        Self::starting(Aimd::new(most), breaker, None)
    }

    fn starting(aimd: Aimd, breaker: CircuitBreaker, shut_until: Option<Instant>) -> Arc<Self> {
        let state = LimiterState {
            aimd,
            breaker,
            shut_until,
            under_way: 0,
            waiting: VecDeque::new(),
            is_probed: false,
            probe_waits: false,
            retired: false,
            successor: Weak::new(),
        };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    fn permit(self: &Arc<Self>, state: &mut LimiterState, now: Instant) -> Permit {
        state.aimd.began(now);
        self.uncounted(state, now)
    }

    /// Creates a permit whose request tells nothing about the organization's speed.
    fn uncounted(self: &Arc<Self>, state: &mut LimiterState, now: Instant) -> Permit {
        state.under_way += 1;
        Permit { limiter: self.clone(), started: now, released: false, trial: None }
    }

    /// Releases a permit and grants what is free.
    fn free(self: &Arc<Self>, mut state: MutexGuard<'_, LimiterState>, now: Instant) {
        state.under_way = state.under_way.saturating_sub(1);
        let successor = state.successor.upgrade();
        self.grant(state, now);
        if let Some(next) = successor {
            next.free(next.lock(), now);
        }
    }

    /// Grants free permits to the waiting requests.
    fn grant(self: &Arc<Self>, mut state: MutexGuard<'_, LimiterState>, now: Instant) {
        while state.admits(now).is_ok() && state.has_place(now) {
            let Some(next) = state.waiting.pop_front() else { break };
            if let Err(mut unwanted) = next.send(self.permit(&mut state, now)) {
                // The waiting request was dropped. Marking the permit prevents its destructor from calling this function again.
                unwanted.released = true;
                state.under_way -= 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, LimiterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LimiterState {
    /// Checks whether the organization admits requests at all.
    fn admits(&self, now: Instant) -> Result<(), Rejected> {
        if self.retired {
            return Err(Rejected::Retired);
        }
        if let Some(cause) = self.breaker.blocked() {
            return Err(Rejected::Blocked(cause.clone()));
        }
        self.wait(now).map_or(Ok(()), |wait| Err(Rejected::Throttled(wait)))
    }

    /// Checks whether the step is admitted. Returns true if the request is the trial of a held step.
    fn may_try(&mut self, step: StepName, now: Instant) -> Result<bool, Rejected> {
        match self.breaker.entry(step, now) {
            BreakerPermission::Free => Ok(false),
            BreakerPermission::Held(cause, _) => Err(Rejected::Held(cause)),
            BreakerPermission::Trial => {
                self.breaker.begin_trial(step);
                Ok(true)
            }
        }
    }

    fn has_place(&self, now: Instant) -> bool {
        self.under_way + usize::from(self.probe_waits) < self.aimd.places(now)
    }

    /// Rejects all waiting requests if the organization is blocked.
    fn reject_waiting(&mut self) {
        if self.breaker.blocked().is_some() {
            self.waiting.clear();
        }
    }

    /// Returns the remaining time of a throttling.
    fn wait(&self, now: Instant) -> Option<Duration> {
        self.shut_until.map(|until| until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    fn queue(&mut self) -> oneshot::Receiver<Permit> {
        let (next, turn) = oneshot::channel();
        self.waiting.push_back(next);
        turn
    }

    fn unless_retired(&self, change: BreakerChange) -> BreakerChange {
        if self.retired { BreakerChange::None } else { change }
    }
}

impl Permit {
    /// Releases the permit and records the result of the step.
    pub(super) fn release(mut self, step: StepName, ended: RequestResult, held: Option<&Fault>) -> BreakerChange {
        let now = Instant::now();
        self.released = true;
        let mut state = self.limiter.lock();
        let (began, under_way) = (self.started, state.under_way);
        match ended {
            RequestResult::Answered => state.aimd.answered(began, under_way, now),
            RequestResult::Failed => state.aimd.failed(began, under_way, now),
            RequestResult::Throttled => state.aimd.throttled(began, under_way, now),
            RequestResult::Silent => state.aimd.unanswered(began, now),
            RequestResult::Broken => {}
        }
        let tries = self.trial.take().map(|mut trial| std::mem::replace(&mut trial.over, true)).is_some();
        let change = match (held, ended) {
            (held, _) if tries => state.breaker.finish_trial(step, ended.of_trial(held), now),
            (Some(fault), _) => state.breaker.held(step, fault, began, now),
            (None, _) => BreakerChange::None,
        };
        state.reject_waiting();
        if tries || !matches!(change, BreakerChange::None) {
            self.limiter.notify();
        }
        let change = state.unless_retired(change);
        self.limiter.free(state, now);
        change
    }
}

impl Drop for StepTrial {
    fn drop(&mut self) {
        if !self.over {
            self.limiter.lock().breaker.finish_trial(self.step, TrialResult::Unknown, Instant::now());
            self.limiter.notify();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.released {
            self.released = true;
            self.limiter.free(self.limiter.lock(), Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
