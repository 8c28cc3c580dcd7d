//! Consumer of an organization's queue: the deliveries it takes, starts, and returns.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::rig::{Mood, Rig, envelope, handoff, key, rig};
use crate::event::{Envelope, Kind};
use crate::ports::bus::samples::{MessageEnd, QueuedMessage};
use crate::ports::destination::Unavailable;
use crate::ports::store::queued::QueuedNote;
use crate::ports::store::{Change, Store};
use crate::worker::event_tracker::EventStage;
use crate::workflow::samples::at;
use crate::workflow::{Milestone, Phase, Record, Remedy, samples};

fn messages(events: &[&str]) -> Vec<QueuedMessage> {
    events.iter().map(|event| QueuedMessage::new(Envelope::default(), handoff(event))).collect()
}

/// Runs the worker on these messages for this time, and returns their ends so far.
async fn run_for(rig: &Rig, messages: Vec<QueuedMessage>, time: Duration) -> Vec<Option<MessageEnd>> {
    let (_inbox, settled) = rig.broker.begin(messages);
    let running = tokio::spawn(rig.worker.clone().run());
    sleep(time).await;
    let ends = settled.iter().map(|end| end.lock().unwrap().clone()).collect();
    running.abort();
    ends
}

#[tokio::test(start_paused = true)]
async fn a_paused_organization_starts_no_event_and_returns_its_deliveries_last_first() {
    for why in [Unavailable::Paused, Unavailable::Throttled, Unavailable::Blocked] {
        let rig = rig();
        rig.mood("evt_1", Mood::Refuses(Remedy::GiveUp));
        *rig.crm.room.lock().unwrap() = Some(0);
        let (inbox, settled) = rig.broker.begin(messages(&["evt_1", "evt_2", "evt_3"]));
        let running = tokio::spawn(rig.worker.clone().run());
        // The first delivery of a queue is taken alone; the others only once it is known to be new.
        sleep(Duration::from_secs(1)).await;
        rig.crm.stands(Some(why));
        sleep(Duration::from_secs(237)).await;
        assert!(settled.iter().all(|end| end.lock().unwrap().is_none()), "held for a while");
        sleep(Duration::from_secs(3)).await;
        assert!(settled.iter().all(|end| *end.lock().unwrap() == Some(MessageEnd::Requeued)), "and not for longer");
        let order: Vec<_> = ["evt_3", "evt_2", "evt_1"].map(handoff).into();
        assert_eq!(*rig.broker.given_back.lock().unwrap(), order);
        assert_eq!(rig.asked(), 0);
        let consumers = rig.broker.prefetches.lock().unwrap().len();
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(rig.broker.prefetches.lock().unwrap().len(), consumers, "nothing is taken meanwhile");
        rig.recovers();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(rig.broker.prefetches.lock().unwrap().len(), consumers + 1, "and resumes at once");
        drop(inbox);
        running.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_events_start_than_there_is_room_for() {
    let rig = rig();
    let events = ["evt_1", "evt_2", "evt_3", "evt_4", "evt_5"];
    for event in &events {
        rig.mood(event, Mood::Hangs);
    }
    *rig.crm.room.lock().unwrap() = Some(2);
    run_for(&rig, messages(&events), Duration::from_secs(60)).await;
    assert_eq!(*rig.crm.asked.lock().unwrap(), ["evt_1", "evt_2"], "the first ones");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_starts_with_one_and_asks_for_two_while_nothing_completes() {
    let rig = rig();
    let events: Vec<String> = (0..40).map(|n| format!("evt_{n}")).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    for event in &events {
        rig.mood(event, Mood::Hangs);
    }
    run_for(&rig, messages(&events), Duration::from_secs(60)).await;
    assert_eq!(*rig.broker.prefetches.lock().unwrap(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_event_returned_while_a_consumer_starts_holds_up_nothing() {
    let rig = rig();
    rig.mood("evt_1", Mood::Takes(8));
    rig.mood("evt_2", Mood::Takes(3));
    let (_inbox, _) = rig.broker.begin(messages(&["evt_1", "evt_2"]));
    let running = tokio::spawn(rig.worker.clone().run());
    sleep(Duration::from_secs(1)).await;
    // The connection ends, and its successor starts a consumer. Meanwhile one event ends unannounced, so that its
    // channel has to be closed, and the other is still under way.
    *rig.broker.start_takes.lock().unwrap() = Duration::from_secs(5);
    rig.broker.is_away.store(true, Ordering::Relaxed);
    rig.broker.end_consumer();
    sleep(Duration::from_secs(4)).await;
    rig.broker.is_away.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(4)).await;
    let third = rig.broker.add(messages(&["evt_3"]).remove(0));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(*third.lock().unwrap(), Some(MessageEnd::Acked));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_the_organization_spends_neither_attempt_nor_age() {
    let rig = rig();
    for remedy in [Remedy::Hold, Remedy::NotBefore(crate::workflow::samples::at("2026-11-22T12:30:00Z"))] {
        rig.mood("evt_1", Mood::Refuses(remedy));
        let past = envelope(&[("x-handoffd-attempts", "3"), ("x-handoffd-age-ms", "3599000")]);
        let MessageEnd::Later { headers, .. } = rig.process(past, handoff("evt_1")).await else {
            panic!("expected a retry")
        };
        assert_eq!((headers["x-handoffd-attempts"].as_str(), headers["x-handoffd-age-ms"].as_str()), ("3", "3599000"));
        assert_eq!(rig.record("evt_1").await.unwrap().phase, Phase::Waiting);
        rig.recovers();
    }
    assert_eq!(rig.process(Envelope::default(), handoff("evt_1")).await, MessageEnd::Acked);
}

#[tokio::test(start_paused = true)]
async fn an_event_resumes_at_its_step_when_the_organization_recovers_within_the_hold() {
    let rig = rig();
    rig.mood("evt_1", Mood::Refuses(Remedy::Hold));
    let (inbox, settled) = rig.broker.begin(messages(&["evt_1"]));
    let running = tokio::spawn(rig.worker.clone().run());
    sleep(Duration::from_secs(240)).await;
    assert_eq!(*settled[0].lock().unwrap(), None);
    rig.recovers();
    rig.broker.settled(&settled).await;
    assert_eq!(*settled[0].lock().unwrap(), Some(MessageEnd::Acked));
    assert_eq!(rig.record("evt_1").await.unwrap().attempts, 1);
    drop(inbox);
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_event_in_flight_at_a_death_is_recorded_before_its_first_request() {
    let rig = rig();
    rig.mood("evt_1", Mood::Hangs);
    let message = messages(&["evt_1"]).remove(0);
    run_for(&rig, vec![message.clone().redelivered()], Duration::from_millis(500)).await;
    let record = rig.store.kept.record(&key("evt_1")).await.unwrap().expect("written before its first request");
    assert!(matches!(record.phase, Phase::Quarantined { deaths: 1, waiting: false, silent: 0, .. }), "{record:?}");
    run_for(&rig, vec![message.redelivered()], Duration::from_secs(2)).await;
    let record = rig.record("evt_1").await.unwrap();
    assert!(
        matches!(record.phase, Phase::Quarantined { waiting: true, .. }),
        "it waits long for an answer: {record:?}"
    );
    assert_eq!(rig.process(Envelope::default(), handoff("evt_2")).await, MessageEnd::Acked, "a new event is processed");
    assert_eq!(rig.record("evt_2").await.unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_poison_message_whose_ack_was_lost_is_not_processed_again() {
    let rig = rig();
    rig.mood("evt_1", Mood::Panics);
    let again = || messages(&["evt_1"]).remove(0).redelivered();
    rig.process(Envelope::default(), handoff("evt_1")).await;
    let written = rig.record("evt_1").await.unwrap();
    let phase = Phase::Quarantined { life: 0, deaths: 5, waiting: false, silent: 0 };
    let died_often = Record { phase, ..written };
    rig.store.kept.persist(vec![Change::Record(key("evt_1"), Box::new(died_often))]).await.unwrap();
    rig.recovers();
    let asked = rig.asked();
    for _ in 0..2 {
        assert!(matches!(rig.hand_over(vec![again()]).await[..], [MessageEnd::Dead { .. }]));
        assert!(rig.record("evt_1").await.unwrap().settled, "its copy is in the dead-letter queue");
        assert_eq!(rig.asked(), asked, "it is not attempted again");
    }
    assert_eq!(
        rig.process(Envelope::default(), handoff("evt_1")).await,
        MessageEnd::Acked,
        "published again, it starts over"
    );
    assert_eq!(rig.asked(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn what_waited_before_a_start_is_known_after_it() {
    let (rig, [ten, eleven]) = (rig(), [at("2026-11-22T10:00:00Z"), at("2026-11-22T11:00:00Z")]);
    let note = QueuedNote { kind: Kind::Handoff, session_id: "ses_1".into(), received: eleven, moved: None };
    let mut retried = Record { first_seen: ten, ..samples::record(Phase::Waiting) };
    retried.life.add(Milestone::waiting(ten, "transient", at("2026-11-22T12:30:00Z")));
    let changes = vec![Change::Queued(key("evt_1"), note), Change::Record(key("evt_2"), Box::new(retried))];
    rig.store.write(changes).await.unwrap();
    run_for(&rig, Vec::new(), Duration::from_secs(1)).await;
    let known = rig.worker.tracker.get(&key("evt_1")).expect("the event of the note");
    assert_eq!((known.stage, known.received()), (EventStage::Queued, Some(eleven)));
    let ages = rig.worker.event_ages(&"org_acme".into());
    assert_eq!((ages.waiting, ages.held), (Some(eleven), Some(ten)), "their ages go on");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_for_a_new_queue_is_known_as_waiting() {
    let rig = rig();
    rig.broker.has_new_queue.store(true, Ordering::Relaxed);
    let ends = run_for(&rig, messages(&["evt_1"]), Duration::from_millis(1)).await;
    assert!(matches!(ends[..], [Some(MessageEnd::Later { rung: 0, .. })]), "{ends:?}");
    let known = rig.worker.tracker.get(&key("evt_1")).expect("the event in the retry queue");
    let EventStage::Retrying { reason, until } = known.stage else { panic!("{known:?}") };
    assert_eq!(reason, "new_queue");
    assert!(until.timestamp() > known.since() && known.received().is_some(), "{known:?}");
}
