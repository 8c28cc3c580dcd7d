//! What the worker can ask of Dynamics, as data.

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
    /// Put the case into the organization's queue by the action.
    AssignQueue {
        /// Which case.
        incident: IncidentId,
    },
    /// Attach the uncut description as a note.
    AttachTranscript {
        /// Which case.
        incident: IncidentId,
    },
    /// Create the live work item.
    PostLiveWorkItem,
    /// Close one case.
    CloseIncident {
        /// Which case.
        incident: IncidentId,
        /// By which request.
        how: Closing,
    },
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
    /// [`Step::AssignQueue`]
    AssignQueue,
    /// [`Step::AttachTranscript`]
    AttachTranscript,
    /// [`Step::PostLiveWorkItem`]
    PostLiveWorkItem,
    /// [`Step::CloseIncident`]
    CloseIncident,
}

impl Step {
    /// Its name.
    pub fn name(&self) -> StepName {
        match self {
            Self::LookUpContact => StepName::LookUpContact,
            Self::CreateContact { .. } => StepName::CreateContact,
            Self::CreatePlaceholder => StepName::CreatePlaceholder,
            Self::PostIncident { .. } => StepName::PostIncident,
            Self::AssignQueue { .. } => StepName::AssignQueue,
            Self::AttachTranscript { .. } => StepName::AttachTranscript,
            Self::PostLiveWorkItem => StepName::PostLiveWorkItem,
            Self::CloseIncident { .. } => StepName::CloseIncident,
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
            Self::AssignQueue => "assign_queue",
            Self::AttachTranscript => "attach_transcript",
            Self::PostLiveWorkItem => "post_live_work_item",
            Self::CloseIncident => "close_incident",
        }
    }
}
