//! Membership of this worker among those that share its store, and what the fleet uses of the rest of the worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::bus::Bus;
use handoffd_engine::ports::fleet::{Fleet, SoloFleet};
use jiff::Timestamp;

use crate::admin::deps::{WorkerDirectory, WorkerView};
use crate::config::Config;
use crate::dynamics::Dynamics;
use crate::organizations::OrganizationRegistry;
use crate::postgres::{FleetHost, FleetOptions, FleetWorker, HostedOrganizations, PostgresFleet, join_fleet};
use crate::rabbit::Rabbit;
use crate::telemetry::metrics::PrometheusMetrics;

/// Time from the end of a worker's last event to the first of the next owner: 0.2 s until the broker has processed the last
/// acknowledgements, 0.2 s between two looks at the fleet, and what broker and PostgreSQL take to answer.
const HAND_OVER: Duration = Duration::from_secs(2);

/// Membership of this worker.
#[derive(Clone)]
pub(super) enum FleetMembership {
    /// The worker is the only one.
    Alone(Arc<AloneWorker>),
    /// The worker shares its store with others.
    Shared(Arc<PostgresFleet>),
}

/// Worker without others.
pub(super) struct AloneWorker {
    fleet: Arc<SoloFleet>,
    name: String,
    started_at: Timestamp,
    metrics: Arc<PrometheusMetrics>,
}

/// Rest of the worker, as the fleet uses it.
pub(super) struct WorkerHost {
    broker: Arc<Rabbit>,
    dynamics: Arc<Dynamics>,
    registry: Arc<OrganizationRegistry>,
    metrics: Arc<PrometheusMetrics>,
}

/// Options of the membership.
pub(super) fn options(config: &Config) -> FleetOptions {
    FleetOptions { name: name(config), lease: config.fleet.lease }
}

/// Name of this worker: the configured one, else host name and process id.
fn name(config: &Config) -> String {
    if !config.fleet.name.is_empty() {
        return config.fleet.name.clone();
    }
    let host = whoami::hostname().unwrap_or_else(|_| "unknown".to_owned());
    format!("{host}-{}", std::process::id())
}

impl FleetMembership {
    /// Returns the fleet as the engine uses it.
    pub(super) fn fleet(&self) -> Arc<dyn Fleet> {
        match self {
            Self::Alone(worker) => worker.fleet.clone(),
            Self::Shared(fleet) => fleet.clone(),
        }
    }

    /// Returns the list of workers for operators.
    pub(super) fn directory(&self) -> Arc<dyn WorkerDirectory> {
        match self {
            Self::Alone(worker) => worker.clone(),
            Self::Shared(fleet) => Arc::new(SharedDirectory(fleet.clone())),
        }
    }

    /// Joins the fleet. Needs a tokio runtime.
    pub(super) fn join(&self, host: WorkerHost) {
        let Self::Shared(fleet) = self else { return };
        let (fleet, mut organizations) = (fleet.clone(), host.broker.organizations());
        join_fleet(&fleet, Arc::new(host));
        tokio::spawn(async move {
            // An error means that the worker is ending.
            while organizations.changed().await.is_ok() {
                fleet.poke();
            }
        });
    }

    /// Returns the time in which a worker that stops finishes what is in progress, of the time until its organizations
    /// must go on elsewhere: closing the connections to the broker and the next owner's look come on top.
    pub(super) fn drain_limit(&self, all: Duration) -> Duration {
        match self {
            Self::Alone(_) => all,
            Self::Shared(_) => without_hand_over(all),
        }
    }

    /// Begins to give all organizations back, within this time.
    pub(super) fn begin_leaving(&self, within: Duration) {
        if let Self::Shared(fleet) = self {
            fleet.begin_leaving(Instant::now() + within);
        }
    }

    /// Leaves the fleet. The connections to the broker must be closed.
    pub(super) async fn leave(&self) {
        if let Self::Shared(fleet) = self {
            fleet.leave().await;
        }
    }
}

