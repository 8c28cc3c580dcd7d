//! When to try again: the retry policy. What happened is classified elsewhere.

use std::time::Duration;

use jiff::Timestamp;

use super::fault::Remedy;
use super::outcome::Reason;

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
    /// Time since its first failed attempt, without the time that it waited for its organization.
    pub age: Duration,
}

/// When to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// In this process, after a short pause.
    Soon,
    /// From the retry queue of this rung.
    Later(usize),
    /// As soon as its organization can take requests again.
    WhenAvailable,
    /// As soon as its step is no longer refused, out of the way of events that need other steps.
    Aside,
    /// Not at all.
    Never(Reason),
}

/// When to try an event again after a fault. Waiting for its organization spends neither an attempt nor age, so no event is
/// given up for it.
pub fn after(remedy: Remedy, trial: Trial, policy: &Policy) -> Again {
    match remedy {
        Remedy::GiveUp => Again::Never(Reason::RejectedByDynamics),
        Remedy::NotBefore(_) | Remedy::Hold => Again::WhenAvailable,
        Remedy::HoldStep(_) => Again::Aside,
        Remedy::Retry if trial.age >= policy.max_age => Again::Never(Reason::RetriesExhausted),
        Remedy::Retry if trial.attempts < policy.in_process => Again::Soon,
        Remedy::Retry => Again::Later(step_of_the_ladder(trial.attempts, policy)),
    }
}

/// When to look again for something that is still missing: often at first, then ever less, and when `left` has passed.
pub fn look_again(age: Duration, left: Option<Duration>, policy: &Policy) -> Again {
    if age >= policy.max_age {
        return Again::Never(Reason::RetriesExhausted);
    }
    let as_old = age.max(policy.delays[0]);
    Again::Later(rung(as_old.min(left.unwrap_or(as_old)), policy))
}

/// The rung whose delay is nearest below `wait`; the shortest when all are longer.
pub fn rung(wait: Duration, policy: &Policy) -> usize {
    let below = policy.delays.iter().enumerate().filter(|(_, delay)| **delay <= wait);
    let nearest = below.max_by_key(|(_, delay)| **delay);
    let shortest = || policy.delays.iter().enumerate().min_by_key(|(_, delay)| **delay);
    nearest.or_else(shortest).map_or(0, |(index, _)| index)
}

/// The rung with the shortest delay.
pub fn soonest(policy: &Policy) -> usize {
    rung(Duration::ZERO, policy)
}

fn step_of_the_ladder(attempts: u32, policy: &Policy) -> usize {
    let step = usize::try_from(attempts.saturating_sub(policy.in_process)).unwrap_or(usize::MAX);
    step.min(policy.delays.len().saturating_sub(1))
}

/// How long after `from` it is at `to`; nothing when it is before.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}
