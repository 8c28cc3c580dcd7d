use handoffd_engine::event::{IncidentId, Kind, WorkItemId};
use handoffd_engine::workflow::{IncidentRef, Phase, samples};
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// Entry of an event that ended at this second.
fn entry(id: &str, second: i64, incidents: u128) -> Vec<u8> {
    let outcome = Outcome {
        kind: Kind::Resolution,
        status: Status::Skipped,
        route: None,
        session_id: Some(SessionId::from(id)),
        channel: None,
        incident: Some(IncidentRef { id: IncidentId(Uuid::nil()), ticket_number: Some("CAS-7".to_owned()) }),
        closed: (1..=incidents).map(|id| IncidentId(Uuid::from_u128(id))).collect(),
        work_item: Some(WorkItemId(Uuid::from_u128(9))),
        contact_id: None,
        attempts: 1,
        warnings: Vec::new(),
        reason: None,
        error: None,
        finished_at: at(second),
    };
    let record = Record { kind: Kind::Resolution, first_seen: at(0), ..samples::record(Phase::InHand) };
    encode(&key(id), &record, &outcome)
}

fn key(id: &str) -> EventKey {
    EventKey { organization_id: "org".into(), event_id: id.into() }
}

proptest! {
    #[test]
    fn every_entry_is_in_exactly_one_row_newest_first(
        events in prop::collection::vec((any::<String>(), 0..300i64, 0..5u128), 0..80),
    ) {
        let written: Vec<Vec<u8>> = events.iter().map(|(id, second, ids)| entry(id, *second, *ids)).collect();
        let rows = pack(written.iter().map(Vec::as_slice));
        let mut found = Vec::new();
        for (newest, row) in &rows {
            prop_assert!(row.len() <= LONGEST);
            let listed: Vec<IndexEntry<'_>> = entries(row).collect();
            prop_assert_eq!(listed[0].at, *newest);
            prop_assert!(newest.duration_since(listed[listed.len() - 1].at) <= SPAN);
            found.extend(listed.iter().map(|listed| (listed.at, listed.position().key(), listed.bytes.to_vec())));
        }
        prop_assert!(found.is_sorted_by(|(one, ..), (other, ..)| one >= other));
        let mut expected: Vec<_> = events
            .iter()
            .zip(written)
            .map(|((id, second, _), bytes)| (at(*second), key(id), bytes))
            .collect();
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn malformed_rows_list_no_more_than_their_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let length: usize = entries(&bytes).map(|listed| listed.bytes.len()).sum();
        prop_assert!(length <= bytes.len());
    }
}

#[test]
fn an_entry_matches_each_of_its_fields() {
    let row = &pack([entry("evt", 5, 2).as_slice()].into_iter())[0].1;
    let listed = entries(row).next().unwrap();
    let none = OutcomeFilter::default;
    let incident = |id| OutcomeFilter { incident: Some(IncidentId(Uuid::from_u128(id))), ..none() };
    let status = |status| OutcomeFilter { status: Some(status), ..none() };
    let session = |session: &str| OutcomeFilter { session: Some(session.into()), ..none() };
    let work_item = |id| OutcomeFilter { work_item: Some(WorkItemId(Uuid::from_u128(id))), ..none() };
    let organization = |id: &str| OutcomeFilter { organization: Some(id.into()), ..none() };
    let pairs = [
        (incident(2), incident(3)),
        (status(Status::Skipped), status(Status::Failed)),
        (session("evt"), session("ev")),
        (work_item(9), work_item(2)),
        (organization("org"), organization("or")),
        (OutcomeFilter { after: Some(at(5)), ..none() }, OutcomeFilter { before: Some(at(5)), ..none() }),
    ];
    for (matching, other) in pairs {
        assert!(listed.may_match(&matching, None), "{matching:?}");
        assert!(!listed.may_match(&other, None), "{other:?}");
    }
    assert!(listed.may_match(&none(), Some("cas-7")));
    assert!(!listed.may_match(&none(), Some("cas-70")));
}

#[test]
fn an_entry_longer_than_a_row_gets_its_own_row() {
    let (large, small) = (entry("large", 1, 1000), entry("small", 2, 1));
    let rows = pack([large.as_slice(), &small].into_iter());
    assert_eq!(rows.len(), 2);
    assert_eq!(entries(&rows[1].1).count(), 1);
    let last = OutcomeFilter { incident: Some(IncidentId(Uuid::from_u128(1000))), ..OutcomeFilter::default() };
    assert!(entries(&rows[1].1).all(|listed| listed.may_match(&last, None)));
}
