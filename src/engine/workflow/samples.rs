//! Sample settings, and the possible receipts of each step, for tests.

#![allow(clippy::missing_panics_doc, reason = "for tests")]

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Map;
use uuid::Uuid;

use super::{
    CloseWith, Closing, ContactFailure, Fit, Life, LinkedCustomer, NoteForm, Phase, Progress, QueueAssignment,
    QueueBinding, Receipt, Record, Settings, Step,
};
use crate::event::{ContactId, IncidentId, Kind, WorkItemId};

/// Id of a queue.
pub const QUEUE: Uuid = Uuid::from_u128(0x4444_4444_4444_4444_4444_4444_4444_4444);
/// Id of an owner.
pub const OWNER: Uuid = Uuid::from_u128(0x3333_3333_3333_3333_3333_3333_3333_3333);
/// Id of a fallback customer.
pub const FALLBACK: Uuid = Uuid::from_u128(0x7777_7777_7777_7777_7777_7777_7777_7777);

/// Returns settings with required values only.
pub fn settings() -> Settings {
    Settings {
        organization_id: "org_acme".into(),
        environment_url: "https://acme.crm.dynamics.com".to_owned(),
        live_work_item_entity_set: "oc_liveworkitems".to_owned(),
        default_priority: 2,
        default_owner_id: None,
        default_queue_id: None,
        default_workstream_id: None,
        description_limit: 2000,
        queue_assignment: QueueAssignment::Auto,
        queue_field: "queueid".to_owned(),
        close_with: CloseWith::Auto,
        contact_failure: ContactFailure::Unlinked,
        fallback_customer: None,
        ticket_properties: Map::new(),
        resolution_wait: Duration::from_secs(120),
    }
}

/// Returns those settings after `change`.
pub fn settings_with(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = settings();
    change(&mut settings);
    settings
}

/// Parses an RFC 3339 time.
pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a test's time is RFC 3339")
}

/// Returns the record of a handoff in this phase, without steps or history.
pub fn record(phase: Phase) -> Record {
    Record {
        kind: Kind::Handoff,
        session_id: None,
        body_digest: String::new(),
        first_seen: at("2026-11-22T10:15:00Z"),
        attempts: 1,
        phase,
        settled: false,
        poison: false,
        progress: Progress::default(),
        history: Vec::new(),
        life: Life::default(),
    }
}

/// Returns the id of contact number `n`.
pub fn contact(n: u8) -> ContactId {
    ContactId(Uuid::from_u128(0xc000 + u128::from(n)))
}

/// Returns the id of incident number `n`.
pub fn incident(n: u8) -> IncidentId {
    IncidentId(Uuid::from_u128(0x1000 + u128::from(n)))
}

/// Returns the id of live work item number `n`.
pub fn work_item(n: u8) -> WorkItemId {
    WorkItemId(Uuid::from_u128(0xa000 + u128::from(n)))
}

/// Returns every receipt that a step can give under these settings. `fit` is the fit of the description.
pub fn receipts(step: &Step, settings: &Settings, fit: Fit) -> Vec<Receipt> {
    let unlinked = settings.contact_failure == ContactFailure::Unlinked;
    let refused = unlinked.then_some(Receipt::ContactRefused);
    match step {
        Step::LookUpContact => {
            [Receipt::ContactFound(contact(1)), Receipt::ContactAbsent].into_iter().chain(refused).collect()
        }
        Step::CreateContact { .. } => {
            [Receipt::ContactCreated(contact(2)), Receipt::ContactKeyTaken].into_iter().chain(refused).collect()
        }
        Step::CreatePlaceholder => vec![Receipt::PlaceholderReady(contact(3))],
        Step::PostIncident { customer, queue } => posting(*customer, *queue, settings, fit),
        Step::LookForQueueItem { .. } => vec![Receipt::QueueAssigned, Receipt::NotInAnyQueue],
        Step::AssignQueue { .. } => vec![Receipt::QueueAssigned, Receipt::ClosedBeforeQueued],
        Step::AttachTranscript { part: NoteForm::Attachment, .. } => {
            vec![Receipt::TranscriptAttached, Receipt::AttachmentsRefused]
        }
        Step::AttachTranscript { part: NoteForm::Text(part), .. } => {
            // The second part is the last, so that the exploration ends.
            vec![Receipt::TextNoteAttached { is_last: *part > 0 }]
        }
        Step::PostLiveWorkItem { subject_limit } => {
            let posted = Receipt::WorkItemPosted { id: work_item(1), subject_cut: subject_limit.is_some() };
            [posted].into_iter().chain(subject_limit.is_none().then_some(Receipt::SubjectLimited(200))).collect()
        }
        Step::CloseIncident { incident, how, .. } => {
            let insists = *how == Closing::Patch && settings.close_with == CloseWith::Auto;
            let given = [Receipt::IncidentClosed(*incident), Receipt::IncidentMissing(*incident)];
            given.into_iter().chain(insists.then_some(Receipt::CloseActionRequired)).collect()
        }
        Step::LookAtIncident { incident, since } => vec![
            Receipt::IncidentClosed(*incident),
            Receipt::IncidentMissing(*incident),
            Receipt::IncidentTouched(*incident),
            Receipt::IncidentUnchanged { etag: "W/\"1\"".to_owned(), since: *since },
        ],
        Step::LookForResolution { incident, .. } => {
            vec![Receipt::IncidentTouched(*incident), Receipt::IncidentNeverClosed]
        }
    }
}

fn posting(customer: LinkedCustomer, queue: QueueBinding, settings: &Settings, transcript: Fit) -> Vec<Receipt> {
    let ticket_number = Some("CAS-01234-X1Y2Z3".to_owned());
    let posted = |existed| {
        let ticket_number = ticket_number.clone();
        Receipt::IncidentPosted { id: incident(1), ticket_number, customer, queue, transcript, existed }
    };
    let mut receipts = vec![posted(false), posted(true)];
    if queue == QueueBinding::Bound && settings.queue_assignment == QueueAssignment::Auto {
        receipts.push(Receipt::QueueFieldUndeclared);
    }
    match customer {
        _ if settings.binds_customer_itself() => {}
        LinkedCustomer::Nobody => receipts.push(Receipt::CustomerRequired),
        LinkedCustomer::Contact(_) => receipts.push(Receipt::ContactGone),
        LinkedCustomer::Placeholder(_) => receipts.push(Receipt::PlaceholderGone),
        LinkedCustomer::Fallback(_) => {}
    }
    receipts
}
