//! Thread of the HTTP interface, with a runtime of its own: no request holds the thread that processes events.
//!
//! Requests are read, answered and timed there, and dead letters are browsed there. Operations on organizations share
//! connections and state with the processing of events, so they run on its runtime while the request waits beside it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use handoffd_engine::event::OrganizationId;
use serde_json::Value;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use crate::admin::api::{self, ApiDeps};
use crate::organizations::{
    CheckProgress, OrganizationError, OrganizationView, Organizations, OrganizationsReport, TestReport,
};

/// Running interface.
pub(super) struct HttpThread {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl HttpThread {
    /// Starts the thread and listens.
    pub(super) async fn start(listen: SocketAddr, parts: ApiDeps) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (bound, address) = oneshot::channel();
        let run = move || {
            let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                let server = match api::serve(listen, parts).await {
                    Ok(server) => server,
                    // The receiver waits for this.
                    Err(problem) => return drop(bound.send(Err(problem))),
                };
                _ = bound.send(Ok((server.address, server.metrics_address)));
                // An error means that the worker has ended without stopping the interface.
                _ = stopped.await;
                server.stop().await;
            });
            // A look-up of a name can't be cancelled; the thread ends without it.
            runtime.shutdown_background();
            _ = end.send(());
        };
        std::thread::Builder::new().name("http".to_owned()).spawn(run).context("can't start the thread for HTTP")?;
        let (address, metrics_address) = address.await.context("can't start the runtime for HTTP")??;
        info!(%address, version = env!("CARGO_PKG_VERSION"), "HTTP server listening");
        if let Some(address) = metrics_address {
            info!(%address, "listening for monitors");
        }
        Ok(Self { stop, ended })
    }

    /// Stops listening; requests in progress get a few seconds to finish.
    pub(super) async fn stop(self) {
        // An error means that the thread has ended.
        _ = self.stop.send(());
        _ = self.ended.await;
    }
}

/// Organizations whose operations run on the runtime that processes events.
pub(super) struct OnEventRuntime<T> {
    inner: Arc<T>,
    runtime: Handle,
}

impl<T: Organizations> OnEventRuntime<T> {
    /// Runs operations on the current runtime.
    pub(super) fn new(inner: Arc<T>) -> Self {
        Self { inner, runtime: Handle::current() }
    }

    /// Runs an operation, and cancels it if the caller is gone.
    async fn run<O, F>(&self, operation: impl FnOnce(Arc<T>) -> F) -> Result<O, OrganizationError>
    where
        O: Send + 'static,
        F: Future<Output = O> + Send + 'static,
    {
        let task = AbortOnDropHandle::new(self.runtime.spawn(operation(Arc::clone(&self.inner))));
        task.await.map_err(|_| OrganizationError::Store("the worker is stopping".to_owned()))
    }
}

#[async_trait]
impl<T: Organizations> Organizations for OnEventRuntime<T> {
    async fn list(&self) -> Vec<OrganizationView> {
        self.run(|inner| async move { inner.list().await }).await.unwrap_or_default()
    }

    async fn report(&self) -> OrganizationsReport {
        self.run(|inner| async move { inner.report().await }).await.unwrap_or_default()
    }

    async fn test(&self, id: &OrganizationId, progress: CheckProgress) -> Result<TestReport, OrganizationError> {
        let id = id.clone();
        self.run(|inner| async move { inner.test(&id, progress).await }).await?
    }

    async fn pause(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError> {
        let id = id.clone();
        self.run(|inner| async move { inner.pause(&id).await }).await?
    }

    async fn resume(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError> {
        let id = id.clone();
        self.run(|inner| async move { inner.resume(&id).await }).await?
    }

    async fn save(&self, id: &OrganizationId, document: Value) -> Result<TestReport, OrganizationError> {
        let id = id.clone();
        self.run(|inner| async move { inner.save(&id, document).await }).await?
    }

    async fn delete(&self, id: &OrganizationId) -> Result<(), OrganizationError> {
        let id = id.clone();
        self.run(|inner| async move { inner.delete(&id).await }).await?
    }
}
