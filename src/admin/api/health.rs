//! Health and metrics: for probes and monitors, without a token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use handoffd_engine::event::EventKey;
use handoffd_engine::ports::store::StoreError;
use serde_json::json;

use super::Parts;
use crate::telemetry::metrics::CONTENT_TYPE;

/// The process answers.
pub(super) async fn live() -> &'static str {
    "ok"
}

/// The worker works events; 503 with reasons while it does not.
pub(super) async fn ready(State(parts): State<Arc<Parts>>) -> Response {
    let mut reasons = (parts.unready)();
    // A store that could not be written to refuses reads too, until it is mended. Of no event it can answer from memory.
    if let Err(problem) = parts.store.record(&EventKey { organization_id: "".into(), event_id: "".into() }).await {
        let problem = match problem {
            StoreError::Unaccepted => problem.to_string(),
            problem => format!("the store fails: {problem}"),
        };
        // It may be why nothing is consumed.
        if !reasons.iter().any(|reason| reason.contains(&problem)) {
            reasons.push(problem);
        }
    }
    if reasons.is_empty() {
        return Json(json!({ "status": "ready" })).into_response();
    }
    let body = Json(json!({ "status": "unready", "reasons": reasons }));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

/// What is counted.
pub(super) async fn metrics(State(parts): State<Arc<Parts>>) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], parts.metrics.render()).into_response()
}
