//! Events that wait for another worker.

use super::*;

#[test]
fn an_event_that_another_worker_may_have_begun_is_not_said_to_wait() {
    let (names, queued) = (names(), tracked(EventStage::Queued, 5));
    let elsewhere = HashMap::from([("org".to_owned(), "host-2".to_owned())]);
    let around = Surroundings { elsewhere, ..around(&names, Some(OrganizationState::Open)) };
    let place = |record: Option<&Record>| {
        EventAnswer::of(&key("evt_1"), record, Some(&queued), &around).expect("an answer").place.expect("a place")
    };
    assert_eq!(place(None), "queue q.organization.org, or in progress at worker host-2");
    assert_eq!(place(Some(&waiting("transient", 7, 12))), "queue q.retry.5m", "its record is newer");
}

#[test]
fn a_pause_is_told_while_no_worker_runs() {
    let (names, queued) = (names(), tracked(EventStage::Queued, 5));
    let alone = |paused| Surroundings { organizations: None, paused, ..around(&names, None) };
    for (paused, reason, advice) in [
        (HashSet::new(), "queued", "Start one"),
        (HashSet::from(["org".into()]), "paused", "Organization org is paused by an operator; resume it too."),
    ] {
        let answer = EventAnswer::of(&key("evt_1"), None, Some(&queued), &alone(paused)).expect("an answer");
        assert_eq!(answer.reason.as_deref(), Some(reason));
        assert!(answer.advice.expect("advice").contains(advice), "{reason}");
    }
}

/// This worker moved them, and does not see their ends.
#[tokio::test]
async fn what_waits_for_another_worker_is_listed_by_its_note_unless_it_is_over() {
    let (all, letters, names) = (stocked().await, Letters::default(), names());
    let note =
        |minute| QueuedNote { kind: Kind::Handoff, session_id: "ses_1".into(), received: at(minute), moved: None };
    let noted = [("evt_noted", 6), ("evt_done", 7), ("evt_dead", 9), ("evt_retrying", 9)];
    let noted = noted.map(|(id, minute)| Change::Queued(key(id), note(minute)));
    all.0.persist(noted.into()).await.unwrap();
    let here = sources(&all, &letters, &names);
    let elsewhere = HashMap::from([("org".to_owned(), "host-2".to_owned())]);
    let shared = || Surroundings { is_shared: true, ..around(&names, Some(OrganizationState::Open)) };
    let there = Surroundings { elsewhere, ..shared() };
    let there = EventSources { around: there, ..sources(&all, &letters, &names) };
    // Another worker moved them to the queue of this worker's organization.
    let owner = EventSources { around: shared(), ..sources(&all, &letters, &names) };
    let waiting = EventFilter { state: Some(EventState::Waiting), ..EventFilter::default() };
    for (sources, expected) in [
        (&here, &["evt_queued", "evt_retrying"][..]),
        (&there, &["evt_dead", "evt_noted", "evt_retrying"]),
        (&owner, &["evt_dead", "evt_noted", "evt_queued", "evt_retrying"]),
    ] {
        for limit in 1..5 {
            let (mut found, mut cursor) = (Vec::new(), None);
            loop {
                let page = browse(sources, &waiting, cursor.as_ref(), limit).await.unwrap();
                found.extend(ids(&page.events).into_iter().map(str::to_owned));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(found, expected, "pages of {limit}");
        }
    }
    for (id, state) in
        [("evt_noted", EventState::Waiting), ("evt_dead", EventState::Waiting), ("evt_done", EventState::Succeeded)]
    {
        let found = find(&there, id).await.unwrap().events;
        assert_eq!(found.iter().map(|event| event.answer.state).collect::<Vec<_>>(), [state], "{id}");
    }
}
