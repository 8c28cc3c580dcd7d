//! Requirements of the fleet on the rest of the worker.

use std::time::Duration;

use async_trait::async_trait;
use handoffd_engine::event::OrganizationId;

/// Rest of the worker, as the fleet uses it.
#[async_trait]
pub trait FleetHost: Send + Sync + 'static {
    /// Returns the organizations that this worker can own.
    fn organizations(&self) -> HostedOrganizations;

    /// Returns true if the worker can consume queues now.
    fn is_able(&self) -> bool;

    /// Returns true while the broker is connected and answers.
    fn reaches_broker(&self) -> bool;

    /// Returns the interval of the heartbeats between this worker and the broker.
    fn heartbeat(&self) -> Duration;

    /// Ends the connections to the broker, which returns every delivery to its queue.
    fn return_deliveries(&self);

    /// Returns the number of events in progress.
    fn in_flight(&self) -> i64;

    /// Returns true if no request for the organization is under way.
    fn is_idle(&self, organization: &OrganizationId) -> bool;

    /// Returns the number of consumers of the organization's queue; `None` if it is unknown.
    async fn consumers(&self, organization: &OrganizationId) -> Option<u32>;

    /// Reads again what operators have set: saved organizations and pauses.
    /// Returns false if the store fails.
    async fn refresh(&self) -> bool;

    /// Prepares for the first request to an organization, with what its last owner knew.
    fn prepare(&self, organization: &OrganizationId, state: Option<&str>);

    /// Forgets what is known of an organization's environment, because another worker owns it or will.
    fn let_go(&self, organization: &OrganizationId);

    /// Returns reports on these organizations, which this worker owns, for other workers to show.
    async fn reports(&self, organizations: &[OrganizationId]) -> Vec<(OrganizationId, String)>;

    /// Returns what the next owner of the organization has to know.
    fn state(&self, organization: &OrganizationId) -> Option<String>;
}

/// Organizations that a worker can own.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HostedOrganizations {
    /// Configured organizations.
    pub configured: Vec<OrganizationId>,
    /// Organizations that were configured, whose queues may still hold events.
    pub former: Vec<OrganizationId>,
}
