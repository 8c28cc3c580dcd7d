//! Circuit breaker of an organization whose setup Dynamics or Entra ID refuses. Pure: every method takes the time as an argument.
//!
//! The breaker exists for the whole organization and for each step. A refused step is held at once: events that need it wait, and
//! all other events continue. A probe then checks whether the refusal concerns more than that step. If the probe is refused too,
//! the organization is blocked and no request is admitted until a probe succeeds. A held step is tried by one event at a time, at
//! growing intervals, until a request succeeds. A refusal never blocks the organization without a probe, unless it is one of the
//! token or of the application user: those concern every request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handoffd_engine::workflow::{Fault, StepName};

/// Delay before the first probe and before the first retry of a held step (contract 5).
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest delay between probes (contract 5).
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Time after which a held step that no event has tried is released. Longer than the delay of every default retry queue but the
/// longest.
const UNTRIED: Duration = Duration::from_secs(900);

/// State of the circuit breaker.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    /// Block of the whole organization: no request is admitted until a probe succeeds.
    all: Option<Trip>,
    /// Steps that are held individually.
    steps: Vec<HeldStep>,
    /// Time of the probe that checks whether the refusal of a step concerns the whole organization.
    probe_at: Option<Instant>,
    /// Time of the last release. Refusals of requests that began earlier are ignored.
    freed: Option<Instant>,
    /// Delay between the probes when the last one succeeded.
    last_pause: Duration,
}

#[derive(Clone, Debug)]
struct Trip {
    cause: Cause,
    /// Time of the next probe or of the next trial by an event.
    due: Instant,
}

#[derive(Clone, Debug)]
struct HeldStep {
    step: StepName,
    held: Trip,
    /// True while an event is trying the step.
    is_tried: bool,
    /// True once the hold has been reported, which waits until a probe has shown whether the whole organization is refused.
    is_reported: bool,
}

/// Reason for a block or a hold.
#[derive(Clone, Debug)]
pub struct Cause {
    /// Time of the first refusal.
    pub since: Instant,
    /// Fault of the step or probe that was refused last.
    pub fault: Arc<Fault>,
    /// Delay before the next probe or trial.
    pause: Duration,
}

/// Answer to a request for admission to a step.
#[derive(Debug)]
pub(super) enum BreakerPermission {
    /// Admitted: the step is not held.
    Free,
    /// Admitted as the one trial; all others wait for its result.
    Trial,
    /// Not admitted, with the reason and the time to ask again.
    Held(Cause, Instant),
}

/// Result of an event that tried a step.
#[derive(Clone, Copy, Debug)]
pub(super) enum TrialResult<'a> {
    /// The step was refused again.
    Refused(&'a Fault),
    /// The step succeeded, or failed for a reason of the event alone.
    Answered,
    /// The result does not show whether the step works.
    Unknown,
}

/// Change of state to report.
#[derive(Debug)]
pub(super) enum BreakerChange {
    /// No change.
    None,
    /// The organization is now blocked.
    Blocked(Arc<Fault>),
    /// One step is now held; the others are not.
    Held(Arc<Fault>),
    /// The block or hold continues for a different reason.
    ReasonChanged(Arc<Fault>),
    /// The step is no longer held, others still are. Holds the duration of the hold.
    StepReleased(StepName, Duration),
    /// Nothing is blocked or held any more. Holds the duration of the outage.
    Released(Duration),
}

impl CircuitBreaker {
    /// Returns the breaker for the organization with a changed file. Probes and trials are due at once; delays keep their length.
    pub(super) fn succeeding(&self, now: Instant) -> Self {
        let again = |held: &Trip| Trip { due: now, ..held.clone() };
        let step = |held: &HeldStep| HeldStep { held: again(&held.held), is_tried: false, ..held.clone() };
        Self {
            all: self.all.as_ref().map(again),
            steps: self.steps.iter().map(step).collect(),
            probe_at: self.probe_at.map(|_| now),
            ..Self::default()
        }
    }

