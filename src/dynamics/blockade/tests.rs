use proptest::prelude::*;

use super::*;
use crate::machine::Remedy;

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

fn blocked_by(fault: &Fault, now: Instant) -> Blockade {
    let mut blockade = Blockade::new();
    assert!(matches!(blockade.held(fault, now, now), Change::Blocked(_)));
    blockade
}

#[test]
fn probes_are_due_after_5_seconds_and_then_at_growing_pauses_of_at_most_30() {
    let mut now = Instant::now();
    let mut blockade = blocked_by(&no_token(), now);
    let mut pauses = Vec::new();
    for n in 0..6 {
        let due = blockade.due().expect("a probe");
        pauses.push((due - now).as_secs());
        now = due;
        if n % 2 == 0 {
            assert!(matches!(blockade.refused(&no_token(), now), Change::Same));
        } else {
            blockade.unanswered(now);
        }
    }
    assert_eq!(pauses, [5, 10, 20, 30, 30, 30]);
}

#[test]
fn what_concerns_every_request_is_over_with_one_good_probe() {
    for fault in [no_token(), fault(StepName::PostIncident, 401, "application user")] {
        let now = Instant::now();
        let mut blockade = blocked_by(&fault, now);
        assert!(matches!(blockade.passed(now + SECOND * 7), Change::Opened(time) if time == SECOND * 7), "{fault:?}");
        assert!(blockade.cause().is_none());
    }
}

#[test]
fn what_one_step_met_is_over_when_that_step_is_answered() {
    let now = Instant::now();
    let mut blockade = blocked_by(&no_privilege(), now);
    assert!(matches!(blockade.passed(now + SECOND * 5), Change::Same));
    assert!(blockade.due().is_none() && blockade.cause().is_some(), "it tries");
    let (began, later) = (now + SECOND * 6, now + SECOND * 7);
    assert!(matches!(blockade.answered(StepName::LookUpContact, began, later), Change::Same));
    assert!(matches!(blockade.answered(StepName::PostIncident, now, later), Change::Same), "sent long before");
    assert!(matches!(blockade.answered(StepName::PostIncident, began, later), Change::Opened(_)));
}

#[test]
fn who_meets_it_again_after_a_good_probe_waits_longer_than_before() {
    let start = Instant::now();
    let mut now = start;
    let mut blockade = blocked_by(&no_privilege(), now);
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let due = blockade.due().unwrap();
        pauses.push((due - now).as_secs());
        now = due;
        blockade.passed(now);
        assert!(matches!(blockade.held(&no_privilege(), now, now), Change::Same));
    }
    assert_eq!(pauses, [5, 10, 20, 30, 30]);
    assert_eq!(blockade.cause().unwrap().since, start, "since the first time");
}

#[test]
fn a_probe_that_meets_something_else_says_so_and_the_step_is_still_to_show_that_it_works() {
    let now = Instant::now();
    let mut blockade = blocked_by(&no_privilege(), now);
    assert!(matches!(blockade.refused(&no_token(), now + SECOND * 5), Change::Otherwise(_)));
    assert!(matches!(blockade.refused(&no_token(), now + SECOND * 15), Change::Same));
    assert!(matches!(blockade.passed(now + SECOND * 35), Change::Same));
    let began = now + SECOND * 36;
    assert!(matches!(blockade.answered(StepName::PostIncident, began, began), Change::Opened(_)));
}

#[test]
fn what_was_sent_before_tells_nothing_of_now() {
    let now = Instant::now();
    let mut blockade = blocked_by(&no_token(), now);
    assert!(matches!(blockade.held(&no_token(), now, now + SECOND), Change::Same), "one of the same burst");
    assert_eq!(blockade.due(), Some(now + SECOND * 5));
    blockade.passed(now + SECOND * 5);
    assert!(matches!(blockade.held(&no_token(), now, now + SECOND * 6), Change::Same), "a late one");
    assert!(blockade.cause().is_none());
    let began = now + SECOND * 7;
    assert!(matches!(blockade.held(&no_token(), began, began), Change::Blocked(_)));
}

#[test]
fn a_changed_file_is_looked_at_at_once() {
    let now = Instant::now();
    let open = Blockade::new().succeeding(now);
    assert!(open.cause().is_none());
    let later = now + SECOND * 2;
    let next = blocked_by(&no_token(), now).succeeding(later);
    assert_eq!((next.due(), next.cause().unwrap().since), (Some(later), now));
}

#[test]
fn who_tries_and_never_meets_the_step_again_is_let_go() {
    let now = Instant::now();
    let mut blockade = blocked_by(&no_privilege(), now);
    blockade.passed(now);
    assert!(matches!(blockade.passes(now + SECOND * 899), Change::Same));
    assert!(matches!(blockade.passes(now + TRIAL), Change::Opened(_)));
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Held(StepName),
    Answered(StepName),
    Probe(u8),
    Pass(u64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let step = prop::sample::select(vec![StepName::Token, StepName::LookUpContact, StepName::PostIncident]);
    let one = prop_oneof![
        step.clone().prop_map(Happening::Held),
        step.prop_map(Happening::Answered),
        (0u8..3).prop_map(Happening::Probe),
        (1u64..40).prop_map(Happening::Pass),
    ];
    prop::collection::vec(one, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_told_once_when_it_begins_and_once_when_it_ends(happenings in happenings()) {
        let (mut now, mut blockade, mut blocked) = (Instant::now(), Blockade::new(), false);
        for happening in happenings {
            let change = match happening {
                Happening::Held(step) => blockade.held(&fault(step, 403, ""), now, now),
                Happening::Answered(step) => blockade.answered(step, now, now),
                Happening::Probe(0) => blockade.passed(now),
                Happening::Probe(1) => blockade.refused(&no_token(), now),
                Happening::Probe(_) => {
                    blockade.unanswered(now);
                    Change::Same
                }
                Happening::Pass(seconds) => {
                    now += SECOND * u32::try_from(seconds).unwrap();
                    blockade.passes(now)
                }
            };
            match change {
                Change::Blocked(_) => prop_assert!(!std::mem::replace(&mut blocked, true)),
                Change::Opened(_) => prop_assert!(std::mem::replace(&mut blocked, false)),
                Change::Otherwise(_) => prop_assert!(blocked),
                Change::Same => {}
            }
            prop_assert_eq!(blockade.cause().is_some(), blocked);
            if let Some(due) = blockade.due() {
                prop_assert!(due.saturating_duration_since(now) <= LONGEST_PAUSE);
            }
        }
    }
}
