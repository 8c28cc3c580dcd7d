//! HTTP client for batches of spans, on its own runtime, so that a hanging collector delays only the next batch.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::{Builder, Runtime};
use tracing::{info, warn};

/// Time limit of a request to the collector.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// HTTP client for batches; called by the thread of the batch processor only.
pub(super) struct TraceClient {
    client: reqwest::Client,
    runtime: Runtime,
    /// True after a batch was not delivered.
    failing: AtomicBool,
}

impl TraceClient {
    pub(super) fn new() -> io::Result<Self> {
        // A process has one TLS provider; installing a second one fails harmlessly.
        _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            // The runtime does not run between two batches, so it would not notice that an idle connection has died.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(io::Error::other)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime, failing: AtomicBool::new(false) })
    }

    async fn exchange(&self, request: Request<Bytes>) -> reqwest::Result<Response<Bytes>> {
        let (head, body) = request.into_parts();
        let asked = self.client.request(head.method, head.uri.to_string()).headers(head.headers).body(body);
        let answer = asked.send().await?;
        let status = answer.status();
        let mut response = Response::new(answer.bytes().await?);
        *response.status_mut() = status;
        Ok(response)
    }

    /// Logs the first failure and the first success after failures.
    fn report(&self, problem: Option<&str>) {
        let failed_before = self.failing.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(problem) if !failed_before => {
                warn!(
                    problem,
                    "could not export traces to tracing.otlp_endpoint; traces are lost until the collector accepts them"
                );
            }
            None if failed_before => info!("exporting traces again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for TraceClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let result = self.runtime.block_on(self.exchange(request));
        match &result {
            Ok(response) if response.status().is_success() => self.report(None),
            Ok(response) => self.report(Some(response.status().as_str())),
            Err(error) => self.report(Some(&error.to_string())),
        }
        Ok(result?)
    }
}

impl fmt::Debug for TraceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").finish_non_exhaustive()
    }
}
