//! Metric families of organizations.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts};

use super::register::{counters, gauges, registered};

/// Metric families with a series for each organization.
pub(super) struct OrganizationFamilies {
    pub state: IntGaugeVec,
    pub events: IntCounterVec,
    pub requests: IntCounterVec,
    pub last_success: IntGaugeVec,
    pub oldest: GaugeVec,
}

impl OrganizationFamilies {
    pub(super) fn new() -> Self {
        Self {
            state: gauges(
                "handoffd_organization_state",
                "1 for the state that an organization is in, 0 for the others.",
                &["organization", "state"],
            ),
            events: counters(
                "handoffd_organization_events_total",
                "Events of an organization by outcome, retries included.",
                &["organization", "outcome"],
            ),
            requests: counters(
                "handoffd_organization_requests_total",
                "Requests to Dynamics and Entra ID of an organization by result.",
                &["organization", "result"],
            ),
            last_success: gauges(
                "handoffd_organization_last_success_seconds",
                "Time at which an event of an organization last succeeded, as a Unix timestamp in seconds; absent before \
                 the first one since the start.",
                &["organization"],
            ),
            oldest: registered(GaugeVec::new(
                Opts::new(
                    "handoffd_organization_oldest_seconds",
                    "Age of the oldest unfinished event of an organization that this worker knows; 0 without any, absent \
                     if it is unknown.",
                ),
                &["organization"],
            )),
        }
    }
}
