//! Membership of this worker: what the engine and the adapters ask on the way of an event, answered from memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::fleet::{Claim, Fleet, FleetStatus, OwnershipState, SharedReport};
use handoffd_engine::ports::metrics::Metrics;
use handoffd_engine::ports::store::StoreError;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::super::errors::ServerFailure;
use super::super::health::{StoreHealth, StorePart};
use super::super::link::ServerLink;
use super::holdings::Holdings;
use super::lease::LeaseClock;
use super::listing::{self, FleetWorker};
use super::self_stop::Pulse;
use super::shared_reports::{ReportRow, SharedReports};
use super::statements::FleetTables;
use super::view::{FleetView, Revision};

/// Longest time that leaving may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);
/// Longest wait for the list of workers, which an operator waits for.
const LIST_LIMIT: Duration = Duration::from_secs(2);
/// Interval at which a worker that leaves looks for what it has not given back.
const LOOK: Duration = Duration::from_millis(20);

/// Options of the membership.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// Name for lists and logs.
    pub name: String,
    /// Time without a renewal after which others take over.
    pub lease: Duration,
}

/// Membership of this worker in the fleet.
pub struct PostgresFleet {
    pub(super) options: FleetOptions,
    /// Connection of the heartbeat alone.
    pub(super) link: ServerLink,
    pub(super) health: Arc<StoreHealth>,
    pub(super) metrics: Arc<dyn Metrics>,
    state: Mutex<MemberState>,
    changes: watch::Sender<()>,
    /// Wakes the heartbeat before its time.
    poke: Notify,
    is_leaving: AtomicBool,
    /// Cancelled when the heartbeat ends.
    pub(super) closing: CancellationToken,
    pub(super) pulse: Pulse,
    /// Changes of what operators have set that this worker has read.
    pub(super) applied: tokio::sync::Mutex<Option<Revision>>,
}

/// State of the membership.
pub(super) struct MemberState {
    /// Life of this worker: a new one after each loss of its lease.
    pub life: Uuid,
    /// Lease.
    pub lease: LeaseClock,
    /// Organizations that it owns.
    pub holdings: Holdings,
    /// Rows as of the last renewal.
    pub view: FleetView,
    /// Organizations whose next owner has to know something that is not written yet.
    pub unsaved: BTreeSet<OrganizationId>,
    /// Free organizations whose queues have a consumer, each with the time since when that has been known.
    pub awaited: BTreeMap<OrganizationId, Instant>,
    /// Reports of all workers.
    reports: SharedReports,
    /// Time until which a worker that leaves waits for what is in progress.
    leaving_until: Option<Instant>,
}

impl MemberState {
    /// Takes reports that were read, confirmed as long ago as given.
    pub(super) fn take_reports(&mut self, rows: Vec<ReportRow>, complete: &HashMap<Uuid, Duration>, now: Instant) {
        self.reports.read(rows, complete, (&self.view, now));
    }
}

impl PostgresFleet {
    /// Creates the membership of a worker that has not joined.
    pub(in crate::postgres) fn new(
        options: FleetOptions,
        link: ServerLink,
        (health, metrics): (Arc<StoreHealth>, Arc<dyn Metrics>),
    ) -> Self {
        let state = MemberState {
            life: Uuid::new_v4(),
            lease: LeaseClock::new(options.lease),
            holdings: Holdings::default(),
            view: FleetView::default(),
            unsaved: BTreeSet::new(),
            awaited: BTreeMap::new(),
            reports: SharedReports::default(),
            leaving_until: None,
        };
        Self {
            options,
            link,
            health,
            metrics,
            state: Mutex::new(state),
            changes: watch::Sender::new(()),
            poke: Notify::new(),
            is_leaving: AtomicBool::new(false),
            closing: CancellationToken::new(),
            pulse: Pulse::default(),
            applied: tokio::sync::Mutex::new(None),
        }
    }

    /// Begins to give everything back: each organization as soon as what is in progress of it is over, and the rest when
    /// the worker leaves, until this time at the latest.
    pub fn begin_leaving(&self, until: Instant) {
        self.lock().leaving_until = Some(until);
        self.is_leaving.store(true, Ordering::Relaxed);
        self.changed();
        self.poke();
    }

    /// Leaves the fleet, and gives back what is left. The worker's connections to the broker must be closed.
    pub async fn leave(&self) {
        self.everything_is_given_back().await;
        self.closing.cancel();
        self.pulse.end();
        let life = self.lock().life;
        let left = async {
            let client = self.link.client()?;
            FleetTables { client: &client, limit: LEAVE_LIMIT }.leave(life).await
        };
        let left: Result<(), ServerFailure> = left.await;
        if let Err(failure) = left {
            warn!(error = %failure, "could not leave the fleet; others take over when the lease ends");
        }
    }

    /// Waits for requests that no event awaits, such as the probes of blocked organizations, while the heartbeat reaches
    /// the server.
    async fn everything_is_given_back(&self) {
        let is_awaited = || {
            let (state, now) = (self.lock(), Instant::now());
            let is_in_time = state.leaving_until.is_some_and(|until| now < until) && state.lease.may_act(now);
            is_in_time && state.holdings.owned() > 0
        };
        while is_awaited() {
            sleep(LOOK).await;
        }
    }

