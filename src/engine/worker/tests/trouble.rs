//! Panics of the worker and failures of the store: the event is retried, dead-lettered in the end, and no other event
//! is affected.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::rig::{Mood, envelope, handoff, rig};
use crate::event::Envelope;
use crate::ports::bus::samples::{MessageEnd, QueuedMessage};
use crate::workflow::{Phase, SessionState};

const ATTEMPTS: &str = "x-handoffd-attempts";
const AGE: &str = "x-handoffd-age-ms";
const FIRST_SEEN: &str = "x-handoffd-first-seen";

fn rung_and_attempts(end: &MessageEnd) -> (usize, &str) {
    match end {
        MessageEnd::Later { rung, headers } => (*rung, &headers[ATTEMPTS]),
        other => panic!("expected a retry: {other:?}"),
    }
}

#[tokio::test]
async fn a_panic_is_an_attempt_of_its_event_and_disturbs_no_other() {
    let rig = rig();
    rig.mood("evt_bad", Mood::Panics);
    let messages = ["evt_1", "evt_bad", "evt_2"].map(|event| QueuedMessage::new(Envelope::default(), handoff(event)));
    let ends = rig.hand_over(messages.to_vec()).await;
    assert_eq!((&ends[0], &ends[2]), (&MessageEnd::Acked, &MessageEnd::Acked));
    assert_eq!(rung_and_attempts(&ends[1]), (0, "1"));
    let record = rig.record("evt_bad").await.unwrap();
    assert_eq!((record.attempts, record.phase), (1, Phase::Waiting));
    assert_eq!(rig.session("ses_evt_bad").await[0].state, SessionState::Opening, "a resolution still waits for it");
}

#[tokio::test]
async fn panics_climb_the_ladder_by_store_and_headers() {
    let rig = rig();
    rig.mood("evt_bad", Mood::Panics);
    let mut seen = Vec::new();
    let mut past = Envelope::default();
    for _ in 0..6 {
        let end = rig.process(past, handoff("evt_bad")).await;
        let (rung, attempts) = rung_and_attempts(&end);
        seen.push((rung, attempts.parse::<u32>().unwrap()));
        past = envelope(&[(ATTEMPTS, attempts), (FIRST_SEEN, "2026-11-22T11:59:00Z")]);
    }
    assert_eq!(seen, [(0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (2, 6)]);
}

#[tokio::test]
async fn repeated_panics_dead_letter_the_event_without_their_message() {
    let rig = rig();
    rig.mood("evt_bad", Mood::Panics);
    let old = envelope(&[(ATTEMPTS, "8"), (FIRST_SEEN, "2026-11-22T11:00:00Z"), (AGE, "3600000")]);
    let MessageEnd::Dead { headers } = rig.process(old, handoff("evt_bad")).await else {
        panic!("expected a dead letter")
    };
    assert_eq!((headers["x-handoffd-reason"].as_str(), headers[ATTEMPTS].as_str()), ("retries_exhausted", "9"));
    assert_eq!(headers["x-handoffd-step"], "post_incident");
    let error = &headers["x-handoffd-error"];
    assert!(error.contains("the worker panicked while processing this event") && !error.contains("Ann"), "{error}");
    assert!(matches!(rig.record("evt_bad").await.unwrap().phase, Phase::Dead(_)));
    assert_eq!(rig.session("ses_evt_bad").await[0].state, SessionState::Dead, "no resolution waits for it");
    let outcomes = rig.broker.outcomes.lock().unwrap();
    assert!(outcomes[0].contains(".handoff.failed") && outcomes[0].contains("replay"), "{outcomes:?}");
}

#[tokio::test]
async fn the_message_counts_its_attempts_when_the_store_panics_too() {
    let rig = rig();
    rig.store.panics.store(true, Ordering::Relaxed);
    // First seen long ago, but it has waited for its organization since.
    let young = envelope(&[(ATTEMPTS, "3"), (FIRST_SEEN, "2026-11-22T10:00:00Z"), (AGE, "60000")]);
    assert_eq!(rung_and_attempts(&rig.process(young, handoff("evt_1")).await), (1, "4"));
    let old = envelope(&[(ATTEMPTS, "3"), (FIRST_SEEN, "2026-11-22T11:00:00Z"), (AGE, "3600000")]);
    let MessageEnd::Dead { headers } = rig.process(old, handoff("evt_1")).await else {
        panic!("expected a dead letter")
    };
    assert_eq!((headers["x-handoffd-reason"].as_str(), headers[ATTEMPTS].as_str()), ("retries_exhausted", "4"));
    assert_eq!(headers["x-handoffd-event-id"], "evt_1");
}

/// An organization's queue may have waited for long, and a broker that refused a handoff has put it behind its
/// resolution.
#[tokio::test]
async fn a_resolution_of_an_unknown_session_waits_from_its_first_try_not_from_its_arrival() {
    let rig = rig();
    let old = "2026-11-22T10:00:00Z";
    let body = || {
        r#"{"event":"session.resolved","event_id":"evt_1","organization_id":"org_acme",
            "timestamp":"2026-11-22T10:15:00Z","data":{"session_id":"ses_unknown"}}"#
            .to_owned()
    };
    let end = rig.process(envelope(&[(FIRST_SEEN, old)]), body()).await;
    assert_eq!(rung_and_attempts(&end), (0, "0"));
    let tried = envelope(&[(FIRST_SEEN, old), (AGE, "119000")]);
    assert_eq!(rung_and_attempts(&rig.process(tried, body()).await).0, 0);
    let tried = envelope(&[(FIRST_SEEN, old), (AGE, "120000")]);
    assert_eq!(rig.process(tried, body()).await, MessageEnd::Acked);
    let outcomes = rig.broker.outcomes.lock().unwrap();
    assert!(outcomes[0].contains(".resolution.skipped") && outcomes[0].contains("no_incident"), "{outcomes:?}");
}

