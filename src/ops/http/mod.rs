//! In: requests of operators, monitors and the `outcomes` command.
//! Out: health, metrics, outcomes; problems as `application/problem+json`.
//! Absent: events; nothing here is needed for one to be worked. TLS, which is a proxy's business.

mod guard;
mod health;
pub mod outcomes;
mod problem;
mod query;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use crate::store::Store;
pub use problem::Problem;

/// Longest body of a request: a selection or an organization is far shorter.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// How long a stopping server lets requests come to their end.
const DRAIN: Duration = Duration::from_secs(5);

/// What the interface answers from.
pub struct Parts {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// Why the worker is not ready; empty when it is.
    pub unready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Bearer token of everything but health and metrics.
    pub token: Option<SecretString>,
}

/// The interface, listening.
pub struct Running {
    /// Where, with the port that was chosen when 0 was asked for.
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

/// An interface that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address can't be listened on.
    #[error(
        "cannot listen on {address} (http.listen): {source}; is another worker running? else choose another address or port"
    )]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Listens, and answers until stopped.
pub async fn serve(listen: SocketAddr, parts: Parts) -> Result<Running, HttpError> {
    let bind_error = |source| HttpError::Bind { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let app = router(Arc::new(parts));
    let task = tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stopped).await });
    Ok(Running { address, stop, task })
}

impl Running {
    /// Stops listening; what is being answered has a few seconds to come to its end.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(DRAIN, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

fn router(parts: Arc<Parts>) -> Router {
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/api/v1/outcomes", get(outcomes::list))
        .route("/api/v1/outcomes/{organization}/{event_id}", get(outcomes::show))
        .fallback(nothing_there)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(&parts), guard::admit))
        .layer(from_fn(guard::in_time))
        .layer(from_fn(guard::seal))
        .with_state(parts)
}

async fn nothing_there(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}

async fn not_allowed(method: axum::http::Method, uri: Uri) -> Problem {
    Problem::method_not_allowed(format!("{} does not take {method}", uri.path()))
}
