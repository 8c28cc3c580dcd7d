//! Settings of an organization that decide which requests Dynamics receives.

use std::time::Duration;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::event::OrganizationId;

/// Settings from the organization file (contract 7), without secrets.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Organization that the settings belong to.
    pub organization_id: OrganizationId,
    /// `https://acme.crm.dynamics.com`, without a trailing slash.
    pub environment_url: String,
    /// Entity set to which live work items are posted.
    pub live_work_item_entity_set: String,
    /// `prioritycode` of a new incident, 1 to 4.
    pub default_priority: u8,
    /// System user that owns new incidents.
    pub default_owner_id: Option<Uuid>,
    /// Queue of new incidents.
    pub default_queue_id: Option<Uuid>,
    /// Workstream of live work items; the queue's id if absent.
    pub default_workstream_id: Option<Uuid>,
    /// Longest `description`, in UTF-16 units.
    pub description_limit: usize,
    /// Method of putting an incident into its queue.
    pub queue_assignment: QueueAssignment,
    /// Navigation property of `queue_assignment = "bind"`.
    pub queue_field: String,
    /// Method of closing an incident.
    pub close_with: CloseWith,
    /// Consequence for the handoff if Dynamics refuses its contact.
    pub contact_failure: ContactFailure,
    /// Customer of an incident without one, if the environment requires a customer.
    pub fallback_customer: Option<FallbackCustomer>,
    /// Properties set last and unchanged on every incident; never `incidentid`.
    pub ticket_properties: Map<String, Value>,
    /// Time that a resolution waits for a handoff of an unknown session.
    pub resolution_wait: Duration,
}

impl Settings {
    /// Returns true if `ticket_properties` link every incident to a customer (or an account).
    pub fn binds_customer_itself(&self) -> bool {
        self.ticket_properties.keys().any(|key| key.starts_with("customerid_"))
    }

    /// Returns true if `ticket_properties` put every incident into a queue.
    pub fn binds_queue_itself(&self) -> bool {
        self.ticket_properties.contains_key(&format!("{}@odata.bind", self.queue_field))
    }
}

/// `queue_assignment`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueAssignment {
    /// Binds the queue until the environment reports an undeclared property, then uses the action.
    Auto,
    /// Sends `<queue_field>@odata.bind` with the incident.
    Bind,
    /// Calls the action `AddToQueue` afterwards.
    AddToQueue,
}

/// `close_with`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseWith {
    /// Uses PATCH until the environment requires the action.
    Auto,
    /// `PATCH incidents(<id>)`.
    Patch,
    /// `POST CloseIncident`.
    CloseIncident,
}

/// `contact_failure`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContactFailure {
    /// The incident is posted without its contact, with a warning.
    Unlinked,
    /// The event becomes a dead letter.
    DeadLetter,
}

/// `fallback_customer`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FallbackCustomer {
    /// `/contacts(<id>)`.
    Contact(Uuid),
    /// `/accounts(<id>)`.
    Account(Uuid),
}
