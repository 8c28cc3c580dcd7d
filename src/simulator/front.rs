//! Processing of a request: its target, its faults, its result and its answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use futures_util::{StreamExt, stream};

use super::answer::Answer;
use super::call::Call;
use super::control;
use super::environment::Environment;
use super::faults::{Effect, Moment, Named};
use super::target::Target;
use super::token;
use super::visit::Visit;
use super::wire::Line;

/// State of a listener.
#[derive(Clone)]
pub(super) struct Front {
    /// Environment that the listener serves.
    pub here: Arc<Environment>,
    /// All environments; each listener issues tokens for any of them.
    pub all: Arc<[Arc<Environment>]>,
}

/// End of a request.
enum End {
    /// Complete answer.
    Answered(Answer),
    /// Part of an answer.
    Truncated(Answer),
    /// Connection reset.
    Cut,
}

/// Processes one request.
pub(super) async fn receive(
    State(front): State<Front>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let Some(call) = Call::read(request).await else {
        return Answer::typed(413, "text/plain", "The body is too large.").into_response();
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
    match undergo(&environment, &call, &target, effect, visit.in_flight).await {
        End::Answered(answer) => dressed(&environment, &mut visit, &target, answer).into_response(),
        End::Truncated(answer) => truncated(dressed(&environment, &mut visit, &target, answer)),
        End::Cut => {
            line.cut();
            Answer::empty().into_response()
        }
    }
}

impl Front {
    /// Returns the environment a request concerns. For token requests the scope names it.
    fn concerned(&self, call: &Call, target: &Target) -> Arc<Environment> {
        if !matches!(target, Target::Token(_)) {
            return self.here.clone();
        }
        let resource = token::resource(call);
        let named = resource.and_then(|url| self.all.iter().find(|environment| environment.is_at(&url)));
        named.unwrap_or(&self.here).clone()
    }
}

/// Performs a request, with half of the latency before the effect and half after it.
async fn undergo(
    environment: &Arc<Environment>,
    call: &Call,
    target: &Target,
    effect: Option<Effect>,
    in_flight: usize,
) -> End {
    let latency = Duration::from_millis(environment.live().settings.latency_ms) / 2;
    environment.pause(latency).await;
    let end = match effect {
        Some(Effect::Named(Named::ResetBefore)) => return End::Cut,
        Some(Effect::Named(Named::Hang)) => {
            environment.stopping.cancelled().await;
            return End::Cut;
        }
        Some(Effect::Answer(scripted)) if scripted.when == Moment::Before => End::Answered(scripted.answer()),
        effect => {
            let answer = environment.perform(call, target, in_flight);
            spoiled(environment, effect, answer).await
        }
    };
    environment.pause(latency).await;
    end
}

/// Applies a fault to the answer of a request that took effect.
async fn spoiled(environment: &Environment, effect: Option<Effect>, answer: Answer) -> End {
    match effect {
        None => End::Answered(answer),
        Some(Effect::Answer(scripted)) => End::Answered(scripted.answer()),
        Some(Effect::Delay { delay_ms }) => {
            environment.pause(Duration::from_millis(delay_ms)).await;
            End::Answered(answer)
        }
        Some(Effect::Named(Named::HangAfterCommit)) => {
            environment.stopping.cancelled().await;
            End::Cut
        }
        Some(Effect::Named(Named::Truncate)) => End::Truncated(answer),
        Some(Effect::Named(Named::Garbage)) => {
            let garbage = "{\"@odata.context\": \"http\u{0}, <html>";
            End::Answered(Answer::typed(answer.status, "application/json", garbage))
        }
        Some(Effect::Named(Named::ResetBefore | Named::ResetAfterCommit | Named::Hang)) => End::Cut,
    }
}

/// Adds the headers that every answer has.
fn dressed(environment: &Environment, visit: &mut Visit<'_>, target: &Target, answer: Answer) -> Answer {
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
fn truncated(answer: Answer) -> Response {
    let length = answer.body.len().max(1);
    let half = Bytes::copy_from_slice(&answer.body[..answer.body.len() / 2]);
    let end = async {
        // The first half is sent before the error.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    let parts = stream::iter([Ok(half)]).chain(stream::once(end));
    let status = if answer.status == 204 { 200 } else { answer.status };
    let answer = Answer { status, ..answer };
    answer.with("content-length", length.to_string()).carrying(Body::from_stream(parts))
}
