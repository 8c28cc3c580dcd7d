//! Events in every state that every store must find, and what an operator adds to them: each test runs on each backend.

use std::sync::Arc;

use handoffd_engine::event::Kind;
use handoffd_engine::ports::store::EventScan;
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::ports::store::scan::position;
use handoffd_engine::ports::store::{Change, OutcomeFilter, Store, Swept};
use handoffd_engine::workflow::{Milestone, Phase};
use jiff::Timestamp;

use crate::store_samples::{all, at, change, chat, dead, every_store, finished, ids, in_hand, key};

every_store! {
    an_event_is_found_by_the_beginning_of_any_of_its_ids
    unfinished_events_are_listed_newest_first_in_pages
    an_organizations_events_are_found_by_its_id
    a_discard_is_added_to_dead_events_only
    a_queued_event_is_noted_until_it_is_begun
    notes_of_queued_events_are_no_events_and_expire
}

mod cases {
    use super::*;

    type S = Arc<dyn Store>;

    fn by_id(id: &str) -> EventScan {
        EventScan { id: Some(id.to_owned()), limit: 10, ..EventScan::default() }
    }

    fn note(session: &str, received: Timestamp) -> QueuedNote {
        QueuedNote { kind: Kind::Handoff, session_id: session.into(), received, moved: Some(received) }
    }

    async fn found(store: &S, scan: &EventScan) -> Vec<String> {
        let scanned = store.scan(scan).await.unwrap();
        assert!(!scanned.is_partial);
        ids(&scanned.found).into_iter().map(str::to_owned).collect()
    }

    pub async fn an_event_is_found_by_the_beginning_of_any_of_its_ids(store: S) {
        let changes = vec![
            change(&key("org", "Evt_100%"), &finished("ses_one", 7, at(1))),
            change(&key("org", "evt_two"), &chat("Ses\"two\\", 0xAB << 120, at(2))),
            change(&key("org", "evt\0three"), &in_hand("größe", at(3))),
            change(&key("org", "other"), &dead("else", at(0))),
        ];
        store.persist(changes).await.unwrap();
        for (id, expected) in [
            ("Evt_100%", &["Evt_100%"][..]),
            ("evt_1", &["Evt_100%"]),
            ("evt_%", &[]),
            ("ses_o", &["Evt_100%"]),
            ("cas-00007", &["Evt_100%"]),
            ("CAS-00007-X1Y2Z3", &["Evt_100%"]),
            ("00000000-0000-0000-0000-000000000007", &["Evt_100%"]),
            ("ses\"TWO\\", &["evt_two"]),
            ("AB000000-", &["evt_two"]),
            ("evt\0t", &["evt\0three"]),
            ("größ", &["evt\0three"]),
            ("2f0a6e4e-0000", &["evt\0three", "evt_two", "Evt_100%", "other"]),
            ("two", &[]),
        ] {
            assert_eq!(found(&store, &by_id(id)).await, expected, "{id:?}");
        }
    }

    pub async fn unfinished_events_are_listed_newest_first_in_pages(store: S) {
        for (event, second) in [("b", 2), ("d", 2), ("a", 3), ("c", 1)] {
            let mut record = in_hand("ses", at(second));
            record.phase = if event == "b" { Phase::Waiting } else { Phase::InHand };
            store.write(vec![change(&key("org", event), &record)]).await.unwrap();
        }
        store.persist(vec![change(&key("org", "done"), &finished("ses", 1, at(9)))]).await.unwrap();
        for limit in [1, 2, 3, 4, 5] {
            let mut scan = EventScan { unfinished_only: true, limit, ..EventScan::default() };
            let mut all = Vec::new();
            loop {
                let scanned = store.scan(&scan).await.unwrap();
                all.extend(ids(&scanned.found).into_iter().map(str::to_owned));
                scan.after = scanned.found.last().map(|last| position(&last.key, &last.record).cursor());
                if !scanned.more {
                    break;
                }
            }
            assert_eq!(all, ["a", "d", "b", "c"], "pages of {limit}");
        }
    }

