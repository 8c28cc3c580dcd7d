//! Plain settings of an organization.

use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::workflow::{CloseWith, ContactFailure, QueueAssignment, Settings};

/// Returns default settings, without owner, queue or properties.
pub fn plain_settings(organization: &OrganizationId) -> Settings {
    Settings {
        organization_id: organization.clone(),
        environment_url: "https://acme.crm.dynamics.com".to_owned(),
        live_work_item_entity_set: "oc_liveworkitems".to_owned(),
        default_priority: 2,
        default_owner_id: None,
        default_queue_id: None,
        default_workstream_id: None,
        description_limit: 2000,
        queue_assignment: QueueAssignment::Auto,
        queue_field: "queueid".to_owned(),
        close_with: CloseWith::Auto,
        contact_failure: ContactFailure::Unlinked,
        fallback_customer: None,
        ticket_properties: serde_json::Map::new(),
        resolution_wait: Duration::from_secs(1),
    }
}
