//! Result of a step.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::step::{LinkedCustomer, QueueBinding};
use crate::event::{ContactId, IncidentId, WorkItemId};

/// Result of a step, as a fact. It is applied to the progress and remembered.
#[derive(Clone, PartialEq, Debug)]
pub enum Receipt {
    /// A contact has the customer's email.
    ContactFound(ContactId),
    /// No contact has the customer's email.
    ContactAbsent,
    /// The contact under the derived key has this email; created now or earlier.
    ContactCreated(ContactId),
    /// A rep has given the contact under the derived key another email, or deactivated it.
    ContactKeyTaken,
    /// Dynamics refuses the contact permanently, and the incident may be posted without it.
    ContactRefused,
    /// The placeholder contact exists.
    PlaceholderReady(ContactId),
    /// The contact to link the incident to is deleted, deactivated or inaccessible.
    ContactGone,
    /// The placeholder contact is deleted.
    PlaceholderGone,
    /// The environment has no queue property on an incident.
    QueueFieldUndeclared,
    /// The environment refuses an incident without a customer.
    CustomerRequired,
    /// The case exists.
    IncidentPosted {
        /// Primary key.
        id: IncidentId,
        /// Ticket number, if the answer holds it.
        ticket_number: Option<String>,
        /// Customer that the case was linked to.
        customer: LinkedCustomer,
        /// Binding of the queue in the request.
        queue: QueueBinding,
        /// Fit of the transcript in the description.
        transcript: Fit,
        /// True if the case existed before this request.
        existed: bool,
    },
    /// The case is in a queue: its own, or one that a rep has moved it to.
    QueueAssigned,
    /// The case is in no queue.
    NotInAnyQueue,
    /// The case was closed before it was put into its queue.
    ClosedBeforeQueued,
    /// The note is attached.
    TranscriptAttached,
    /// A note that holds a part of the transcript as text is attached.
    TextNoteAttached {
        /// True for the last part.
        is_last: bool,
    },
    /// The environment refuses attachments of this kind or size.
    AttachmentsRefused,
    /// The live work item exists.
    WorkItemPosted {
        /// Primary key.
        id: WorkItemId,
        /// True if the subject was cut.
        subject_cut: bool,
    },
    /// The table of live work items accepts a subject of at most this many UTF-16 units.
    SubjectLimited(u32),
    /// The environment closes cases only by the action.
    CloseActionRequired,
    /// The case is closed, now or earlier.
    IncidentClosed(IncidentId),
    /// The case no longer exists.
    IncidentMissing(IncidentId),
    /// The case is open and unchanged since the intent to close it.
    IncidentUnchanged {
        /// Version of the case.
        etag: String,
        /// Time of the intent, by Dynamics' clock.
        since: Timestamp,
    },
    /// The case was not closed and reopened since the intent either.
    IncidentNeverClosed,
    /// The case was changed after the intent to close it; it stays as it is.
    IncidentTouched(IncidentId),
}

/// Fit of a transcript in a description.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// The description holds the whole transcript.
    Whole,
    /// The description was cut; the rest goes into a note.
    Cut,
}