    /// Lists the workers.
    ///
    /// # Errors
    /// If the server can't be reached.
    pub async fn list(&self) -> Result<Vec<FleetWorker>, StoreError> {
        let listed = async { listing::list(&*self.link.client()?, LIST_LIMIT).await };
        listed.await.map_err(|failure: ServerFailure| failure.reading("the workers"))
    }

    /// Makes the heartbeat look at the fleet now.
    pub fn poke(&self) {
        self.poke.notify_one();
    }

    /// Waits for a poke.
    pub(super) async fn poked(&self) {
        self.poke.notified().await;
    }

    /// Notifies the engine of changes.
    pub(super) fn changed(&self) {
        self.changes.send_replace(());
    }

    /// Returns true once the worker stops.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// Records a good renewal that was sent at this time.
    pub(super) fn renewed(&self, sent: Instant) {
        let could_act = {
            let mut state = self.lock();
            let could_act = state.lease.may_act(Instant::now());
            state.lease.renewed(sent);
            could_act
        };
        self.health.set(StorePart::Heartbeat, None);
        if !could_act {
            self.changed();
        }
    }

    /// Records a failed renewal. The store counts as unavailable once requests may not begin any more.
    pub(super) fn not_renewed(&self, failure: &ServerFailure) {
        let may_act = {
            let mut state = self.lock();
            state.lease.failed();
            state.lease.may_act(Instant::now())
        };
        if !may_act {
            self.health.set(StorePart::Heartbeat, Some(failure.clone().unavailable()));
        }
    }

    /// Returns the end of the lease, unless it is renewed; `None` before the first renewal of this life.
    pub(super) fn lease_end(&self) -> Option<Instant> {
        self.lock().lease.end()
    }

    /// Returns true while this worker owns an organization.
    pub(super) fn owns_any(&self) -> bool {
        self.lock().holdings.owned() > 0
    }

    /// Returns true if an organization has been waited for for this long, from the first call on.
    pub(super) fn has_waited_for(&self, organization: &OrganizationId, limit: Duration) -> bool {
        let (mut state, now) = (self.lock(), Instant::now());
        now.duration_since(*state.awaited.entry(organization.clone()).or_insert(now)) >= limit
    }

    /// Ends this life, after others have declared it lost. The next one joins anew.
    pub(super) fn lose(&self) {
        {
            let mut state = self.lock();
            let lost: Vec<_> = state.holdings.iter().map(|(id, _)| id.clone()).collect();
            for organization in &lost {
                state.holdings.lose(organization);
            }
            state.lease.lost();
            state.life = Uuid::new_v4();
        }
        self.changed();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, MemberState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Fleet for PostgresFleet {
    fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn ownership(&self, organization: &OrganizationId) -> OwnershipState {
        if self.is_leaving() {
            return OwnershipState::None;
        }
        self.lock().holdings.claim(organization).map_or(OwnershipState::None, OwnershipState::Term)
    }

    fn begin(&self, claim: &Claim) -> bool {
        self.lock().holdings.begin(claim)
    }

    fn may_act(&self, organization: &OrganizationId) -> bool {
        let state = self.lock();
        state.holdings.actor(organization) == Some(state.life) && state.lease.may_act(Instant::now())
    }

    fn holds(&self, claim: &Claim) -> bool {
        let state = self.lock();
        state.holdings.holds(claim) && !state.lease.is_expired(Instant::now())
    }

    fn released(&self, claim: &Claim) {
        self.lock().holdings.over(claim);
        self.poke();
    }

    fn state_changed(&self, organization: &OrganizationId) {
        let is_owned = {
            let mut state = self.lock();
            let is_owned = state.holdings.get(organization).is_some();
            if is_owned {
                state.unsaved.insert(organization.clone());
            }
            is_owned
        };
        if is_owned {
            self.poke();
        }
    }

    fn is_configured_elsewhere(&self, organization: &OrganizationId) -> bool {
        let state = self.lock();
        state.view.is_configured_elsewhere(state.life, organization)
    }

    async fn may_be_configured_elsewhere(&self, organization: &OrganizationId) -> bool {
        let life = self.lock().life;
        let asked = async {
            let client = self.link.client()?;
            let tables = FleetTables { client: &client, limit: self.options.lease };
            tables.is_configured(life, organization).await
        };
        let answer: Result<bool, ServerFailure> = asked.await;
        answer.unwrap_or(true)
    }

    fn owner(&self, organization: &OrganizationId) -> Option<String> {
        let state = self.lock();
        // The rows are those of the last renewal.
        match state.holdings.holder(organization) {
            Some(worker) if worker == state.life => Some(self.options.name.clone()),
            _ => state.view.owner(organization),
        }
    }

    fn report(&self, organization: &OrganizationId) -> SharedReport {
        let state = self.lock();
        if state.holdings.holder(organization) == Some(state.life) {
            return SharedReport::Own;
        }
        state.reports.get(organization, Instant::now())
    }

    fn status(&self) -> FleetStatus {
        let state = self.lock();
        FleetStatus {
            workers: state.view.live(),
            owned: Some(state.holdings.owned()),
            lease_age_seconds: state.lease.age(Instant::now()).as_secs_f64(),
        }
    }
}
