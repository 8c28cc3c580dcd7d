//! `GET /api/v1/status`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::on;

use super::route::{AnswerSpec, ApiRoute, DEFAULT_TIMEOUT, HttpVerb, schema};
use super::state::ApiState;
use crate::status::WorkerStatus;

pub(super) const ROUTES: [ApiRoute; 1] = [ApiRoute {
    verb: HttpVerb::Get,
    path: "/api/v1/status",
    name: "status",
    summary: "Shows whether events are processed, and every reason why some are not.",
    parameters: &[],
    body: None,
    answers: &[AnswerSpec::new(200, "Verdict with its reasons.", schema::<WorkerStatus>)],
    problems: &[],
    within: DEFAULT_TIMEOUT,
    handler: |verb| on(verb, show),
}];

async fn show(State(parts): State<Arc<ApiState>>) -> Json<WorkerStatus> {
    Json(parts.status())
}
