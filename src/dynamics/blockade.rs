//! An organization that is misconfigured: whether it is blocked, why, and when it is looked at again. Pure: time comes
//! in as an argument.
//!
//! Open → (a step is held) → Waiting → (a probe passes) → Trying, one request at a time → (the step that was held gets
//! an answer) → Open. A step that is held while trying leads back to Waiting, with a longer pause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::machine::{Fault, StepName};

/// Before the first probe (contract 5).
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause between probes (contract 5).
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// So long one request at a time is let through and waits for the step that was held; then nobody who needs it is left.
/// Longer than an event waits in any but the longest of the default retry queues.
const TRIAL: Duration = Duration::from_secs(900);

/// Whether an organization is blocked.
#[derive(Debug)]
pub(super) enum Blockade {
    /// It is not.
    Open {
        /// Since when, if it ever was. What was sent before tells of the time before.
        since: Option<Instant>,
    },
    /// Nobody enters; the next probe is due.
    Waiting(Cause, Instant),
    /// A probe passed: one request at a time enters, until the step that was held gets an answer.
    Trying(Cause, Instant),
}

/// Why an organization is blocked.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    /// Since when.
    pub(super) since: Instant,
    /// The fault of the step, or of the probe, that was held last.
    pub(super) fault: Arc<Fault>,
    /// The step whose answer shows that it is gone; none when any answer does. A refused token or an unknown
    /// application concerns every request, a missing privilege or table the step that met it.
    wanted: Option<StepName>,
    /// Before the next probe.
    pause: Duration,
}

/// What changed for those who watch.
#[derive(Debug)]
pub(super) enum Change {
    /// Nothing.
    Same,
    /// It is blocked now.
    Blocked(Arc<Fault>),
    /// It still is, for another reason.
    Otherwise(Arc<Fault>),
    /// It works again; so long it did not.
    Opened(Duration),
}

impl Blockade {
    /// An organization that nothing is known against.
    pub(super) fn new() -> Self {
        Self::Open { since: None }
    }

    /// The same organization with another file: looked at again at once. Pauses go on where they were.
    pub(super) fn succeeding(&self, now: Instant) -> Self {
        match self {
            Self::Open { .. } => Self::new(),
            Self::Waiting(cause, _) | Self::Trying(cause, _) => Self::Waiting(cause.clone(), now),
        }
    }

    /// Why nobody enters, or nobody but the one who tries; none while it is open.
    pub(super) fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Open { .. } => None,
            Self::Waiting(cause, _) | Self::Trying(cause, _) => Some(cause),
        }
    }

    /// A step that began then was held: its organization is misconfigured.
    pub(super) fn held(&mut self, fault: &Fault, began: Instant, now: Instant) -> Change {
        match self {
            Self::Open { since } if since.is_some_and(|since| began < since) => Change::Same,
            Self::Open { .. } => {
                let cause = Cause {
                    since: now,
                    fault: Arc::new(fault.clone()),
                    wanted: proof_against(fault),
                    pause: FIRST_PAUSE,
                };
                *self = Self::waiting(cause.clone(), now);
                Change::Blocked(cause.fault)
            }
            Self::Trying(cause, since) if began >= *since => {
                let cause = Cause { wanted: proof_against(fault), ..cause.clone() };
                self.wait_longer(&cause, fault, now)
            }
            Self::Waiting(..) | Self::Trying(..) => Change::Same,
        }
    }

    /// A step that began then was answered, with whatever is not the organization's setup.
    pub(super) fn answered(&mut self, step: StepName, began: Instant, now: Instant) -> Change {
        match self {
            Self::Trying(cause, since) if began >= *since && cause.is_disproved_by(Some(step)) => {
                let blocked_for = now.saturating_duration_since(cause.since);
                *self = Self::Open { since: Some(now) };
                Change::Opened(blocked_for)
            }
            _ => Change::Same,
        }
    }

    /// When the next probe is due, if one is.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Waiting(_, due) => Some(*due),
            Self::Open { .. } | Self::Trying(..) => None,
        }
    }

    /// A probe came back with nothing against the organization.
    pub(super) fn passed(&mut self, now: Instant) -> Change {
        let Self::Waiting(cause, _) = self else { return Change::Same };
        let cause = cause.clone();
        let blocked_for = now.saturating_duration_since(cause.since);
        if cause.is_disproved_by(None) {
            *self = Self::Open { since: Some(now) };
            return Change::Opened(blocked_for);
        }
        *self = Self::Trying(cause, now);
        Change::Same
    }

    /// A probe came back with the same, or another, thing wrong.
    pub(super) fn refused(&mut self, fault: &Fault, now: Instant) -> Change {
        let Self::Waiting(cause, _) = self else { return Change::Same };
        let cause = cause.clone();
        self.wait_longer(&cause, fault, now)
    }

    /// A probe got no answer that tells anything.
    pub(super) fn unanswered(&mut self, now: Instant) {
        if let Self::Waiting(cause, _) = self {
            let pause = cause.longer();
            *self = Self::waiting(Cause { pause, ..cause.clone() }, now);
        }
    }

    /// Time passes: who tries for long without meeting the step that was held is let go.
    pub(super) fn passes(&mut self, now: Instant) -> Change {
        match self {
            Self::Trying(cause, since) if now.saturating_duration_since(*since) >= TRIAL => {
                let blocked_for = now.saturating_duration_since(cause.since);
                *self = Self::Open { since: Some(now) };
                Change::Opened(blocked_for)
            }
            _ => Change::Same,
        }
    }

    fn wait_longer(&mut self, cause: &Cause, fault: &Fault, now: Instant) -> Change {
        let other = (&cause.fault.code, &cause.fault.advice) != (&fault.code, &fault.advice);
        let fault = Arc::new(fault.clone());
        *self = Self::waiting(Cause { pause: cause.longer(), fault: fault.clone(), ..cause.clone() }, now);
        if other { Change::Otherwise(fault) } else { Change::Same }
    }

    fn waiting(cause: Cause, now: Instant) -> Self {
        let due = now + cause.pause;
        Self::Waiting(cause, due)
    }
}

impl Cause {
    fn longer(&self) -> Duration {
        (self.pause * 2).min(LONGEST_PAUSE)
    }

    /// Whether an answer to this step (none: to a probe) shows that the cause is gone.
    fn is_disproved_by(&self, step: Option<StepName>) -> bool {
        self.wanted.is_none() || self.wanted == step
    }
}

fn proof_against(fault: &Fault) -> Option<StepName> {
    let concerns_all = fault.step == StepName::Token || fault.status == Some(401);
    (!concerns_all).then_some(fault.step)
}

#[cfg(test)]
mod tests;