    /// Returns the breaker of an organization that was blocked at another worker. A probe is due at once.
    pub(super) fn blocked_since(fault: &Fault, since: Instant, now: Instant) -> Self {
        let mut held = Trip::new(fault, now);
        (held.cause.since, held.due) = (since, now);
        Self { all: Some(held), ..Self::default() }
    }

    /// Returns the reason of the organization's block, else of the longest-held step.
    pub(super) fn cause(&self) -> Option<&Cause> {
        let step = || self.steps.iter().map(|step| &step.held).min_by_key(|held| held.cause.since);
        self.all.as_ref().or_else(step).map(|held| &held.cause)
    }

    /// Returns the reason of the organization's block.
    pub(super) fn blocked(&self) -> Option<&Cause> {
        self.all.as_ref().map(|held| &held.cause)
    }

    /// Decides whether a request for a step is admitted now.
    pub(super) fn entry(&self, step: StepName, now: Instant) -> BreakerPermission {
        match self.steps.iter().find(|held| held.step == step) {
            None => BreakerPermission::Free,
            Some(HeldStep { held, is_tried: false, .. }) if held.due <= now => BreakerPermission::Trial,
            Some(HeldStep { held, is_tried, .. }) => {
                let look_again = if *is_tried { now + FIRST_PAUSE } else { held.due };
                BreakerPermission::Held(held.cause.clone(), look_again)
            }
        }
    }

    /// Records that an event begins to try a held step.
    pub(super) fn begin_trial(&mut self, step: StepName) {
        if let Some(held) = self.step(step) {
            held.is_tried = true;
        }
    }

    /// Records that a step that began at `began` was refused because of the organization's setup.
    pub(super) fn held(&mut self, step: StepName, fault: &Fault, began: Instant, now: Instant) -> BreakerChange {
        let is_late = self.freed.is_some_and(|freed| began < freed);
        if is_late || self.all.is_some() || (!concerns_organization(fault) && self.step(step).is_some()) {
            return BreakerChange::None;
        }
        if concerns_organization(fault) {
            return self.block(fault, now);
        }
        self.steps.push(HeldStep { step, held: Trip::new(fault, now), is_tried: false, is_reported: false });
        self.probe_at = Some(now);
        BreakerChange::None
    }

    /// Records the result of a trial.
    pub(super) fn finish_trial(&mut self, step: StepName, tried: TrialResult<'_>, now: Instant) -> BreakerChange {
        let Some(held) = self.step(step) else { return BreakerChange::None };
        held.is_tried = false;
        match tried {
            TrialResult::Refused(fault) if concerns_organization(fault) => {
                held.held.wait_longer(now);
                self.held(step, fault, now, now)
            }
            TrialResult::Refused(fault) => held.held.again(fault, now),
            TrialResult::Unknown => {
                held.held.wait_longer(now);
                BreakerChange::None
            }
            TrialResult::Answered => self.free(|held| held.step == step, now),
        }
    }

    /// Returns the time of the next probe, if one is scheduled.
    pub(super) fn due(&self) -> Option<Instant> {
        self.probe_at.or(self.all.as_ref().map(|held| held.due))
    }

    /// Records a successful probe.
    pub(super) fn probe_succeeded(&mut self, now: Instant) -> BreakerChange {
        self.probe_at = None;
        let Some(held) = self.all.take() else { return self.tell() };
        (self.freed, self.last_pause) = (Some(now), held.cause.pause);
        for step in &mut self.steps {
            (step.held.due, step.is_reported) = (now, false);
        }
        if self.steps.is_empty() {
            return BreakerChange::Released(now.saturating_duration_since(held.cause.since));
        }
        self.tell()
    }

    /// Releases everything, because a test has shown that all that events need is there. A refusal of a request that began
    /// before changes nothing.
    pub(super) fn clear(&mut self, now: Instant) -> BreakerChange {
        let Some(since) = self.cause().map(|cause| cause.since) else { return BreakerChange::None };
        *self = Self { freed: Some(now), ..Self::default() };
        BreakerChange::Released(now.saturating_duration_since(since))
    }