    pub async fn an_organizations_events_are_found_by_its_id(store: S) {
        let changes = vec![
            change(&key("one", "evt"), &in_hand("ses", at(1))),
            change(&key("two", "evt"), &in_hand("ses", at(2))),
        ];
        store.write(changes).await.unwrap();
        let of = |organization: &str| EventScan { organization: Some(organization.into()), ..by_id("evt") };
        let scanned = store.scan(&of("one")).await.unwrap();
        assert_eq!(scanned.found.len(), 1);
        assert_eq!(scanned.found[0].key, key("one", "evt"));
        assert_eq!(store.scan(&of("three")).await.unwrap().found, []);
    }

    pub async fn a_discard_is_added_to_dead_events_only(store: S) {
        let (died, open, done) = (key("org", "died"), key("org", "open"), key("org", "done"));
        let changes = vec![
            change(&died, &dead("ses", at(1))),
            change(&open, &in_hand("ses", at(1))),
            change(&done, &finished("ses", 1, at(1))),
        ];
        store.write(changes).await.unwrap();
        let discard = Milestone::discarded(at(5), "token (ann)");
        let all_of_them = [died.clone(), open.clone(), done.clone(), key("org", "unknown")];
        assert_eq!(store.record_discards(&all_of_them, &discard).await.unwrap(), 1);
        assert_eq!(store.record_discards(&all_of_them, &discard).await.unwrap(), 0, "once only");
        let record = store.record(&died).await.unwrap().unwrap();
        assert!(record.is_discarded());
        assert_eq!(record.life.milestones, std::slice::from_ref(&discard));
        for key in [&open, &done] {
            assert!(store.record(key).await.unwrap().unwrap().life.is_empty());
        }
        assert_eq!(ids(&all(&store, &OutcomeFilter::default(), 9).await), ["done", "died"], "listed as before");
        assert_eq!(store.record_discards(&[], &discard).await.unwrap(), 0);
    }

    pub async fn a_queued_event_is_noted_until_it_is_begun(store: S) {
        let (begun, known, waits) = (key("org", "begun"), key("org", "known"), key("org", "waits"));
        for key in [&begun, &known, &waits] {
            store.write(vec![Change::Queued(key.clone(), note("ses", at(1)))]).await.unwrap();
        }
        assert_eq!(store.queued(9).await.unwrap().len(), 3);
        assert_eq!(store.queued(2).await.unwrap().len(), 2);
        store.write(vec![change(&begun, &in_hand("ses", at(2)))]).await.unwrap();
        store.write(vec![Change::ForgetQueued(known)]).await.unwrap();
        assert_eq!(store.queued(9).await.unwrap(), [(waits.clone(), note("ses", at(1)))]);
        // In one call, and an event that is queued again.
        let changes = vec![Change::Queued(waits.clone(), note("ses", at(3))), change(&waits, &dead("ses", at(4)))];
        store.persist(changes).await.unwrap();
        assert_eq!(store.queued(9).await.unwrap(), []);
        store.persist(vec![Change::Queued(waits.clone(), note("ses", at(5)))]).await.unwrap();
        assert_eq!(store.queued(9).await.unwrap(), [(waits, note("ses", at(5)))]);
    }

    pub async fn notes_of_queued_events_are_no_events_and_expire(store: S) {
        let key = key("org", "evt");
        store.persist(vec![Change::Queued(key.clone(), note("ses", at(1)))]).await.unwrap();
        assert_eq!(store.record(&key).await.unwrap(), None);
        assert_eq!(found(&store, &by_id("evt")).await, Vec::<String>::new());
        assert_eq!(
            found(&store, &EventScan { unfinished_only: true, limit: 9, ..EventScan::default() }).await.len(),
            0
        );
        assert!(all(&store, &OutcomeFilter::default(), 9).await.is_empty());
        assert_eq!(store.sweep(at(1)).await.unwrap(), Swept::default());
        assert_eq!(store.sweep(at(2)).await.unwrap(), Swept { records: 1, ..Swept::default() });
        assert_eq!(store.queued(9).await.unwrap(), []);
    }
}
