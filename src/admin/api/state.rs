//! State that all routes share.

use std::net::SocketAddr;
use std::sync::Arc;

use handoffd_engine::ports::store::Store;
use handoffd_engine::ports::store::operators::OperatorStore;
use handoffd_engine::worker::EventTracker;
use secrecy::SecretString;
use tokio::sync::Semaphore;

use super::authenticator::Authenticator;
use super::dead_letters::DeadLetterService;
use super::scrape::Scrapes;
use super::session::Sessions;
use crate::admin::audit::AuditTrail;
use crate::admin::deps::{StoreAcceptance, WorkerDirectory};
use crate::admin::events::QueueNames;
use crate::admin::history::History;
use crate::admin::journal::ActivityJournal;
use crate::admin::organization_history::OrganizationHistories;
use crate::admin::search_line::SearchLine;
use crate::admin::status_board::StatusBoard;
use crate::organizations::Organizations;
use crate::telemetry::metrics::PrometheusMetrics;

/// Limit of concurrent requests. Operators are few, and the requests that a page repeats take milliseconds.
const MOST_AT_ONCE: usize = 64;

/// Shared state of the interface.
pub struct ApiState {
    /// Counters and gauges.
    pub metrics: Arc<PrometheusMetrics>,
    /// Store of events and outcomes.
    pub store: Arc<dyn Store>,
    /// Reasons why the worker is not ready; empty if it is.
    pub unready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Credentials that the interface accepts.
    pub authenticator: Authenticator,
    /// Actions of operators.
    pub trail: Arc<AuditTrail>,
    /// Hosts, virtual hosts and paths that an unauthenticated client must not learn from reasons.
    pub private: Vec<String>,
    /// Organizations.
    pub organizations: Arc<dyn Organizations>,
    /// Acceptance of a store that replaced a damaged one.
    pub acceptance: Arc<dyn StoreAcceptance>,
    /// Workers that share the store.
    pub workers: Arc<dyn WorkerDirectory>,
    /// Access to the dead letters.
    pub letters: Arc<DeadLetterService>,
    /// Unfinished events of this worker.
    pub tracker: Arc<EventTracker>,
    /// Names of queues.
    pub names: QueueNames,
    /// Counters of the last hour.
    pub history: History,
    /// Troubles and takeovers of the last day.
    pub journal: ActivityJournal,
    /// Events of each organization in the last hours.
    pub organization_history: OrganizationHistories,
    /// Troubles of organizations and faults of files.
    pub board: StatusBoard,
    /// Line of the searches of the store.
    pub searches: SearchLine,
    /// Permits for concurrent requests.
    pub places: Semaphore,
    /// Clients of `/metrics`.
    pub(super) scrapes: Scrapes,
}

/// Dependencies that the interface is started with.
pub struct ApiDeps {
    /// Counters and gauges.
    pub metrics: Arc<PrometheusMetrics>,
    /// Store of events and outcomes.
    pub store: Arc<dyn Store>,
    /// Store of operators' actions and ended sessions.
    pub operators: Arc<dyn OperatorStore>,
    /// Reasons why the worker is not ready; empty if it is.
    pub unready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Bearer token for everything except health and metrics.
    pub token: Option<SecretString>,
    /// Bearer token for everything except customers' text and changes.
    pub reader_token: Option<SecretString>,
    /// Hosts, virtual hosts and paths that an unauthenticated client must not learn from reasons.
    pub private: Vec<String>,
    /// Organizations.
    pub organizations: Arc<dyn Organizations>,
    /// Acceptance of a store that replaced a damaged one.
    pub acceptance: Arc<dyn StoreAcceptance>,
    /// Workers that share the store.
    pub workers: Arc<dyn WorkerDirectory>,
    /// Access to the dead letters.
    pub letters: DeadLetterService,
    /// Unfinished events of this worker.
    pub tracker: Arc<EventTracker>,
    /// Names of queues.
    pub names: QueueNames,
    /// Address of `/metrics`, if it has one of its own.
    pub metrics_listen: Option<SocketAddr>,
}

impl ApiState {
    /// Creates the state of an interface that listens on this port.
    pub(super) fn new(given: ApiDeps, port: u16) -> Self {
        let ApiDeps {
            metrics,
            store,
            operators,
            unready,
            private,
            organizations,
            acceptance,
            workers,
            letters,
            tracker,
            names,
            ..
        } = given;
        let sessions = Arc::new(Sessions::new(port, Arc::clone(&operators)));
        let authenticator = Authenticator::new((given.token, given.reader_token), sessions, Arc::clone(&metrics));
        Self {
            metrics,
            store,
            unready,
            authenticator,
            trail: Arc::new(AuditTrail::new(operators)),
            private,
            organizations,
            acceptance,
            workers,
            letters: Arc::new(letters),
            tracker,
            names,
            history: History::default(),
            journal: ActivityJournal::default(),
            organization_history: OrganizationHistories::default(),
            board: StatusBoard::default(),
            searches: SearchLine::default(),
            places: Semaphore::new(MOST_AT_ONCE),
            scrapes: Scrapes::default(),
        }
    }
}
