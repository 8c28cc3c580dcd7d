//! One organization's gate: who enters now, who waits in line, and when nobody enters at all. Dataverse's limits count per
//! application user, so all senders share it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};

use super::blockade::{Blockade, Cause, Change};
use super::pace::Pace;
use crate::machine::{Fault, StepName};

/// One organization's gate.
pub(super) struct Gate {
    state: Mutex<State>,
    /// Wakes whoever waits for the organization to become available.
    changed: Notify,
}

struct State {
    pace: Pace,
    blockade: Blockade,
    shut_until: Option<Instant>,
    under_way: usize,
    /// First come, first served.
    line: VecDeque<oneshot::Sender<Place>>,
    /// Somebody looks whether it is blocked no longer.
    attended: bool,
    /// Its organization has another gate now, or is gone: what happens here is of no interest any more.
    retired: bool,
}

/// A place among the requests under way. Dropping it frees it, whatever became of the request.
pub(super) struct Place {
    gate: Arc<Gate>,
    began: Instant,
    left: bool,
}

/// Why somebody may not enter.
#[derive(Debug)]
pub(super) enum Turned {
    /// Dynamics has told the organization to wait so long.
    Throttled(Duration),
    /// The organization is misconfigured.
    Blocked(Cause),
}

/// How a step's requests ended, as far as the gate is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// Answered, and all is well.
    Answered,
    /// Answered with trouble that has nothing to do with the load: a 500.
    Failed,
    /// Told to wait.
    Throttled,
    /// No answer in time.
    Silent,
    /// No connection, or a broken one.
    Broken,
}

/// How a gate stands.
#[derive(Clone, Debug)]
pub(super) enum Stand {
    /// So many events are worth having in hand.
    Open(usize),
    /// Shut for a while.
    Throttled,
    /// Shut until a probe passes.
    Blocked,
}

/// How a gate fares.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// How many requests may be under way.
    pub(super) places: usize,
    /// How many are.
    pub(super) under_way: usize,
    /// How long Dynamics wants none.
    pub(super) wait: Option<Duration>,
    /// Why it is blocked, when it is.
    pub(super) cause: Option<Cause>,
}

/// What whoever looks after a blocked organization has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// Ask it.
    Now,
    /// Look again later.
    Later,
    /// It is open, or gone.
    Done,
}

