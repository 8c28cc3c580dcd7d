//! Outcomes that every store must list and forget: each test runs on each backend.

use std::sync::Arc;

use handoffd_engine::event::{SessionId, WorkItemId};
use handoffd_engine::ports::store::{Cursor, OutcomeFilter, OutcomePage, Store, StoreError, Swept};
use handoffd_engine::workflow::{Phase, SessionState, Status};
use jiff::Timestamp;
use uuid::Uuid;

use crate::store_samples::{
    all, at, change, chat, contact_change, dead, every_store, finished, ids, in_hand, incident, key, session_change,
};

every_store! {
    outcomes_are_newest_first
    only_ended_events_are_outcomes
    every_filter_finds_its_matches
    filters_combine
    a_ticket_number_is_found_in_any_case
    a_replayed_event_leaves_no_trace_of_its_failure
    pages_stay_put_while_outcomes_are_added
    an_invalid_cursor_is_an_error
    a_page_without_outcomes_is_empty
    a_sweep_forgets_what_is_old
    a_sweep_keeps_what_was_touched_since
    a_swept_event_is_listed_nowhere
    later_changes_of_a_call_see_the_earlier_ones
}

mod cases {
    use super::*;

    type S = Arc<dyn Store>;

    pub async fn outcomes_are_newest_first(store: S) {
        for (event, second) in [("b", 2), ("d", 2), ("a", 3), ("c", 1)] {
            let record = finished("ses", 1, at(second));
            store.write(vec![change(&key("org", event), &record)]).await.unwrap();
        }
        for limit in [1, 2, 3, 4, 5] {
            let found = all(&store, &OutcomeFilter::default(), limit).await;
            assert_eq!(ids(&found), ["a", "d", "b", "c"], "pages of {limit}");
        }
    }

    pub async fn only_ended_events_are_outcomes(store: S) {
        let mut waiting = in_hand("ses", at(0));
        waiting.phase = Phase::Waiting;
        let changes = vec![
            change(&key("org", "in hand"), &in_hand("ses", at(0))),
            change(&key("org", "waiting"), &waiting),
            change(&key("org", "dead"), &dead("ses", at(1))),
            change(&key("org", "done"), &chat("ses", 1, at(0))),
        ];
        store.persist(changes).await.unwrap();
        assert_eq!(ids(&all(&store, &OutcomeFilter::default(), 9).await), ["dead", "done"]);
        let by_id = OutcomeFilter { event_id: Some("waiting".to_owned()), ..OutcomeFilter::default() };
        assert!(all(&store, &by_id, 9).await.is_empty());
    }

    async fn fill(store: &S) {
        let mut closing = finished("ses_3", 4, at(40));
        if let Phase::Finished(outcome) = &mut closing.phase {
            outcome.closed = vec![incident(1), incident(4)];
        }
        let changes = vec![
            change(&key("one", "e1"), &finished("ses_1", 1, at(10))),
            change(&key("one", "e2"), &chat("ses_2", 2, at(20))),
            change(&key("two", "e3"), &dead("ses_1", at(30))),
            change(&key("two", "e4"), &closing),
            change(&key("two", "e1"), &in_hand("ses_1", at(50))),
        ];
        store.persist(changes).await.unwrap();
    }

    type Set = fn(&mut OutcomeFilter);

    /// Queries, each with the events it must return, newest first.
    const QUESTIONS: &[(Set, &[&str])] = &[
        (|_| {}, &["e4", "e3", "e2", "e1"]),
        (|f| f.organization = Some("two".into()), &["e4", "e3"]),
        (|f| f.session = Some("ses_1".into()), &["e3", "e1"]),
        (|f| f.event_id = Some("e1".to_owned()), &["e1"]),
        (|f| f.incident = Some(incident(1)), &["e4", "e1"]),
        (|f| f.incident = Some(incident(4)), &["e4"]),
        (|f| f.ticket_number = Some("CAS-00001-X1Y2Z3".to_owned()), &["e1"]),
        (|f| f.ticket_number = Some("CAS-00001".to_owned()), &[]),
        (|f| f.work_item = Some(WorkItemId(Uuid::from_u128(2))), &["e2"]),
        (|f| f.status = Some(Status::Failed), &["e3"]),
        (|f| f.after = Some(at(20)), &["e4", "e3", "e2"]),
        (|f| f.before = Some(at(20)), &["e1"]),
        (|f| (f.after, f.before) = (Some(at(20)), Some(at(40))), &["e3", "e2"]),
        (|f| (f.after, f.before) = (Some(at(40)), Some(at(20))), &[]),
    ];

