//! Steps that the organization's setup refuses: events that need one wait, and keep no other event out.

use std::time::Duration;

use tokio::time::sleep;

use super::rig::{Mood, NOW, Rig, handoff, rig};
use crate::event::Envelope;
use crate::ports::bus::samples::{MessageEnd, QueuedMessage};
use crate::workflow::Remedy;

/// Runs `held` events that are refused since then, followed by one that is not, in one organization's queue.
async fn carried_beside(rig: &Rig, held: usize, since: &str, time: Duration) -> Vec<Option<MessageEnd>> {
    let events: Vec<String> = (0..=held).map(|number| format!("evt_{number}")).collect();
    for event in &events[..held] {
        rig.mood(event, Mood::Refuses(Remedy::HoldStep(since.parse().unwrap())));
    }
    let messages = events.iter().map(|event| QueuedMessage::new(Envelope::default(), handoff(event))).collect();
    let (inbox, settled) = rig.broker.begin(messages);
    let running = tokio::spawn(rig.worker.clone().run());
    sleep(time).await;
    let ends = settled.iter().map(|end| end.lock().unwrap().clone()).collect();
    rig.recovers();
    rig.broker.settled(&settled).await;
    drop(inbox);
    running.await.unwrap();
    ends
}

#[tokio::test(start_paused = true)]
async fn an_event_with_a_refused_step_keeps_no_other_out() {
    let rig = rig();
    *rig.crm.room.lock().unwrap() = Some(1);
    let ends = carried_beside(&rig, 1, NOW, Duration::from_secs(60)).await;
    assert_eq!(ends, [None, Some(MessageEnd::Acked)], "there is room for one request, and one event waits");
    let record = rig.record("evt_0").await.unwrap();
    assert!(record.outcome().is_some(), "it continued at its step: {record:?}");
    assert_eq!(record.attempts, 1, "waiting spends no attempt");
}

#[tokio::test(start_paused = true)]
async fn waiting_events_make_room_one_by_one_for_longer_the_longer_the_refusal_lasts() {
    for (since, rung) in [(NOW, 0), ("2026-11-22T11:59:20Z", 1), ("2026-11-22T11:00:00Z", 2)] {
        let rig = rig();
        let ends = carried_beside(&rig, 40, since, Duration::from_secs(1)).await;
        assert_eq!(ends.last(), Some(&Some(MessageEnd::Acked)));
        let retried = ends.iter().flatten().filter(|end| **end != MessageEnd::Acked);
        let rungs: Vec<usize> = retried
            .map(|end| match end {
                MessageEnd::Later { rung, headers } => {
                    assert_eq!(headers["x-handoffd-attempts"], "0", "waiting spends no attempt");
                    *rung
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(!rungs.is_empty() && rungs.iter().all(|is| *is == rung), "since {since}: {rungs:?}");
        assert!(rungs.len() <= 21, "one every 50 ms: {}", rungs.len());
    }
}

#[tokio::test(start_paused = true)]
async fn no_delivery_is_held_longer_than_the_limit() {
    let rig = rig();
    let ends = carried_beside(&rig, 1, NOW, Duration::from_secs(239)).await;
    assert_eq!(ends, [None, Some(MessageEnd::Acked)]);
    let rig = super::rig::rig();
    let ends = carried_beside(&rig, 1, NOW, Duration::from_secs(241)).await;
    assert!(matches!(ends[0], Some(MessageEnd::Later { .. })), "{ends:?}");
}
