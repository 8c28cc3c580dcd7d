//! What the worker can ask of Dynamics, as data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::settings::FallbackCustomer;
use crate::event::{ContactId, IncidentId};

/// One effect in Dynamics. Each may be repeated: what it creates has a key of our own.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Find the contact with the customer's email.
    LookUpContact,
    /// Create it, under the derived key of this generation.
    CreateContact {
        /// 0, then one more each time a rep has given the record of that key another email.
        generation: u8,
    },
    /// Create the contact that stands for nobody in particular.
    CreatePlaceholder,
    /// Create the case.
    PostIncident {
        /// Who it is linked to.
        customer: LinkedCustomer,
        /// Whether the queue goes with it.
        queue: QueueBinding,
    },
    /// Look whether the case is in a queue.
    LookForQueueItem {
        /// Which case.
        incident: IncidentId,
    },
    /// Put the case into the organization's queue by the action. It moves one that is in another queue.
    AssignQueue {
        /// Which case.
        incident: IncidentId,
    },
    /// Attach the uncut description as a note.
    AttachTranscript {
        /// Which case.
        incident: IncidentId,
        /// In which form.
        part: NoteForm,
    },
    /// Create the live work item.
    PostLiveWorkItem {
        /// Longest subject that its table takes, in UTF-16 units, where that is known.
        subject_limit: Option<u32>,
    },
    /// Close one case.
    CloseIncident {
        /// Which case.
        incident: IncidentId,
        /// By which request.
        how: Closing,
        /// Only this version of it; any, when it is none.
        etag: Option<String>,
    },
    /// Look at a case that may have been closed: is it open, and has nobody changed it?
    LookAtIncident {
        /// Which case.
        incident: IncidentId,
        /// Since then, by the worker's clock.
        since: Timestamp,
    },
    /// Look whether an open case was closed, and so reopened.
    LookForResolution {
        /// Which case.
        incident: IncidentId,
        /// Since then, by Dynamics' clock.
        since: Timestamp,
    },
}

/// The form of a note.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoteForm {
    /// All of the transcript, as an attachment.
    Attachment,
    /// One of several parts of it as text, from 0.
    Text(u16),
}

/// Who a new incident is linked to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum LinkedCustomer {
    /// The customer's contact.
    Contact(ContactId),
    /// The organization's `fallback_customer`.
    Fallback(FallbackCustomer),
    /// The placeholder contact.
    Placeholder(ContactId),
    /// Nobody.
    Nobody,
}

/// Whether the queue goes with the incident.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueBinding {
    /// The organization has no queue, or `ticket_properties` name one.
    NoQueue,
    /// `<queue_field>@odata.bind` is in the body.
    Bound,
    /// It is not: the action follows.
    Unbound,
}

/// The request that closes an incident.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// `PATCH incidents(<id>)`
    Patch,
    /// `POST CloseIncident`
    Action,
}

/// The name of a step: in history, logs, metrics (`operation`) and `x-handoffd-step`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// Reading the message; never sent to Dynamics.
    Decode,
    /// Fetching a token.
    Token,
    /// Asking whether a blocked organization works again; never an event's.
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
    /// Its name.
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
    /// As it stands in headers, metrics and logs.
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