fn without_hand_over(all: Duration) -> Duration {
    all.saturating_sub(HAND_OVER.min(all / 3))
}

impl AloneWorker {
    /// Creates the worker of this process.
    pub(super) fn new(config: &Config, metrics: Arc<PrometheusMetrics>) -> Arc<Self> {
        let (fleet, started_at) = (Arc::new(SoloFleet::new()), now());
        Arc::new(Self { fleet, name: name(config), started_at, metrics })
    }
}

#[async_trait]
impl WorkerDirectory for AloneWorker {
    async fn workers(&self) -> Result<Vec<WorkerView>, String> {
        Ok(vec![WorkerView {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            seen_at: now(),
            state: "joined".to_owned(),
            organizations: i64::try_from(self.metrics.organizations()).unwrap_or(i64::MAX),
            in_flight: self.metrics.counts().in_flight,
        }])
    }
}

struct SharedDirectory(Arc<PostgresFleet>);

#[async_trait]
impl WorkerDirectory for SharedDirectory {
    async fn workers(&self) -> Result<Vec<WorkerView>, String> {
        let workers = self.0.list().await.map_err(|problem| problem.to_string())?;
        Ok(workers.into_iter().map(view).collect())
    }
}

/// Returns a worker as lists show it.
pub(super) fn view(worker: FleetWorker) -> WorkerView {
    let FleetWorker { name, version, started_at, seen_at, state, organizations, in_flight } = worker;
    WorkerView { name, version, started_at, seen_at, state, organizations, in_flight }
}

/// Current time in milliseconds.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

impl WorkerHost {
    /// Creates the host.
    pub(super) fn new(
        broker: Arc<Rabbit>,
        dynamics: Arc<Dynamics>,
        registry: Arc<OrganizationRegistry>,
        metrics: Arc<PrometheusMetrics>,
    ) -> Self {
        Self { broker, dynamics, registry, metrics }
    }
}

#[async_trait]
impl FleetHost for WorkerHost {
    fn organizations(&self) -> HostedOrganizations {
        let served = self.broker.served();
        HostedOrganizations {
            configured: served.configured.into_keys().collect(),
            former: served.former.into_iter().collect(),
        }
    }

    fn is_able(&self) -> bool {
        // A silent broker does not even tell whether a queue has a consumer.
        self.broker.consumes() && self.broker.answers()
    }

    fn reaches_broker(&self) -> bool {
        self.broker.answers()
    }

    fn heartbeat(&self) -> Duration {
        self.broker.heartbeat()
    }

    fn return_deliveries(&self) {
        self.broker.reconnect("PostgreSQL has not been reached for a whole lease");
    }

    fn in_flight(&self) -> i64 {
        self.metrics.counts().in_flight
    }

    fn is_idle(&self, organization: &OrganizationId) -> bool {
        self.dynamics.condition(organization).is_none_or(|condition| condition.under_way == 0)
    }

    async fn consumers(&self, organization: &OrganizationId) -> Option<u32> {
        self.broker.consumers(organization).await
    }

    async fn refresh(&self) -> bool {
        self.registry.reread().await
    }

    fn prepare(&self, organization: &OrganizationId, state: Option<&str>) {
        self.dynamics.take_over(organization, state);
    }

    fn let_go(&self, organization: &OrganizationId) {
        self.dynamics.let_go(organization);
    }

    async fn reports(&self, organizations: &[OrganizationId]) -> Vec<(OrganizationId, String)> {
        self.registry.owner_reports(organizations).await
    }

    fn state(&self, organization: &OrganizationId) -> Option<String> {
        self.dynamics.handover(organization)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_stops_keeps_two_seconds_and_at_most_a_third_for_handing_over() {
        for (all, for_events) in [(25_000, 23_000), (6_000, 4_000), (3_000, 2_000), (0, 0)] {
            assert_eq!(without_hand_over(Duration::from_millis(all)), Duration::from_millis(for_events));
        }
    }
}
