//! One organization's gate: who enters now, who waits in line, and when nobody enters at all. Dataverse's limits count per
//! application user, so all senders share it.

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

/// Why somebody may not enter.
#[derive(Debug)]
pub(super) enum Turned {
    /// Dynamics has told the organization to wait so long.
    Throttled(Duration),
    /// The organization is misconfigured.
    Blocked(Cause),
    /// The organization's setup refuses this step, and no other.
    Held(Cause),
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
        Self::with(most, Blockade::default())
    }

    /// A place among the requests under way for a step, in the order of asking.
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
                // An error: the gate shut while it waited. It may be open again already.
                Err(turn) => turn.await.ok(),
            };
            if let Some(mut place) = place {
                place.trial = trial;
                return Ok(place);
            }
        }
    }

    /// When it is worth another look whether a step may be entered; none when it may.
    pub(super) fn held_until(&self, step: StepName, now: Instant) -> Option<Instant> {
        match self.lock().blockade.entry(step, now) {
            Entry::Free | Entry::Trial => None,
            Entry::Held(_, until) => Some(until),
        }
    }

    /// Since when a step is held, while others are not; none when it is not.
    pub(super) fn held_since(&self, step: StepName, now: Instant) -> Option<Instant> {
        let state = self.lock();
        match state.blockade.entry(step, now) {
            Entry::Held(cause, _) if state.blockade.blocked().is_none() => Some(cause.since),
            _ => None,
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
        match (state.blockade.blocked(), state.wait(now)) {
            (Some(_), _) => Stand::Blocked,
            (None, Some(_)) => Stand::Throttled,
            (None, None) => Stand::Open(state.pace.room(now)),
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
        let change = state.blockade.held(fault.step, fault, now, now);
        state.send_away();
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
            None => state.blockade.unanswered(now),
        };
        state.send_away();
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
        Place { gate: self.clone(), began: now, left: false, trial: None }
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
        if let Some(cause) = self.blockade.blocked() {
            return Err(Turned::Blocked(cause.clone()));
        }
        self.wait(now).map_or(Ok(()), |wait| Err(Turned::Throttled(wait)))
    }

    /// True when the one who enters for a step goes to try it.
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

    /// Sends away all that wait in line, where the organization is blocked.
    fn send_away(&mut self) {
        if self.blockade.blocked().is_some() {
            self.line.clear();
        }
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

#[cfg(test)]
mod tests;
