//! Destinations that refuse a message: the event goes to the retry ladder, its decision stands, and Dynamics is not
//! asked again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::rig::{Mood, Rig, envelope, handoff, rig};
use crate::event::Envelope;
use crate::ports::bus::samples::{MessageEnd, QueuedMessage};
use crate::workflow::{Phase, Remedy};

const REFUSALS: &str = "x-handoffd-refusals";
const ANNOUNCED: &str = "x-handoffd-announced";

fn rung_and_refusals(end: &MessageEnd) -> (usize, &str) {
    match end {
        MessageEnd::Later { rung, headers } => (*rung, &headers[REFUSALS]),
        other => panic!("expected a retry: {other:?}"),
    }
}

fn announced(end: &MessageEnd) -> Option<&str> {
    let MessageEnd::Later { headers, .. } = end else { return None };
    headers.get(ANNOUNCED).map(String::as_str)
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
        let known = [(REFUSALS, refusals), ("x-handoffd-first-seen", "2026-11-22T11:59:00Z")];
        let announced = announced(&end).map(|text| (ANNOUNCED, text));
        past = envelope(&known.into_iter().chain(announced).collect::<Vec<_>>());
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
    assert_eq!(rig.broker.outcomes.lock().unwrap().len(), 1, "announced once");
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

/// A cluster that elects leaders refuses everything for seconds, and gives up a message of the inbox after 20 deliveries.
#[tokio::test(start_paused = true)]
async fn an_event_that_every_queue_refuses_is_held_and_not_returned_to_the_inbox() {
    let rig = rig();
    set(&rig.broker.refuses_forwarding, true);
    set(&rig.broker.refuses_retries, true);
    let electing = async {
        sleep(Duration::from_secs(120)).await;
        assert!(rig.broker.given_back.lock().unwrap().is_empty(), "held");
        set(&rig.broker.refuses_retries, false);
    };
    let message = QueuedMessage::new(Envelope::default(), handoff("evt_1"));
    let (ends, ()) = tokio::join!(rig.hand_over(vec![message]), electing);
    assert_eq!(rung_and_refusals(&ends[0]), (0, "1"), "as if refused once");

    set(&rig.broker.refuses_retries, true);
    let message = QueuedMessage::new(Envelope::default(), handoff("evt_1"));
    let stop = async {
        sleep(Duration::from_secs(10)).await;
        rig.worker.stop_pausing();
    };
    let (ends, ()) = tokio::join!(rig.hand_over(vec![message]), stop);
    assert_eq!(ends, [MessageEnd::Requeued], "a worker that stops holds nothing");
}

fn resolution(event: &str, session: &str) -> String {
    format!(
        r#"{{"event":"session.resolved","event_id":"{event}","organization_id":"org_acme","timestamp":"2026-11-22T10:20:00Z",
            "data":{{"session_id":"{session}"}}}}"#
    )
}

/// The organization's queue has refused a handoff, and accepts the resolution behind it.
#[tokio::test]
async fn a_resolution_that_overtook_a_refused_handoff_waits_until_it_is_over() {
    let rig = rig();
    assert_eq!(rig.process(Envelope::default(), handoff("evt_1")).await, MessageEnd::Acked);
    let second = || handoff("evt_2").replace("ses_evt_2", "ses_evt_1");
    set(&rig.broker.refuses_forwarding, true);
    assert!(matches!(rig.process(Envelope::default(), second()).await, MessageEnd::Later { .. }));
    set(&rig.broker.refuses_forwarding, false);
    let MessageEnd::Later { headers, .. } = rig.process(Envelope::default(), resolution("evt_3", "ses_evt_1")).await
    else {
        panic!("expected a retry")
    };
    assert_eq!(headers["x-handoffd-attempts"], "0");
    assert_eq!(rig.asked(), 1, "nothing is closed");
    assert_eq!(rig.process(Envelope::default(), second()).await, MessageEnd::Acked);
    let end = rig.process(envelope(&[("x-handoffd-age-ms", "5000")]), resolution("evt_3", "ses_evt_1")).await;
    assert_eq!(end, MessageEnd::Acked);
    assert_eq!(*rig.crm.asked.lock().unwrap(), ["evt_1", "evt_2", "evt_3", "evt_3"], "both cases are closed");
}
