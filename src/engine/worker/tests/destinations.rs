//! Destinations that refuse a message: the event goes to the retry ladder, its decision stands, and Dynamics is not
//! asked again.

use std::sync::atomic::{AtomicBool, Ordering};

use super::rig::{Mood, Rig, envelope, handoff, rig};
use crate::event::Envelope;
use crate::ports::bus::samples::MessageEnd;
use crate::workflow::{Phase, Remedy};

const REFUSALS: &str = "x-handoffd-refusals";

fn rung_and_refusals(end: &MessageEnd) -> (usize, &str) {
    match end {
        MessageEnd::Later { rung, headers } => (*rung, &headers[REFUSALS]),
        other => panic!("expected a retry: {other:?}"),
    }
}

fn set(what: &AtomicBool, on: bool) {
    what.store(on, Ordering::Relaxed);
}

/// Processes an event repeatedly while its destination refuses, and returns its rungs.
async fn refused(rig: &Rig, times: usize) -> Vec<usize> {
    let (mut rungs, mut past) = (Vec::new(), Envelope::default());
    for _ in 0..times {
        let end = rig.process(past, handoff("evt_1")).await;
        let (rung, refusals) = rung_and_refusals(&end);
        rungs.push(rung);
        past = envelope(&[(REFUSALS, refusals), ("x-handoffd-first-seen", "2026-11-22T11:59:00Z")]);
    }
    rungs
}

#[tokio::test]
async fn a_refused_outcome_climbs_the_ladder_without_repeating_its_work() {
    let rig = rig();
    set(&rig.broker.refuses_outcomes, true);
    assert_eq!(refused(&rig, 5).await, [0, 1, 2, 2, 2]);
    assert_eq!(rig.asked(), 1, "completed work is not repeated");
    assert!(matches!(rig.record("evt_1").await.unwrap().phase, Phase::Finished(_)));
    set(&rig.broker.refuses_outcomes, false);
    assert_eq!(rig.process(Envelope::default(), handoff("evt_1")).await, MessageEnd::Acked);
    assert_eq!((rig.asked(), rig.broker.outcomes.lock().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn a_refused_dead_letter_climbs_the_ladder_and_stays_dead() {
    let rig = rig();
    rig.mood("evt_1", Mood::Refuses(Remedy::GiveUp));
    set(&rig.broker.refuses_dead_letters, true);
    assert_eq!(refused(&rig, 4).await, [0, 1, 2, 2]);
    let record = rig.record("evt_1").await.unwrap();
    assert!(matches!(record.phase, Phase::Dead(_)) && !record.settled);
    rig.recovers();
    set(&rig.broker.refuses_dead_letters, false);
    assert!(
        matches!(rig.process(Envelope::default(), handoff("evt_1")).await, MessageEnd::Dead { .. }),
        "the decision stands"
    );
    assert_eq!(rig.asked(), 1);
    assert!(rig.record("evt_1").await.unwrap().settled);
    assert_eq!(
        rig.process(Envelope::default(), handoff("evt_1")).await,
        MessageEnd::Acked,
        "published again, it starts over"
    );
    assert_eq!(rig.asked(), 2);
}

#[tokio::test]
async fn a_refusing_organization_queue_keeps_the_event_on_the_ladder() {
    let rig = rig();
    set(&rig.broker.refuses_forwarding, true);
    assert_eq!(refused(&rig, 4).await, [0, 1, 2, 2]);
    assert_eq!((rig.asked(), rig.record("evt_1").await), (0, None));
    set(&rig.broker.refuses_forwarding, false);
    assert_eq!(rig.process(Envelope::default(), handoff("evt_1")).await, MessageEnd::Acked);
}
