//! Concurrency limiter of one organization.
//!
//! The limiter admits requests up to the current limit, queues the rest first come, first served, and rejects all while Dynamics
//! throttles the organization or the circuit breaker is open. Dataverse's limits apply to an application user, so all requests of
//! an organization share one limiter. It must never keep a request waiting for an organization that admits none: such requests
//! are rejected at once, because their events wait elsewhere.

mod place;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handoffd_engine::workflow::{Fault, StepName};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};

use super::blockade::{Blockade, Cause, Change, Entry};
use super::pace::Pace;

use place::Trial;
pub(super) use place::{Ended, Place};

/// Concurrency limiter of one organization.
pub(super) struct Gate {
    state: Mutex<State>,
    /// Wakes tasks that wait for the organization to become available.
    changed: Notify,
}

struct State {
    pace: Pace,
    blockade: Blockade,
    shut_until: Option<Instant>,
    under_way: usize,
    /// Waiting requests, first come, first served.
    line: VecDeque<oneshot::Sender<Place>>,
    /// True while a task probes the blocked organization.
    attended: bool,
    /// True once the organization has another limiter or was removed. Later changes are not reported.
    retired: bool,
}

/// Rejection of a request.
#[derive(Debug)]
pub(super) enum Turned {
    /// Dynamics throttles the organization for this long.
    Throttled(Duration),
    /// The organization is misconfigured.
    Blocked(Cause),
    /// The organization's setup refuses this step alone.
    Held(Cause),
}

/// Availability of the organization.
#[derive(Clone, Debug)]
pub(super) enum Stand {
    /// Requests are admitted. Holds the number of events worth having in flight.
    Open(usize),
    /// No request is admitted until the throttling ends.
    Throttled,
    /// No request is admitted until a probe succeeds.
    Blocked,
}

/// Snapshot of a limiter.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// Limit of concurrent requests.
    pub(super) places: usize,
    /// Number of requests under way.
    pub(super) under_way: usize,
    /// Remaining time of a throttling.
    pub(super) wait: Option<Duration>,
    /// Reason of the block or hold, if any.
    pub(super) cause: Option<Cause>,
}

/// Next action of the task that probes a blocked organization.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// Send a probe.
    Now,
    /// Check again later.
    Later,
    /// Stop: the organization is available again or was removed.
    Done,
}