    pub async fn every_filter_finds_its_matches(store: S) {
        fill(&store).await;
        for (set, expected) in QUESTIONS {
            let mut filter = OutcomeFilter::default();
            set(&mut filter);
            for limit in [1, 2, 10] {
                let found = all(&store, &filter, limit).await;
                assert_eq!(ids(&found), *expected, "{filter:?}");
            }
        }
    }

    pub async fn filters_combine(store: S) {
        fill(&store).await;
        let both = OutcomeFilter {
            session: Some("ses_1".into()),
            status: Some(Status::Succeeded),
            ..OutcomeFilter::default()
        };
        assert_eq!(ids(&all(&store, &both, 10).await), ["e1"]);
        let elsewhere = OutcomeFilter {
            organization: Some("two".into()),
            incident: Some(incident(1)),
            session: Some("ses_3".into()),
            ..OutcomeFilter::default()
        };
        assert_eq!(ids(&all(&store, &elsewhere, 10).await), ["e4"]);
        let event = OutcomeFilter {
            organization: Some("one".into()),
            event_id: Some("e1".to_owned()),
            after: Some(at(11)),
            ..OutcomeFilter::default()
        };
        assert!(all(&store, &event, 10).await.is_empty());
    }

    pub async fn a_ticket_number_is_found_in_any_case(store: S) {
        fill(&store).await;
        let filter = OutcomeFilter { ticket_number: Some("cas-00004-x1y2Z3".to_owned()), ..OutcomeFilter::default() };
        assert_eq!(ids(&all(&store, &filter, 10).await), ["e4"]);
    }

    pub async fn a_replayed_event_leaves_no_trace_of_its_failure(store: S) {
        let key = key("org", "evt");
        store.persist(vec![change(&key, &dead("ses", at(1)))]).await.unwrap();
        store.write(vec![change(&key, &in_hand("ses", at(2)))]).await.unwrap();
        assert!(all(&store, &OutcomeFilter::default(), 10).await.is_empty());
        let record = finished("ses", 1, at(3));
        store.persist(vec![change(&key, &record)]).await.unwrap();
        for filter in
            [OutcomeFilter::default(), OutcomeFilter { session: Some("ses".into()), ..OutcomeFilter::default() }]
        {
            let found = all(&store, &filter, 10).await;
            assert_eq!(ids(&found), ["evt"]);
            assert_eq!(found[0].record, record);
        }
    }

    pub async fn pages_stay_put_while_outcomes_are_added(store: S) {
        for number in 0..10u8 {
            let record = finished("ses", number.into(), at(number.into()));
            store.write(vec![change(&key("org", &format!("e{number}")), &record)]).await.unwrap();
        }
        let first = store.outcomes(&OutcomeFilter::default(), None, 4).await.unwrap();
        assert_eq!(ids(&first.found), ["e9", "e8", "e7", "e6"]);
        let late = finished("ses", 99, at(99));
        store.persist(vec![change(&key("org", "late"), &late)]).await.unwrap();
        let second = store.outcomes(&OutcomeFilter::default(), first.next.as_ref(), 4).await.unwrap();
        assert_eq!(ids(&second.found), ["e5", "e4", "e3", "e2"]);
        let third = store.outcomes(&OutcomeFilter::default(), second.next.as_ref(), 4).await.unwrap();
        assert_eq!(ids(&third.found), ["e1", "e0"]);
        assert_eq!(third.next, None);
    }

    pub async fn an_invalid_cursor_is_an_error(store: S) {
        let cursor = Cursor("made up".to_owned());
        let answer = store.outcomes(&OutcomeFilter::default(), Some(&cursor), 1).await;
        assert!(matches!(answer, Err(StoreError::Cursor(_))), "{answer:?}");
    }

