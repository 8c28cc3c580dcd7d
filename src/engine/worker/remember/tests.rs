use super::*;
use crate::event::samples::{email, handoff, resolution};
use crate::workflow::samples::{at, contact, incident, work_item};
use crate::workflow::{Fit, Learned, LinkedCustomer, QueueBinding, apply};

const NOW: &str = "2026-11-22T10:15:00Z";

fn posted(n: u8) -> Receipt {
    Receipt::IncidentPosted {
        id: incident(n),
        ticket_number: Some(format!("CAS-{n}")),
        customer: LinkedCustomer::Nobody,
        queue: QueueBinding::NoQueue,
        transcript: Fit::Whole,
        existed: false,
    }
}

fn open(event_id: &str, n: u8) -> SessionEntry {
    let ticket_number = Some(format!("CAS-{n}"));
    SessionEntry {
        event_id: event_id.into(),
        state: SessionState::Open { incident: incident(n), ticket_number },
        handed_off: None,
        closing: None,
    }
}

fn noted(event: &Event, receipt: &Receipt, memory: &mut Memory) -> Vec<Change> {
    remember(event, receipt, memory, at(NOW))
}

fn session_change(entry: SessionEntry) -> Change {
    Change::Session { organization: "org_acme".into(), session: "ses_9f2c".into(), entry, at: at(NOW) }
}

#[test]
fn a_contact_is_remembered_for_its_email() {
    for receipt in [Receipt::ContactFound(contact(1)), Receipt::ContactCreated(contact(1))] {
        let mut memory = Memory::default();
        let address = "ann.o'brien+vip@example.com".to_owned();
        let expected =
            Change::Contact { organization: "org_acme".into(), email: address, contact: contact(1), at: at(NOW) };
        assert_eq!(noted(&email(), &receipt, &mut memory), [expected]);
        assert_eq!(memory.contact, Some(contact(1)));
    }
}

#[test]
fn a_deleted_contact_is_forgotten() {
    let mut memory = Memory { contact: Some(contact(1)), ..Memory::default() };
    let changes = noted(&email(), &Receipt::ContactGone, &mut memory);
    assert!(matches!(changes.as_slice(), [Change::ForgetContact { .. }]), "{changes:?}");
    assert_eq!(memory.contact, None);
}

#[test]
fn environment_requirements_are_stored_once_per_organization() {
    let all = [
        (Receipt::QueueFieldUndeclared, Learned { queue_undeclared: true, ..Learned::default() }),
        (Receipt::CustomerRequired, Learned { customer_required: true, ..Learned::default() }),
        (Receipt::CloseActionRequired, Learned { close_by_action: true, ..Learned::default() }),
        (Receipt::PlaceholderReady(contact(3)), Learned { placeholder: Some(contact(3)), ..Learned::default() }),
    ];
    for (receipt, learned) in all {
        let mut memory = Memory::default();
        let change = LearnedChange::between(Learned::default(), learned);
        assert_eq!(noted(&email(), &receipt, &mut memory), [Change::Learned("org_acme".into(), change)]);
        assert_eq!(noted(&email(), &receipt, &mut memory), [], "it is stored already");
    }
    let learned = Learned { placeholder: Some(contact(3)), ..Learned::default() };
    let mut memory = Memory { learned, ..Memory::default() };
    let gone = LearnedChange::between(learned, Learned::default());
    assert_eq!(noted(&email(), &Receipt::PlaceholderGone, &mut memory), [Change::Learned("org_acme".into(), gone)]);
}

/// Returns the progress after these receipts.
fn progress(receipts: &[Receipt]) -> Progress {
    receipts
        .iter()
        .fold(Progress::default(), |progress, receipt| apply(progress, receipt).expect("the receipt is valid"))
}

#[test]
fn the_result_of_a_handoff_replaces_its_opening_when_it_completes() {
    for (receipt, entry) in [
        (posted(1), SessionEntry { handed_off: Some(at(NOW)), ..open("evt_01JDA7", 1) }),
        (
            Receipt::WorkItemPosted { id: work_item(1), subject_cut: false },
            SessionEntry {
                event_id: "evt_01JDA7".into(),
                state: SessionState::Chat { work_item: work_item(1) },
                handed_off: Some(at(NOW)),
                closing: None,
            },
        ),
    ] {
        let mut memory = Memory::default();
        let opened = opening(&email(), &mut memory, at(NOW));
        let pending = SessionEntry {
            event_id: "evt_01JDA7".into(),
            state: SessionState::Opening,
            handed_off: Some(at(NOW)),
            closing: None,
        };
        assert_eq!(opened, Some(session_change(pending.clone())));
        assert_eq!(noted(&email(), &receipt, &mut memory), [], "its note or its queue may still be missing");
        assert_eq!(memory.session, [pending]);
        let done = handed_off(&email(), &progress(&[receipt]), &mut memory, at(NOW));
        assert_eq!(done, Some(session_change(entry.clone())));
        assert_eq!(memory.session, [entry]);
    }
}