    /// Records a refused probe.
    pub(super) fn probe_refused(&mut self, fault: &Fault, now: Instant) -> BreakerChange {
        // A server that let the request in and knows no `WhoAmI` may know the tables: a missing environment shows with the
        // next event.
        if fault.status == Some(404) && !self.has_refused_with(404) {
            return self.probe_succeeded(now);
        }
        let asked = self.probe_at.take().is_some();
        match &mut self.all {
            Some(held) => held.again(fault, now),
            None if asked => self.block(fault, now),
            None => BreakerChange::None,
        }
    }

    /// Records a probe without a conclusive answer.
    pub(super) fn probe_inconclusive(&mut self, now: Instant) -> BreakerChange {
        self.probe_at = self.probe_at.map(|_| now + FIRST_PAUSE);
        if let Some(held) = &mut self.all {
            held.wait_longer(now);
            return BreakerChange::None;
        }
        self.tell()
    }

    /// Releases a held step that no event has tried for [`UNTRIED`].
    pub(super) fn release_untried(&mut self, now: Instant) -> BreakerChange {
        let is_untried = |held: &HeldStep| !held.is_tried && now.saturating_duration_since(held.held.due) >= UNTRIED;
        if self.all.is_some() || !self.steps.iter().any(is_untried) {
            return BreakerChange::None;
        }
        self.free(is_untried, now)
    }

    fn has_refused_with(&self, status: u16) -> bool {
        let mut trips = self.all.iter().chain(self.steps.iter().map(|step| &step.held));
        trips.any(|held| held.cause.fault.status == Some(status))
    }

    fn block(&mut self, fault: &Fault, now: Instant) -> BreakerChange {
        let mut held = Trip::new(fault, now);
        // The probe that released it proved too little, so the pauses go on growing.
        let is_recent = |freed| now.saturating_duration_since(freed) < LONGEST_PAUSE;
        if !self.last_pause.is_zero() && self.freed.is_some_and(is_recent) {
            held.cause.pause = self.last_pause;
            held.wait_longer(now);
        }
        let fault = held.cause.fault.clone();
        self.all = Some(held);
        BreakerChange::Blocked(fault)
    }

    fn tell(&mut self) -> BreakerChange {
        let Some(step) = self.steps.iter_mut().find(|step| !step.is_reported) else { return BreakerChange::None };
        step.is_reported = true;
        BreakerChange::Held(step.held.cause.fault.clone())
    }

    fn free(&mut self, which: impl Fn(&HeldStep) -> bool, now: Instant) -> BreakerChange {
        let Some(freed) = self.steps.iter().position(which).map(|index| self.steps.remove(index)) else {
            return BreakerChange::None;
        };
        self.freed = Some(now);
        let held_for = now.saturating_duration_since(freed.held.cause.since);
        if self.all.is_none() && self.steps.is_empty() {
            self.probe_at = None;
            return BreakerChange::Released(held_for);
        }
        BreakerChange::StepReleased(freed.step, held_for)
    }

    fn step(&mut self, step: StepName) -> Option<&mut HeldStep> {
        self.steps.iter_mut().find(|held| held.step == step)
    }
}

impl Trip {
    fn new(fault: &Fault, now: Instant) -> Self {
        let cause = Cause { since: now, fault: Arc::new(fault.clone()), pause: FIRST_PAUSE };
        Self { cause, due: now + FIRST_PAUSE }
    }

    /// Records another refusal.
    fn again(&mut self, fault: &Fault, now: Instant) -> BreakerChange {
        let other = (&self.cause.fault.code, &self.cause.fault.advice) != (&fault.code, &fault.advice);
        self.cause.fault = Arc::new(fault.clone());
        self.wait_longer(now);
        if other { BreakerChange::ReasonChanged(self.cause.fault.clone()) } else { BreakerChange::None }
    }

    fn wait_longer(&mut self, now: Instant) {
        self.cause.pause = (self.cause.pause * 2).min(LONGEST_PAUSE);
        self.due = now + self.cause.pause;
    }
}

/// Returns true for a fault that concerns every request: a refused token, or an application unknown to Dynamics. Any other fault
/// concerns its step alone, unless a probe meets it too.
fn concerns_organization(fault: &Fault) -> bool {
    fault.step == StepName::Token || fault.status == Some(401)
}

#[cfg(test)]
mod tests;
