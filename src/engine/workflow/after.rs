//! Retry policy: the time of the next attempt after a fault.
//!
//! [`after`] decides after a fault of a step or a panic, [`recheck_after`] for a resolution whose handoff is missing. Two more
//! retries need no policy: a failing store ([`rung`], `worker/failures.rs`) and a destination in the broker that refuses
//! (`worker/settle.rs`).
//!
//! The policy sees only the remedy of a fault; the destination classifies the answers of Dynamics. Waiting for an organization
//! never brings an event closer to being given up.

use std::time::Duration;

use jiff::Timestamp;

use super::fault::Remedy;
use super::outcome::Reason;

/// Settings of the retry policy (contract 7, `[retry]`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Attempts before the ladder, the first included.
    pub in_process: u32,
    /// Rungs of the ladder: the delay of each retry queue. Never empty.
    pub delays: Vec<Duration>,
    /// Age at which an event is given up.
    pub max_age: Duration,
}

/// Attempts and age of an event that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailedAttempt {
    /// Number of attempts, the failed one included.
    pub attempts: u32,
    /// Time since the first failed attempt, without the time spent waiting for the organization.
    pub age: Duration,
}

/// Retry decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryDecision {
    /// Retry in this process, after a short pause.
    Now,
    /// Retry from the retry queue of this rung.
    After(usize),
    /// Retry as soon as the organization is available.
    WhenAvailable,
    /// Retry as soon as the step is no longer refused. Until then the event does not delay events that need other steps.
    WhenStepAllowed,
    /// Give up the event.
    GiveUp(Reason),
}

/// Returns the retry decision after a fault. Waiting for the organization spends neither an attempt nor age, so no event is
/// given up for it.
pub fn after(remedy: Remedy, trial: FailedAttempt, policy: &Policy) -> RetryDecision {
    match remedy {
        Remedy::GiveUp => RetryDecision::GiveUp(Reason::RejectedByDynamics),
        Remedy::NotBefore(_) | Remedy::Hold => RetryDecision::WhenAvailable,
        Remedy::HoldStep(_) => RetryDecision::WhenStepAllowed,
        Remedy::Retry if trial.age >= policy.max_age => RetryDecision::GiveUp(Reason::RetriesExhausted),
        Remedy::Retry if trial.attempts < policy.in_process => RetryDecision::Now,
        Remedy::Retry => RetryDecision::After(step_of_the_ladder(trial.attempts, policy)),
    }
}

/// Returns the retry decision for a missing handoff: soon at first, then at growing delays, and once `left` has passed.
pub fn recheck_after(age: Duration, left: Option<Duration>, policy: &Policy) -> RetryDecision {
    if age >= policy.max_age {
        return RetryDecision::GiveUp(Reason::RetriesExhausted);
    }
    let as_old = age.max(policy.delays[0]);
    RetryDecision::After(rung(as_old.min(left.unwrap_or(as_old)), policy))
}

/// Returns the rung with the longest delay up to `wait`; the shortest rung if every delay is longer.
pub fn rung(wait: Duration, policy: &Policy) -> usize {
    let below = policy.delays.iter().enumerate().filter(|(_, delay)| **delay <= wait);
    let nearest = below.max_by_key(|(_, delay)| **delay);
    let shortest = || policy.delays.iter().enumerate().min_by_key(|(_, delay)| **delay);
    nearest.or_else(shortest).map_or(0, |(index, _)| index)
}

/// Returns the rung with the shortest delay.
pub fn shortest_rung(policy: &Policy) -> usize {
    rung(Duration::ZERO, policy)
}

fn step_of_the_ladder(attempts: u32, policy: &Policy) -> usize {
    let step = usize::try_from(attempts.saturating_sub(policy.in_process)).unwrap_or(usize::MAX);
    step.min(policy.delays.len().saturating_sub(1))
}

/// Returns the time from `from` to `to`; zero if `to` is earlier.
pub fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}
