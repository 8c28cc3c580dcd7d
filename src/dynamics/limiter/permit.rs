//! Permit of a request, and the effect of its release on the limiter.

use std::sync::Arc;
use std::time::Instant;

use handoffd_engine::workflow::{Fault, StepName};

use super::super::circuit_breaker::{BreakerChange, TrialResult};
use super::Limiter;

/// Permit to have a request under way. Dropping it releases it, even without a result.
pub(in crate::dynamics) struct Permit {
    pub(super) gate: Arc<Limiter>,
    pub(super) started: Instant,
    pub(super) released: bool,
    pub(super) trial: Option<StepTrial>,
}

/// Trial of a held step. If it is dropped without a result, another event may try later.
pub(super) struct StepTrial {
    pub(super) gate: Arc<Limiter>,
    pub(super) step: StepName,
    pub(super) over: bool,
}

/// Result of a step's requests, as the limiter sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::dynamics) enum RequestResult {
    /// Answered, without a sign of overload.
    Answered,
    /// Answered with a failure unrelated to load, such as a 500.
    Failed,
    /// Throttled.
    Throttled,
    /// No answer within the time-out.
    Silent,
    /// No connection, or a broken one.
    Broken,
}

impl Permit {
    /// Releases the permit and records the result of the step.
    pub(in crate::dynamics) fn release(
        mut self,
        step: StepName,
        ended: RequestResult,
        held: Option<&Fault>,
    ) -> BreakerChange {
        let now = Instant::now();
        self.released = true;
        let mut state = self.gate.lock();
        let (began, under_way) = (self.started, state.under_way);
        match ended {
            RequestResult::Answered => state.pace.answered(began, under_way, now),
            RequestResult::Failed => state.pace.failed(began, under_way, now),
            RequestResult::Throttled => state.pace.throttled(began, under_way, now),
            RequestResult::Silent => state.pace.unanswered(began, now),
            RequestResult::Broken => {}
        }
        let tries = self.trial.take().map(|mut trial| std::mem::replace(&mut trial.over, true)).is_some();
        let change = match (held, ended) {
            (held, _) if tries => state.blockade.finish_trial(step, tried(held, ended), now),
            (Some(fault), _) => state.blockade.held(step, fault, began, now),
            (None, _) => BreakerChange::None,
        };
        state.reject_waiting();
        if tries || !matches!(change, BreakerChange::None) {
            self.gate.notify();
        }
        let change = state.unless_retired(change);
        self.gate.free(state, now);
        change
    }
}

fn tried(held: Option<&Fault>, ended: RequestResult) -> TrialResult<'_> {
    match (held, ended) {
        (Some(fault), _) => TrialResult::Refused(fault),
        (None, RequestResult::Answered) => TrialResult::Answered,
        (None, RequestResult::Failed | RequestResult::Throttled | RequestResult::Silent | RequestResult::Broken) => {
            TrialResult::Unknown
        }
    }
}

impl Drop for StepTrial {
    fn drop(&mut self) {
        if !self.over {
            self.gate.lock().blockade.finish_trial(self.step, TrialResult::Unknown, Instant::now());
            self.gate.notify();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.released {
            self.released = true;
            self.gate.free(self.gate.lock(), Instant::now());
        }
    }
}
