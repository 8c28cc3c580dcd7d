use std::collections::VecDeque as Order;
use std::pin::pin;
use std::task::Poll;

use futures_util::poll;
use handoffd_engine::workflow::Remedy;

use super::*;

const STEP: StepName = StepName::PostIncident;

async fn entered(gate: &Arc<Gate>) -> Place {
    gate.enter(STEP).await.expect("a place")
}

fn well(place: Place) -> Change {
    place.leave(STEP, Ended::Answered, None)
}

fn held(step: StepName) -> Fault {
    Fault {
        remedy: Remedy::Hold,
        step,
        status: Some(403),
        code: None,
        message: "no".to_owned(),
        advice: "grant it".to_owned(),
        request_id: None,
    }
}

fn places(gate: &Gate) -> usize {
    gate.condition(Instant::now()).places
}

#[tokio::test]
async fn permits_are_granted_in_the_order_of_the_calls() {
    let gate = Gate::new(1);
    let first = entered(&gate).await;
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(gate.enter(STEP))).collect();
    for turn in &mut waiting {
        assert!(poll!(turn).is_pending());
    }
    // A waiting request in the middle is dropped.
    drop(waiting.remove(2));
    let mut order: Order<_> = waiting.into();
    let mut inside = first;
    while let Some(mut next) = order.pop_front() {
        assert!(poll!(&mut next).is_pending(), "one at a time");
        well(inside);
        let Poll::Ready(Ok(place)) = poll!(next) else { panic!("not its turn") };
        for later in &mut order {
            assert!(poll!(later).is_pending(), "nobody overtakes");
        }
        inside = place;
    }
}

#[tokio::test]
async fn a_dropped_permit_is_free_again() {
    let gate = Gate::new(1);
    let place = entered(&gate).await;
    {
        let mut turn = pin!(gate.enter(STEP));
        assert!(poll!(&mut turn).is_pending());
        drop(place);
        // The waiting request was granted the permit and is dropped before it receives it.
    }
    drop(entered(&gate).await);
    well(entered(&gate).await);
}

#[tokio::test]
async fn throttling_rejects_every_request_until_it_ends() {
    let gate = Gate::new(8);
    let inside = entered(&gate).await;
    let now = Instant::now();
    assert!(gate.shut(Duration::from_secs(60), now), "it was open");
    assert!(!gate.shut(Duration::from_secs(30), now), "shorter changes nothing");
    assert!(matches!(gate.enter(STEP).await, Err(Turned::Throttled(wait)) if wait > Duration::from_secs(55)));
    assert!(matches!(gate.stand(now), Stand::Throttled));
    assert!(matches!(gate.stand(now + Duration::from_secs(60)), Stand::Open(_)));
    inside.leave(STEP, Ended::Throttled, None);
    assert_eq!(places(&gate), 4);
}

#[tokio::test]
async fn throttling_rejects_waiting_requests() {
    let gate = Gate::new(1);
    let inside = entered(&gate).await;
    let mut turn = pin!(gate.enter(STEP));
    assert!(poll!(&mut turn).is_pending());
    gate.shut(Duration::from_secs(60), Instant::now());
    assert!(matches!(poll!(&mut turn), Poll::Ready(Err(Turned::Throttled(_)))));
    well(inside);
}

#[tokio::test]
async fn a_wait_of_zero_is_no_throttling() {
    let gate = Gate::new(8);
    assert!(!gate.shut(Duration::ZERO, Instant::now()));
    well(entered(&gate).await);
}

#[tokio::test]
async fn a_blocked_organization_rejects_every_request_until_a_probe_succeeds() {
    let gate = Gate::new(8);
    let (first, second) = (entered(&gate).await, entered(&gate).await);
    assert!(matches!(first.leave(STEP, Ended::Failed, Some(&held(StepName::Token))), Change::Blocked(_)));
    assert!(matches!(second.leave(STEP, Ended::Failed, Some(&held(StepName::Token))), Change::Same), "reported once");
    assert!(matches!(gate.enter(STEP).await, Err(Turned::Blocked(_))));
    assert!(matches!(gate.stand(Instant::now()), Stand::Blocked));
    assert!(gate.attend() && !gate.attend(), "one task probes it");

    let later = Instant::now() + Duration::from_secs(6);
    assert!(matches!(gate.look(later), (Look::Now, Change::Same)));
    assert!(matches!(gate.probed(Some(&Ok(())), Instant::now()), Change::Opened(_)));
    assert!(matches!(gate.look(later), (Look::Done, Change::Same)));
    let _all = (entered(&gate).await, entered(&gate).await);
    assert!(!gate.attend(), "nothing to probe");
}

#[tokio::test]
async fn a_held_step_is_tried_by_one_request_and_other_steps_continue() {
    let gate = Gate::new(8);
    let now = Instant::now();
    assert!(matches!(entered(&gate).await.leave(STEP, Ended::Failed, Some(&held(STEP))), Change::Same));
    assert!(gate.attend(), "a probe checks the extent of the refusal");
    assert!(matches!(gate.look(now + Duration::from_secs(1)), (Look::Now, Change::Same)), "at once");
    assert!(matches!(gate.probed(Some(&Ok(())), now), Change::Held(_)));
    assert!(matches!(gate.enter(STEP).await, Err(Turned::Held(_))));
    assert!(matches!(gate.stand(now), Stand::Open(_)));
    assert!(gate.held_since(STEP, now).is_some() && gate.held_until(STEP, now).is_some());
    let other = gate.enter(StepName::PostLiveWorkItem).await.expect("another step is free");
    assert!(matches!(other.leave(StepName::PostLiveWorkItem, Ended::Answered, None), Change::Same));

    // After a change of the file, the step is tried at once.
    let gate = gate.succeeded_by(8, now);
    drop(entered(&gate).await);
    assert!(matches!(gate.enter(STEP).await, Err(Turned::Held(_))), "a dropped trial proves nothing");
    let gate = gate.succeeded_by(8, now);
    let one = entered(&gate).await;
    assert!(matches!(gate.enter(STEP).await, Err(Turned::Held(_))), "one at a time");
    assert!(matches!(well(one), Change::Opened(_)));
    well(entered(&gate).await);
}

#[tokio::test]
async fn a_successor_takes_over_and_the_predecessor_reports_nothing() {
    let gate = Gate::new(8);
    let (first, second) = (entered(&gate).await, entered(&gate).await);
    first.leave(STEP, Ended::Failed, Some(&held(StepName::Token)));
    let next = gate.succeeded_by(8, Instant::now());
    assert!(matches!(second.leave(STEP, Ended::Failed, Some(&held(StepName::Token))), Change::Same));
    assert!(matches!(gate.look(Instant::now()), (Look::Done, Change::Same)));
    assert!(matches!(next.look(Instant::now()), (Look::Now, Change::Same)), "at once");
    assert!(matches!(next.probed(Some(&Ok(())), Instant::now()), Change::Opened(_)));
    well(entered(&next).await);

    let gate = Gate::new(8);
    let inside = entered(&gate).await;
    gate.succeeded_by(8, Instant::now());
    let change = inside.leave(STEP, Ended::Failed, Some(&held(StepName::Token)));
    assert!(matches!(change, Change::Same), "late results are not reported");
    assert!(!gate.attend());
}
