//! What has been done for an event so far. Kept in the store, so a retry goes on where it stopped.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fault::Remedy;
use super::outcome::{IncidentRef, Warning};
use super::receipt::Fit;
use super::step::{QueueBinding, Step};
use crate::event::{ContactId, IncidentId, WorkItemId};

/// The receipts of one event, added up.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Who the incident is to be linked to, as far as that is known.
    #[serde(skip_serializing_if = "is_default")]
    pub contact: ContactProgress,
    /// How often a contact, or the placeholder, was gone when the incident was posted.
    #[serde(skip_serializing_if = "is_default")]
    pub contacts_gone: u8,
    /// The case.
    #[serde(skip_serializing_if = "is_default")]
    pub incident: Option<PostedIncident>,
    /// The case is in a queue, or needs none any more.
    #[serde(skip_serializing_if = "is_default")]
    pub queue_assigned: bool,
    /// The action that puts it into its queue may have been carried out before: it is looked for first.
    #[serde(skip_serializing_if = "is_default")]
    pub queue_uncertain: bool,
    /// The note is there, or all of the notes that hold the transcript as text.
    #[serde(skip_serializing_if = "is_default")]
    pub transcript_attached: bool,
    /// Notes that hold a part of the transcript as text.
    #[serde(skip_serializing_if = "is_default")]
    pub text_notes: u16,
    /// The live work item.
    #[serde(skip_serializing_if = "is_default")]
    pub work_item: Option<WorkItemId>,
    /// The case that is about to be closed: on record before the first request that may close it.
    #[serde(skip_serializing_if = "is_default")]
    pub intent: Option<Intent>,
    /// Cases that this resolution closed, or found closed, or leaves to the rep who works on them.
    #[serde(skip_serializing_if = "is_default")]
    pub closed: Vec<IncidentId>,
    /// Cases that were not there any more.
    #[serde(skip_serializing_if = "is_default")]
    pub missing: Vec<IncidentId>,
    /// What the outcome will warn of.
    #[serde(skip_serializing_if = "is_default")]
    pub warnings: Vec<Warning>,
}

/// A case that may have been closed by a request whose answer is not known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// Which.
    pub incident: IncidentId,
    /// When that was put on record, by the worker's clock.
    pub since: Timestamp,
    /// What a look at it has shown since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<OpenCase>,
}

/// A case that was open and unchanged when it was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenCase {
    /// Its version.
    pub etag: String,
    /// When it was to be closed, by Dynamics' clock.
    pub since: Timestamp,
    /// It has not been closed and reopened since the intent either.
    pub never_closed: bool,
}

/// The incident that was created.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PostedIncident {
    /// Its key.
    pub id: IncidentId,
    /// Its number, when Dynamics told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_number: Option<String>,
    /// The customer's contact that it is linked to; none when it stands alone or with a placeholder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactId>,
    /// Whether it must still be put into its queue by the action.
    pub queue: QueueBinding,
    /// Whether the uncut transcript must still be attached.
    pub transcript: Fit,
}

/// What is known of the customer's contact.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactProgress {
    /// Nothing: look it up, or take the remembered one.
    #[default]
    Unknown,
    /// Forget the remembered one: look it up again.
    Forgotten,
    /// Looked up, not there: create it under this generation of the derived key.
    Absent {
        /// 0 the first time.
        generation: u8,
    },
    /// Found or created.
    Known(ContactId),
    /// Refused for good: the incident goes without.
    Refused,
}

impl PostedIncident {
    /// As outcomes name it.
    pub fn reference(&self) -> IncidentRef {
        IncidentRef { id: self.id, ticket_number: self.ticket_number.clone() }
    }
}

impl Progress {
    /// The progress of an event that is taken up again: what it asked for last may have been carried out, and what it saw before may
    /// have changed by that.
    #[must_use]
    pub fn taken_up_again(mut self) -> Self {
        self.queue_uncertain |= self.incident.is_some();
        if let Some(intent) = &mut self.intent {
            intent.seen = None;
        }
        self
    }

    /// A case is about to be closed. True when that is not on record yet.
    pub fn intend(&mut self, incident: IncidentId, now: Timestamp) -> bool {
        match &mut self.intent {
            Some(intent) if intent.incident == incident => {
                // What was seen holds for one request.
                intent.seen = None;
                false
            }
            _ => {
                self.intent = Some(Intent { incident, since: now, seen: None });
                true
            }
        }
    }

    /// A case is about to be looked at that may have been closed since then, by another event of the session too.
    pub fn adopt(&mut self, incident: IncidentId, since: Timestamp) {
        if self.intent.as_ref().is_none_or(|intent| intent.incident != incident) {
            self.intent = Some(Intent { incident, since, seen: None });
        }
    }

    /// A step failed. Whatever is tried again for want of a clear answer may have been carried out.
    pub fn refused(&mut self, step: &Step, remedy: Remedy) {
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
