//! Events that wait for another worker.

use super::*;

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
    let around = Surroundings { elsewhere, ..around(&names, Some(OrganizationState::Open)) };
    let there = EventSources { around, ..sources(&all, &letters, &names) };
    let waiting = EventFilter { state: Some(EventState::Waiting), ..EventFilter::default() };
    for (sources, expected) in
        [(&here, &["evt_queued", "evt_retrying"][..]), (&there, &["evt_dead", "evt_noted", "evt_retrying"])]
    {
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
