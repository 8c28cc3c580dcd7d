//! Requirements on every store: each test runs on each backend.

use std::sync::Arc;

use handoffd_engine::event::SessionId;
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::store::{Change, OutcomeFilter, SavedOrganization, Store, StoreError};
use handoffd_engine::workflow::{Learned, LearnedChange, Phase, SessionEntry, SessionState};
use jiff::Timestamp;

use crate::store_samples::{
    all, at, change, contact, contact_change, every_store, finished, in_hand, incident, key, session_change,
};

every_store! {
    a_record_is_read_as_written
    the_newest_record_wins
    events_of_different_organizations_are_distinct
    ids_never_collide
    a_session_lists_its_entries_oldest_first
    a_replaced_entry_keeps_its_place
    a_contact_is_found_in_any_case
    an_old_contact_is_ignored
    a_forgotten_contact_is_gone
    what_events_learn_of_an_environment_adds_up
    a_saved_organization_is_replaced_and_forgotten
    a_pause_lasts_until_it_ends
    a_declared_queue_is_remembered_until_it_is_forgotten
    nothing_is_done_after_close
}

mod cases {
    use super::*;

    type S = Arc<dyn Store>;

    pub async fn a_record_is_read_as_written(store: S) {
        let (key, record) = (key("org", "evt"), finished("ses", 1, at(0)));
        assert_eq!(store.record(&key).await.unwrap(), None);
        store.persist(vec![change(&key, &record)]).await.unwrap();
        assert_eq!(store.record(&key).await.unwrap(), Some(record));
    }

    pub async fn the_newest_record_wins(store: S) {
        let key = key("org", "evt");
        let mut record = in_hand("ses", at(0));
        store.write(vec![change(&key, &record)]).await.unwrap();
        record.phase = Phase::Waiting;
        record.attempts = 2;
        store.write(vec![change(&key, &record)]).await.unwrap();
        assert_eq!(store.record(&key).await.unwrap(), Some(record));
        let record = finished("ses", 1, at(5));
        store.persist(vec![change(&key, &record)]).await.unwrap();
        assert_eq!(store.record(&key).await.unwrap(), Some(record));
    }

    pub async fn events_of_different_organizations_are_distinct(store: S) {
        let (one, other) = (key("one", "evt"), key("other", "evt"));
        let record = finished("ses", 1, at(0));
        store.write(vec![change(&one, &record)]).await.unwrap();
        assert_eq!(store.record(&other).await.unwrap(), None);
        store.write(vec![change(&other, &finished("ses", 2, at(1)))]).await.unwrap();
        assert_eq!(store.record(&one).await.unwrap(), Some(record));
        let of_both = OutcomeFilter { event_id: Some("evt".to_owned()), ..OutcomeFilter::default() };
        assert_eq!(all(&store, &of_both, 1).await.len(), 2);
    }

    pub async fn ids_never_collide(store: S) {
        let names = ["a", "ab", "b", "\0", "a\0", "\0a", "a\u{1}", "\u{ff}", "é"];
        let mut expected = Vec::new();
        for (nth, one) in (0..).zip(names) {
            for (mth, other) in (0..).zip(names) {
                let record = finished("ses", nth * 100 + mth, at(0));
                store.write(vec![change(&key(one, other), &record)]).await.unwrap();
                let opening = SessionState::Opening;
                let entry = session_change(one, other, &format!("{nth}-{mth}"), opening, at(0));
                store.write(vec![entry]).await.unwrap();
                expected.push((key(one, other), record, format!("{nth}-{mth}")));
            }
        }
        for (key, record, event) in expected {
            assert_eq!(store.record(&key).await.unwrap(), Some(record), "{key:?}");
            let session = SessionId::from(key.event_id.as_str());
            let entries = store.session(&key.organization_id, &session).await.unwrap();
            assert_eq!(entries.len(), 1, "{key:?}");
            assert_eq!(entries[0].event_id.as_str(), event);
        }
    }

