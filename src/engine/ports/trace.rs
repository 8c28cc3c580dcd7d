//! Spans of what happens to a message, joined by W3C trace context: from whoever published it, through every queue, to its
//! outcome. Where nobody exports traces no span is made: asking for one costs a comparison.

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::field::{Empty, display};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::event::Event;
use crate::workflow::StepName;

/// The target of these spans: who exports them takes nothing else, and nobody else takes them.
pub const TARGET: &str = "handoffd::trace";

/// `traceparent` and `tracestate`, as headers.
pub type Context = Vec<(&'static str, String)>;

/// A message in hand, until it is settled; `context` is what it came with.
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
        // It has not begun yet, which is the only reason for a refusal.
        _ = span.set_parent(parent);
    }
    span
}

/// Says which event the message is.
pub fn identify(span: &Span, event: &Event) {
    if !span.is_disabled() {
        span.record("handoffd.event_id", display(&event.key.event_id));
        span.record("handoffd.organization_id", display(&event.key.organization_id));
        span.record("handoffd.session_id", display(event.session_id()));
        span.record("handoffd.kind", event.kind().as_str());
    }
}

/// Says, in the span that is current, what became of the message.
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

/// An outcome on its way to the broker, until it is confirmed.
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

/// A request to Dynamics or Entra ID, until it is answered.
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

/// Says how a request was answered; status 0: not at all.
pub fn answered(span: &Span, status: u16, request_id: Option<&str>) {
    if !span.is_disabled() {
        span.record("http.response.status_code", i64::from(status));
        span.record("handoffd.dynamics_request_id", request_id);
        if !(200..400).contains(&status) {
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// What goes on from a span; nothing where no span was made.
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
        // An empty `tracestate` says nothing.
        if let Some(name) = ["traceparent", "tracestate"].into_iter().find(|name| *name == key && !value.is_empty()) {
            self.0.push((name, value));
        }
    }
}
