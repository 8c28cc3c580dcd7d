//! What a step gave back.

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
    /// There is one under that key, but a rep has given it another email.
    ContactKeyTaken,
    /// Dynamics refuses this contact for good, and the organization lets the incident go without it.
    ContactRefused,
    /// The placeholder contact is there.
    PlaceholderReady(ContactId),
    /// The contact that the incident was to be linked to is gone.
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
    },
    /// The case is in its queue.
    QueueAssigned,
    /// The note is there.
    TranscriptAttached,
    /// The live work item is there.
    WorkItemPosted(WorkItemId),
    /// The environment closes cases by the action only.
    CloseActionRequired,
    /// The case is closed: now, or already.
    IncidentClosed(IncidentId),
    /// The case is not there any more.
    IncidentMissing(IncidentId),
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
