//! A destination that refuses: the event waits on the ladder, what was decided stands, and Dynamics is not asked again.

use std::sync::atomic::{AtomicBool, Ordering};

use super::broker::End;
use super::rig::{Mood, Rig, envelope, handoff, rig};
use crate::event::Envelope;
use crate::workflow::{Phase, Remedy};

const REFUSALS: &str = "x-handoffd-refusals";

fn told(end: &End) -> (usize, &str) {
    match end {
        End::Later { rung, headers } => (*rung, &headers[REFUSALS]),
        other => panic!("it was not put off: {other:?}"),
    }
}

fn turn(what: &AtomicBool, on: bool) {
    what.store(on, Ordering::Relaxed);
}

/// Carries an event again and again while its destination refuses; the rungs it was put on.
async fn refused(rig: &Rig, times: usize) -> Vec<usize> {
    let (mut rungs, mut past) = (Vec::new(), Envelope::default());
    for _ in 0..times {
        let end = rig.carry(past, handoff("evt_1")).await;
        let (rung, refusals) = told(&end);
        rungs.push(rung);
        past = envelope(&[(REFUSALS, refusals), ("x-handoffd-first-seen", "2026-11-22T11:59:00Z")]);
    }
    rungs
}

#[tokio::test]
async fn an_outcome_that_is_refused_climbs_the_ladder_and_is_not_done_again() {
    let rig = rig();
    turn(&rig.broker.refuses_outcomes, true);
    assert_eq!(refused(&rig, 5).await, [0, 1, 2, 2, 2]);
    assert_eq!(rig.asked(), 1, "what it has done is not done again");
    assert!(matches!(rig.record("evt_1").await.unwrap().phase, Phase::Finished(_)));
    turn(&rig.broker.refuses_outcomes, false);
    assert_eq!(rig.carry(Envelope::default(), handoff("evt_1")).await, End::Acked);
    assert_eq!((rig.asked(), rig.broker.outcomes.lock().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn a_dead_letter_that_is_refused_climbs_the_ladder_and_stays_dead() {
    let rig = rig();
    rig.mood("evt_1", Mood::Refuses(Remedy::GiveUp));
    turn(&rig.broker.refuses_dead_letters, true);
    assert_eq!(refused(&rig, 4).await, [0, 1, 2, 2]);
    let record = rig.record("evt_1").await.unwrap();
    assert!(matches!(record.phase, Phase::Dead(_)) && !record.settled);
    rig.recovers();
    turn(&rig.broker.refuses_dead_letters, false);
    assert!(matches!(rig.carry(Envelope::default(), handoff("evt_1")).await, End::Dead { .. }), "as was decided");
    assert_eq!(rig.asked(), 1);
    assert!(rig.record("evt_1").await.unwrap().settled);
    assert_eq!(rig.carry(Envelope::default(), handoff("evt_1")).await, End::Acked, "published anew it starts afresh");
    assert_eq!(rig.asked(), 2);
}

#[tokio::test]
async fn an_organizations_queue_that_refuses_keeps_the_event_on_the_ladder() {
    let rig = rig();
    turn(&rig.broker.refuses_forwarding, true);
    assert_eq!(refused(&rig, 4).await, [0, 1, 2, 2]);
    assert_eq!((rig.asked(), rig.record("evt_1").await), (0, None));
    turn(&rig.broker.refuses_forwarding, false);
    assert_eq!(rig.carry(Envelope::default(), handoff("evt_1")).await, End::Acked);
}
