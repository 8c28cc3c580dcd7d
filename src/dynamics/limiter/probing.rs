//! Turns and results of the probes of a blocked organization.

use std::sync::Arc;
use std::time::Instant;

use handoffd_engine::workflow::Fault;

use super::{Limiter, LimiterState, Permit};
use crate::dynamics::circuit_breaker::BreakerChange;

/// Next action of the task that probes a blocked organization.
pub(in crate::dynamics) enum ProbeTurn {
    /// Send a probe, with this permit.
    Now(Permit),
    /// Check again later: no probe is due, or no permit is free.
    Later,
    /// Stop: the organization is available again or was removed.
    Done,
}

impl Limiter {
    /// Assigns the probing of a blocked organization to the caller. Returns false if none is needed or another task is probing.
    pub(in crate::dynamics) fn claim_probing(&self) -> bool {
        let mut state = self.lock();
        let needed = !state.is_probed && !state.retired && state.breaker.cause().is_some();
        state.is_probed |= needed;
        needed
    }

    /// Returns the next action of the probing task. [`ProbeTurn::Done`] ends the assignment. A due probe gets a permit before
    /// the waiting requests: steps that are not held may keep all of them busy.
    pub(in crate::dynamics) fn next_probe(self: &Arc<Self>, now: Instant) -> (ProbeTurn, BreakerChange) {
        let mut state = self.lock();
        state.probe_waits = false;
        let (turn, change) = self.probe_turn(&mut state, now);
        let change = state.unless_retired(change);
        self.grant(state, now);
        (turn, change)
    }

    fn probe_turn(self: &Arc<Self>, state: &mut LimiterState, now: Instant) -> (ProbeTurn, BreakerChange) {
        let change = state.breaker.release_untried(now);
        if !matches!(change, BreakerChange::None) {
            self.notify();
        }
        if state.retired || state.breaker.cause().is_none() {
            state.is_probed = false;
            return (ProbeTurn::Done, change);
        }
        let is_due = state.breaker.due().is_some_and(|due| due <= now) && state.wait(now).is_none();
        let has_place = state.has_place(now);
        state.probe_waits = is_due && !has_place;
        let turn = if is_due && has_place { ProbeTurn::Now(self.uncounted(state, now)) } else { ProbeTurn::Later };
        (turn, change)
    }

    /// Records the result of a probe: success, a fault of the setup, or `None` for an inconclusive answer.
    pub(in crate::dynamics) fn probed(&self, found: Option<&Result<(), Fault>>, now: Instant) -> BreakerChange {
        let mut state = self.lock();
        let change = match found {
            Some(Ok(())) => state.breaker.probe_succeeded(now),
            Some(Err(fault)) => state.breaker.probe_refused(fault, now),
            None => state.breaker.probe_inconclusive(now),
        };
        state.reject_waiting();
        self.notify();
        state.unless_retired(change)
    }
}
