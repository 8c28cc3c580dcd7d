//! Processing of a request: its target, its faults, its result and its answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use futures_util::{StreamExt, stream};

use super::answer::SimulatedAnswer;
use super::call::IncomingRequest;
use super::control;
use super::environment::Environment;
use super::faults::{Effect, Moment, Named};
use super::target::Target;
use super::token;
use super::visit::JournaledRequest;
use super::wire::ConnectionControl;

/// State of a listener.
#[derive(Clone)]
pub(super) struct Front {
    /// Environment that the listener serves.
    pub here: Arc<Environment>,
    /// All environments; each listener issues tokens for any of them.
    pub all: Arc<[Arc<Environment>]>,
}

/// End of a request.
enum RequestEnd {
    /// Complete answer.
    Answered(SimulatedAnswer),
    /// Part of an answer.
    Truncated(SimulatedAnswer),
    /// Connection reset.
    Cut,
}

/// Processes one request.
pub(super) async fn receive(
    State(front): State<Front>,
    ConnectInfo(line): ConnectInfo<ConnectionControl>,
    request: Request,
) -> Response {
    let Some(call) = IncomingRequest::read(request).await else {
        return SimulatedAnswer::typed(413, "text/plain", "The body is too large.").into_response();
    };
    if let Some(rest) = control::path(&call.path) {
        return control::answer(&front.here, &call, rest).into_response();
    }
    let target = Target::of(&call.path);
    let environment = front.concerned(&call, &target);
    let operation = target.operation(&call.method);
    let effect = environment.faults().draw(&operation, &call);
    let mut visit = environment.visit(&call, &target, operation);
    visit.faulty(effect.as_ref());
    match process(&environment, &call, &target, effect, visit.in_flight).await {
        RequestEnd::Answered(answer) => with_common_headers(&environment, &mut visit, &target, answer).into_response(),
        RequestEnd::Truncated(answer) => truncated(with_common_headers(&environment, &mut visit, &target, answer)),
        RequestEnd::Cut => {
            line.cut();
            SimulatedAnswer::empty().into_response()
        }
    }
}

impl Front {
    /// Returns the environment a request concerns. For token requests the scope names it.
    fn concerned(&self, call: &IncomingRequest, target: &Target) -> Arc<Environment> {
        if !matches!(target, Target::Token(_)) {
            return self.here.clone();
        }
        let resource = token::resource(call);
        let named = resource.and_then(|url| self.all.iter().find(|environment| environment.is_at(&url)));
        named.unwrap_or(&self.here).clone()
    }
}

/// Performs a request, with half of the latency before the effect and half after it.
async fn process(
    environment: &Arc<Environment>,
    call: &IncomingRequest,
    target: &Target,
    effect: Option<Effect>,
    in_flight: usize,
) -> RequestEnd {
    let latency = Duration::from_millis(environment.live().settings.latency_ms) / 2;
    environment.pause(latency).await;
    let end = match effect {
        Some(Effect::Named(Named::ResetBefore)) => return RequestEnd::Cut,
        Some(Effect::Named(Named::Hang)) => {
            environment.stopping.cancelled().await;
            return RequestEnd::Cut;
        }
        Some(Effect::Answer(scripted)) if scripted.when == Moment::Before => RequestEnd::Answered(scripted.answer()),
        effect => {
            let answer = environment.perform(call, target, in_flight);
            apply_fault(environment, effect, answer).await
        }
    };
    environment.pause(latency).await;
    end
}

/// Applies a fault to the answer of a request that took effect.
async fn apply_fault(environment: &Environment, effect: Option<Effect>, answer: SimulatedAnswer) -> RequestEnd {
    match effect {
        None => RequestEnd::Answered(answer),
        Some(Effect::Answer(scripted)) => RequestEnd::Answered(scripted.answer()),
        Some(Effect::Delay { delay_ms }) => {
            environment.pause(Duration::from_millis(delay_ms)).await;
            RequestEnd::Answered(answer)
        }
        Some(Effect::Named(Named::HangAfterCommit)) => {
            environment.stopping.cancelled().await;
            RequestEnd::Cut
        }
        Some(Effect::Named(Named::Truncate)) => RequestEnd::Truncated(answer),
        Some(Effect::Named(Named::Garbage)) => {
            let garbage = "{\"@odata.context\": \"http\u{0}, <html>";
            RequestEnd::Answered(SimulatedAnswer::typed(answer.status, "application/json", garbage))
        }
        Some(Effect::Named(Named::ResetBefore | Named::ResetAfterCommit | Named::Hang)) => RequestEnd::Cut,
    }
}

/// Adds the headers that every answer has.
fn with_common_headers(
    environment: &Environment,
    visit: &mut JournaledRequest<'_>,
    target: &Target,
    answer: SimulatedAnswer,
) -> SimulatedAnswer {
    visit.answered(answer.status);
    let answer = answer.dated(environment.live().now());
    if matches!(target, Target::Token(_)) {
        return answer;
    }
    let id = visit.request_id();
    let answer = answer.with("odata-version", "4.0").with("x-ms-service-request-id", id).with("req_id", id);
    // The service sends an affinity cookie, which a good client ignores.
    answer.with("set-cookie", "ARRAffinity=0; path=/; httponly")
}

/// Announces the whole body in the head and sends half of it. An answer without a body announces one.
fn truncated(answer: SimulatedAnswer) -> Response {
    let length = answer.body.len().max(1);
    let half = Bytes::copy_from_slice(&answer.body[..answer.body.len() / 2]);
    let end = async {
        // The first half is sent before the error.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    let parts = stream::iter([Ok(half)]).chain(stream::once(end));
    let status = if answer.status == 204 { 200 } else { answer.status };
    let answer = SimulatedAnswer { status, ..answer };
    answer.with("content-length", length.to_string()).carrying(Body::from_stream(parts))
}