#[test]
fn a_case_that_was_closed_stays_so_when_its_handoff_is_replayed() {
    let state = SessionState::Closed { incident: incident(1), ticket_number: None };
    let closed = SessionEntry { event_id: "evt_01JDA7".into(), state, handed_off: None, closing: None };
    let mut memory = Memory { session: vec![closed.clone()], ..Memory::default() };
    assert_eq!(handed_off(&email(), &progress(&[posted(1)]), &mut memory, at(NOW)), None);
    assert_eq!(memory.session, [closed]);
}

#[test]
fn a_handoff_opens_once_a_dead_one_again_and_a_resolution_never() {
    let (mut memory, nothing) = (Memory::default(), Progress::default());
    assert!(opening(&email(), &mut memory, at(NOW)).is_some());
    assert_eq!(opening(&email(), &mut memory, at(NOW)), None);
    assert!(given_up(&email(), &nothing, &mut memory, at(NOW)).is_some());
    assert!(opening(&email(), &mut memory, at(NOW)).is_some(), "replayed: resolutions wait for it again");
    let resolution = resolution(|_| {});
    assert_eq!(opening(&resolution, &mut memory, at(NOW)), None);
    assert_eq!(handed_off(&resolution, &nothing, &mut memory, at(NOW)), None);
    assert_eq!(memory.session.len(), 1);
}

#[test]
fn no_resolution_waits_for_a_handoff_given_up_and_its_case_stays_open() {
    let nothing = Progress::default();
    let mut memory = Memory { session: vec![open("evt_01JDA7", 1)], ..Memory::default() };
    assert_eq!(given_up(&email(), &nothing, &mut memory, at(NOW)), None);
    assert_eq!(memory.session, [open("evt_01JDA7", 1)]);
    let mut memory = Memory::default();
    _ = opening(&email(), &mut memory, at(NOW));
    let given_up_after_posting = given_up(&email(), &progress(&[posted(1)]), &mut memory, at(NOW));
    let opened = SessionEntry { handed_off: Some(at(NOW)), ..open("evt_01JDA7", 1) };
    assert_eq!(given_up_after_posting, Some(session_change(opened)));
    assert_eq!(given_up(&resolution(|_| {}), &nothing, &mut memory, at(NOW)), None, "a resolution opens nothing");
}

#[test]
fn a_closed_incident_is_noted_with_the_handoff_that_opened_it() {
    let mut memory = Memory { session: vec![open("evt_a", 1), open("evt_b", 2)], ..Memory::default() };
    let changes = noted(&resolution(|_| {}), &Receipt::IncidentClosed(incident(2)), &mut memory);
    let state = SessionState::Closed { incident: incident(2), ticket_number: Some("CAS-2".to_owned()) };
    let entry = SessionEntry { event_id: "evt_b".into(), state, handed_off: None, closing: None };
    assert_eq!(changes, [session_change(entry.clone())]);
    assert_eq!(memory.session, [open("evt_a", 1), entry]);
}

#[test]
fn an_incident_closed_by_meta_is_noted_with_the_resolution() {
    let mut memory = Memory::default();
    let changes = noted(&resolution(|_| {}), &Receipt::IncidentClosed(incident(4)), &mut memory);
    let entry = SessionEntry {
        event_id: "evt_01JDB1".into(),
        state: SessionState::ClosedByMeta { incident: incident(4) },
        handed_off: None,
        closing: None,
    };
    assert_eq!(changes, [session_change(entry)]);
}

#[test]
fn receipts_of_the_event_alone_change_nothing_else() {
    let event = handoff(|it| it.customer.email = None);
    for receipt in [
        Receipt::ContactAbsent,
        Receipt::ContactKeyTaken,
        Receipt::ContactRefused,
        posted(1),
        Receipt::WorkItemPosted { id: work_item(1), subject_cut: false },
        Receipt::QueueAssigned,
        Receipt::TranscriptAttached,
        Receipt::IncidentMissing(incident(1)),
    ] {
        let mut memory = Memory::default();
        assert_eq!(noted(&event, &receipt, &mut memory), [], "{receipt:?}");
        assert_eq!(memory, Memory::default(), "{receipt:?}");
    }
}
