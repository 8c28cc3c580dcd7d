//! When again: bounded, fair to whoever only waits, and never past the event's age.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use crate::machine::samples::at;
use crate::machine::{Again, Policy, Reason, Remedy, Trial, after, look_again, rung};

fn seconds(all: &[u64]) -> Vec<Duration> {
    all.iter().copied().map(Duration::from_secs).collect()
}

fn policy() -> Policy {
    Policy { in_process: 3, delays: seconds(&[5, 30, 120, 600, 3600]), max_age: Duration::from_secs(86_400) }
}

fn trial(attempts: u32, age: u64) -> Trial {
    let first_seen = at("2026-11-22T10:15:00Z");
    Trial { attempts, now: first_seen + Duration::from_secs(age), first_seen }
}

#[test]
fn in_process_attempts_first_included_then_the_ladder_whose_last_step_repeats() {
    use Again::{Later, Soon};
    let again: Vec<Again> = (1..=10).map(|n| after(Remedy::Retry, trial(n, 60), &policy())).collect();
    assert_eq!(again, [Soon, Soon, Later(0), Later(1), Later(2), Later(3), Later(4), Later(4), Later(4), Later(4)]);
}

#[test]
fn one_in_process_attempt_means_the_ladder_at_once() {
    let policy = Policy { in_process: 1, ..policy() };
    assert_eq!(after(Remedy::Retry, trial(1, 0), &policy), Again::Later(0));
}

#[test]
fn at_max_age_retries_are_exhausted_whatever_the_remedy() {
    for remedy in [Remedy::Retry, Remedy::Hold, Remedy::NotBefore(at("2027-01-01T00:00:00Z"))] {
        assert_eq!(after(remedy, trial(1, 86_400), &policy()), Again::Never(Reason::RetriesExhausted), "{remedy:?}");
        assert_ne!(after(remedy, trial(1, 86_399), &policy()), Again::Never(Reason::RetriesExhausted), "{remedy:?}");
    }
    assert_eq!(look_again(trial(1, 86_400), None, &policy()), Again::Never(Reason::RetriesExhausted));
}

#[test]
fn what_dynamics_refuses_for_good_is_given_up_at_once() {
    assert_eq!(after(Remedy::GiveUp, trial(1, 0), &policy()), Again::Never(Reason::RejectedByDynamics));
    assert_eq!(after(Remedy::GiveUp, trial(9, 90_000), &policy()), Again::Never(Reason::RejectedByDynamics));
}

#[test]
fn a_blocked_organizations_event_is_looked_at_at_least_every_minute() {
    for (delays, expected) in [
        (seconds(&[5, 30, 120]), 1),
        (seconds(&[60, 120]), 0),
        (seconds(&[120, 60, 30]), 1),
        (seconds(&[3600, 120]), 1),
    ] {
        let policy = Policy { delays, ..policy() };
        assert_eq!(after(Remedy::Hold, trial(1, 0), &policy), Again::Later(expected), "{policy:?}");
    }
}

#[test]
fn a_retry_after_waits_in_the_nearest_rung_below_it() {
    for (wait, expected) in [(0, 0), (3, 0), (5, 0), (29, 0), (30, 1), (599, 2), (86_399, 4)] {
        let time = trial(1, wait).now;
        assert_eq!(after(Remedy::NotBefore(time), trial(1, 0), &policy()), Again::Later(expected), "{wait} s");
    }
    let past = at("2026-11-22T10:00:00Z");
    assert_eq!(after(Remedy::NotBefore(past), trial(1, 0), &policy()), Again::Later(0), "already over");
}

#[test]
fn what_is_missing_is_looked_for_often_at_first_and_at_its_time() {
    let until = Some(trial(1, 120).now);
    for (age, until, expected) in [
        (0, until, 0),
        (30, until, 1),
        (60, until, 1),
        (100, until, 0),
        (119, until, 0),
        (0, None, 0),
        (200, None, 2),
        (50_000, None, 4),
    ] {
        assert_eq!(look_again(trial(1, age), until, &policy()), Again::Later(expected), "at {age} s, until {until:?}");
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
    prop_oneof![
        Just(Remedy::Retry),
        Just(Remedy::Hold),
        Just(Remedy::Crowded),
        Just(Remedy::GiveUp),
        time.prop_map(Remedy::NotBefore)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn attempts_in_process_are_bounded_and_rungs_exist(
        policy in policies(), remedy in remedies(), attempts in any::<u32>(), age in 0u64..2_000_000,
    ) {
        match after(remedy, trial(attempts, age), &policy) {
            Again::Soon => prop_assert!(remedy == Remedy::Retry && attempts < policy.in_process),
            Again::Later(rung) => {
                prop_assert!(rung < policy.delays.len());
                prop_assert!(Duration::from_secs(age) < policy.max_age, "later than max_age");
            }
            Again::InLine => prop_assert_eq!(remedy, Remedy::Crowded),
            Again::Never(reason) => {
                let given_up = remedy == Remedy::GiveUp;
                prop_assert_eq!(reason == Reason::RejectedByDynamics, given_up);
                prop_assert!(given_up || Duration::from_secs(age) >= policy.max_age);
            }
        }
    }

    #[test]
    fn waiting_spends_no_attempt(policy in policies(), one in any::<u32>(), two in any::<u32>(), age in 0u64..2_000_000) {
        let time = trial(1, age + 77).now;
        for remedy in [Remedy::Hold, Remedy::NotBefore(time), Remedy::Crowded] {
            prop_assert_eq!(after(remedy, trial(one, age), &policy), after(remedy, trial(two, age), &policy));
        }
    }

    #[test]
    fn a_blocked_event_waits_a_minute_at_most_wherever_the_ladder_has_such_a_rung(policy in policies()) {
        let short = policy.delays.iter().any(|delay| *delay <= Duration::from_secs(60));
        if let Again::Later(rung) = after(Remedy::Hold, trial(1, 0), &policy) {
            prop_assert!(!short || policy.delays[rung] <= Duration::from_secs(60));
        }
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
            Again::Later(rung) => Some(rung),
            _ => None,
        };
        if let (Some(one), Some(two)) = (rung(attempts), rung(attempts + 1)) {
            prop_assert!(two == one + 1 || (two == one && two == policy.delays.len() - 1));
        }
    }
}
