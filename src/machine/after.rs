//! When to try again: the retry policy. What happened is classified elsewhere.

use std::time::Duration;

use jiff::Timestamp;

use super::fault::Remedy;
use super::outcome::Reason;

/// An organization that is blocked is looked at again at least this often (contract 5).
const BLOCKED_LOOK: Duration = Duration::from_secs(60);

/// Contract 7, `[retry]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Attempts before the ladder, the first included.
    pub in_process: u32,
    /// The ladder: how long each of the retry queues holds a message. Never empty.
    pub delays: Vec<Duration>,
    /// How long an event is tried at all.
    pub max_age: Duration,
}

/// How an event stood when it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trial {
    /// Attempts spent, the failed one included.
    pub attempts: u32,
    /// The time now.
    pub now: Timestamp,
    /// When the worker first saw the event.
    pub first_seen: Timestamp,
}

/// When to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// In this process, after a short pause.
    Soon,
    /// From the retry queue of this rung.
    Later(usize),
    /// As soon as the organization has room for it.
    InLine,
    /// Not at all.
    Never(Reason),
}

/// When to try an event again after a fault.
pub fn after(remedy: Remedy, trial: Trial, policy: &Policy) -> Again {
    if remedy == Remedy::GiveUp {
        return Again::Never(Reason::RejectedByDynamics);
    }
    if age(trial) >= policy.max_age {
        return Again::Never(Reason::RetriesExhausted);
    }
    match remedy {
        Remedy::Retry if trial.attempts < policy.in_process => Again::Soon,
        Remedy::Retry => Again::Later(step_of_the_ladder(trial.attempts, policy)),
        Remedy::NotBefore(time) => Again::Later(rung(between(trial.now, time), policy)),
        Remedy::Hold | Remedy::GiveUp => Again::Later(rung(BLOCKED_LOOK, policy)),
        Remedy::Crowded => Again::InLine,
    }
}

/// When to look again for something that is still missing: often at first, then ever less, and at `until`.
pub fn look_again(trial: Trial, until: Option<Timestamp>, policy: &Policy) -> Again {
    if age(trial) >= policy.max_age {
        return Again::Never(Reason::RetriesExhausted);
    }
    let as_old = age(trial).max(policy.delays[0]);
    let left = until.map_or(as_old, |time| between(trial.now, time));
    Again::Later(rung(as_old.min(left), policy))
}

/// The rung whose delay is nearest below `wait`; the shortest when all are longer.
pub fn rung(wait: Duration, policy: &Policy) -> usize {
    let below = policy.delays.iter().enumerate().filter(|(_, delay)| **delay <= wait);
    let nearest = below.max_by_key(|(_, delay)| **delay);
    let shortest = || policy.delays.iter().enumerate().min_by_key(|(_, delay)| **delay);
    nearest.or_else(shortest).map_or(0, |(index, _)| index)
}

fn step_of_the_ladder(attempts: u32, policy: &Policy) -> usize {
    let step = usize::try_from(attempts.saturating_sub(policy.in_process)).unwrap_or(usize::MAX);
    step.min(policy.delays.len().saturating_sub(1))
}

fn age(trial: Trial) -> Duration {
    between(trial.first_seen, trial.now)
}

/// How long after `from` it is at `to`; nothing when it is before.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}