    pub async fn a_session_lists_its_entries_oldest_first(store: S) {
        for (event, second) in [("c", 1), ("a", 3), ("b", 2), ("d", 2)] {
            let entry = session_change("org", "ses", event, SessionState::Opening, at(second));
            store.write(vec![entry]).await.unwrap();
        }
        let other = session_change("org", "ses2", "x", SessionState::Opening, at(0));
        store.write(vec![other]).await.unwrap();
        let entries = store.session(&"org".into(), &"ses".into()).await.unwrap();
        let events: Vec<_> = entries.iter().map(|entry| entry.event_id.as_str()).collect();
        assert_eq!(events, ["c", "b", "d", "a"]);
    }

    pub async fn a_replaced_entry_keeps_its_place(store: S) {
        let open = SessionState::Open { incident: incident(1), ticket_number: Some("CAS-1".to_owned()) };
        for (event, state, second) in
            [("first", SessionState::Opening, 1), ("second", SessionState::Opening, 2), ("first", open.clone(), 3)]
        {
            store.write(vec![session_change("org", "ses", event, state, at(second))]).await.unwrap();
        }
        let entry =
            |event: &str, state| SessionEntry { event_id: event.into(), state, handed_off: None, closing: None };
        assert_eq!(
            store.session(&"org".into(), &"ses".into()).await.unwrap(),
            [entry("first", open), entry("second", SessionState::Opening)]
        );
    }

    pub async fn a_contact_is_found_in_any_case(store: S) {
        let remembered = contact_change("org", "Ann.O'Brien@Example.com", 7, at(0));
        store.write(vec![remembered]).await.unwrap();
        for (organization, email, expected) in [
            ("org", "ann.o'brien@example.COM", Some(contact(7))),
            ("org", "ann.obrien@example.com", None),
            ("other", "ann.o'brien@example.com", None),
        ] {
            let found = store.contact(&organization.into(), email, Timestamp::MIN).await.unwrap();
            assert_eq!(found, expected, "{organization} {email}");
        }
    }

    pub async fn an_old_contact_is_ignored(store: S) {
        store.write(vec![contact_change("org", "a@b.c", 7, at(10))]).await.unwrap();
        for (not_before, expected) in [(10, Some(contact(7))), (11, None)] {
            let found = store.contact(&"org".into(), "a@b.c", at(not_before)).await.unwrap();
            assert_eq!(found, expected);
        }
    }

    pub async fn a_forgotten_contact_is_gone(store: S) {
        store.persist(vec![contact_change("org", "a@b.c", 7, at(10))]).await.unwrap();
        let forget = Change::ForgetContact { organization: "org".into(), email: "A@B.C".to_owned() };
        store.write(vec![forget.clone(), forget]).await.unwrap();
        let found = store.contact(&"org".into(), "a@b.c", Timestamp::MIN).await.unwrap();
        assert_eq!(found, None);
    }

    pub async fn what_events_learn_of_an_environment_adds_up(store: S) {
        let nothing = Learned::default();
        let change = |before, after| Change::Learned("org".into(), LearnedChange::between(before, after));
        assert_eq!(store.learned(&"org".into()).await.unwrap(), nothing);
        // Three events that knew nothing, two of them in one call.
        let queue = change(nothing, Learned { queue_undeclared: true, ..nothing });
        let subject = change(nothing, Learned { subject_limit: Some(100), ..nothing });
        let placeholder = change(nothing, Learned { placeholder: Some(contact(3)), ..nothing });
        store.persist(vec![queue, subject]).await.unwrap();
        store.write(vec![placeholder]).await.unwrap();
        let all =
            Learned { queue_undeclared: true, subject_limit: Some(100), placeholder: Some(contact(3)), ..nothing };
        assert_eq!(store.learned(&"org".into()).await.unwrap(), all);
        assert_eq!(store.learned(&"other".into()).await.unwrap(), nothing);
        let gone = change(Learned { placeholder: Some(contact(3)), ..nothing }, nothing);
        store.persist(vec![gone]).await.unwrap();
        assert_eq!(store.learned(&"org".into()).await.unwrap(), Learned { placeholder: None, ..all });
    }

