//! Dynamics 365 for all organizations: their registry, their availability, and the execution of steps.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use handoffd_engine::event::{Event, OrganizationId};
use handoffd_engine::ports::destination::{Availability, Destination, Performed, Unavailable};
use handoffd_engine::ports::fleet::Fleet;
use handoffd_engine::ports::metrics::Metrics;
use handoffd_engine::workflow::{Remedy, Settings, Step, StepName};

use super::access::Access;
use super::call::StepCall;
use super::client::{Client, ClientError, Proxy};
use super::environment::OrganizationEnvironment;
use super::handover::Handover;
use super::limiter::{Limiter, LimiterAvailability, LimiterStatus, Permit, Rejected};
use super::organization_check::{CheckProgress, Finding, inspect};
use super::reply::StepContext;
use super::wire::DynamicsWire;
use super::{notice, probe};

/// Events in flight for an organization that is not configured. Each becomes a dead letter at once.
const ROOM_WHEN_UNCONFIGURED: usize = 16;

/// Settings shared by all organizations (contract 7, `[dynamics]`).
#[derive(Clone, Debug)]
pub struct DynamicsOptions {
    /// Address of the token service: `https://login.microsoftonline.com`.
    pub authority: String,
    /// Time-out of a request.
    pub request_timeout: Duration,
    /// Most concurrent requests of one organization.
    pub max_concurrency: usize,
    /// PEM file of root certificates in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Proxy for outgoing connections.
    pub proxy: Option<Proxy>,
}

/// Dynamics 365 for all organizations.
pub struct Dynamics {
    wire: Arc<DynamicsWire>,
    options: DynamicsOptions,
    environments: RwLock<HashMap<OrganizationId, Arc<OrganizationEnvironment>>>,
    paused: RwLock<HashSet<OrganizationId>>,
    fleet: Arc<dyn Fleet>,
    /// True while some organization's configuration could not be read.
    incomplete: AtomicBool,
}

impl Dynamics {
    /// Creates a client without organizations.
    ///
    /// # Errors
    /// Returns an error if TLS roots can't be read or the proxy's URL is invalid.
    pub fn new(
        options: DynamicsOptions,
        metrics: Arc<dyn Metrics>,
        fleet: Arc<dyn Fleet>,
    ) -> Result<Self, ClientError> {
        let wire = Arc::new(DynamicsWire {
            client: Client::new(options.request_timeout, options.ca_file.as_deref(), options.proxy.as_ref())?,
            metrics,
        });
        Ok(Self {
            wire,
            options,
            environments: RwLock::default(),
            paused: RwLock::default(),
            fleet,
            incomplete: AtomicBool::new(false),
        })
    }

    /// Replaces the organizations. Unchanged ones keep their tokens and limiters. A blocked one with a changed file is probed at
    /// once. Must be called within the runtime.
    pub fn set_organizations(&self, all: Vec<Access>) {
        let mut environments = self.environments.write().unwrap_or_else(PoisonError::into_inner);
        let mut known = std::mem::take(&mut *environments);
        for access in all {
            let organization = access.settings.organization_id.clone();
            let environment = match known.remove(&organization) {
                Some(same) if same.access == access => same,
                Some(other) => self.reopen(access, &other),
                None => self.opened(access, Limiter::new(self.options.max_concurrency)),
            };
            self.block_withheld(&environment);
            environments.insert(organization, environment);
        }
        for gone in known.values() {
            gone.limiter.retire();
        }
    }

    /// Blocks an organization without a usable secret at once, before its first event.
    fn block_withheld(&self, environment: &Arc<OrganizationEnvironment>) {
        if let Some(fault) = environment.token.withheld() {
            let change = environment.limiter.block(fault, Instant::now());
            probe::attend(&self.wire, environment);
            notice::report_change(&*self.wire.metrics, environment, change);
        }
    }

    /// Records whether the configuration of every organization could be read.
    pub fn set_complete(&self, complete: bool) {
        self.incomplete.store(!complete, Ordering::Release);
    }

    /// Replaces the set of paused organizations. None of their events is begun; events in progress are finished.
    pub fn set_paused(&self, all: HashSet<OrganizationId>) {
        *self.paused.write().unwrap_or_else(PoisonError::into_inner) = all;
        let environments = self.environments.read().unwrap_or_else(PoisonError::into_inner);
        environments.values().for_each(|environment| environment.limiter.notify());
    }

    fn is_paused(&self, organization: &OrganizationId) -> bool {
        self.paused.read().unwrap_or_else(PoisonError::into_inner).contains(organization)
    }

    /// Tests an organization's setup, whether it is registered or not, with a separate token. Writes nothing in Dynamics.
    /// Each check is passed to `progress` when it is done.
    pub async fn inspect(&self, access: Access, progress: CheckProgress) -> Vec<Finding> {
        let environment = OrganizationEnvironment::new(access, &self.options.authority, self.options.max_concurrency);
        inspect(&self.wire, &environment, &progress).await
    }

    /// Unblocks an organization whose test has passed, with all its steps.
    pub fn tested(&self, access: &Access) {
        let environment = self.environment(&access.settings.organization_id);
        // One that has got other settings meanwhile was not tested.
        let Some(environment) = environment.filter(|environment| environment.access == *access) else { return };
        let change = environment.limiter.clear(Instant::now());
        notice::report_change(&*self.wire.metrics, &environment, change);
    }

    /// Returns the state of an organization, or `None` if it is not configured.
    pub fn condition(&self, organization: &OrganizationId) -> Option<LimiterStatus> {
        Some(self.environment(organization)?.limiter.condition(Instant::now()))
    }

