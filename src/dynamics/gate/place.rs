//! Permit of a request, and the effect of its release on the limiter.

use std::sync::Arc;
use std::time::Instant;

use handoffd_engine::workflow::{Fault, StepName};

use super::super::blockade::{Change, Tried};
use super::Gate;

/// Permit to have a request under way. Dropping it releases it, even without a result.
pub(in crate::dynamics) struct Place {
    pub(super) gate: Arc<Gate>,
    pub(super) began: Instant,
    pub(super) left: bool,
    pub(super) trial: Option<Trial>,
}

/// Trial of a held step. If it is dropped without a result, another event may try later.
pub(super) struct Trial {
    pub(super) gate: Arc<Gate>,
    pub(super) step: StepName,
    pub(super) over: bool,
}

/// Result of a step's requests, as the limiter sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::dynamics) enum Ended {
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

impl Place {
    /// Releases the permit and records the result of the step.
    pub(in crate::dynamics) fn leave(mut self, step: StepName, ended: Ended, held: Option<&Fault>) -> Change {
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
        let tries = self.trial.take().map(|mut trial| std::mem::replace(&mut trial.over, true)).is_some();
        let change = match (held, ended) {
            (held, _) if tries => state.blockade.tried(step, tried(held, ended), now),
            (Some(fault), _) => state.blockade.held(step, fault, began, now),
            (None, _) => Change::Same,
        };
        state.send_away();
        if tries || !matches!(change, Change::Same) {
            self.gate.touch();
        }
        let change = state.told(change);
        self.gate.free(state, now);
        change
    }
}

fn tried(held: Option<&Fault>, ended: Ended) -> Tried<'_> {
    match (held, ended) {
        (Some(fault), _) => Tried::Refused(fault),
        (None, Ended::Answered) => Tried::Answered,
        (None, Ended::Failed | Ended::Throttled | Ended::Silent | Ended::Broken) => Tried::Unknown,
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.over {
            self.gate.lock().blockade.tried(self.step, Tried::Unknown, Instant::now());
            self.gate.touch();
        }
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
