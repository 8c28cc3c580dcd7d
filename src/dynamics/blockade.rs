//! Refusals for an organization's setup, of everything or of single steps. Pure: time comes in as an argument.
//!
//! A step that is refused is held at once: events that need it wait, all others go on. A probe asks whether it is more than that
//! step. Where the probe is refused too, the organization is blocked, and nobody enters until a probe passes. A step that is held
//! is tried by one event at a time, at growing pauses, until it is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handoffd_engine::workflow::{Fault, StepName};

/// Before the first probe, and before a step is tried again (contract 5).
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause (contract 5).
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// So long a step is held that no event needs; longer than an event waits in any but the longest of the default retry queues.
const UNTRIED: Duration = Duration::from_secs(900);

/// Everything that is refused now.
#[derive(Debug, Default)]
pub(super) struct Blockade {
    /// Everything: nobody enters, and a probe is due then.
    all: Option<Held>,
    /// Single steps.
    steps: Vec<HeldStep>,
    /// A step was refused, and a probe is to ask whether that concerns everything.
    ask: Option<Instant>,
    /// When something was refused no longer. What was sent before is of no interest.
    freed: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Held {
    cause: Cause,
    /// When the next probe, or the next event that tries, is due.
    due: Instant,
}

#[derive(Clone, Debug)]
struct HeldStep {
    step: StepName,
    held: Held,
    /// An event tries it now.
    is_tried: bool,
    /// Those who watch have heard of it: not before it is known whether everything is refused.
    is_told: bool,
}

/// Why something is refused.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    /// Since when.
    pub(super) since: Instant,
    /// The fault of the step, or of the probe, that was refused last.
    pub(super) fault: Arc<Fault>,
    /// Before the next probe, or the next event that tries.
    pause: Duration,
}

/// Permission to enter for a step.
#[derive(Debug)]
pub(super) enum Entry {
    /// By anybody.
    Free,
    /// By this one, to try it: the others wait for its answer.
    Trial,
    /// By nobody; worth another look then.
    Held(Cause, Instant),
}

/// Result of an event that tried a step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tried<'a> {
    /// It was refused again.
    Refused(&'a Fault),
    /// It was answered.
    Answered,
    /// No answer that shows anything.
    Unknown,
}

/// What changed for those who watch.
#[derive(Debug)]
pub(super) enum Change {
    /// Nothing.
    Same,
    /// Everything is refused now.
    Blocked(Arc<Fault>),
    /// One step is refused now, and all others are not.
    Held(Arc<Fault>),
    /// The same as before is refused, for another reason.
    Otherwise(Arc<Fault>),
    /// This step is refused no longer, others are; so long it was.
    Freed(StepName, Duration),
    /// Nothing is refused any more; so long something was.
    Opened(Duration),
}

impl Blockade {
    /// The same organization with another file: looked at again at once. Pauses go on where they were.
    pub(super) fn succeeding(&self, now: Instant) -> Self {
        let again = |held: &Held| Held { due: now, ..held.clone() };
        let step = |held: &HeldStep| HeldStep { held: again(&held.held), is_tried: false, ..held.clone() };
        Self {
            all: self.all.as_ref().map(again),
            steps: self.steps.iter().map(step).collect(),
            ask: self.ask.map(|_| now),
            freed: None,
        }
    }

    /// Why everything, or else a step, is refused.
    pub(super) fn cause(&self) -> Option<&Cause> {
        let step = || self.steps.iter().map(|step| &step.held).min_by_key(|held| held.cause.since);
        self.all.as_ref().or_else(step).map(|held| &held.cause)
    }

    /// Why nobody enters.
    pub(super) fn blocked(&self) -> Option<&Cause> {
        self.all.as_ref().map(|held| &held.cause)
    }

    /// Permission to enter for a step now.
    pub(super) fn entry(&self, step: StepName, now: Instant) -> Entry {
        match self.steps.iter().find(|held| held.step == step) {
            None => Entry::Free,
            Some(HeldStep { held, is_tried: false, .. }) if held.due <= now => Entry::Trial,
            Some(HeldStep { held, is_tried, .. }) => {
                let look_again = if *is_tried { now + FIRST_PAUSE } else { held.due };
                Entry::Held(held.cause.clone(), look_again)
            }
        }
    }

    /// An event goes to try a step.
    pub(super) fn tries(&mut self, step: StepName) {
        if let Some(held) = self.step(step) {
            held.is_tried = true;
        }
    }

    /// A step that began then was refused for the organization's setup.
    pub(super) fn held(&mut self, step: StepName, fault: &Fault, began: Instant, now: Instant) -> Change {
        let is_late = self.freed.is_some_and(|freed| began < freed);
        if is_late || self.all.is_some() || (!concerns_all(fault) && self.step(step).is_some()) {
            return Change::Same;
        }
        if concerns_all(fault) {
            return self.block(fault, now);
        }
        self.steps.push(HeldStep { step, held: Held::new(fault, now), is_tried: false, is_told: false });
        self.ask = Some(now);
        Change::Same
    }

