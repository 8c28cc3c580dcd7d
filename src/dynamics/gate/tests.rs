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
async fn places_are_given_in_the_order_of_asking() {
    let gate = Gate::new(1);
    let first = entered(&gate).await;
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(gate.enter(STEP))).collect();
    for turn in &mut waiting {
        assert!(poll!(turn).is_pending());
    }
    // Somebody in the middle goes away.
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
async fn a_place_that_nobody_takes_or_leaves_is_free_again() {
    let gate = Gate::new(1);
    let place = entered(&gate).await;
    {
        let mut turn = pin!(gate.enter(STEP));
        assert!(poll!(&mut turn).is_pending());
        drop(place);
        // It has been given the place, and is gone before it looks.
    }
    drop(entered(&gate).await);
    well(entered(&gate).await);
}

#[tokio::test]
async fn shut_is_shut_for_everybody_until_its_time() {
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
async fn shutting_sends_away_who_waits() {
    let gate = Gate::new(1);
    let inside = entered(&gate).await;
    let mut turn = pin!(gate.enter(STEP));
    assert!(poll!(&mut turn).is_pending());
    gate.shut(Duration::from_secs(60), Instant::now());
    assert!(matches!(poll!(&mut turn), Poll::Ready(Err(Turned::Throttled(_)))));
    well(inside);
}

#[tokio::test]
async fn no_wait_is_no_shutting() {
    let gate = Gate::new(8);
    assert!(!gate.shut(Duration::ZERO, Instant::now()));
    well(entered(&gate).await);
}

#[tokio::test]
async fn blocked_lets_nobody_in_until_a_probe_passes() {
    let gate = Gate::new(8);
    let (first, second) = (entered(&gate).await, entered(&gate).await);
    assert!(matches!(first.leave(STEP, Ended::Failed, Some(&held(StepName::Token))), Change::Blocked(_)));
    assert!(matches!(second.leave(STEP, Ended::Failed, Some(&held(StepName::Token))), Change::Same), "told once");
    assert!(matches!(gate.enter(STEP).await, Err(Turned::Blocked(_))));
    assert!(matches!(gate.stand(Instant::now()), Stand::Blocked));
    assert!(gate.attend() && !gate.attend(), "one looks after it");

    let later = Instant::now() + Duration::from_secs(6);
    assert!(matches!(gate.look(later), (Look::Now, Change::Same)));
    assert!(matches!(gate.probed(Some(&Ok(())), Instant::now()), Change::Opened(_)));
    assert!(matches!(gate.look(later), (Look::Done, Change::Same)));
    let _all = (entered(&gate).await, entered(&gate).await);
    assert!(!gate.attend(), "nothing to look after");
}

#[tokio::test]
async fn a_step_that_is_held_is_tried_by_one_and_all_others_go_on() {
    let gate = Gate::new(8);
    let now = Instant::now();
    assert!(matches!(entered(&gate).await.leave(STEP, Ended::Failed, Some(&held(STEP))), Change::Same));
    assert!(gate.attend(), "a probe asks whether it is more than that");
    assert!(matches!(gate.look(now + Duration::from_secs(1)), (Look::Now, Change::Same)), "at once");
    assert!(matches!(gate.probed(Some(&Ok(())), now), Change::Held(_)));
    assert!(matches!(gate.enter(STEP).await, Err(Turned::Held(_))));
    assert!(matches!(gate.stand(now), Stand::Open(_)));
    assert!(gate.held_since(STEP, now).is_some() && gate.held_until(STEP, now).is_some());
    let other = gate.enter(StepName::PostLiveWorkItem).await.expect("another step is free");
    assert!(matches!(other.leave(StepName::PostLiveWorkItem, Ended::Answered, None), Change::Same));

    // As when its file changes: it is tried at once.
    let gate = gate.succeeded_by(8, now);
    drop(entered(&gate).await);
    assert!(matches!(gate.enter(STEP).await, Err(Turned::Held(_))), "one that goes away proves nothing");
    let gate = gate.succeeded_by(8, now);
    let one = entered(&gate).await;
    assert!(matches!(gate.enter(STEP).await, Err(Turned::Held(_))), "one at a time");
    assert!(matches!(well(one), Change::Opened(_)));
    well(entered(&gate).await);
}

#[tokio::test]
async fn a_successor_goes_on_and_the_predecessor_is_silent() {
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
    assert!(matches!(change, Change::Same), "what is late is told to nobody");
    assert!(!gate.attend());
}
