//! The one who sends a batch, on a runtime of its own: a collector that hangs holds up nobody but the next batch.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::{Builder, Runtime};
use tracing::{info, warn};

/// A collector that has not answered by then is given no more time.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Posts batches. Called by the thread of the batches only.
pub(super) struct Post {
    client: reqwest::Client,
    runtime: Runtime,
    /// The last batch did not arrive.
    failing: AtomicBool,
}

impl Post {
    pub(super) fn new() -> io::Result<Self> {
        // A process has one TLS provider; a second installation is refused, and that is fine.
        _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            // The runtime stands still between two batches: a connection kept open would die unseen.
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

    /// Says it once when it begins to fail, and once when it works again.
    fn report(&self, problem: Option<&str>) {
        let failed_before = self.failing.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(problem) if !failed_before => {
                warn!(problem, "traces can't be exported (tracing.otlp_endpoint): they are lost until they can");
            }
            None if failed_before => info!("traces are exported again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Post {
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

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").finish_non_exhaustive()
    }
}
