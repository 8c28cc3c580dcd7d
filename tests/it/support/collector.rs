//! Trace collector on loopback.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use tokio::task::JoinHandle;

use super::broker::eventually;

/// Receiver of OTLP over HTTP; stopped when dropped.
pub struct Collector {
    /// Value for `tracing.otlp_endpoint`.
    pub endpoint: String,
    batches: Arc<Mutex<Vec<Bytes>>>,
    server: JoinHandle<()>,
}

/// Span as received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// Name of the span.
    pub name: String,
    /// Id of the whole trace, in hexadecimal.
    pub trace: String,
    /// Id of the span.
    pub id: String,
    /// Id of the parent span; empty for none.
    pub parent: String,
    attributes: Vec<(String, String)>,
}

impl Span {
    /// Text of an attribute; empty if absent.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

impl Collector {
    /// Starts a collector.
    pub async fn start() -> Self {
        let batches = Arc::<Mutex<Vec<Bytes>>>::default();
        let take = async |State(batches): State<Arc<Mutex<Vec<Bytes>>>>, batch: Bytes| {
            batches.lock().unwrap().push(batch);
        };
        let app = Router::new().route("/v1/traces", post(take)).with_state(batches.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { endpoint, batches, server }
    }

    /// Waits until a number of spans of this name have this value of an attribute; returns all spans so far.
    pub async fn has(&self, count: usize, name: &str, (attribute, value): (&str, &str)) -> Vec<Span> {
        let mut all = Vec::new();
        eventually(&format!("{count} spans {name} with {attribute} = {value}"), async || {
            all = self.spans();
            all.iter().filter(|span| span.name == name && span.attribute(attribute) == value).count() >= count
        })
        .await;
        all
    }

    /// All data received so far, as text as far as possible.
    pub fn seen(&self) -> String {
        self.batches.lock().unwrap().iter().map(|batch| String::from_utf8_lossy(batch).into_owned()).collect()
    }

    /// All spans received so far.
    pub fn spans(&self) -> Vec<Span> {
        let batches = self.batches.lock().unwrap();
        let requests = batches.iter().map(|batch| ExportTraceServiceRequest::decode(batch.clone()).unwrap());
        let scopes = requests.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans).map(|span| Span {
            name: span.name,
            trace: hexadecimal(&span.trace_id),
            id: hexadecimal(&span.span_id),
            parent: hexadecimal(&span.parent_span_id),
            attributes: span
                .attributes
                .into_iter()
                .map(|pair| (pair.key, pair.value.and_then(|value| value.value).map(text).unwrap_or_default()))
                .collect(),
        });
        spans.collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn text(value: Value) -> String {
    match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
