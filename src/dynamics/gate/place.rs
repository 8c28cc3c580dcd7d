//! A place among the requests under way, and what its end means for the gate.

use std::sync::Arc;
use std::time::Instant;

use handoffd_engine::workflow::{Fault, StepName};

use super::super::blockade::{Change, Tried};
use super::Gate;

/// A place among the requests under way. Dropping it frees it, whatever became of the request.
pub(in crate::dynamics) struct Place {
    pub(super) gate: Arc<Gate>,
    pub(super) began: Instant,
    pub(super) left: bool,
    pub(super) trial: Option<Trial>,
}

/// Held by the one who tries a step that was refused. Dropped without an answer, somebody else may try later.
pub(super) struct Trial {
    pub(super) gate: Arc<Gate>,
    pub(super) step: StepName,
    pub(super) over: bool,
}

/// End of a step's requests, as far as the gate is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::dynamics) enum Ended {
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

impl Place {
    /// Leaves, after a step that ended so.
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
