use handoffd_engine::workflow::Remedy;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn fault(step: StepName, status: u16, advice: &str) -> Fault {
    Fault {
        remedy: Remedy::Hold,
        step,
        status: Some(status),
        code: None,
        message: String::new(),
        advice: advice.to_owned(),
        request_id: None,
    }
}

fn no_token() -> Fault {
    fault(StepName::Token, 401, "secret")
}

fn no_privilege() -> Fault {
    fault(StepName::PostIncident, 403, "role")
}

fn blocked_by(fault: &Fault, now: Instant) -> CircuitBreaker {
    let mut breaker = CircuitBreaker::default();
    assert!(matches!(breaker.held(fault.step, fault, now, now), BreakerChange::Blocked(_)));
    breaker
}

/// Returns a breaker with one held step: the step was refused and the probe succeeded.
fn held_by(fault: &Fault, now: Instant) -> CircuitBreaker {
    let mut breaker = CircuitBreaker::default();
    assert!(matches!(breaker.held(fault.step, fault, now, now), BreakerChange::None), "the extent is not known yet");
    assert_eq!(breaker.due(), Some(now), "a probe is due at once");
    assert!(matches!(breaker.probe_succeeded(now), BreakerChange::Held(_)));
    breaker
}

const STEP: StepName = StepName::PostIncident;

/// Returns the time until the next event may try the held step.
fn next_trial(breaker: &CircuitBreaker, now: Instant) -> Duration {
    match breaker.entry(STEP, now) {
        BreakerPermission::Held(_, until) => until - now,
        other => panic!("{other:?}"),
    }
}

#[test]
fn probes_are_due_after_5_seconds_and_then_at_growing_pauses_of_at_most_30() {
    let mut now = Instant::now();
    let mut breaker = blocked_by(&no_token(), now);
    let mut pauses = Vec::new();
    for n in 0..6 {
        let due = breaker.due().expect("a probe");
        pauses.push((due - now).as_secs());
        now = due;
        if n % 2 == 0 {
            assert!(matches!(breaker.probe_refused(&no_token(), now), BreakerChange::None));
        } else {
            breaker.probe_inconclusive(now);
        }
    }
    assert_eq!(pauses, [5, 10, 20, 30, 30, 30]);
}

#[test]
fn pauses_go_on_growing_while_the_requests_after_a_successful_probe_are_refused() {
    let (mut now, refused) = (Instant::now(), fault(StepName::PostIncident, 401, "application user"));
    let (mut breaker, mut pauses) = (CircuitBreaker::default(), Vec::new());
    for _ in 0..5 {
        breaker.held(STEP, &refused, now, now);
        let due = breaker.due().expect("a probe");
        pauses.push((due - now).as_secs());
        now = due + SECOND;
        breaker.probe_succeeded(now);
    }
    assert_eq!(pauses, [5, 10, 20, 30, 30]);
    now += SECOND * 31;
    breaker.held(STEP, &refused, now, now);
    assert_eq!(breaker.due(), Some(now + SECOND * 5), "a later refusal is a new one");
}

#[test]
fn a_probe_with_404_refuses_only_an_environment_that_was_missing() {
    let (now, missing) = (Instant::now(), fault(StepName::Probe, 404, "environment_url"));
    let mut breaker = blocked_by(&no_token(), now);
    assert!(matches!(breaker.probe_refused(&missing, now), BreakerChange::Released(_)));
    let mut breaker = CircuitBreaker::default();
    breaker.held(STEP, &no_privilege(), now, now);
    assert!(matches!(breaker.probe_refused(&missing, now), BreakerChange::Held(_)), "the step alone");
    let mut breaker = CircuitBreaker::default();
    breaker.held(STEP, &fault(STEP, 404, "environment_url"), now, now);
    assert!(matches!(breaker.probe_refused(&missing, now), BreakerChange::Blocked(_)));
    assert!(matches!(breaker.probe_refused(&missing, now), BreakerChange::None), "and it stays so");
}

#[test]
fn a_block_of_every_request_ends_with_one_successful_probe() {
    for fault in [no_token(), fault(StepName::PostIncident, 401, "application user")] {
        let now = Instant::now();
        let mut breaker = blocked_by(&fault, now);
        assert!(
            matches!(breaker.probe_succeeded(now + SECOND * 7), BreakerChange::Released(time) if time == SECOND * 7),
            "{fault:?}"
        );
        assert!(breaker.cause().is_none());
    }
}

