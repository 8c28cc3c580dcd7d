//! Health and metrics for probes and monitors, without a token.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use handoffd_engine::event::EventKey;
use handoffd_engine::ports::store::StoreError;
use serde_json::json;
use tokio::time::timeout;

use super::problem::Problem;
use super::redact::redact;
use super::requester::Requester;
use super::state::ApiState;
use crate::admin::audit::Identity;

/// Longest wait for the store. One that hangs is not waited for: it refuses at once as soon as its silence is too long, and
/// until then nothing is known of it.
const STORE_LIMIT: Duration = Duration::from_millis(250);

/// Reports that the process responds.
pub(super) async fn live() -> &'static str {
    "ok"
}

/// Reports that the worker processes events; 503 with reasons if it does not. They name no host or path to a client without
/// a token, not even where none is set: every user of the machine is one.
pub(super) async fn ready(State(parts): State<Arc<ApiState>>) -> Response {
    let mut reasons = (parts.unready)();
    // After a failed write the store refuses reads too, until it recovers. It can't answer from memory for this empty key.
    let key = EventKey { organization_id: "".into(), event_id: "".into() };
    if let Ok(Err(problem)) = timeout(STORE_LIMIT, parts.store.record(&key)).await {
        let problem = match problem {
            StoreError::Unaccepted => problem.to_string(),
            problem => format!("the store fails: {problem}"),
        };
        // The reason may already be listed as the cause of a consumer that stopped.
        if !reasons.iter().any(|reason| reason.contains(&problem)) {
            reasons.push(problem);
        }
    }
    if reasons.is_empty() {
        return Json(json!({ "status": "ready" })).into_response();
    }
    if Requester::current().is_none_or(|requester| requester.identity == Identity::Local) {
        reasons = reasons.iter().map(|reason| redact(reason, &parts.private)).collect();
    }
    let body = Json(json!({ "status": "unready", "reasons": reasons }));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

/// Renders the metrics.
pub(super) async fn metrics(State(parts): State<Arc<ApiState>>) -> Result<Response, Problem> {
    parts.scrapes.render(&parts.metrics).await
}
