use std::collections::VecDeque as Order;
use std::pin::pin;
use std::task::Poll;

use futures_util::poll;
use handoffd_engine::workflow::Remedy;

use super::probing::ProbeTurn;
use super::*;

const STEP: StepName = StepName::PostIncident;

async fn entered(limiter: &Arc<Limiter>) -> Permit {
    limiter.acquire(STEP).await.expect("a place")
}

fn well(permit: Permit) -> BreakerChange {
    permit.release(STEP, RequestResult::Answered, None)
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

fn places(limiter: &Limiter) -> usize {
    limiter.condition(Instant::now()).concurrency
}

#[tokio::test]
async fn permits_are_granted_in_the_order_of_the_calls() {
    let limiter = Limiter::new(1);
    let first = entered(&limiter).await;
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(limiter.acquire(STEP))).collect();
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
        let Poll::Ready(Ok(permit)) = poll!(next) else { panic!("not its turn") };
        for later in &mut order {
            assert!(poll!(later).is_pending(), "nobody overtakes");
        }
        inside = permit;
    }
}

#[tokio::test]
async fn a_dropped_permit_is_free_again() {
    let limiter = Limiter::new(1);
    let permit = entered(&limiter).await;
    {
        let mut turn = pin!(limiter.acquire(STEP));
        assert!(poll!(&mut turn).is_pending());
        drop(permit);
        // The waiting request was granted the permit and is dropped before it receives it.
    }
    drop(entered(&limiter).await);
    well(entered(&limiter).await);
}

#[tokio::test]
async fn throttling_rejects_every_request_until_it_ends() {
    let limiter = Limiter::new(8);
    let inside = entered(&limiter).await;
    let now = Instant::now();
    assert!(limiter.throttle(Duration::from_secs(60), now), "it was open");
    assert!(!limiter.throttle(Duration::from_secs(30), now), "shorter changes nothing");
    assert!(matches!(limiter.acquire(STEP).await, Err(Rejected::Throttled(wait)) if wait > Duration::from_secs(55)));
    assert!(matches!(limiter.availability(now), LimiterAvailability::Throttled));
    assert!(matches!(limiter.availability(now + Duration::from_secs(60)), LimiterAvailability::Open(_)));
    inside.release(STEP, RequestResult::Throttled, None);
    assert_eq!(places(&limiter), 4);
}

#[tokio::test]
async fn throttling_rejects_waiting_requests() {
    let limiter = Limiter::new(1);
    let inside = entered(&limiter).await;
    let mut turn = pin!(limiter.acquire(STEP));
    assert!(poll!(&mut turn).is_pending());
    limiter.throttle(Duration::from_secs(60), Instant::now());
    assert!(matches!(poll!(&mut turn), Poll::Ready(Err(Rejected::Throttled(_)))));
    well(inside);
}

#[tokio::test]
async fn a_wait_of_zero_is_no_throttling() {
    let limiter = Limiter::new(8);
    assert!(!limiter.throttle(Duration::ZERO, Instant::now()));
    well(entered(&limiter).await);
}

#[tokio::test]
async fn a_blocked_organization_rejects_every_request_until_a_probe_succeeds() {
    let limiter = Limiter::new(8);
    let (first, second) = (entered(&limiter).await, entered(&limiter).await);
    assert!(matches!(
        first.release(STEP, RequestResult::Failed, Some(&held(StepName::Token))),
        BreakerChange::Blocked(_)
    ));
    assert!(
        matches!(second.release(STEP, RequestResult::Failed, Some(&held(StepName::Token))), BreakerChange::None),
        "reported once"
    );
    assert!(matches!(limiter.acquire(STEP).await, Err(Rejected::Blocked(_))));
    assert!(matches!(limiter.availability(Instant::now()), LimiterAvailability::Blocked));
    assert!(limiter.claim_probing() && !limiter.claim_probing(), "one task probes it");

    let later = Instant::now() + Duration::from_secs(6);
    assert!(matches!(limiter.next_probe(later), (ProbeTurn::Now(_), BreakerChange::None)));
    assert!(matches!(limiter.probed(Some(&Ok(())), Instant::now()), BreakerChange::Released(_)));
    assert!(matches!(limiter.next_probe(later), (ProbeTurn::Done, BreakerChange::None)));
    let _all = (entered(&limiter).await, entered(&limiter).await);
    assert!(!limiter.claim_probing(), "nothing to probe");
}