#[test]
fn a_step_that_is_held_holds_no_other() {
    let now = Instant::now();
    let breaker = held_by(&no_privilege(), now);
    assert!(breaker.blocked().is_none() && breaker.cause().is_some());
    assert!(matches!(breaker.entry(StepName::PostLiveWorkItem, now), BreakerPermission::Free));
    assert!(matches!(breaker.entry(STEP, now), BreakerPermission::Held(..)));
    assert!(breaker.due().is_none(), "no probe is due");
}

#[test]
fn a_refused_probe_blocks_the_organization_and_the_step_is_tried_afterwards() {
    let now = Instant::now();
    let mut breaker = CircuitBreaker::default();
    breaker.held(STEP, &no_privilege(), now, now);
    assert!(matches!(breaker.probe_refused(&no_privilege(), now), BreakerChange::Blocked(_)));
    assert!(breaker.blocked().is_some());
    assert!(
        matches!(breaker.probe_succeeded(now + SECOND * 5), BreakerChange::Held(_)),
        "a successful probe does not prove the step"
    );
    assert!(matches!(breaker.entry(STEP, now + SECOND * 5), BreakerPermission::Trial));
    breaker.begin_trial(STEP);
    assert!(matches!(breaker.finish_trial(STEP, TrialResult::Answered, now + SECOND * 6), BreakerChange::Released(_)));
}

#[test]
fn one_event_at_a_time_tries_a_step_at_growing_pauses() {
    let start = Instant::now();
    let (mut now, mut breaker, mut pauses) = (start, held_by(&no_privilege(), start), Vec::new());
    for n in 0..5 {
        let pause = next_trial(&breaker, now);
        pauses.push(pause.as_secs());
        now += pause;
        assert!(matches!(breaker.entry(STEP, now), BreakerPermission::Trial));
        breaker.begin_trial(STEP);
        assert!(matches!(breaker.entry(STEP, now), BreakerPermission::Held(..)), "one at a time");
        let tried = if n % 2 == 0 { TrialResult::Refused(&no_privilege()) } else { TrialResult::Unknown };
        assert!(matches!(breaker.finish_trial(STEP, tried, now), BreakerChange::None));
    }
    assert_eq!(pauses, [5, 10, 20, 30, 30]);
    assert_eq!(breaker.cause().unwrap().since, start, "since the first time");
    breaker.begin_trial(STEP);
    assert!(
        matches!(breaker.finish_trial(STEP, TrialResult::Answered, now), BreakerChange::Released(time) if time == now - start)
    );
    assert!(matches!(breaker.entry(STEP, now), BreakerPermission::Free));
}

#[test]
fn another_reason_is_reported_and_a_refused_token_in_a_trial_blocks_the_organization() {
    let now = Instant::now();
    let mut breaker = held_by(&no_privilege(), now);
    let other = fault(STEP, 403, "another role");
    assert!(matches!(breaker.finish_trial(STEP, TrialResult::Refused(&other), now), BreakerChange::ReasonChanged(_)));
    assert!(matches!(breaker.finish_trial(STEP, TrialResult::Refused(&no_token()), now), BreakerChange::Blocked(_)));
    assert!(matches!(breaker.probe_refused(&no_token(), now), BreakerChange::None));
    assert!(matches!(breaker.probe_refused(&other, now), BreakerChange::ReasonChanged(_)));
}

#[test]
fn two_steps_are_freed_one_by_one() {
    let now = Instant::now();
    let mut breaker = held_by(&no_privilege(), now);
    let chats = fault(StepName::PostLiveWorkItem, 404, "install it");
    breaker.held(chats.step, &chats, now, now);
    assert!(matches!(breaker.probe_succeeded(now), BreakerChange::Held(fault) if fault.step == chats.step));
    assert!(matches!(
        breaker.finish_trial(STEP, TrialResult::Answered, now + SECOND),
        BreakerChange::StepReleased(STEP, _)
    ));
    assert!(matches!(
        breaker.finish_trial(chats.step, TrialResult::Answered, now + SECOND * 2),
        BreakerChange::Released(_)
    ));
}

#[test]
fn refusals_of_requests_sent_before_the_release_are_ignored() {
    let now = Instant::now();
    let mut breaker = blocked_by(&no_token(), now);
    let late = |breaker: &mut CircuitBreaker, fault: &Fault, at| breaker.held(fault.step, fault, now, at);
    assert!(matches!(late(&mut breaker, &no_token(), now + SECOND), BreakerChange::None), "one of the same burst");
    assert_eq!(breaker.due(), Some(now + SECOND * 5));
    breaker.probe_succeeded(now + SECOND * 5);
    assert!(matches!(late(&mut breaker, &no_token(), now + SECOND * 6), BreakerChange::None), "a late refusal");
    assert!(matches!(late(&mut breaker, &no_privilege(), now + SECOND * 6), BreakerChange::None), "a late refusal");
    assert!(breaker.cause().is_none());
    let began = now + SECOND * 7;
    assert!(matches!(breaker.held(StepName::Token, &no_token(), began, began), BreakerChange::Blocked(_)));
}

