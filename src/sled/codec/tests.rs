use handoffd_engine::event::{IncidentId, Kind, Route, SessionId, WorkItemId};
use handoffd_engine::workflow::{
    Failure, Fit, HISTORY_LIMIT, HistoryEntry, IncidentRef, MILESTONES, PostedIncident, Progress, QueueBinding, Reason,
    Status, StepName, Warning,
};
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// Largest possible record: the longest ids, every field set, errors of this length.
fn largest(id: &str, error: usize, closed: u128, failed: Status) -> Record {
    let long = "ü".repeat(error);
    let history = HistoryEntry {
        at: "2026-11-22T10:15:00.123456789Z".parse().unwrap(),
        attempt: u32::MAX,
        step: StepName::CreatePlaceholder,
        elapsed_ms: u64::MAX,
        status: Some(u16::MAX),
        code: Some(long.clone()),
        error: Some(long.clone()),
        request_id: Some(long.clone()),
    };
    let ids: Vec<IncidentId> = (0..closed).map(|id| IncidentId(Uuid::from_u128(id))).collect();
    let incident = IncidentId(Uuid::from_u128(u128::MAX));
    let outcome = largest_outcome(id, long, ids.clone(), failed);
    Record {
        kind: Kind::Resolution,
        session_id: Some(SessionId::from(id)),
        body_digest: "0123456789abcdef0123456789abcdef".to_owned(),
        first_seen: history.at,
        attempts: u32::MAX,
        phase: Phase::Dead(outcome),
        progress: Progress {
            incident: Some(PostedIncident {
                id: incident,
                ticket_number: Some("CAS-01234-X1Y2Z3".to_owned()),
                contact: Some(ContactId(Uuid::from_u128(u128::MAX))),
                queue: QueueBinding::Unbound,
                transcript: Fit::Cut,
            }),
            closed: ids,
            warnings: vec![Warning::ContactUnlinked, Warning::PlaceholderCustomer],
            ..Progress::default()
        },
        history: vec![history; HISTORY_LIMIT],
        settled: true,
        poison: true,
        life: largest_life(&id.repeat(4)),
    }
}

fn largest_life(name: &str) -> Life {
    let mut life = Life::default();
    for _ in 1..MILESTONES {
        let error = Some(name.chars().take(200).collect());
        life.add(Milestone { error, ..Milestone::waiting(at(1), "transient", at(2)) });
    }
    life.add(Milestone::discarded(at(3), name));
    life
}

fn largest_outcome(id: &str, long: String, closed: Vec<IncidentId>, status: Status) -> Outcome {
    let incident = IncidentId(Uuid::from_u128(u128::MAX));
    Outcome {
        kind: Kind::Resolution,
        status,
        route: Some(Route::LiveWorkItem),
        session_id: Some(SessionId::from(id)),
        channel: Some(Channel::new(&long)),
        incident: Some(IncidentRef { id: incident, ticket_number: Some("CAS-01234-X1Y2Z3".to_owned()) }),
        closed,
        work_item: Some(WorkItemId(Uuid::from_u128(u128::MAX))),
        contact_id: Some(ContactId(Uuid::from_u128(u128::MAX))),
        attempts: u32::MAX,
        warnings: vec![Warning::ContactUnlinked, Warning::PlaceholderCustomer],
        reason: Some(Reason::RejectedByDynamics),
        error: Some(Failure {
            step: StepName::CreatePlaceholder,
            status: Some(u16::MAX),
            code: Some(long.clone()),
            message: long.clone(),
            advice: Some(long),
        }),
        finished_at: at(0),
    }
}

/// Fields that trimming must leave unchanged.
fn essence(record: &Record) -> impl PartialEq + std::fmt::Debug {
    let outcome = record.outcome().cloned().unwrap();
    (
        record.session_id.clone(),
        record.body_digest.clone(),
        record.first_seen,
        (record.progress.clone(), record.settled),
        (outcome.session_id, outcome.incident, outcome.closed),
        (outcome.work_item, outcome.contact_id, outcome.status),
        (outcome.reason, outcome.warnings, outcome.finished_at, record.is_discarded()),
    )
}