    /// An event that went to try a step is back.
    pub(super) fn tried(&mut self, step: StepName, tried: Tried<'_>, now: Instant) -> Change {
        let Some(held) = self.step(step) else { return Change::Same };
        held.is_tried = false;
        match tried {
            Tried::Refused(fault) if concerns_all(fault) => {
                held.held.wait_longer(now);
                self.held(step, fault, now, now)
            }
            Tried::Refused(fault) => held.held.again(fault, now),
            Tried::Unknown => {
                held.held.wait_longer(now);
                Change::Same
            }
            Tried::Answered => self.free(|held| held.step == step, now),
        }
    }

    /// When the next probe is due, if one is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.ask.or(self.all.as_ref().map(|held| held.due))
    }

    /// A probe came back with nothing against the organization.
    pub(super) fn passed(&mut self, now: Instant) -> Change {
        self.ask = None;
        let Some(held) = self.all.take() else { return self.tell() };
        self.freed = Some(now);
        for step in &mut self.steps {
            (step.held.due, step.is_told) = (now, false);
        }
        if self.steps.is_empty() {
            return Change::Opened(now.saturating_duration_since(held.cause.since));
        }
        self.tell()
    }

    /// A probe was refused.
    pub(super) fn refused(&mut self, fault: &Fault, now: Instant) -> Change {
        let asked = self.ask.take().is_some();
        match &mut self.all {
            Some(held) => held.again(fault, now),
            None if asked => self.block(fault, now),
            None => Change::Same,
        }
    }

    /// A probe got no answer that shows anything.
    pub(super) fn unanswered(&mut self, now: Instant) -> Change {
        self.ask = self.ask.map(|_| now + FIRST_PAUSE);
        if let Some(held) = &mut self.all {
            held.wait_longer(now);
            return Change::Same;
        }
        self.tell()
    }

    /// Time passes: a step that no event needs any more is let go.
    pub(super) fn passes(&mut self, now: Instant) -> Change {
        let is_untried = |held: &HeldStep| !held.is_tried && now.saturating_duration_since(held.held.due) >= UNTRIED;
        if self.all.is_some() || !self.steps.iter().any(is_untried) {
            return Change::Same;
        }
        self.free(is_untried, now)
    }

    fn block(&mut self, fault: &Fault, now: Instant) -> Change {
        let held = Held::new(fault, now);
        let fault = held.cause.fault.clone();
        self.all = Some(held);
        Change::Blocked(fault)
    }

    fn tell(&mut self) -> Change {
        let Some(step) = self.steps.iter_mut().find(|step| !step.is_told) else { return Change::Same };
        step.is_told = true;
        Change::Held(step.held.cause.fault.clone())
    }

    fn free(&mut self, which: impl Fn(&HeldStep) -> bool, now: Instant) -> Change {
        let Some(freed) = self.steps.iter().position(which).map(|index| self.steps.remove(index)) else {
            return Change::Same;
        };
        self.freed = Some(now);
        let held_for = now.saturating_duration_since(freed.held.cause.since);
        if self.all.is_none() && self.steps.is_empty() {
            self.ask = None;
            return Change::Opened(held_for);
        }
        Change::Freed(freed.step, held_for)
    }

    fn step(&mut self, step: StepName) -> Option<&mut HeldStep> {
        self.steps.iter_mut().find(|held| held.step == step)
    }
}

impl Held {
    fn new(fault: &Fault, now: Instant) -> Self {
        let cause = Cause { since: now, fault: Arc::new(fault.clone()), pause: FIRST_PAUSE };
        Self { cause, due: now + FIRST_PAUSE }
    }

    /// It was refused again.
    fn again(&mut self, fault: &Fault, now: Instant) -> Change {
        let other = (&self.cause.fault.code, &self.cause.fault.advice) != (&fault.code, &fault.advice);
        self.cause.fault = Arc::new(fault.clone());
        self.wait_longer(now);
        if other { Change::Otherwise(self.cause.fault.clone()) } else { Change::Same }
    }

    fn wait_longer(&mut self, now: Instant) {
        self.cause.pause = (self.cause.pause * 2).min(LONGEST_PAUSE);
        self.due = now + self.cause.pause;
    }
}

/// A refused token, or an application that Dynamics does not know, concerns every request; anything else the step that met it, unless
/// a probe meets it too.
fn concerns_all(fault: &Fault) -> bool {
    fault.step == StepName::Token || fault.status == Some(401)
}

#[cfg(test)]
mod tests;