    pub async fn a_page_without_outcomes_is_empty(store: S) {
        store.write(vec![change(&key("org", "evt"), &finished("ses", 1, at(0)))]).await.unwrap();
        let page = store.outcomes(&OutcomeFilter::default(), None, 0).await.unwrap();
        assert_eq!(page, OutcomePage::default());
    }

    pub async fn a_sweep_forgets_what_is_old(store: S) {
        let mut changes = Vec::new();
        for second in 0..300 {
            let (event, session) = (format!("e{second}"), format!("s{second}"));
            let record = match second % 3 {
                0 => in_hand(&session, at(second)),
                1 => dead(&session, at(second)),
                _ => finished(&session, 1, at(second)),
            };
            changes.push(change(&key("org", &event), &record));
            let opening = SessionState::Opening;
            changes.push(session_change("org", &session, &event, opening, at(second)));
            changes.push(contact_change("org", &format!("{second}@x.y"), 1, at(second)));
        }
        store.persist(changes).await.unwrap();
        let expected = Swept { records: 250, sessions: 250, contacts: 250 };
        assert_eq!(store.sweep(at(250)).await.unwrap(), expected);
        assert_eq!(store.sweep(at(250)).await.unwrap(), Swept::default());
        for second in [0, 1, 2, 249, 250, 251, 252, 299] {
            let kept = second >= 250;
            let record = store.record(&key("org", &format!("e{second}"))).await.unwrap();
            assert_eq!(record.is_some(), kept, "{second}");
            let session = SessionId::from(format!("s{second}"));
            let entries = store.session(&"org".into(), &session).await.unwrap();
            assert_eq!(entries.len(), usize::from(kept), "{second}");
            let email = format!("{second}@x.y");
            let found = store.contact(&"org".into(), &email, Timestamp::MIN).await.unwrap();
            assert_eq!(found.is_some(), kept, "{second}");
        }
    }

    pub async fn a_sweep_keeps_what_was_touched_since(store: S) {
        let opening = || SessionState::Opening;
        let changes = vec![
            session_change("org", "ses", "evt", opening(), at(0)),
            session_change("org", "ses", "evt", SessionState::Dead, at(20)),
            contact_change("org", "a@b.c", 1, at(0)),
            contact_change("org", "a@b.c", 1, at(20)),
            change(&key("org", "evt"), &finished("ses", 1, at(0))),
            change(&key("org", "evt"), &finished("ses", 1, at(20))),
        ];
        store.persist(changes).await.unwrap();
        assert_eq!(store.sweep(at(20)).await.unwrap(), Swept::default());
        assert_eq!(all(&store, &OutcomeFilter::default(), 10).await.len(), 1);
    }

    pub async fn a_swept_event_is_listed_nowhere(store: S) {
        fill(&store).await;
        store.sweep(at(1000)).await.unwrap();
        for filter in [
            OutcomeFilter::default(),
            OutcomeFilter { session: Some("ses_1".into()), ..OutcomeFilter::default() },
            OutcomeFilter { incident: Some(incident(1)), ..OutcomeFilter::default() },
            OutcomeFilter { event_id: Some("e1".to_owned()), ..OutcomeFilter::default() },
        ] {
            assert!(all(&store, &filter, 10).await.is_empty(), "{filter:?}");
        }
    }

    pub async fn later_changes_of_a_call_see_the_earlier_ones(store: S) {
        let key = key("org", "evt");
        let changes = vec![
            change(&key, &in_hand("ses", at(0))),
            change(&key, &finished("ses", 1, at(1))),
            change(&key, &finished("ses", 2, at(2))),
        ];
        store.persist(changes).await.unwrap();
        let found = all(&store, &OutcomeFilter::default(), 1).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].record, finished("ses", 2, at(2)));
        let first = OutcomeFilter { incident: Some(incident(1)), ..OutcomeFilter::default() };
        assert!(all(&store, &first, 1).await.is_empty());
    }
}