#[test]
fn a_changed_file_is_probed_at_once() {
    let now = Instant::now();
    let later = now + SECOND * 2;
    assert!(CircuitBreaker::default().succeeding(later).cause().is_none());
    let next = blocked_by(&no_token(), now).succeeding(later);
    assert_eq!((next.due(), next.cause().unwrap().since), (Some(later), now));
    let next = held_by(&no_privilege(), now).succeeding(later);
    assert!(matches!(next.entry(STEP, later), BreakerPermission::Trial));
}

#[test]
fn a_step_that_no_event_needs_is_released() {
    let now = Instant::now();
    let mut breaker = held_by(&no_privilege(), now);
    let due = now + FIRST_PAUSE;
    assert!(matches!(breaker.release_untried(due + SECOND * 899), BreakerChange::None));
    assert!(matches!(breaker.release_untried(due + UNTRIED), BreakerChange::Released(_)));
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Held(StepName),
    Tried(StepName, u8),
    Probe(u8),
    Pass(u64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let step = prop::sample::select(vec![StepName::Token, StepName::LookUpContact, StepName::PostIncident]);
    let one = prop_oneof![
        step.clone().prop_map(Happening::Held),
        (step, 0u8..4).prop_map(|(step, how)| Happening::Tried(step, how)),
        (0u8..3).prop_map(Happening::Probe),
        (1u64..40).prop_map(Happening::Pass),
    ];
    prop::collection::vec(one, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_beginning_and_the_end_of_an_outage_are_always_reported(happenings in happenings()) {
        let (mut now, mut breaker, mut told) = (Instant::now(), CircuitBreaker::default(), false);
        for happening in happenings {
            let change = match happening {
                Happening::Held(step) => breaker.held(step, &fault(step, 403, ""), now, now),
                Happening::Tried(step, 0) => breaker.finish_trial(step, TrialResult::Answered, now),
                Happening::Tried(step, 1) => breaker.finish_trial(step, TrialResult::Unknown, now),
                Happening::Tried(step, 2) => breaker.finish_trial(step, TrialResult::Refused(&no_token()), now),
                Happening::Tried(step, _) => breaker.finish_trial(step, TrialResult::Refused(&fault(step, 403, "")), now),
                Happening::Probe(0) => breaker.probe_succeeded(now),
                Happening::Probe(1) => breaker.probe_refused(&no_token(), now),
                Happening::Probe(_) => breaker.probe_inconclusive(now),
                Happening::Pass(seconds) => {
                    now += SECOND * u32::try_from(seconds).unwrap();
                    breaker.release_untried(now)
                }
            };
            match change {
                BreakerChange::Blocked(_) | BreakerChange::Held(_) => told = true,
                BreakerChange::Released(_) => told = false,
                BreakerChange::StepReleased(..) => prop_assert!(breaker.cause().is_some()),
                BreakerChange::ReasonChanged(_) | BreakerChange::None => {}
            }
            prop_assert!(told || breaker.blocked().is_none(), "a block is reported at once");
            prop_assert!(!told || breaker.cause().is_some(), "its end is reported");
            prop_assert!(told || breaker.cause().is_none() || breaker.due().is_some(), "a held step is reported after a probe");
            if let Some(due) = breaker.due() {
                prop_assert!(due.saturating_duration_since(now) <= LONGEST_PAUSE);
            }
        }
    }
}

#[test]
fn a_passed_test_releases_block_and_steps_and_late_refusals_do_not_count() {
    let now = Instant::now();
    for (mut breaker, fault) in
        [(held_by(&no_privilege(), now), no_privilege()), (blocked_by(&no_token(), now), no_token())]
    {
        let later = now + SECOND;
        assert!(matches!(breaker.clear(later), BreakerChange::Released(held_for) if held_for == SECOND));
        assert!(breaker.cause().is_none() && breaker.due().is_none());
        assert!(matches!(breaker.entry(StepName::PostIncident, later), BreakerPermission::Free));
        assert!(matches!(breaker.held(fault.step, &fault, now, later), BreakerChange::None));
        assert!(breaker.cause().is_none(), "it began before");
        assert!(matches!(breaker.clear(later), BreakerChange::None));
        breaker.held(fault.step, &fault, later, later);
        assert!(breaker.cause().is_some());
    }
}