impl Gate {
    /// Creates the limiter of a new organization.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Self::with(most, Blockade::default())
    }

    /// Waits for a permit to perform a step. Permits are granted in the order of the calls.
    pub(super) async fn enter(self: &Arc<Self>, step: StepName) -> Result<Place, Turned> {
        loop {
            let (turn, tries) = {
                let now = Instant::now();
                let mut state = self.lock();
                state.admits(now)?;
                let tries = state.may_try(step, now)?;
                let is_free = state.line.is_empty() && state.has_place(now);
                (if is_free { Ok(self.place(&mut state, now)) } else { Err(state.queue()) }, tries)
            };
            let trial = tries.then(|| Trial { gate: self.clone(), step, over: false });
            let place = match turn {
                Ok(place) => Some(place),
                // An error means that waiting requests were rejected. The organization may be available again already.
                Err(turn) => turn.await.ok(),
            };
            if let Some(mut place) = place {
                place.trial = trial;
                return Ok(place);
            }
        }
    }

    /// Returns the time to check a held step again, or `None` if the step is admitted.
    pub(super) fn held_until(&self, step: StepName, now: Instant) -> Option<Instant> {
        match self.lock().blockade.entry(step, now) {
            Entry::Free | Entry::Trial => None,
            Entry::Held(_, until) => Some(until),
        }
    }

    /// Returns the start of a step's hold, if the step is held while others are not.
    pub(super) fn held_since(&self, step: StepName, now: Instant) -> Option<Instant> {
        let state = self.lock();
        match state.blockade.entry(step, now) {
            Entry::Held(cause, _) if state.blockade.blocked().is_none() => Some(cause.since),
            _ => None,
        }
    }

    /// Completes at the next change of availability. Enable it before reading the state.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Signals a change outside the limiter, such as a pause.
    pub(super) fn touch(&self) {
        self.changed.notify_waiters();
    }

    /// Returns the availability of the organization.
    pub(super) fn stand(&self, now: Instant) -> Stand {
        let state = self.lock();
        match (state.blockade.blocked(), state.wait(now)) {
            (Some(_), _) => Stand::Blocked,
            (None, Some(_)) => Stand::Throttled,
            (None, None) => Stand::Open(state.pace.room(now)),
        }
    }

    /// Rejects all requests for `wait`. Returns true if requests were admitted until now.
    pub(super) fn shut(&self, wait: Duration, now: Instant) -> bool {
        let mut state = self.lock();
        let was_open = state.wait(now).is_none();
        let until = now + wait;
        state.shut_until = Some(state.shut_until.map_or(until, |known| known.max(until)));
        if state.wait(now).is_some() {
            state.line.clear();
        }
        self.touch();
        was_open && !wait.is_zero() && !state.retired
    }

    /// Blocks the organization until a probe succeeds, for a fault that every step would meet.
    pub(super) fn hold(&self, fault: &Fault, now: Instant) -> Change {
        let mut state = self.lock();
        let change = state.blockade.held(fault.step, fault, now, now);
        state.send_away();
        self.touch();
        state.told(change)
    }

    /// Applies the concurrency that Dynamics recommends.
    pub(super) fn advise(&self, concurrency: usize) {
        self.lock().pace.advise(concurrency);
    }

    /// Retires this limiter and returns the one for the same organization with a changed file.
    pub(super) fn succeeded_by(&self, most: usize, now: Instant) -> Arc<Self> {
        let mut state = self.lock();
        state.retired = true;
        self.touch();
        Self::with(most, state.blockade.succeeding(now))
    }

    /// Retires the limiter of a removed organization.
    pub(super) fn retire(&self) {
        self.lock().retired = true;
        self.touch();
    }

    /// Assigns the probing of a blocked organization to the caller. Returns false if none is needed or another task is probing.
    pub(super) fn attend(&self) -> bool {
        let mut state = self.lock();
        let needed = !state.attended && !state.retired && state.blockade.cause().is_some();
        state.attended |= needed;
        needed
    }

    /// Returns the next action of the probing task. [`Look::Done`] ends the assignment.
    pub(super) fn look(&self, now: Instant) -> (Look, Change) {
        let mut state = self.lock();
        let change = state.blockade.passes(now);
        if !matches!(change, Change::Same) {
            self.touch();
        }
        if state.retired || state.blockade.cause().is_none() {
            state.attended = false;
            return (Look::Done, state.told(change));
        }
        let due = state.blockade.due().is_some_and(|due| due <= now) && state.wait(now).is_none();
        (if due { Look::Now } else { Look::Later }, state.told(change))
    }

    /// Records the result of a probe: success, a fault of the setup, or `None` for an inconclusive answer.
    pub(super) fn probed(&self, found: Option<&Result<(), Fault>>, now: Instant) -> Change {
        let mut state = self.lock();
        let change = match found {
            Some(Ok(())) => state.blockade.passed(now),
            Some(Err(fault)) => state.blockade.refused(fault, now),
            None => state.blockade.unanswered(now),
        };
        state.send_away();
        self.touch();
        state.told(change)
    }

    /// Returns a snapshot for lists and pages.
    pub(super) fn condition(&self, now: Instant) -> Reading {
        let state = self.lock();
        Reading {
            places: state.pace.places(now),
            under_way: state.under_way,
            wait: state.wait(now),
            cause: state.blockade.cause().cloned(),
        }
    }

    fn with(most: usize, blockade: Blockade) -> Arc<Self> {
        let state = State {
            pace: Pace::new(most),
            blockade,
            shut_until: None,
            under_way: 0,
            line: VecDeque::new(),
            attended: false,
            retired: false,
        };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    fn place(self: &Arc<Self>, state: &mut State, now: Instant) -> Place {
        state.under_way += 1;
        state.pace.began(now);
        Place { gate: self.clone(), began: now, left: false, trial: None }
    }

    /// Releases a permit and grants free permits to the waiting requests.
    fn free(self: &Arc<Self>, mut state: MutexGuard<'_, State>, now: Instant) {
        state.under_way = state.under_way.saturating_sub(1);
        while state.admits(now).is_ok() && state.has_place(now) {
            let Some(next) = state.line.pop_front() else { break };
            if let Err(mut unwanted) = next.send(self.place(&mut state, now)) {
                // The waiting request was dropped. Marking the permit prevents its destructor from calling this function again.
                unwanted.left = true;
                state.under_way -= 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Checks whether the organization admits requests at all.
    fn admits(&self, now: Instant) -> Result<(), Turned> {
        if let Some(cause) = self.blockade.blocked() {
            return Err(Turned::Blocked(cause.clone()));
        }
        self.wait(now).map_or(Ok(()), |wait| Err(Turned::Throttled(wait)))
    }

    /// Checks whether the step is admitted. Returns true if the request is the trial of a held step.
    fn may_try(&mut self, step: StepName, now: Instant) -> Result<bool, Turned> {
        match self.blockade.entry(step, now) {
            Entry::Free => Ok(false),
            Entry::Held(cause, _) => Err(Turned::Held(cause)),
            Entry::Trial => {
                self.blockade.tries(step);
                Ok(true)
            }
        }
    }

    fn has_place(&self, now: Instant) -> bool {
        self.under_way < self.pace.places(now)
    }

    /// Rejects all waiting requests if the organization is blocked.
    fn send_away(&mut self) {
        if self.blockade.blocked().is_some() {
            self.line.clear();
        }
    }

    /// Returns the remaining time of a throttling.
    fn wait(&self, now: Instant) -> Option<Duration> {
        self.shut_until.map(|until| until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    fn queue(&mut self) -> oneshot::Receiver<Place> {
        let (next, turn) = oneshot::channel();
        self.line.push_back(next);
        turn
    }

    fn told(&self, change: Change) -> Change {
        if self.retired { Change::Same } else { change }
    }
}

#[cfg(test)]
mod tests;
