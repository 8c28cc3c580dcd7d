//! What an organization wants: the part of its configuration that decides what Dynamics receives.

use std::time::Duration;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::event::OrganizationId;

/// Contract 7's organization file, without anything secret.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Whose settings these are.
    pub organization_id: OrganizationId,
    /// `https://acme.crm.dynamics.com`, without a trailing slash.
    pub environment_url: String,
    /// Entity set that live work items are posted to.
    pub live_work_item_entity_set: String,
    /// `prioritycode` of a new incident, 1 to 4.
    pub default_priority: u8,
    /// System user that owns new incidents.
    pub default_owner_id: Option<Uuid>,
    /// Queue that new incidents go to.
    pub default_queue_id: Option<Uuid>,
    /// Workstream of live work items; absent: the queue's id.
    pub default_workstream_id: Option<Uuid>,
    /// Longest `description`, in UTF-16 units.
    pub description_limit: usize,
    /// How an incident gets into its queue.
    pub queue_assignment: QueueAssignment,
    /// Navigation property of `queue_assignment = "bind"`.
    pub queue_field: String,
    /// How an incident is closed.
    pub close_with: CloseWith,
    /// What a contact that Dynamics refuses means for its handoff.
    pub contact_failure: ContactFailure,
    /// Who an incident without a customer is linked to where the environment insists on one.
    pub fallback_customer: Option<FallbackCustomer>,
    /// Set on every incident as they are, last; never `incidentid`.
    pub ticket_properties: Map<String, Value>,
    /// How long a resolution waits for a handoff it has not seen.
    pub resolution_wait: Duration,
}

impl Settings {
    /// Whether `ticket_properties` link every incident to a customer (or an account) by themselves.
    pub fn binds_customer_itself(&self) -> bool {
        self.ticket_properties.keys().any(|key| key.starts_with("customerid_"))
    }

    /// Whether `ticket_properties` put every incident into a queue by themselves.
    pub fn binds_queue_itself(&self) -> bool {
        self.ticket_properties.contains_key(&format!("{}@odata.bind", self.queue_field))
    }
}

/// `queue_assignment`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueAssignment {
    /// Bind, until the environment says that it has no such property; then the action.
    Auto,
    /// `<queue_field>@odata.bind` with the incident.
    Bind,
    /// The action `AddToQueue` afterwards.
    AddToQueue,
}

/// `close_with`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseWith {
    /// PATCH, until the environment insists on the action.
    Auto,
    /// `PATCH incidents(<id>)`
    Patch,
    /// `POST CloseIncident`
    CloseIncident,
}

/// `contact_failure`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContactFailure {
    /// The incident goes out without its contact, with a warning.
    Unlinked,
    /// The event is a dead letter.
    DeadLetter,
}

/// `fallback_customer`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FallbackCustomer {
    /// `/contacts(<id>)`
    Contact(Uuid),
    /// `/accounts(<id>)`
    Account(Uuid),
}
