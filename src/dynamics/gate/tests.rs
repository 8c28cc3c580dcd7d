use std::collections::VecDeque as Order;
use std::pin::pin;
use std::task::Poll;

use futures_util::poll;

use super::*;
use crate::machine::Remedy;

const STEP: StepName = StepName::PostIncident;

async fn entered(gate: &Arc<Gate>) -> Place {
    gate.enter().await.expect("a place")
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
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(gate.enter())).collect();
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
        let mut turn = pin!(gate.enter());
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
    assert!(matches!(gate.enter().await, Err(Turned::Throttled(wait)) if wait > Duration::from_secs(55)));
    assert!(matches!(gate.stand(now), Stand::Throttled));
    assert!(matches!(gate.stand(now + Duration::from_secs(60)), Stand::Open(_)));
    inside.leave(STEP, Ended::Throttled, None);
    assert_eq!(places(&gate), 4);
}

#[tokio::test]
async fn shutting_sends_away_who_waits() {
    let gate = Gate::new(1);
    let inside = entered(&gate).await;
    let mut turn = pin!(gate.enter());
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
async fn blocked_lets_nobody_in_then_one_at_a_time_then_all() {
    let gate = Gate::new(8);
    let (first, second) = (entered(&gate).await, entered(&gate).await);
    assert!(matches!(first.leave(STEP, Ended::Failed, Some(&held(STEP))), Change::Blocked(_)));
    assert!(matches!(second.leave(STEP, Ended::Failed, Some(&held(STEP))), Change::Same), "told once");
    assert!(matches!(gate.enter().await, Err(Turned::Blocked(_))));
    assert!(matches!(gate.stand(Instant::now()), Stand::Blocked));
    assert!(gate.attend() && !gate.attend(), "one looks after it");

    let later = Instant::now() + Duration::from_secs(6);
    assert!(matches!(gate.look(later), (Look::Now, Change::Same)));
    assert!(matches!(gate.probed(Some(&Ok(())), Instant::now()), Change::Same));
    assert!(matches!(gate.stand(Instant::now()), Stand::Open(1)));
    let one = entered(&gate).await;
    let mut next = Box::pin(gate.enter());
    assert!(poll!(&mut next).is_pending(), "one at a time");
    drop(one);
    let Poll::Ready(Ok(one)) = poll!(next) else { panic!("its turn") };
    let mut after = Box::pin(gate.enter());
    assert!(poll!(&mut after).is_pending());
    assert!(matches!(well(one), Change::Opened(_)));
    assert!(matches!(poll!(after), Poll::Ready(Ok(_))), "whoever waited is let in when it opens");
    assert!(matches!(gate.look(later), (Look::Done, Change::Same)));
    let _all = (entered(&gate).await, entered(&gate).await);
    assert!(!gate.attend(), "nothing to look after");
}

#[tokio::test]
async fn a_successor_goes_on_and_the_predecessor_is_silent() {
    let gate = Gate::new(8);
    let (first, second) = (entered(&gate).await, entered(&gate).await);
    first.leave(STEP, Ended::Failed, Some(&held(StepName::Token)));
    let next = gate.succeeded_by(8, Instant::now());
    assert!(matches!(second.leave(STEP, Ended::Failed, Some(&held(STEP))), Change::Same));
    assert!(matches!(gate.look(Instant::now()), (Look::Done, Change::Same)));
    assert!(matches!(next.look(Instant::now()), (Look::Now, Change::Same)), "at once");
    assert!(matches!(next.probed(Some(&Ok(())), Instant::now()), Change::Opened(_)));
    well(entered(&next).await);

    let gate = Gate::new(8);
    let inside = entered(&gate).await;
    gate.succeeded_by(8, Instant::now());
    let change = inside.leave(STEP, Ended::Failed, Some(&held(STEP)));
    assert!(matches!(change, Change::Same), "what is late is told to nobody");
    assert!(!gate.attend());
}
