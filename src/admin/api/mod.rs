//! In: requests of operators, monitors and the `outcomes` command.
//! Out: health, metrics, outcomes, dead letters, organizations, queues; problems as `application/problem+json`. The same as values,
//! for the operators' page.
//! Absent: events; nothing here is needed for one to be worked. TLS, which is a proxy's business.

mod document;
mod guard;
mod health;
pub mod letters;
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
use crate::telemetry::metrics::Metrics;
pub use document::{Access, document};
use letters::Desk;
pub use problem::Problem;
use recent::Recent;
use route::{MOMENT, PATIENCE};
use session::Sessions;

/// Longest body of a request: a selection or an organization is far shorter.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// Requests under way at once. Operators are few; what a page asks for every few seconds is answered within milliseconds.
const MOST_AT_ONCE: usize = 64;
/// How long a stopping server lets a look through the dead letters come to its end.
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
    /// Whose events they are.
    pub organizations: Arc<dyn Organizations>,
    /// A store that took the place of a damaged one.
    pub acceptance: Arc<dyn StoreAcceptance>,
    /// What was given up.
    pub letters: Arc<Desk>,
    /// What queues are for.
    pub queues: QueueNames,
    /// The last minute of what is counted.
    pub recent: Arc<Recent>,
    /// Browsers that have signed in.
    pub sessions: Sessions,
    /// For requests under way.
    pub places: Semaphore,
}

/// What the interface is given; the rest it has of its own.
pub struct Given {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// Why the worker is not ready; empty when it is.
    pub unready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Bearer token of everything but health and metrics.
    pub token: Option<SecretString>,
    /// Whose events they are.
    pub organizations: Arc<dyn Organizations>,
    /// A store that took the place of a damaged one.
    pub acceptance: Arc<dyn StoreAcceptance>,
    /// What was given up.
    pub letters: Desk,
    /// What queues are for.
    pub queues: QueueNames,
}

/// Which queue is which; the others are for retries.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct QueueNames {
    /// Events for any worker.
    pub work: String,
    /// Events that were given up.
    pub dead_letters: String,
}

/// The interface, listening.
pub struct Running {
    /// Where, with the port that was chosen when 0 was asked for.
    pub address: SocketAddr,
    stop: CancellationToken,
    letters: Arc<Desk>,
    task: JoinHandle<()>,
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
pub async fn serve(listen: SocketAddr, given: Given) -> Result<Running, HttpError> {
    let bind_error = |source| HttpError::Bind { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    let (stop, parts) = (CancellationToken::new(), Arc::new(Parts::from(given)));
    let follow = tokio::spawn(Arc::clone(&parts.recent).follow(Arc::clone(&parts.metrics)));
    let answer = listen::listen(listener, router(&parts), stop.clone());
    let letters = Arc::clone(&parts.letters);
    let task = tokio::spawn(async move {
        answer.await;
        follow.abort();
    });
    Ok(Running { address, stop, letters, task })
}

impl Running {
    /// Stops listening; what is being answered has a few seconds to come to its end.
    pub async fn stop(self) {
        self.stop.cancel();
        self.letters.close(DRAIN).await;
        // It ends by itself, and does not panic.
        _ = self.task.await;
    }
}

impl From<Given> for Parts {
    fn from(given: Given) -> Self {
        let Given { metrics, store, unready, token, organizations, acceptance, letters, queues } = given;
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

fn router(parts: &Arc<Parts>) -> Router {
    api()
        .merge(pages().route_layer(from_fn_with_state(MOMENT, guard::in_time)))
        .merge(page::router(parts).route_layer(from_fn_with_state(PATIENCE, guard::in_time)))
        .method_not_allowed_fallback(not_allowed)
        .fallback(nothing_there)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(parts), guard::one_of_many))
        .layer(from_fn_with_state(Arc::clone(parts), guard::admit))
        .layer(from_fn(guard::seal))
        .with_state(Arc::clone(parts))
}

/// What the document describes, each within its time.
fn api() -> Router<Arc<Parts>> {
    document::routes().fold(Router::new(), |router, route| {
        router.route(route.path, route.method_router().layer(from_fn_with_state(route.within, guard::in_time)))
    })
}

/// Health and metrics, and signing in.
fn pages() -> Router<Arc<Parts>> {
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route(login::FORM, post(login::sign_in))
        .route("/logout", post(login::sign_out))
}

async fn nothing_there(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}

async fn not_allowed(method: axum::http::Method, uri: Uri) -> Problem {
    Problem::method_not_allowed(format!("{} does not take {method}", uri.path()))
}