proptest! {
    #[test]
    fn no_value_exceeds_the_limit(
        id in prop_oneof![
            Just("𝄞".repeat(255)),
            prop::collection::vec(any::<char>().prop_filter("ids have none", |c| !c.is_control()), 1..=255)
                .prop_map(|letters| letters.into_iter().collect()),
        ],
        error in 0..5000usize,
        closed in 0..8u128,
    ) {
        let record = largest(&id, error, closed, Status::Failed);
        let value = encode_record(&record);
        prop_assert!(value.len() <= LONGEST, "{} bytes", value.len());
        let read = decode_record(&value).unwrap();
        prop_assert_eq!(essence(&read), essence(&record));
    }
}

#[test]
fn a_record_that_fits_is_unchanged() {
    let mut record = largest("ses_1", 10, 2, Status::Skipped);
    record.history.truncate(4);
    record.life.milestones.truncate(4);
    assert_eq!(decode_record(&encode_record(&record)).unwrap(), record);
}

#[test]
fn a_history_that_is_too_long_keeps_its_ends_and_counts_the_rest() {
    let mut record = largest("ses_1", 0, 0, Status::Failed);
    for (nth, entry) in (1..).zip(&mut record.history) {
        (entry.attempt, entry.request_id) = (nth, Some(Uuid::nil().to_string()));
    }
    let read = decode_record(&encode_record(&record)).unwrap();
    let (kept, all) = (read.history.len(), record.history.len());
    assert!(kept > 2 && kept < all, "{kept} of {all}");
    assert_eq!((read.history[0].attempt, read.history[kept - 1].attempt), (1, u32::try_from(all).unwrap()));
    let dropped = all - kept + record.life.milestones.len() - read.life.milestones.len();
    assert_eq!(read.life.left_out.map(|left_out| left_out.count), u32::try_from(dropped).ok());
}

#[test]
fn ids_are_kept_even_beyond_the_limit() {
    let record = largest("ses_1", 10, 100, Status::Succeeded);
    let read = decode_record(&encode_record(&record)).unwrap();
    assert_eq!(essence(&read), essence(&record));
}

#[test]
fn the_time_first_seen_is_read_without_decoding() {
    let record = largest("ses_1", 1, 1, Status::Failed);
    assert_eq!(touched_at(&encode_record(&record)), Some(record.first_seen));
}

#[test]
fn entries_contacts_and_requirements_round_trip() {
    let entry = SessionRow {
        at: at(5),
        first: at(1),
        kept: StoredEffect {
            state: SessionState::Open { incident: IncidentId(Uuid::from_u128(7)), ticket_number: None },
            handed_off: Some(at(1)),
            closing: Some(at(2)),
        },
    };
    assert_eq!(SessionRow::decode(&entry.encode()).unwrap(), entry);
    assert_eq!(touched_at(&entry.encode()), Some(at(5)));
    let contact = ContactId(Uuid::from_u128(9));
    let value = encode_contact(contact, at(3));
    assert_eq!(decode_contact(&value).unwrap(), (contact, at(3)));
    let learned = Learned { customer_required: true, ..Learned::default() };
    assert_eq!(decode_learned(&encode_learned(&learned)).unwrap(), learned);
}

