//! In: requests of operators, monitors and the `outcomes` command.
//! Out: health, metrics, outcomes, dead letters, organizations, queues; problems as `application/problem+json`. The
//! operators' page gets the same as values.
//! Absent: anything that processing an event depends on. TLS, which a proxy terminates.

mod document;
mod guard;
mod health;
pub mod dead_letters;
mod listen;
pub mod login;
pub mod organizations;
pub mod outcomes;
mod parameter;
mod problem;
mod query;
pub mod queues;
mod recent;
mod route;
mod session;
mod store;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use handoffd_engine::ports::store::Store;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::page;
use crate::admin::deps::{Organizations, StoreAcceptance};
use crate::telemetry::metrics::PrometheusMetrics;
use dead_letters::DeadLetterService;
pub use document::{TokenPolicy, document};
pub use problem::Problem;
use recent::Recent;
use route::{DEFAULT_TIMEOUT, LONG_TIMEOUT};
use session::Sessions;

/// Longest body of a request. A selection or an organization is far shorter.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// Limit of concurrent requests. Operators are few, and the requests that a page repeats take milliseconds.
const MOST_AT_ONCE: usize = 64;
/// Time that a stopping server leaves a pass through the dead letters to finish.
const DRAIN: Duration = Duration::from_secs(5);

/// Shared state of the interface.
pub struct ApiState {
    /// Counters and gauges.
    pub metrics: Arc<PrometheusMetrics>,
    /// Store of events and outcomes.
    pub store: Arc<dyn Store>,
    /// Reasons why the worker is not ready; empty if it is.
    pub unready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Bearer token for everything except health and metrics.
    pub token: Option<SecretString>,
    /// Organizations.
    pub organizations: Arc<dyn Organizations>,
    /// Acceptance of a store that replaced a damaged one.
    pub acceptance: Arc<dyn StoreAcceptance>,
    /// Access to the dead letters.
    pub letters: Arc<DeadLetterService>,
    /// Purposes of queues.
    pub queues: QueueNames,
    /// Counters of the last minute.
    pub recent: Arc<Recent>,
    /// Sessions of browsers that have signed in.
    pub sessions: Sessions,
    /// Permits for concurrent requests.
    pub places: Semaphore,
}

/// Dependencies that the interface is started with.
pub struct ApiDeps {
    /// Counters and gauges.
    pub metrics: Arc<PrometheusMetrics>,
    /// Store of events and outcomes.
    pub store: Arc<dyn Store>,
    /// Reasons why the worker is not ready; empty if it is.
    pub unready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Bearer token for everything except health and metrics.
    pub token: Option<SecretString>,
    /// Organizations.
    pub organizations: Arc<dyn Organizations>,
    /// Acceptance of a store that replaced a damaged one.
    pub acceptance: Arc<dyn StoreAcceptance>,
    /// Access to the dead letters.
    pub letters: DeadLetterService,
    /// Purposes of queues.
    pub queues: QueueNames,
}

/// Names of the inbox and the dead-letter queue; all other queues are retry queues.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct QueueNames {
    /// Queue that holds events for any worker.
    pub work: String,
    /// Queue that holds dead letters.
    pub dead_letters: String,
}

/// Listening interface.
pub struct RunningServer {
    /// Address with the actual port, even if port 0 was configured.
    pub address: SocketAddr,
    stop: CancellationToken,
    letters: Arc<DeadLetterService>,
    task: JoinHandle<()>,
}

/// Failure to start the interface.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address can't be bound.
    #[error(
        "cannot listen on {address} (http.listen): {source}; stop the process that uses it, or choose another address or port"
    )]
    Bind {
        /// Configured address.
        address: SocketAddr,
        /// Error of the operating system.
        source: io::Error,
    },
}

/// Listens and serves requests until stopped.
pub async fn serve(listen: SocketAddr, given: ApiDeps) -> Result<RunningServer, HttpError> {
    let bind_error = |source| HttpError::Bind { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    let (stop, parts) = (CancellationToken::new(), Arc::new(ApiState::from(given)));
    let follow = tokio::spawn(Arc::clone(&parts.recent).follow(Arc::clone(&parts.metrics)));
    let answer = listen::listen(listener, router(&parts), stop.clone());
    let letters = Arc::clone(&parts.letters);
    let task = tokio::spawn(async move {
        answer.await;
        follow.abort();
    });
    Ok(RunningServer { address, stop, letters, task })
}

impl RunningServer {
    /// Stops listening; requests in progress get a few seconds to finish.
    pub async fn stop(self) {
        self.stop.cancel();
        self.letters.close(DRAIN).await;
        // The task ends by itself and does not panic.
        _ = self.task.await;
    }
}

impl From<ApiDeps> for ApiState {
    fn from(given: ApiDeps) -> Self {
        let ApiDeps { metrics, store, unready, token, organizations, acceptance, letters, queues } = given;
        Self {
            metrics,
            store,
            unready,
            token,
            organizations,
            acceptance,
            letters: Arc::new(letters),
            queues,
            recent: Arc::default(),
            sessions: Sessions::new(),
            places: Semaphore::new(MOST_AT_ONCE),
        }
    }
}

fn router(parts: &Arc<ApiState>) -> Router {
    api()
        .merge(pages().route_layer(from_fn_with_state(DEFAULT_TIMEOUT, guard::limit_time)))
        .merge(page::router(parts).route_layer(from_fn_with_state(LONG_TIMEOUT, guard::limit_time)))
        .method_not_allowed_fallback(not_allowed)
        .fallback(nothing_there)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(parts), guard::limit_concurrency))
        .layer(from_fn_with_state(Arc::clone(parts), guard::authenticate))
        .layer(from_fn(guard::add_security_headers))
        .with_state(Arc::clone(parts))
}

/// Returns the routes of the OpenAPI document, each with its time limit.
fn api() -> Router<Arc<ApiState>> {
    document::routes().fold(Router::new(), |router, route| {
        router.route(route.path, route.method_router().layer(from_fn_with_state(route.within, guard::limit_time)))
    })
}

/// Returns the routes for health, metrics and signing in.
fn pages() -> Router<Arc<ApiState>> {
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route(login::FORM, post(login::sign_in))
        .route("/logout", post(login::sign_out))
}

async fn nothing_there(uri: Uri) -> Problem {
    Problem::not_found(format!("no resource at {}", uri.path()))
}

async fn not_allowed(method: axum::http::Method, uri: Uri) -> Problem {
    Problem::method_not_allowed(format!("{} does not support {method}", uri.path()))
}