impl Gate {
    /// The gate of an organization that nothing is known of.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Self::with(most, Blockade::new())
    }

    /// A place among the requests under way, in the order of asking.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Place, Turned> {
        loop {
            let turn = {
                let now = Instant::now();
                let mut state = self.lock();
                state.admits(now)?;
                if state.line.is_empty() && state.has_place(now) {
                    return Ok(self.place(&mut state, now));
                }
                state.queue()
            };
            // An error: the gate shut while it waited. It may be open again already.
            if let Ok(place) = turn.await {
                return Ok(place);
            }
        }
    }

    /// Completes at the next change of whether anybody may enter; enable it before looking.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Says that something has changed which the gate itself does not see: a pause.
    pub(super) fn touch(&self) {
        self.changed.notify_waiters();
    }

    /// How it stands.
    pub(super) fn stand(&self, now: Instant) -> Stand {
        let state = self.lock();
        match (&state.blockade, state.wait(now)) {
            (Blockade::Waiting(..), _) => Stand::Blocked,
            (_, Some(_)) => Stand::Throttled,
            (Blockade::Trying(..), None) => Stand::Open(1),
            (Blockade::Open { .. }, None) => Stand::Open(state.pace.room(now)),
        }
    }

    /// Nobody enters for so long. True when it was open until now.
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

    /// Nobody enters until a probe passes: it is known beforehand that every step would meet this fault.
    pub(super) fn hold(&self, fault: &Fault, now: Instant) -> Change {
        let mut state = self.lock();
        let change = state.blockade.held(fault, now, now);
        if matches!(state.blockade, Blockade::Waiting(..)) {
            state.line.clear();
        }
        self.touch();
        state.told(change)
    }

    /// Takes Dynamics' advice on how many requests at once it likes.
    pub(super) fn advise(&self, concurrency: usize) {
        self.lock().pace.advise(concurrency);
    }

    /// The gate of the same organization with another file; this one is of no interest from now on.
    pub(super) fn succeeded_by(&self, most: usize, now: Instant) -> Arc<Self> {
        let mut state = self.lock();
        state.retired = true;
        self.touch();
        Self::with(most, state.blockade.succeeding(now))
    }

    /// The organization is gone.
    pub(super) fn retire(&self) {
        self.lock().retired = true;
        self.touch();
    }

    /// Takes it upon the caller to look after a blocked organization; false when it is open, or somebody does already.
    pub(super) fn attend(&self) -> bool {
        let mut state = self.lock();
        let needed = !state.attended && !state.retired && state.blockade.cause().is_some();
        state.attended |= needed;
        needed
    }

    /// What whoever attends has to do now. After [`Look::Done`] nobody attends.
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

    /// What a probe came back with: nothing against the organization, a fault of its setup, or no telling answer.
    pub(super) fn probed(&self, found: Option<&Result<(), Fault>>, now: Instant) -> Change {
        let mut state = self.lock();
        let change = match found {
            Some(Ok(())) => state.blockade.passed(now),
            Some(Err(fault)) => state.blockade.refused(fault, now),
            None => {
                state.blockade.unanswered(now);
                Change::Same
            }
        };
        self.touch();
        state.told(change)
    }

    /// How it fares, for lists and pages.
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
        Place { gate: self.clone(), began: now, left: false }
    }

    /// Frees a place, and gives what is free to whoever is next.
    fn free(self: &Arc<Self>, mut state: MutexGuard<'_, State>, now: Instant) {
        state.under_way = state.under_way.saturating_sub(1);
        while state.admits(now).is_ok() && state.has_place(now) {
            let Some(next) = state.line.pop_front() else { break };
            if let Err(mut unwanted) = next.send(self.place(&mut state, now)) {
                // It went away in the meantime. Left, so that dropping it does not come here again.
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
    /// Whether anybody may enter at all.
    fn admits(&self, now: Instant) -> Result<(), Turned> {
        match &self.blockade {
            Blockade::Open { .. } | Blockade::Trying(..) => {}
            Blockade::Waiting(cause, _) => return Err(Turned::Blocked(cause.clone())),
        }
        self.wait(now).map_or(Ok(()), |wait| Err(Turned::Throttled(wait)))
    }

    fn has_place(&self, now: Instant) -> bool {
        let places = if matches!(self.blockade, Blockade::Trying(..)) { 1 } else { self.pace.places(now) };
        self.under_way < places
    }

    /// How long nobody may enter.
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

impl Place {
    /// Leaves, after a step that ended so.
    pub(super) fn leave(mut self, step: StepName, ended: Ended, held: Option<&Fault>) -> Change {
        let now = Instant::now();
        self.left = true;
        let mut state = self.gate.lock();
        let (began, under_way) = (self.began, state.under_way);
        match ended {
            Ended::Answered => state.pace.answered(began, under_way, now),
            Ended::Failed => state.pace.failed(began, under_way, now),
            Ended::Throttled => state.pace.throttled(began, under_way, now),
            Ended::Silent => state.pace.unanswered(began, now),
            Ended::Broken => {}
        }
        let change = match (held, ended) {
            (Some(fault), _) => state.blockade.held(fault, began, now),
            (None, Ended::Answered) => state.blockade.answered(step, began, now),
            (None, _) => Change::Same,
        };
        if matches!(state.blockade, Blockade::Waiting(..)) {
            state.line.clear();
        }
        if !matches!(change, Change::Same) {
            self.gate.touch();
        }
        let change = state.told(change);
        self.gate.free(state, now);
        change
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.left {
            self.left = true;
            self.gate.free(self.gate.lock(), Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