    pub async fn a_saved_organization_is_replaced_and_forgotten(store: S) {
        let saved = |id: &str, document: &str| SavedOrganization { id: id.into(), document: document.to_owned() };
        assert_eq!(store.organizations().await.unwrap(), []);
        let (one, other) = (saved("b\0", "{\"a\":1}"), saved("a", "é"));
        store.persist(vec![Change::Organization(one.clone())]).await.unwrap();
        store.write(vec![Change::Organization(other.clone())]).await.unwrap();
        assert_eq!(store.organizations().await.unwrap(), [other.clone(), one], "by id");
        let longest = saved("b\0", &"x".repeat(SavedOrganization::LONGEST));
        store.persist(vec![Change::Organization(longest.clone())]).await.unwrap();
        assert_eq!(store.organizations().await.unwrap(), [other, longest.clone()]);
        let forget = Change::ForgetOrganization("a".into());
        store.persist(vec![forget.clone(), forget]).await.unwrap();
        store.sweep(Timestamp::MAX).await.unwrap();
        assert_eq!(store.organizations().await.unwrap(), [longest], "no sweep takes it");
    }

    pub async fn a_pause_lasts_until_it_ends(store: S) {
        store.persist(vec![Change::Pause("b".into(), at(2)), Change::Pause("a".into(), at(1))]).await.unwrap();
        store.sweep(Timestamp::MAX).await.unwrap();
        assert_eq!(store.pauses().await.unwrap(), [("a".into(), at(1)), ("b".into(), at(2))]);
        store.persist(vec![Change::Resume("a".into()), Change::Resume("c".into())]).await.unwrap();
        assert_eq!(store.pauses().await.unwrap(), [("b".into(), at(2))]);
    }

    pub async fn a_declared_queue_is_remembered_until_it_is_forgotten(store: S) {
        assert_eq!(store.organization_queues().await.unwrap(), []);
        let declared = |id: &str, second| Change::OrganizationQueue(id.into(), at(second));
        store.persist(vec![declared("b", 1), declared("a\0", 2)]).await.unwrap();
        store.write(vec![declared("b", 3), Change::Pause("b".into(), at(4))]).await.unwrap();
        store.sweep(Timestamp::MAX).await.unwrap();
        let queues = [("a\0".into(), at(2)), ("b".into(), at(3))];
        assert_eq!(store.organization_queues().await.unwrap(), queues, "by id, and no sweep removes any");
        let forget = |id: &str| Change::ForgetOrganizationQueue(id.into());
        store.persist(vec![forget("b"), forget("c")]).await.unwrap();
        assert_eq!(store.organization_queues().await.unwrap(), [("a\0".into(), at(2))]);
        assert_eq!(store.pauses().await.unwrap(), [("b".into(), at(4))], "a pause is another thing");
    }

    pub async fn nothing_is_done_after_close(store: S) {
        let changes = vec![change(&key("org", "evt"), &finished("ses", 1, at(0)))];
        store.persist(changes.clone()).await.unwrap();
        assert!(store.bytes().await.unwrap() > 0);
        store.close().await.unwrap();
        let closed = |error: StoreError| matches!(error, StoreError::Closed);
        assert!(closed(store.record(&key("org", "evt")).await.unwrap_err()));
        assert!(closed(store.write(changes.clone()).await.unwrap_err()));
        assert!(closed(store.persist(changes).await.unwrap_err()));
        assert!(closed(store.sweep(at(0)).await.unwrap_err()));
        assert!(closed(store.outcomes(&OutcomeFilter::default(), None, 1).await.unwrap_err()));
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_crash_of_the_model_loses_unsynced_notes() {
    let store = MemoryStore::new();
    let (kept, noted) = (key("org", "kept"), key("org", "noted"));
    let record = finished("ses", 1, at(0));
    store.write(vec![change(&noted, &record)]).await.unwrap();
    store.persist(vec![change(&kept, &record)]).await.unwrap();
    store.crash();
    assert_eq!(store.record(&kept).await.unwrap(), Some(record.clone()));
    assert_eq!(store.record(&noted).await.unwrap(), None);
    store.write(vec![change(&noted, &record)]).await.unwrap();
    store.close().await.unwrap();
    store.crash();
    assert_eq!(store.record(&noted).await.unwrap(), Some(record));
}
