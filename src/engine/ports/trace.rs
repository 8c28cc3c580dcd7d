//! Spans of a message's path, linked by W3C trace context from its publisher, through every queue, to its outcome. If
//! traces are not exported, no span is created, and asking for one costs a comparison.

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::field::{Empty, display};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::event::Event;
use crate::workflow::StepName;

/// Target of these spans. The exporter takes only this target, and the log excludes it.
pub const TARGET: &str = "handoffd::trace";

/// Trace context as headers: `traceparent` and `tracestate`.
pub type Context = Vec<(&'static str, String)>;

/// Starts the span of a message, which lasts until it is settled; `context` returns the trace context it came with.
pub fn message(context: impl FnOnce() -> Context) -> Span {
    let span = info_span!(
        target: TARGET,
        "message",
        otel.name = "process",
        otel.kind = "consumer",
        otel.status_code = Empty,
        "messaging.system" = "rabbitmq",
        "messaging.operation.type" = "process",
        handoffd.event_id = Empty,
        handoffd.organization_id = Empty,
        handoffd.session_id = Empty,
        handoffd.kind = Empty,
        handoffd.result = Empty,
        handoffd.attempts = Empty,
        handoffd.reason = Empty,
    );
    if !span.is_disabled() {
        let parent = TraceContextPropagator::new().extract(&Carried(&context()));
        // Setting the parent fails only on a span that has begun.
        _ = span.set_parent(parent);
    }
    span
}

/// Records the identity of the event in the span.
pub fn identify(span: &Span, event: &Event) {
    if !span.is_disabled() {
        span.record("handoffd.event_id", display(&event.key.event_id));
        span.record("handoffd.organization_id", display(&event.key.organization_id));
        span.record("handoffd.session_id", display(event.session_id()));
        span.record("handoffd.kind", event.kind().as_str());
    }
}

/// Records the result of the message in the current span.
pub fn ended(result: &'static str, attempts: u32, reason: Option<&'static str>) {
    let span = Span::current();
    if !span.is_disabled() {
        span.record("handoffd.result", result);
        span.record("handoffd.attempts", attempts);
        span.record("handoffd.reason", reason);
        if result == "dead_lettered" {
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// Starts the span of an outcome's publish, which lasts until it is confirmed.
pub fn announcement(routing_key: &str) -> Span {
    info_span!(
        target: TARGET,
        "announcement",
        otel.name = "publish",
        otel.kind = "producer",
        "messaging.system" = "rabbitmq",
        "messaging.operation.type" = "send",
        "messaging.rabbitmq.destination.routing_key" = routing_key,
    )
}

/// Starts the span of a request to Dynamics or Entra ID, which lasts until the answer.
pub fn request(step: StepName) -> Span {
    info_span!(
        target: TARGET,
        "request",
        otel.name = step.as_str(),
        otel.kind = "client",
        otel.status_code = Empty,
        http.response.status_code = Empty,
        handoffd.dynamics_request_id = Empty,
    )
}

/// Records the answer to a request in its span; status 0 means that there was none.
pub fn answered(span: &Span, status: u16, request_id: Option<&str>) {
    if !span.is_disabled() {
        span.record("http.response.status_code", i64::from(status));
        span.record("handoffd.dynamics_request_id", request_id);
        if !(200..400).contains(&status) {
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// Returns the trace context that continues a span; empty if there is no span.
pub fn context(span: &Span) -> Context {
    let mut injected = Injected(Vec::new());
    if !span.is_disabled() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut injected);
    }
    injected.0
}

struct Carried<'a>(&'a Context);

impl Extractor for Carried<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

struct Injected(Context);

impl Injector for Injected {
    fn set(&mut self, key: &str, value: String) {
        // An empty `tracestate` is dropped.
        if let Some(name) = ["traceparent", "tracestate"].into_iter().find(|name| *name == key && !value.is_empty()) {
            self.0.push((name, value));
        }
    }
}
