//! Retry policy: bounded attempts, no cost for waiting, and no retry beyond the maximum age.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use crate::workflow::samples::at;
use crate::workflow::{
    FailedAttempt, Policy, Reason, Remedy, RetryDecision, after, recheck_after, rung, shortest_rung,
};

fn seconds(all: &[u64]) -> Vec<Duration> {
    all.iter().copied().map(Duration::from_secs).collect()
}

fn policy() -> Policy {
    Policy { in_process: 3, delays: seconds(&[5, 30, 120, 600, 3600]), max_age: Duration::from_secs(86_400) }
}

fn trial(attempts: u32, age: u64) -> FailedAttempt {
    FailedAttempt { attempts, age: Duration::from_secs(age) }
}

#[test]
fn in_process_attempts_first_included_then_the_ladder_whose_last_step_repeats() {
    use RetryDecision::{After, Now};
    let again: Vec<RetryDecision> = (1..=10).map(|n| after(Remedy::Retry, trial(n, 60), &policy())).collect();
    assert_eq!(again, [Now, Now, After(0), After(1), After(2), After(3), After(4), After(4), After(4), After(4)]);
}

#[test]
fn one_in_process_attempt_means_the_ladder_at_once() {
    let policy = Policy { in_process: 1, ..policy() };
    assert_eq!(after(Remedy::Retry, trial(1, 0), &policy), RetryDecision::After(0));
}

#[test]
fn max_age_ends_retries_but_not_waits_for_the_organization() {
    assert_eq!(after(Remedy::Retry, trial(1, 86_400), &policy()), RetryDecision::GiveUp(Reason::RetriesExhausted));
    assert_eq!(after(Remedy::Retry, trial(1, 86_399), &policy()), RetryDecision::Now);
    for remedy in [Remedy::Hold, Remedy::NotBefore(at("2027-01-01T00:00:00Z"))] {
        for (attempts, age) in [(1, 0), (9, 86_400), (1_000_000, 86_400_000)] {
            assert_eq!(after(remedy, trial(attempts, age), &policy()), RetryDecision::WhenAvailable, "{remedy:?}");
        }
    }
    let age = Duration::from_secs;
    assert_eq!(recheck_after(age(86_400), None, &policy()), RetryDecision::GiveUp(Reason::RetriesExhausted));
    assert_eq!(recheck_after(age(86_400), Some(age(1)), &policy()), RetryDecision::GiveUp(Reason::RetriesExhausted));
}

#[test]
fn a_permanent_refusal_is_given_up_at_once() {
    assert_eq!(after(Remedy::GiveUp, trial(1, 0), &policy()), RetryDecision::GiveUp(Reason::RejectedByDynamics));
    assert_eq!(after(Remedy::GiveUp, trial(9, 90_000), &policy()), RetryDecision::GiveUp(Reason::RejectedByDynamics));
}

#[test]
fn a_wait_for_a_new_queue_uses_the_shortest_rung() {
    for (delays, expected) in
        [(seconds(&[5, 30, 120]), 0), (seconds(&[120, 60, 30]), 2), (seconds(&[3600, 120, 3600]), 1)]
    {
        assert_eq!(shortest_rung(&Policy { delays, ..policy() }), expected);
    }
}

#[test]
fn a_missing_handoff_is_checked_often_at_first_and_at_the_deadline() {
    let seconds = Duration::from_secs;
    for (age, left, expected) in [
        (0, Some(120), 0),
        (30, Some(90), 1),
        (60, Some(60), 1),
        (100, Some(20), 0),
        (119, Some(1), 0),
        (0, None, 0),
        (200, None, 2),
        (50_000, None, 4),
    ] {
        let again = recheck_after(seconds(age), left.map(seconds), &policy());
        assert_eq!(again, RetryDecision::After(expected), "at {age} s, {left:?} left");
    }
}

prop_compose! {
    fn policies()(
        in_process in 1u32..10,
        delays in prop::collection::vec(1u64..100_000, 1..8),
        max_age in 1u64..1_000_000,
    ) -> Policy {
        Policy { in_process, delays: seconds(&delays), max_age: Duration::from_secs(max_age) }
    }
}

fn remedies() -> impl Strategy<Value = Remedy> {
    let time = (0i64..4_000_000_000).prop_map(|s| Timestamp::from_second(s).expect("before the year 9999"));
    let waits = prop_oneof![time.clone().prop_map(Remedy::NotBefore), time.prop_map(Remedy::HoldStep)];
    prop_oneof![Just(Remedy::Retry), Just(Remedy::Hold), Just(Remedy::GiveUp), waits]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn attempts_in_process_are_bounded_and_rungs_exist(
        policy in policies(), remedy in remedies(), attempts in any::<u32>(), age in 0u64..2_000_000,
    ) {
        match after(remedy, trial(attempts, age), &policy) {
            RetryDecision::Now => prop_assert!(remedy == Remedy::Retry && attempts < policy.in_process),
            RetryDecision::After(rung) => {
                prop_assert!(rung < policy.delays.len());
                prop_assert!(Duration::from_secs(age) < policy.max_age, "later than max_age");
            }
            RetryDecision::WhenAvailable => prop_assert!(matches!(remedy, Remedy::Hold | Remedy::NotBefore(_))),
            RetryDecision::WhenStepAllowed => prop_assert!(matches!(remedy, Remedy::HoldStep(_))),
            RetryDecision::GiveUp(reason) => {
                let given_up = remedy == Remedy::GiveUp;
                prop_assert_eq!(reason == Reason::RejectedByDynamics, given_up);
                prop_assert!(given_up || Duration::from_secs(age) >= policy.max_age);
            }
        }
    }

    #[test]
    fn no_event_is_given_up_for_waiting(policy in policies(), attempts in any::<u32>(), age in 0u64..2_000_000) {
        for remedy in [Remedy::Hold, Remedy::NotBefore(at("2026-11-22T10:15:00Z"))] {
            prop_assert_eq!(after(remedy, trial(attempts, age), &policy), RetryDecision::WhenAvailable);
        }
        let held = Remedy::HoldStep(at("2026-11-22T10:15:00Z"));
        prop_assert_eq!(after(held, trial(attempts, age), &policy), RetryDecision::WhenStepAllowed);
    }

    #[test]
    fn a_rung_is_the_longest_that_fits_or_else_the_shortest(policy in policies(), wait in 0u64..200_000) {
        let wait = Duration::from_secs(wait);
        let chosen = policy.delays[rung(wait, &policy)];
        let fitting = policy.delays.iter().filter(|delay| **delay <= wait).max();
        prop_assert_eq!(Some(&chosen), fitting.or(policy.delays.iter().min()));
    }

    #[test]
    fn the_ladder_is_climbed_in_order(policy in policies(), attempts in 1u32..40) {
        let rung = |attempts| match after(Remedy::Retry, trial(attempts, 0), &policy) {
            RetryDecision::After(rung) => Some(rung),
            _ => None,
        };
        if let (Some(one), Some(two)) = (rung(attempts), rung(attempts + 1)) {
            prop_assert!(two == one + 1 || (two == one && two == policy.delays.len() - 1));
        }
    }
}
