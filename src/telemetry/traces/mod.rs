//! In: the spans of `watch::trace`, from all modules.
//! Out: OTLP over HTTP (protobuf) to a collector, in batches, apart from the processing of events.
//! Absent: all of it, unless an endpoint is configured; logs and metrics, which are exported separately.

mod post;

use std::time::Duration;

use handoffd_engine::ports::trace::TARGET;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use post::TraceClient;

/// Limit of spans that wait to be sent; further ones are dropped, because an event never waits for its trace.
const QUEUE: usize = 4096;
/// Limit of spans in one request.
const BATCH: usize = 512;
/// Longest delay between the end of a span and its sending.
const DELAY: Duration = Duration::from_secs(1);
/// Time limit for sending the last spans at the end of the process.
const FLUSH: Duration = Duration::from_secs(3);

/// Export of traces.
pub struct Traces(SdkTracerProvider);

/// Failure to set up the export.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The HTTP client or the exporter can't be created.
    #[error("cannot set up the export of traces to {endpoint} (tracing.otlp_endpoint): {problem}")]
    Export {
        /// Address of the collector.
        endpoint: String,
        /// Cause.
        problem: String,
    },
}

/// Starts the export to a collector, on its own thread.
pub fn start(endpoint: &Url) -> Result<Traces, TracesError> {
    let endpoint = signal(endpoint);
    let failed = |problem: String| TracesError::Export { endpoint: endpoint.clone(), problem };
    let post = TraceClient::new().map_err(|problem| failed(problem.to_string()))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(post)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(post::LIMIT)
        .with_endpoint(endpoint.as_str())
        .build()
        .map_err(|problem| failed(problem.to_string()))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let resource = Resource::builder()
        .with_service_name("handoffd")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(Traces(SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor).build()))
}

impl Traces {
    /// Returns a layer that accepts the spans of `watch::trace` only.
    pub fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("handoffd"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET))
            .boxed()
    }

    /// Sends the remaining spans, with a time limit of a few seconds. Blocks; must be the last call.
    pub fn end(self) {
        if let Err(problem) = self.0.shutdown_with_timeout(FLUSH) {
            tracing::warn!(error = %problem, "could not send the last traces; some may be lost");
        }
    }
}

/// Returns the address for traces: OpenTelemetry's `/v1/traces` below the endpoint.
fn signal(endpoint: &Url) -> String {
    const PATH: &str = "/v1/traces";
    let base = endpoint.as_str().trim_end_matches('/');
    if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_have_a_path_of_their_own() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://collector.example/otlp", "https://collector.example/otlp/v1/traces"),
            ("http://collector:4318/v1/traces", "http://collector:4318/v1/traces"),
        ] {
            assert_eq!(signal(&endpoint.parse().expect("a URL")), expected);
        }
    }
}
