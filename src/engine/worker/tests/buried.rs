//! Dead letters of messages that never reached the workflow. They leave the event of their key unchanged, unless it is
//! the same event.

use std::sync::atomic::Ordering;

use super::rig::{Mood, NOW, Rig, envelope, handoff, key, rig};
use crate::event::Envelope;
use crate::ports::bus::samples::MessageEnd;
use crate::worker::EventStage;
use crate::workflow::{HistoryItem, Phase, Remedy, SessionState, history};

/// Returns an invalid message with this event's id.
fn broken(event: &str) -> String {
    handoff(event).replace("\"channel\":\"email\"", "\"channel\":7")
}

async fn put_off(rig: &Rig, event: &str) {
    rig.mood(event, Mood::Refuses(Remedy::Hold));
    assert!(matches!(rig.process(Envelope::default(), handoff(event)).await, MessageEnd::Later { .. }));
    assert_eq!(rig.record(event).await.unwrap().phase, Phase::Waiting);
}

fn reason(end: &MessageEnd) -> &str {
    match end {
        MessageEnd::Dead { headers } => &headers["x-handoffd-reason"],
        other => panic!("expected a dead letter: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_message_leaves_the_event_of_its_key_unchanged() {
    let rig = rig();
    put_off(&rig, "evt_1").await;
    let waiting = rig.record("evt_1").await;
    let end = rig.process(Envelope::default(), broken("evt_1")).await;
    assert_eq!(reason(&end), "invalid_event");
    assert_eq!(rig.record("evt_1").await, waiting);
    assert_eq!(rig.session("ses_evt_1").await[0].state, SessionState::Opening);

    rig.recovers();
    assert_eq!(rig.process(Envelope::default(), handoff("evt_1")).await, MessageEnd::Acked);
    let answered = rig.record("evt_1").await;
    assert_eq!(reason(&rig.process(Envelope::default(), broken("evt_1")).await), "invalid_event");
    assert_eq!(rig.record("evt_1").await, answered);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_message_is_recorded_under_its_own_key() {
    let rig = rig();
    for _ in 0..2 {
        assert_eq!(reason(&rig.process(Envelope::default(), broken("evt_1")).await), "invalid_event");
        assert!(matches!(rig.record("evt_1").await.unwrap().phase, Phase::Dead(_)));
    }
    assert_eq!(rig.session("ses_evt_1").await, []);
    assert_eq!(
        rig.process(Envelope::default(), handoff("evt_1")).await,
        MessageEnd::Acked,
        "a dead letter does not answer its event"
    );
}

#[tokio::test(start_paused = true)]
async fn removing_an_organization_dead_letters_its_unfinished_event() {
    let rig = rig();
    put_off(&rig, "evt_1").await;
    rig.crm.unknown.store(true, Ordering::Relaxed);
    let past = envelope(&[("x-handoffd-attempts", "4"), ("x-handoffd-first-seen", "2026-11-22T11:00:00Z")]);
    let end = rig.process(past, handoff("evt_1")).await;
    assert_eq!(reason(&end), "unknown_organization");
    let record = rig.record("evt_1").await.unwrap();
    assert!(matches!(record.phase, Phase::Dead(_)));
    assert_eq!(record.first_seen.to_string(), "2026-11-22T11:00:00Z");
    assert_eq!(rig.session("ses_evt_1").await[0].state, SessionState::Dead, "no resolution waits for it");

    rig.crm.unknown.store(false, Ordering::Relaxed);
    rig.recovers();
    assert_eq!(rig.process(Envelope::default(), handoff("evt_1")).await, MessageEnd::Acked);
    assert!(matches!(rig.session("ses_evt_1").await[0].state, SessionState::Open { .. }));
}

#[tokio::test(start_paused = true)]
async fn events_of_unknown_organizations_wait_while_a_file_is_unreadable() {
    let rig = rig();
    rig.crm.unknown.store(true, Ordering::Relaxed);
    rig.crm.incomplete.store(true, Ordering::Relaxed);
    let past = envelope(&[("x-handoffd-attempts", "4"), ("x-handoffd-first-seen", "2026-11-22T11:00:00Z")]);
    let MessageEnd::Later { rung, headers } = rig.process(past, handoff("evt_1")).await else {
        panic!("expected a retry")
    };
    assert_eq!((rung, headers["x-handoffd-attempts"].as_str()), (0, "4"), "it spends no attempt");
    assert!(!headers.contains_key("x-handoffd-age-ms"), "nor any age");
    assert_eq!(rig.record("evt_1").await, None);
    let known = rig.worker.tracker.get(&key("evt_1")).expect("an event that operators can find");
    assert!(matches!(known.stage, EventStage::Retrying { reason: "unknown_organization", .. }), "{known:?}");

    rig.crm.incomplete.store(false, Ordering::Relaxed);
    assert_eq!(reason(&rig.process(Envelope::default(), handoff("evt_1")).await), "unknown_organization");
    assert_eq!(rig.worker.tracker.get(&key("evt_1")), None);
    let life = async || history(&rig.record("evt_1").await.unwrap());
    let steps = |life: &[HistoryItem]| life.iter().map(|item| item.step.clone()).collect::<Vec<_>>();
    let first = life().await;
    assert_eq!(steps(&first), ["received", "dead"]);
    let replayed = envelope(&[("x-handoffd-replayed-at", NOW), ("x-handoffd-replays", "1")]);
    rig.process(replayed, handoff("evt_1")).await;
    let both = life().await;
    // All at one time in this test.
    assert_eq!(steps(&both), ["replayed", "received", "received", "dead", "dead"]);
    assert!(first.iter().all(|item| both.contains(item)), "a second death replaces nothing: {both:?}");
}

#[tokio::test(start_paused = true)]
async fn another_body_waits_until_the_first_one_is_answered() {
    let rig = rig();
    put_off(&rig, "evt_1").await;
    let other = handoff("evt_1").replace("secret", "other secret");
    rig.recovers();
    let MessageEnd::Later { rung, headers } = rig.process(Envelope::default(), other.clone()).await else {
        panic!("the first one wins")
    };
    assert_eq!((rung, headers["x-handoffd-attempts"].as_str()), (0, "0"));
    assert_eq!(rig.record("evt_1").await.unwrap().phase, Phase::Waiting);
    assert_eq!(rig.process(Envelope::default(), handoff("evt_1")).await, MessageEnd::Acked);
    let answers = rig.broker.outcomes.lock().unwrap().clone();
    assert_eq!(rig.process(Envelope::default(), other).await, MessageEnd::Acked);
    assert_eq!(rig.broker.outcomes.lock().unwrap().clone(), [answers.clone(), answers].concat(), "the same answer");
}

#[tokio::test(start_paused = true)]
async fn another_body_is_processed_when_the_first_one_never_returns() {
    let rig = rig();
    put_off(&rig, "evt_1").await;
    rig.recovers();
    let old = envelope(&[("x-handoffd-first-seen", "2026-11-22T10:59:59Z"), ("x-handoffd-age-ms", "3600000")]);
    assert_eq!(rig.process(old, handoff("evt_1").replace("secret", "other")).await, MessageEnd::Acked);
}
