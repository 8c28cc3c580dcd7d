//! Progress of an event. The store keeps it, so that a retry continues at the step that failed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fault::Remedy;
use super::outcome::{IncidentRef, Warning};
use super::receipt::Fit;
use super::step::{QueueBinding, Step};
use crate::event::{ContactId, IncidentId, WorkItemId};

/// Sum of an event's receipts.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Contact of the customer, as far as it is known.
    #[serde(skip_serializing_if = "is_default")]
    pub contact: ContactProgress,
    /// Number of times that the contact, or the placeholder, was missing when the incident was posted.
    #[serde(skip_serializing_if = "is_default")]
    pub contacts_gone: u8,
    /// Case that was created.
    #[serde(skip_serializing_if = "is_default")]
    pub incident: Option<PostedIncident>,
    /// True if the case is in a queue, or no longer needs one.
    #[serde(skip_serializing_if = "is_default")]
    pub queue_assigned: bool,
    /// True if the action that puts the case into its queue may have been carried out; a check comes first then.
    #[serde(skip_serializing_if = "is_default")]
    pub queue_uncertain: bool,
    /// True if the note with the transcript is attached, or every note that holds a part of it as text.
    #[serde(skip_serializing_if = "is_default")]
    pub transcript_attached: bool,
    /// Number of notes that hold a part of the transcript as text.
    #[serde(skip_serializing_if = "is_default")]
    pub text_notes: u16,
    /// Live work item that was created.
    #[serde(skip_serializing_if = "is_default")]
    pub work_item: Option<WorkItemId>,
    /// Intent to close a case, recorded before the first request that may close it.
    #[serde(skip_serializing_if = "is_default")]
    pub intent: Option<Intent>,
    /// Cases that this resolution closed, found closed, or leaves to the rep who works on them.
    #[serde(skip_serializing_if = "is_default")]
    pub closed: Vec<IncidentId>,
    /// Cases that no longer exist.
    #[serde(skip_serializing_if = "is_default")]
    pub missing: Vec<IncidentId>,
    /// Warnings for the outcome.
    #[serde(skip_serializing_if = "is_default")]
    pub warnings: Vec<Warning>,
}

/// Intent to close a case: a request may have closed it, and its result is unknown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// Case to close.
    pub incident: IncidentId,
    /// Time at which the intent was recorded, by the worker's clock.
    pub since: Timestamp,
    /// Result of the last check of the case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<OpenCase>,
}

/// Case that a check found open and unchanged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenCase {
    /// Version of the case.
    pub etag: String,
    /// Time of the intent, by Dynamics' clock.
    pub since: Timestamp,
    /// True if the case has not been closed and reopened since the intent either.
    pub never_closed: bool,
}

/// Incident that was created.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PostedIncident {
    /// Primary key.
    pub id: IncidentId,
    /// Ticket number, if Dynamics returned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_number: Option<String>,
    /// Contact that the incident is linked to; `None` if it is unlinked or linked to a placeholder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactId>,
    /// Binding of the queue; an unbound queue still needs the action.
    pub queue: QueueBinding,
    /// Fit of the transcript; a cut one still needs a note.
    pub transcript: Fit,
}

/// State of the customer's contact.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactProgress {
    /// Not looked up; a remembered contact is used if there is one.
    #[default]
    Unknown,
    /// The contact was missing; it must be looked up again.
    Forgotten,
    /// Not found; to be created under this generation of the derived key.
    Absent {
        /// Generation, from 0.
        generation: u8,
    },
    /// Found or created.
    Known(ContactId),
    /// Refused permanently; the incident is posted without a contact.
    Refused,
}

impl PostedIncident {
    /// Returns the incident as an outcome names it.
    pub fn reference(&self) -> IncidentRef {
        IncidentRef { id: self.id, ticket_number: self.ticket_number.clone() }
    }
}

impl Progress {
    /// Returns the progress for a new attempt. The last request may have been carried out, so what was checked before it is no longer
    /// valid.
    #[must_use]
    pub fn for_new_attempt(mut self) -> Self {
        self.queue_uncertain |= self.incident.is_some();
        if let Some(intent) = &mut self.intent {
            intent.seen = None;
        }
        self
    }

    /// Records the intent to close a case. Returns true if it was not yet on record.
    pub fn intend(&mut self, incident: IncidentId, now: Timestamp) -> bool {
        match &mut self.intent {
            Some(intent) if intent.incident == incident => {
                // A check is valid for one request only.
                intent.seen = None;
                false
            }
            _ => {
                self.intent = Some(Intent { incident, since: now, seen: None });
                true
            }
        }
    }

    /// Takes over the intent to close a case from another event of the session, before the case is checked.
    pub fn adopt_intent(&mut self, incident: IncidentId, since: Timestamp) {
        if self.intent.as_ref().is_none_or(|intent| intent.incident != incident) {
            self.intent = Some(Intent { incident, since, seen: None });
        }
    }

    /// Records that a step failed. A request that is retried for want of a clear answer may have been carried out.
    pub fn step_failed(&mut self, step: &Step, remedy: Remedy) {
        let is_unclear = remedy == Remedy::Retry;
        match step {
            Step::CloseIncident { .. } if !is_unclear => self.intent = None,
            Step::AssignQueue { .. } => self.queue_uncertain |= is_unclear,
            _ => {}
        }
    }

    /// Adds a warning once.
    pub fn warn(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
