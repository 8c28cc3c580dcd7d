use tokio::time::advance;
use uuid::Uuid;

use super::*;
use crate::event::samples::handoff;
use crate::ports::fleet::Claim;
use crate::workflow::samples::at;

const NINE: &str = "2026-11-22T09:00:00Z";
const TEN: &str = "2026-11-22T10:00:00Z";
const NOON: &str = "2026-11-22T12:00:00Z";
const HOUR: Duration = Duration::from_secs(3600);

fn own_notes(tracker: &EventTracker, queued_for: Duration) -> Vec<(EventKey, QueuedNote)> {
    let EventNotes { own, elsewhere } = tracker.notes(queued_for, MOST_TRACKED, |_| OwnershipState::Sole);
    assert_eq!(elsewhere, []);
    own
}

fn named(id: &str) -> Event {
    let mut event = handoff(|_| {});
    event.key.event_id = id.into();
    event
}

#[test]
fn an_event_is_known_from_the_router_to_its_end() {
    let (tracker, event) = (EventTracker::default(), named("evt_1"));
    tracker.routed(&event, at(NINE));
    let queued = tracker.get(&event.key).expect("a queued event");
    assert_eq!((queued.stage, queued.since(), queued.received()), (EventStage::Queued, at(NINE), Some(at(NINE))));
    tracker.moved(&event.key, at(TEN));
    let begun = tracker.begins(&event, at(NOON));
    assert_eq!((begun.stage, begun.since()), (EventStage::InProgress, at(NOON)));
    assert_eq!((begun.received(), begun.moved()), (Some(at(NINE)), Some(at(TEN))));
    tracker.ends(&event.key);
    assert_eq!(tracker.get(&event.key), None);
    tracker.moved(&event.key, at(NOON));
    assert_eq!(tracker.get(&event.key), None, "a confirm that comes late brings nothing back");
}

#[test]
fn a_second_copy_changes_nothing_of_an_event_in_progress() {
    let (tracker, event) = (EventTracker::default(), named("evt_1"));
    tracker.begins(&event, at(NINE));
    tracker.routed(&event, at(TEN));
    assert_eq!(tracker.get(&event.key).expect("an event").stage, EventStage::InProgress);
    let retrying = EventStage::Retrying { reason: "transient", until: at(NOON).into() };
    tracker.enters(&event.key, retrying, at(TEN));
    tracker.enters(&event.key, retrying, at(NOON));
    assert_eq!(tracker.get(&event.key).expect("an event").since(), at(TEN), "the same stage goes on");
    tracker.routed(&event, at(NOON));
    assert_eq!(tracker.get(&event.key).expect("an event").stage, EventStage::Queued);
}

/// The other workers of a fleet can't know otherwise what hangs here.
#[test]
fn what_is_in_progress_for_long_is_noted_where_others_ask() {
    let begun = named("begun");
    let claim = Claim { organization: begun.key.organization_id.clone(), worker: Uuid::nil(), term: 1 };
    for (ownership, expected) in [(OwnershipState::Sole, 0), (OwnershipState::Term(claim), 1)] {
        let tracker = EventTracker::default();
        tracker.routed(&begun, at(NINE));
        tracker.begins(&begun, at(TEN));
        let notes = tracker.notes(Duration::ZERO, MOST_TRACKED, |_| ownership.clone());
        assert_eq!((notes.own.len(), notes.elsewhere.len()), (expected, 0), "{ownership:?}");
        assert_eq!(tracker.ends(&begun.key), expected == 1, "{ownership:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_event_that_waits_is_noted_and_only_once() {
    let tracker = EventTracker::default();
    let (waits, begins, comes_late) = (named("waits"), named("begins"), named("comes late"));
    tracker.routed(&waits, at(NINE));
    tracker.routed(&begins, at(NINE));
    advance(HOUR).await;
    tracker.routed(&comes_late, at(TEN));
    tracker.begins(&begins, at(TEN));
    let notes = own_notes(&tracker, HOUR);
    assert!(notes.iter().map(|(key, _)| key).eq([&waits.key]));
    assert_eq!(own_notes(&tracker, HOUR), []);
    assert!(tracker.ends(&waits.key) && !tracker.ends(&begins.key));
    let restored = EventTracker::default();
    restored.restore(notes);
    let known = restored.get(&waits.key).expect("an event");
    assert_eq!((known.stage, known.since(), known.received()), (EventStage::Queued, at(NINE), Some(at(NINE))));
    assert_eq!(own_notes(&restored, Duration::ZERO), [], "the store has it");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_another_worker_processes_is_noted_and_forgotten() {
    let tracker = EventTracker::default();
    let (waits, begun, late) = (named("waits"), named("begun"), named("late"));
    for event in [&waits, &begun] {
        tracker.routed(event, at(NINE));
    }
    tracker.begins(&begun, at(TEN));
    advance(HOUR).await;
    tracker.routed(&late, at(NOON));
    let notes = tracker.notes(HOUR, MOST_TRACKED, |_| OwnershipState::None);
    assert!(notes.own.is_empty() && notes.elsewhere.iter().map(|(key, _)| key).eq([&waits.key]));
    assert!(tracker.get(&waits.key).is_none());
    assert!(tracker.get(&begun.key).is_some() && tracker.get(&late.key).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_waits_of_an_organization_that_is_given_back_is_noted_and_forgotten() {
    let tracker = EventTracker::default();
    let (noted, requeued, retried) = (named("noted"), named("requeued"), named("retried"));
    tracker.routed(&noted, at(NINE));
    assert_eq!(own_notes(&tracker, Duration::ZERO).len(), 1);
    for event in [&requeued, &retried] {
        tracker.begins(event, at(TEN));
    }
    tracker.enters(&requeued.key, EventStage::Queued, at(NOON));
    tracker.enters(&retried.key, EventStage::Retrying { reason: "transient", until: at(NOON).into() }, at(TEN));
    tracker.give_back(&"org_other".into());
    assert_eq!(tracker.count(|_| true), 3);
    tracker.give_back(&noted.key.organization_id);
    assert!(tracker.get(&noted.key).is_none() && tracker.count(|_| true) == 2);
    assert_eq!(tracker.notes(Duration::ZERO, MOST_TRACKED, |_| OwnershipState::None).elsewhere.len(), 2);
    assert_eq!(tracker.count(|_| true), 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_is_noted_although_the_clock_was_set_back() {
    let tracker = EventTracker::default();
    for n in 0..SHARDS * 10 {
        tracker.routed(&named(&format!("before {n}")), at(NOON));
    }
    for n in 0..SHARDS * 10 {
        tracker.routed(&named(&format!("after {n}")), at(NINE));
    }
    advance(HOUR).await;
    assert_eq!(own_notes(&tracker, HOUR).len(), SHARDS * 20);
}

#[test]
fn the_number_of_queued_events_is_bounded_and_those_in_progress_are_always_known() {
    let tracker = EventTracker::default();
    for n in 0..MOST_TRACKED + 5_000 {
        tracker.routed(&named(&n.to_string()), at(NINE));
    }
    assert!(tracker.select(|_, _| true).len() <= MOST_TRACKED);
    let late = named("late");
    tracker.begins(&late, at(TEN));
    assert!(tracker.get(&late.key).is_some());
    assert_eq!(tracker.select(|_, tracked| tracked.stage == EventStage::InProgress).len(), 1);
}