#[test]
fn notes_of_queued_events_round_trip_and_are_short() {
    let session_id = SessionId::from("ses_8c9d0c3f-2b1f-4c7e-9a31");
    for (kind, moved) in [(Kind::Handoff, Some(at(2))), (Kind::Handoff, None), (Kind::Resolution, Some(at(3)))] {
        let note = QueuedNote { kind, session_id: session_id.clone(), received: at(1), moved };
        let value = encode_queued(&note);
        assert_eq!(decode_queued(&value).unwrap(), note);
        assert!(value.len() <= session_id.as_str().len() + 27, "{}", value.len());
        assert_eq!(touched_at(&value), Some(at(1)));
    }
    let value =
        encode_queued(&QueuedNote { kind: Kind::Handoff, session_id: "s".into(), received: at(1), moved: Some(at(2)) });
    for end in 0..NOTE_HEAD + TIME {
        assert!(decode_queued(&value[..end]).is_err(), "{end}");
    }
    let of_json = [&value[..RECORD_HEAD], br#"{"kind":"handoff"}"#].concat();
    assert_eq!(decode_queued(&of_json).unwrap_err().to_string(), "not the note of a queued event");
}

#[test]
fn malformed_values_are_refused() {
    for value in [&b""[..], b"\x01abcdefghijklmnop{}", b"\x02short"] {
        assert!(decode_record(value).is_err());
        assert!(SessionRow::decode(value).is_err());
        assert!(decode_contact(value).is_err());
    }
    let unknown = decode_learned(b"\x07{}").unwrap_err().to_string();
    assert_eq!(unknown, "unknown format version 7, expected 2");
}

/// Stored values outlive the program. These are values of the first version; every field added later must have a
/// default.
#[test]
fn values_of_the_first_version_are_read() {
    let mut value = vec![VERSION];
    value.extend_from_slice(&time(at(0)));
    value.extend_from_slice(
        br#"{"kind":"handoff","session_id":"ses_1","body_digest":"00","first_seen":"2026-11-22T10:15:00Z",
            "attempts":2,"phase":{"finished":{"kind":"handoff","status":"succeeded","route":"incident",
            "session_id":"ses_1","channel":"email","incident":{"id":"00000000-0000-0000-0000-000000000001",
            "ticket_number":"CAS-1"},"work_item":null,"contact_id":null,"attempts":2,
            "warnings":["contact_unlinked"],"reason":null,"error":null,"finished_at":"2026-11-22T10:15:01Z"}},
            "progress":{"contact":"refused","incident":{"id":"00000000-0000-0000-0000-000000000001",
            "queue":"no_queue","transcript":"whole"}},
            "history":[{"at":"2026-11-22T10:15:00Z","attempt":1,"step":"post_incident","elapsed_ms":3}],
            "a field of the future":1}"#,
    );
    let record = decode_record(&value).unwrap();
    assert_eq!(record.outcome().unwrap().status, Status::Succeeded);
    assert_eq!(record.history[0].step, StepName::PostIncident);
    assert!(record.settled, "an old dead letter was copied");
    assert_eq!(decode_learned(b"\x02{}").unwrap(), Learned::default());
}

/// Another version writes or reads fewer fields of a quarantined event.
#[test]
fn a_quarantined_record_keeps_its_stored_name_and_gets_new_fields() {
    let quarantined = |waiting, silent| Phase::Quarantined { life: 7, deaths: 2, waiting, silent };
    let old: Phase = serde_json::from_str(r#"{"on_trial":{"life":7,"deaths":2}}"#).unwrap();
    assert_eq!(old, quarantined(false, 0));
    let mut record = largest("ses_1", 1, 0, Status::Failed);
    record.phase = quarantined(true, 3);
    let value = encode_record(&record);
    assert_eq!(decode_record(&value).unwrap().phase, quarantined(true, 3));
    let text = String::from_utf8_lossy(&value[RECORD_HEAD..]).into_owned();
    assert!(text.contains("\"on_trial\""), "{text}");
}

/// The record copied for every event takes 1.4 KB as plain JSON.
#[test]
fn a_typical_record_is_short() {
    let id = "ses_0123456789abcdef0123456789abcdef";
    let mut record = largest(id, 0, 0, Status::Succeeded);
    record.history.truncate(3);
    record.life.milestones =
        [MilestoneKind::Received, MilestoneKind::Moved].map(|what| Milestone::bare(at(0), what)).into();
    for entry in &mut record.history {
        (entry.step, entry.status) = (StepName::PostIncident, Some(201));
        (entry.attempt, entry.elapsed_ms, entry.code, entry.error) = (1, 12, None, None);
        entry.request_id = Some(Uuid::from_u128(u128::MAX).to_string());
    }
    record.attempts = 1;
    record.progress.warnings.clear();
    if let Some(outcome) = outcome(&mut record) {
        (outcome.error, outcome.reason, outcome.work_item, outcome.attempts) = (None, None, None, 1);
        (outcome.channel, outcome.route) = (Some(Channel::new("email")), Some(Route::Incident));
        outcome.warnings.clear();
    }
    let value = encode_record(&record);
    assert!(value.len() < 1450, "{} bytes", value.len());
    assert_eq!(decode_record(&value).unwrap(), record);
}