#[tokio::test]
async fn a_failing_store_spends_no_attempt_and_never_dead_letters_the_event() {
    let rig = rig();
    rig.store.fails.store(true, Ordering::Relaxed);
    for (first_seen, rung) in [
        ("2026-11-22T12:00:00Z", 0),
        ("2026-11-22T11:59:50Z", 0),
        ("2026-11-22T11:59:29Z", 1),
        // Neither the rung of its age nor the dead letters, because the store may recover at any time.
        ("2026-11-22T11:30:00Z", 1),
        ("2026-11-20T12:00:00Z", 1),
    ] {
        let past = envelope(&[(ATTEMPTS, "3"), (FIRST_SEEN, first_seen)]);
        let end = rig.process(past, handoff("evt_1")).await;
        assert_eq!(rung_and_attempts(&end), (rung, "3"), "first seen {first_seen}");
    }
    rig.store.fails.store(false, Ordering::Relaxed);
    assert_eq!(rig.process(Envelope::default(), handoff("evt_1")).await, MessageEnd::Acked);
}

#[tokio::test(start_paused = true)]
async fn a_redelivered_event_that_the_store_interrupts_spends_one_attempt() {
    let rig = rig();
    rig.mood("evt_1", Mood::Takes(8));
    let redelivered = QueuedMessage::new(Envelope::default(), handoff("evt_1")).redelivered();
    let failing = async {
        sleep(Duration::from_millis(500)).await;
        rig.store.fails.store(true, Ordering::Relaxed);
    };
    let (ends, ()) = tokio::join!(rig.hand_over(vec![redelivered]), failing);
    let MessageEnd::Later { headers, .. } = &ends[0] else { panic!("{ends:?}") };
    assert_eq!(headers[ATTEMPTS], "0", "a failing store spends none");
    assert!(matches!(rig.record("evt_1").await.unwrap().phase, Phase::Quarantined { .. }));

    rig.store.fails.store(false, Ordering::Relaxed);
    let past: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(rig.process(envelope(&past), handoff("evt_1")).await, MessageEnd::Acked);
    assert_eq!(rig.record("evt_1").await.unwrap().attempts, 1, "the interrupted attempt went on");
}
