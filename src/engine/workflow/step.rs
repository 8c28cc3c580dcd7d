//! Steps of an event: requests to Dynamics, as data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::settings::FallbackCustomer;
use crate::event::{ContactId, IncidentId};

/// One effect in Dynamics. Each may be repeated, because a created record has a key derived from the event.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Finds the contact with the customer's email.
    LookUpContact,
    /// Creates the contact under the derived key of this generation.
    CreateContact {
        /// Generation, from 0; it grows each time a rep has given the record of a key another email.
        generation: u8,
    },
    /// Creates the placeholder contact.
    CreatePlaceholder,
    /// Creates the case.
    PostIncident {
        /// Customer to link the case to.
        customer: LinkedCustomer,
        /// Binding of the queue.
        queue: QueueBinding,
    },
    /// Checks if the case is in a queue.
    LookForQueueItem {
        /// Case to check.
        incident: IncidentId,
    },
    /// Puts the case into the organization's queue by the action, which moves it out of any other queue.
    AssignQueue {
        /// Case to put into the queue.
        incident: IncidentId,
    },
    /// Attaches the uncut description as a note.
    AttachTranscript {
        /// Case to attach the note to.
        incident: IncidentId,
        /// Form of the note.
        part: NoteForm,
    },
    /// Creates the live work item.
    PostLiveWorkItem {
        /// Longest subject that the table accepts, in UTF-16 units, if it is known.
        subject_limit: Option<u32>,
    },
    /// Closes one case.
    CloseIncident {
        /// Case to close.
        incident: IncidentId,
        /// Request to close it with.
        how: Closing,
        /// Version to close; `None` closes any version.
        etag: Option<String>,
    },
    /// Checks if a case that may have been closed is still open and unchanged.
    LookAtIncident {
        /// Case to check.
        incident: IncidentId,
        /// Time of the intent, by the worker's clock.
        since: Timestamp,
    },
    /// Checks if an open case was closed, and therefore reopened.
    LookForResolution {
        /// Case to check.
        incident: IncidentId,
        /// Time of the intent, by Dynamics' clock.
        since: Timestamp,
    },
}

/// Form of a note.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoteForm {
    /// The whole transcript as an attachment.
    Attachment,
    /// One of several parts of the transcript as text, from 0.
    Text(u16),
}

/// Customer to link a new incident to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum LinkedCustomer {
    /// Contact of the customer.
    Contact(ContactId),
    /// `fallback_customer` of the organization.
    Fallback(FallbackCustomer),
    /// Placeholder contact.
    Placeholder(ContactId),
    /// No customer.
    Nobody,
}

/// Binding of the queue in the request that creates an incident.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueBinding {
    /// The organization has no queue, or `ticket_properties` name one.
    NoQueue,
    /// The body holds `<queue_field>@odata.bind`.
    Bound,
    /// The body holds no queue; the action follows.
    Unbound,
}

/// Request that closes an incident.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// `PATCH incidents(<id>)`.
    Patch,
    /// `POST CloseIncident`.
    Action,
}

/// Name of a step, used in history, logs, metrics (`operation`) and `x-handoffd-step`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// Decoding of the message; never sent to Dynamics.
    Decode,
    /// Request for a token.
    Token,
    /// Probe of a blocked organization; never part of an event.
    Probe,
    /// [`Step::LookUpContact`]
    LookUpContact,
    /// [`Step::CreateContact`]
    CreateContact,
    /// [`Step::CreatePlaceholder`]
    CreatePlaceholder,
    /// [`Step::PostIncident`]
    PostIncident,
    /// [`Step::LookForQueueItem`]
    LookForQueueItem,
    /// [`Step::AssignQueue`]
    AssignQueue,
    /// [`Step::AttachTranscript`]
    AttachTranscript,
    /// [`Step::PostLiveWorkItem`]
    PostLiveWorkItem,
    /// [`Step::CloseIncident`]
    CloseIncident,
    /// [`Step::LookAtIncident`]
    LookAtIncident,
    /// [`Step::LookForResolution`]
    LookForResolution,
}

impl Step {
    /// Returns the name of the step.
    pub fn name(&self) -> StepName {
        match self {
            Self::LookUpContact => StepName::LookUpContact,
            Self::CreateContact { .. } => StepName::CreateContact,
            Self::CreatePlaceholder => StepName::CreatePlaceholder,
            Self::PostIncident { .. } => StepName::PostIncident,
            Self::LookForQueueItem { .. } => StepName::LookForQueueItem,
            Self::AssignQueue { .. } => StepName::AssignQueue,
            Self::AttachTranscript { .. } => StepName::AttachTranscript,
            Self::PostLiveWorkItem { .. } => StepName::PostLiveWorkItem,
            Self::CloseIncident { .. } => StepName::CloseIncident,
            Self::LookAtIncident { .. } => StepName::LookAtIncident,
            Self::LookForResolution { .. } => StepName::LookForResolution,
        }
    }
}

impl StepName {
    /// Returns the value used in headers, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Token => "token",
            Self::Probe => "probe",
            Self::LookUpContact => "look_up_contact",
            Self::CreateContact => "create_contact",
            Self::CreatePlaceholder => "create_placeholder",
            Self::PostIncident => "post_incident",
            Self::LookForQueueItem => "look_for_queue_item",
            Self::AssignQueue => "assign_queue",
            Self::AttachTranscript => "attach_transcript",
            Self::PostLiveWorkItem => "post_live_work_item",
            Self::CloseIncident => "close_incident",
            Self::LookAtIncident => "look_at_incident",
            Self::LookForResolution => "look_for_resolution",
        }
    }
}