    fn reopen(&self, access: Access, other: &OrganizationEnvironment) -> Arc<OrganizationEnvironment> {
        let limiter = other.limiter.succeeded_by(self.options.max_concurrency, Instant::now());
        let environment = self.opened(access, limiter);
        probe::attend(&self.wire, &environment);
        if environment.may_act() && environment.token.withheld().is_none() {
            probe::sign_in(&self.wire, &environment);
        }
        environment
    }

    fn opened(&self, access: Access, limiter: Arc<Limiter>) -> Arc<OrganizationEnvironment> {
        OrganizationEnvironment::with(access, &self.options.authority, limiter, self.fleet.clone())
    }

    /// Begins to send requests for an organization that another worker owned: at a low rate, and within the throttling
    /// or the block that this one has left.
    pub fn take_over(&self, organization: &OrganizationId, state: Option<&str>) {
        self.replace_limiter(organization, Handover::read(state).limiter(self.options.max_concurrency, Instant::now()));
    }

    /// Forgets the throttling or the block of an organization that another worker owns, or will.
    pub fn let_go(&self, organization: &OrganizationId) {
        self.replace_limiter(organization, Limiter::new(self.options.max_concurrency));
    }

    fn replace_limiter(&self, organization: &OrganizationId, limiter: Arc<Limiter>) {
        let mut environments = self.environments.write().unwrap_or_else(PoisonError::into_inner);
        let Some(environment) = environments.get_mut(organization) else { return };
        environment.limiter.retire();
        *environment = self.opened(environment.access.clone(), limiter);
        self.block_withheld(environment);
        probe::attend(&self.wire, environment);
        notice::report_taken(&*self.wire.metrics, environment);
    }

    /// Returns what the next owner of an organization has to know.
    pub fn handover(&self, organization: &OrganizationId) -> Option<String> {
        Some(Handover::of(&self.environment(organization)?.limiter, Instant::now()).text())
    }

    /// Waits for a permit to perform a step. While it waits, the organization may get another file, and so another limiter.
    async fn enter(
        &self,
        step: StepName,
        organization: &OrganizationId,
    ) -> Result<(Arc<OrganizationEnvironment>, Permit), Rejected> {
        while let Some(environment) = self.environment(organization) {
            match environment.limiter.acquire(step).await {
                Ok(permit) => return Ok((environment, permit)),
                Err(Rejected::Retired) => {}
                Err(rejected) => return Err(rejected),
            }
        }
        Err(Rejected::Retired)
    }

    fn environment(&self, organization: &OrganizationId) -> Option<Arc<OrganizationEnvironment>> {
        self.environments.read().unwrap_or_else(PoisonError::into_inner).get(organization).cloned()
    }
}

#[async_trait]
impl Destination for Dynamics {
    async fn perform(&self, step: &Step, event: &Event, settings: &Settings) -> Performed {
        let (environment, permit) = match self.enter(step.name(), &event.key.organization_id).await {
            Ok(entered) => entered,
            Err(rejected) => {
                return Performed { result: Err(notice::rejected(step.name(), rejected)), exchanges: Vec::new() };
            }
        };
        let mut call = StepCall::new(&self.wire, step.name(), Some(event)).counted(&environment);
        let mut result = call.perform(&environment, StepContext { step, event, settings }).await;
        call.finish(&result);
        let held = result.as_ref().err().filter(|fault| fault.remedy == Remedy::Hold);
        let change = permit.release(step.name(), call.limiter_result(&result), held);
        notice::report_change(&*self.wire.metrics, &environment, change);
        if let Err(fault) = &mut result
            && fault.remedy == Remedy::Hold
        {
            probe::attend(&self.wire, &environment);
            fault.remedy = environment.held(step.name()).map_or(Remedy::Hold, Remedy::HoldStep);
        }
        Performed { result, exchanges: call.exchanges }
    }

    fn settings(&self, organization: &OrganizationId) -> Option<Arc<Settings>> {
        self.environment(organization).map(|environment| environment.access.settings.clone())
    }

    fn is_complete(&self) -> bool {
        !self.incomplete.load(Ordering::Acquire)
    }

    fn availability(&self, organization: &OrganizationId) -> Availability {
        let Some(environment) = self.environment(organization) else {
            return Availability::Available { room: ROOM_WHEN_UNCONFIGURED };
        };
        if self.is_paused(organization) {
            return Availability::Unavailable(Unavailable::Paused);
        }
        if !environment.may_act() {
            return Availability::Unavailable(Unavailable::NotOwned);
        }
        match environment.limiter.availability(Instant::now()) {
            LimiterAvailability::Open(room) => Availability::Available { room },
            LimiterAvailability::Throttled => Availability::Unavailable(Unavailable::Throttled),
            LimiterAvailability::Blocked => Availability::Unavailable(Unavailable::Blocked),
        }
    }

    async fn step_available(&self, organization: &OrganizationId, step: StepName) {
        while let Some(environment) = self.environment(organization) {
            let mut changed = pin!(environment.limiter.changed());
            changed.as_mut().enable();
            let Some(until) = environment.limiter.held_until(step, Instant::now()) else { return };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    async fn available(&self, organization: &OrganizationId) {
        let mut fleet = self.fleet.changes();
        while let Some(environment) = self.environment(organization) {
            let mut changed = pin!(environment.limiter.changed());
            // No change is missed from here on.
            changed.as_mut().enable();
            fleet.borrow_and_update();
            let Availability::Unavailable(why) = self.availability(organization) else { return };
            let over = environment.limiter.condition(Instant::now()).wait.filter(|_| why == Unavailable::Throttled);
            tokio::select! {
                () = changed => {}
                // The sender lives as long as the fleet.
                _ = fleet.changed() => {}
                () = tokio::time::sleep(over.unwrap_or_default()), if over.is_some() => {}
            }
        }
    }
}
