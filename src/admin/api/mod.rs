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
mod route;
mod session;
mod state;
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
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::page;
use dead_letters::DeadLetterService;
pub use document::{TokenPolicy, document};
pub use problem::Problem;
use route::{DEFAULT_TIMEOUT, LONG_TIMEOUT};
pub use state::{ApiDeps, ApiState};

/// Longest body of a request. A selection or an organization is far shorter.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// Time that a stopping server leaves a pass through the dead letters to finish.
const DRAIN: Duration = Duration::from_secs(5);

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
    let samples = tokio::spawn(parts.history.clone().keep(Arc::clone(&parts.metrics)));
    let answer = listen::listen(listener, router(&parts), stop.clone());
    let letters = Arc::clone(&parts.letters);
    let task = tokio::spawn(async move {
        answer.await;
        samples.abort();
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
