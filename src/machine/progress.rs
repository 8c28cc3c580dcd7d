//! What has been done for an event so far. Kept in the store, so a retry goes on where it stopped.

use serde::{Deserialize, Serialize};

use super::outcome::{IncidentRef, Warning};
use super::receipt::Fit;
use super::step::QueueBinding;
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
    /// The case is in its queue by the action.
    #[serde(skip_serializing_if = "is_default")]
    pub queue_assigned: bool,
    /// The note is there.
    #[serde(skip_serializing_if = "is_default")]
    pub transcript_attached: bool,
    /// The live work item.
    #[serde(skip_serializing_if = "is_default")]
    pub work_item: Option<WorkItemId>,
    /// Cases that this resolution closed.
    #[serde(skip_serializing_if = "is_default")]
    pub closed: Vec<IncidentId>,
    /// Cases that were not there any more.
    #[serde(skip_serializing_if = "is_default")]
    pub missing: Vec<IncidentId>,
    /// What the outcome will warn of.
    #[serde(skip_serializing_if = "is_default")]
    pub warnings: Vec<Warning>,
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
