//! In: requests of operators, monitors and the `outcomes` command.
//! Out: health, metrics, outcomes, dead letters, organizations, queues; problems as `application/problem+json`. The
//! operators' page gets the same as values.
//! Absent: anything that processing an event depends on. TLS, which a proxy terminates.

mod authenticator;
mod attempts;
pub mod audit_list;
mod connections;
mod document;
mod ended_sessions;
pub mod events;
mod guard;
mod health;
mod json_object;
pub mod dead_letters;
mod listen;
pub mod login;
pub mod organizations;
pub mod outcomes;
mod page_cursor;
mod parameter;
mod problem;
mod query;
pub mod queues;
mod redact;
pub mod requester;
mod route;
mod scrape;
mod session;
mod state;
mod status;
mod store;
mod tokens;
mod workers;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use futures_util::future::OptionFuture;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::page;
use dead_letters::DeadLetterService;
pub use document::{TokenPolicy, document};
use guard::HostPolicy;
pub use problem::Problem;
use route::{DEFAULT_TIMEOUT, LONG_TIMEOUT};
pub use state::{ApiDeps, ApiState};

/// Time that a stopping server leaves a pass through the dead letters to finish.
const DRAIN: Duration = Duration::from_secs(5);

/// Listening interface.
pub struct RunningServer {
    /// Address with the actual port, even if port 0 was configured.
    pub address: SocketAddr,
    /// Address of `/metrics`, if it has one of its own.
    pub metrics_address: Option<SocketAddr>,
    stop: CancellationToken,
    letters: Arc<DeadLetterService>,
    task: JoinHandle<()>,
}

/// Failure to start the interface.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address can't be bound.
    #[error(
        "cannot listen on {address} ({key}): {source}; stop the process that uses it, or choose another address or port"
    )]
    Bind {
        /// Key of the configuration.
        key: &'static str,
        /// Configured address.
        address: SocketAddr,
        /// Error of the operating system.
        source: io::Error,
    },
}

/// Listens and serves requests until stopped.
pub async fn serve(listen: SocketAddr, given: ApiDeps) -> Result<RunningServer, HttpError> {
    let (listener, address) = bind("http.listen", listen).await?;
    let of_metrics = match given.metrics_listen {
        Some(listen) => Some(bind("http.metrics_listen", listen).await?),
        None => None,
    };
    let metrics_address = of_metrics.as_ref().map(|(_, address)| *address);
    let (stop, parts) = (CancellationToken::new(), Arc::new(ApiState::new(given, address.port())));
    let (sessions, trail) = (parts.authenticator.sessions(), Arc::clone(&parts.trail));
    sessions.ended.begin().await;
    let sessions = tokio::spawn(async move { sessions.ended.keep().await });
    let trail = tokio::spawn(async move { trail.keep().await });
    let samples = tokio::spawn(parts.history.clone().keep(Arc::clone(&parts.metrics)));
    let statuses = tokio::spawn(status::keep(Arc::clone(&parts)));
    let answer = listen::listen(listener, router(&parts, metrics_address), stop.clone());
    let answer_metrics =
        of_metrics.map(|(listener, address)| listen::listen(listener, monitors(&parts, address), stop.clone()));
    let letters = Arc::clone(&parts.letters);
    let task = tokio::spawn(async move {
        tokio::join!(answer, OptionFuture::from(answer_metrics));
        samples.abort();
        statuses.abort();
        sessions.abort();
        trail.abort();
    });
    Ok(RunningServer { address, metrics_address, stop, letters, task })
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), HttpError> {
    let bind_error = |source| HttpError::Bind { key, address, source };
    let listener = TcpListener::bind(address).await.map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    Ok((listener, address))
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

fn router(parts: &Arc<ApiState>, metrics_address: Option<SocketAddr>) -> Router {
    let health = if metrics_address.is_some() { health() } else { health().merge(metrics()) };
    api()
        .merge(health.merge(sign_in()).route_layer(from_fn_with_state(DEFAULT_TIMEOUT, guard::limit_time)))
        .merge(page::router(parts).route_layer(from_fn_with_state(LONG_TIMEOUT, guard::limit_time)))
        .method_not_allowed_fallback(not_allowed)
        .fallback(nothing_there)
        .layer(from_fn_with_state(Arc::clone(parts), guard::limit_concurrency))
        .layer(from_fn(guard::read_body))
        .layer(from_fn_with_state(Arc::clone(parts), guard::authenticate))
        .layer(from_fn_with_state(HostPolicy::of(parts), guard::screen))
        .layer(from_fn(page::problems_as_pages))
        .layer(from_fn(guard::add_security_headers))
        .with_state(Arc::clone(parts))
}

/// Returns the routes of `http.metrics_listen`.
fn monitors(parts: &Arc<ApiState>, address: SocketAddr) -> Router {
    let policy = if address.ip().is_loopback() { HostPolicy::ThisMachine } else { HostPolicy::Any };
    health()
        .merge(metrics())
        .route_layer(from_fn_with_state(DEFAULT_TIMEOUT, guard::limit_time))
        .method_not_allowed_fallback(not_allowed)
        .fallback(nothing_there)
        .layer(from_fn_with_state(policy, guard::screen))
        .layer(from_fn(guard::add_security_headers))
        .with_state(Arc::clone(parts))
}

/// Returns the routes of the OpenAPI document, each with its time limit.
fn api() -> Router<Arc<ApiState>> {
    document::routes().fold(Router::new(), |router, route| {
        router.route(route.path, route.method_router().layer(from_fn_with_state(route.within, guard::limit_time)))
    })
}

fn health() -> Router<Arc<ApiState>> {
    Router::new().route("/livez", get(health::live)).route("/readyz", get(health::ready))
}

fn metrics() -> Router<Arc<ApiState>> {
    Router::new().route("/metrics", get(health::metrics))
}

fn sign_in() -> Router<Arc<ApiState>> {
    Router::new().route(login::FORM, post(login::sign_in)).route("/logout", post(login::sign_out))
}

async fn nothing_there(uri: Uri) -> Problem {
    Problem::not_found(format!("no resource at {}", uri.path()))
}

async fn not_allowed(method: axum::http::Method, uri: Uri) -> Problem {
    Problem::method_not_allowed(format!("{} does not support {method}", uri.path()))
}
