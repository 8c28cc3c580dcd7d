//! What a step gave back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::step::{LinkedCustomer, QueueBinding};
use crate::event::{ContactId, IncidentId, WorkItemId};

/// A step's answer, as a fact in the past tense. Applied to the progress, and remembered.
#[derive(Clone, PartialEq, Debug)]
pub enum Receipt {
    /// A contact has the customer's email.
    ContactFound(ContactId),
    /// None has.
    ContactAbsent,
    /// There is a contact under the derived key, with this email: created now or earlier.
    ContactCreated(ContactId),
    /// There is one under that key, but a rep has given it another email, or deactivated it.
    ContactKeyTaken,
    /// Dynamics refuses this contact for good, and the organization lets the incident go without it.
    ContactRefused,
    /// The placeholder contact is there.
    PlaceholderReady(ContactId),
    /// The contact that the incident was to be linked to is gone, deactivated or out of reach.
    ContactGone,
    /// The placeholder contact is gone.
    PlaceholderGone,
    /// The environment has no such property as the queue's.
    QueueFieldUndeclared,
    /// The environment refuses an incident without a customer.
    CustomerRequired,
    /// The case is there.
    IncidentPosted {
        /// Its key.
        id: IncidentId,
        /// Its number, when the answer told it.
        ticket_number: Option<String>,
        /// Who it was linked to.
        customer: LinkedCustomer,
        /// Whether the queue went with it.
        queue: QueueBinding,
        /// Whether the description held all of the transcript.
        transcript: Fit,
        /// It was there before this request.
        existed: bool,
    },
    /// The case is in a queue: its own, or where a rep has moved it.
    QueueAssigned,
    /// The case is in no queue.
    NotInAnyQueue,
    /// The case was closed before it came into its queue.
    ClosedBeforeQueued,
    /// The note is there.
    TranscriptAttached,
    /// One of the notes that hold the transcript as text is there.
    TextNoteAttached {
        /// Whether it was the last one.
        is_last: bool,
    },
    /// The environment refuses attachments of this kind or size.
    AttachmentsRefused,
    /// The live work item is there.
    WorkItemPosted {
        /// Its key.
        id: WorkItemId,
        /// Whether its subject was cut.
        subject_cut: bool,
    },
    /// The table of live work items takes no longer subject than so many UTF-16 units.
    SubjectLimited(u32),
    /// The environment closes cases by the action only.
    CloseActionRequired,
    /// The case is closed: now, or already.
    IncidentClosed(IncidentId),
    /// The case is not there any more.
    IncidentMissing(IncidentId),
    /// The case is open, and nobody has changed it since it was to be closed.
    IncidentUnchanged {
        /// Its version.
        etag: String,
        /// When it was to be closed, by Dynamics' clock.
        since: Timestamp,
    },
    /// Nor was it closed and reopened since.
    IncidentNeverClosed,
    /// Somebody works on the case since it was to be closed: it stays as it is.
    IncidentTouched(IncidentId),
    /// The case was changed after it was looked at.
    IncidentChanged,
}

/// Whether a description held all of the transcript.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// All of it.
    Whole,
    /// It was cut: the rest goes into a note.
    Cut,
}
