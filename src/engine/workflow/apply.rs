//! Application of receipts to the progress. The same function serves live processing and recovery after a crash.

use super::memory::Learned;
use super::outcome::Warning;
use super::progress::{ContactProgress, Intent, OpenCase, PostedIncident, Progress};
use super::receipt::Receipt;
use super::step::LinkedCustomer;

/// Error for a receipt that no step asked for: a defect of the worker, never a state of Dynamics.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("receipt {receipt:?} does not fit progress {progress:?}")]
pub struct IllegalReceipt {
    /// Receipt that was applied.
    pub receipt: Receipt,
    /// Progress that it was applied to.
    pub progress: Box<Progress>,
}

/// Applies a receipt to the progress.
///
/// # Errors
/// [`IllegalReceipt`] if [`super::decide`] could not have asked for the receipt.
pub fn apply(progress: Progress, receipt: &Receipt) -> Result<Progress, IllegalReceipt> {
    if !fits(&progress, receipt) {
        return Err(IllegalReceipt { receipt: receipt.clone(), progress: Box::new(progress) });
    }
    let mut next = progress;
    match receipt {
        Receipt::ContactFound(id) | Receipt::ContactCreated(id) => next.contact = ContactProgress::Known(*id),
        Receipt::ContactAbsent => next.contact = ContactProgress::Absent { generation: 0 },
        Receipt::ContactKeyTaken => next.contact = next_generation(next.contact),
        Receipt::ContactRefused => next.contact = ContactProgress::Refused,
        Receipt::ContactGone => {
            next.contact = ContactProgress::Forgotten;
            next.contacts_gone = next.contacts_gone.saturating_add(1);
        }
        Receipt::PlaceholderGone => next.contacts_gone = next.contacts_gone.saturating_add(1),
        Receipt::IncidentPosted { .. } => post(&mut next, receipt),
        Receipt::QueueAssigned => next.queue_assigned = true,
        Receipt::NotInAnyQueue => next.queue_uncertain = false,
        Receipt::ClosedBeforeQueued => {
            next.queue_assigned = true;
            next.warn(Warning::NotQueued);
        }
        Receipt::TranscriptAttached => next.transcript_attached = true,
        Receipt::TextNoteAttached { is_last } => {
            next.text_notes = next.text_notes.saturating_add(1);
            next.transcript_attached = *is_last;
        }
        Receipt::WorkItemPosted { id, subject_cut } => {
            next.work_item = Some(*id);
            if *subject_cut {
                next.warn(Warning::SubjectCut);
            }
        }
        Receipt::IncidentClosed(id) => next.closed.push(*id),
        Receipt::IncidentMissing(id) => next.missing.push(*id),
        Receipt::IncidentTouched(id) => {
            next.closed.push(*id);
            next.warn(Warning::CloseUnconfirmed);
        }
        // The result of a check is kept in the intent, and peculiarities of the environment belong to the organization, not
        // to the event: see `still_intended` and `learn`.
        Receipt::IncidentUnchanged { .. }
        | Receipt::IncidentNeverClosed
        | Receipt::PlaceholderReady(_)
        | Receipt::QueueFieldUndeclared
        | Receipt::CustomerRequired
        | Receipt::CloseActionRequired
        | Receipt::AttachmentsRefused
        | Receipt::SubjectLimited(_) => {}
    }
    next.intent = next.intent.and_then(|intent| still_intended(intent, receipt));
    Ok(next)
}

/// Returns the intent to close a case after a receipt; `None` once the result is known, a refusal included.
fn still_intended(intent: Intent, receipt: &Receipt) -> Option<Intent> {
    let seen = match receipt {
        Receipt::IncidentUnchanged { etag, since } => {
            Some(OpenCase { etag: etag.clone(), since: *since, never_closed: false })
        }
        Receipt::IncidentNeverClosed => intent.seen.map(|seen| OpenCase { never_closed: true, ..seen }),
        _ => return None,
    };
    Some(Intent { seen, ..intent })
}

/// Adds the peculiarity of the environment that a receipt reveals.
pub fn learn(learned: Learned, receipt: &Receipt) -> Learned {
    match receipt {
        Receipt::PlaceholderReady(id) => Learned { placeholder: Some(*id), ..learned },
        Receipt::PlaceholderGone => Learned { placeholder: None, ..learned },
        Receipt::QueueFieldUndeclared => Learned { queue_undeclared: true, ..learned },
        Receipt::CustomerRequired => Learned { customer_required: true, ..learned },
        Receipt::CloseActionRequired => Learned { close_by_action: true, ..learned },
        Receipt::SubjectLimited(limit) => Learned { subject_limit: Some(*limit), ..learned },
        Receipt::AttachmentsRefused => Learned { no_attachments: true, ..learned },
        _ => learned,
    }
}

fn fits(progress: &Progress, receipt: &Receipt) -> bool {
    use ContactProgress::{Absent, Forgotten, Known, Refused, Unknown};
    let posted = progress.incident.is_some();
    match receipt {
        Receipt::ContactFound(_) | Receipt::ContactAbsent => !posted && matches!(progress.contact, Unknown | Forgotten),
        Receipt::ContactCreated(_) | Receipt::ContactKeyTaken => !posted && matches!(progress.contact, Absent { .. }),
        Receipt::ContactRefused => !posted && !matches!(progress.contact, Known(_) | Refused),
        Receipt::ContactGone => !posted && matches!(progress.contact, Unknown | Known(_)),
        Receipt::PlaceholderReady(_)
        | Receipt::PlaceholderGone
        | Receipt::QueueFieldUndeclared
        | Receipt::CustomerRequired
        | Receipt::IncidentPosted { .. } => !posted,
        Receipt::QueueAssigned | Receipt::NotInAnyQueue | Receipt::ClosedBeforeQueued => {
            posted && !progress.queue_assigned
        }
        Receipt::TranscriptAttached | Receipt::TextNoteAttached { .. } | Receipt::AttachmentsRefused => {
            posted && !progress.transcript_attached
        }
        Receipt::WorkItemPosted { .. } | Receipt::SubjectLimited(_) => progress.work_item.is_none(),
        Receipt::IncidentClosed(id) | Receipt::IncidentMissing(id) | Receipt::IncidentTouched(id) => {
            !progress.closed.contains(id) && !progress.missing.contains(id)
        }
        Receipt::IncidentUnchanged { .. } => progress.intent.is_some(),
        Receipt::IncidentNeverClosed => progress.intent.as_ref().is_some_and(|intent| intent.seen.is_some()),
        Receipt::CloseActionRequired => true,
    }
}

fn post(next: &mut Progress, receipt: &Receipt) {
    let Receipt::IncidentPosted { id, ticket_number, customer, queue, transcript, existed } = receipt else {
        return;
    };
    let contact = match customer {
        LinkedCustomer::Contact(contact) => Some(*contact),
        LinkedCustomer::Fallback(_) | LinkedCustomer::Placeholder(_) => {
            next.warn(Warning::PlaceholderCustomer);
            None
        }
        LinkedCustomer::Nobody => None,
    };
    // An earlier life of the event may have put the case into its queue, and a rep may have moved it since.
    next.queue_uncertain = *existed;
    next.incident = Some(PostedIncident {
        id: *id,
        ticket_number: ticket_number.clone(),
        contact,
        queue: *queue,
        transcript: *transcript,
    });
}

fn next_generation(contact: ContactProgress) -> ContactProgress {
    match contact {
        ContactProgress::Absent { generation } => ContactProgress::Absent { generation: generation.saturating_add(1) },
        other => other,
    }
}