#[tokio::test]
async fn a_held_step_is_tried_by_one_request_and_other_steps_continue() {
    let limiter = Limiter::new(8);
    let now = Instant::now();
    assert!(matches!(
        entered(&limiter).await.release(STEP, RequestResult::Failed, Some(&held(STEP))),
        BreakerChange::None
    ));
    assert!(limiter.claim_probing(), "a probe checks the extent of the refusal");
    assert!(
        matches!(limiter.next_probe(now + Duration::from_secs(1)), (ProbeTurn::Now(_), BreakerChange::None)),
        "at once"
    );
    assert!(matches!(limiter.probed(Some(&Ok(())), now), BreakerChange::Held(_)));
    assert!(matches!(limiter.acquire(STEP).await, Err(Rejected::Held(_))));
    assert!(matches!(limiter.availability(now), LimiterAvailability::Open(_)));
    assert!(limiter.held_since(STEP, now).is_some() && limiter.held_until(STEP, now).is_some());
    let other = limiter.acquire(StepName::PostLiveWorkItem).await.expect("another step is free");
    assert!(matches!(other.release(StepName::PostLiveWorkItem, RequestResult::Answered, None), BreakerChange::None));

    // After a change of the file, the step is tried at once.
    let limiter = limiter.succeeded_by(8, now);
    drop(entered(&limiter).await);
    assert!(matches!(limiter.acquire(STEP).await, Err(Rejected::Held(_))), "a dropped trial proves nothing");
    let limiter = limiter.succeeded_by(8, now);
    let one = entered(&limiter).await;
    assert!(matches!(limiter.acquire(STEP).await, Err(Rejected::Held(_))), "one at a time");
    assert!(matches!(well(one), BreakerChange::Released(_)));
    well(entered(&limiter).await);
}

#[tokio::test]
async fn a_probe_takes_the_next_free_permit_and_holds_it() {
    let limiter = Limiter::new(2);
    entered(&limiter).await.release(STEP, RequestResult::Failed, Some(&held(STEP)));
    assert!(limiter.claim_probing(), "the extent of the refusal is unknown");
    let other = StepName::PostLiveWorkItem;
    let (one, two) = (limiter.acquire(other).await.expect("a place"), limiter.acquire(other).await.expect("a place"));
    let mut turn = pin!(limiter.acquire(other));
    assert!(poll!(&mut turn).is_pending());

    let due = Instant::now() + Duration::from_secs(1);
    assert!(matches!(limiter.next_probe(due).0, ProbeTurn::Later), "all permits are in use");
    one.release(other, RequestResult::Answered, None);
    assert!(poll!(&mut turn).is_pending(), "the free permit is the probe's");
    let ProbeTurn::Now(probe) = limiter.next_probe(due).0 else { panic!("a permit is free") };
    assert_eq!(limiter.condition(due).under_way, 2);
    assert!(poll!(&mut turn).is_pending(), "the probe holds its permit");
    drop(probe);
    let Poll::Ready(Ok(_third)) = poll!(&mut turn) else { panic!("the probe is over") };

    // A probe that is no longer needed keeps no permit.
    let mut turn = pin!(limiter.acquire(other));
    assert!(poll!(&mut turn).is_pending());
    assert!(matches!(limiter.next_probe(due).0, ProbeTurn::Later));
    two.release(other, RequestResult::Answered, None);
    limiter.clear(due);
    assert!(matches!(limiter.next_probe(due).0, ProbeTurn::Done));
    assert!(matches!(poll!(&mut turn), Poll::Ready(Ok(_))));
}

#[tokio::test]
async fn a_successor_takes_over_and_the_predecessor_reports_nothing() {
    let limiter = Limiter::new(8);
    let (first, second) = (entered(&limiter).await, entered(&limiter).await);
    first.release(STEP, RequestResult::Failed, Some(&held(StepName::Token)));
    let next = limiter.succeeded_by(8, Instant::now());
    assert!(matches!(second.release(STEP, RequestResult::Failed, Some(&held(StepName::Token))), BreakerChange::None));
    assert!(matches!(limiter.next_probe(Instant::now()), (ProbeTurn::Done, BreakerChange::None)));
    assert!(matches!(next.next_probe(Instant::now()), (ProbeTurn::Now(_), BreakerChange::None)), "at once");
    assert!(matches!(next.probed(Some(&Ok(())), Instant::now()), BreakerChange::Released(_)));
    well(entered(&next).await);

    let limiter = Limiter::new(8);
    let inside = entered(&limiter).await;
    limiter.succeeded_by(8, Instant::now());
    let change = inside.release(STEP, RequestResult::Failed, Some(&held(StepName::Token)));
    assert!(matches!(change, BreakerChange::None), "late results are not reported");
    assert!(!limiter.claim_probing());
}

#[tokio::test]
async fn requests_of_all_predecessors_count_until_they_are_over() {
    let limiter = Limiter::new(2);
    let (first, second) = (entered(&limiter).await, entered(&limiter).await);
    let mut waiting = pin!(limiter.acquire(STEP));
    assert!(poll!(&mut waiting).is_pending());

    let next = limiter.succeeded_by(2, Instant::now());
    assert!(matches!(poll!(&mut waiting), Poll::Ready(Err(Rejected::Retired))), "to be sent with the new file");
    assert!(matches!(limiter.acquire(STEP).await, Err(Rejected::Retired)));
    let next = next.succeeded_by(2, Instant::now());
    let mut turns = [Box::pin(next.acquire(STEP)), Box::pin(next.acquire(STEP))];
    assert!(poll!(&mut turns[0]).is_pending() && poll!(&mut turns[1]).is_pending());
    well(first);
    let Poll::Ready(Ok(permit)) = poll!(&mut turns[0]) else { panic!("one is over") };
    assert!(poll!(&mut turns[1]).is_pending(), "the other is not");
    drop(second);
    well(permit);
    assert!(matches!(poll!(&mut turns[1]), Poll::Ready(Ok(_))));
    assert_eq!(next.condition(Instant::now()).under_way, 0);
}
