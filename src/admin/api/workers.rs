//! `GET /api/v1/workers`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::on;
use schemars::JsonSchema;
use serde::Serialize;

use super::problem::Problem;
use super::route::{AnswerSpec, ApiRoute, DEFAULT_TIMEOUT, HttpVerb, schema};
use super::state::ApiState;
use crate::admin::deps::WorkerView;

pub(super) const ROUTES: [ApiRoute; 1] = [ApiRoute {
    verb: HttpVerb::Get,
    path: "/api/v1/workers",
    name: "listWorkers",
    summary: "Lists the workers that share the store, with what each of them processes.",
    parameters: &[],
    body: None,
    answers: &[AnswerSpec::new(
        200,
        "All workers, oldest first; one that was lost is listed for an hour.",
        schema::<WorkerList>,
    )],
    problems: &[(503, "The store can't be reached.")],
    within: DEFAULT_TIMEOUT,
    handler: |verb| on(verb, list),
}];

/// All workers.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Workers")]
struct WorkerList {
    /// Workers, oldest first.
    workers: Vec<WorkerView>,
}

async fn list(State(parts): State<Arc<ApiState>>) -> Result<Json<WorkerList>, Problem> {
    let workers = parts.workers.workers().await.map_err(Problem::unavailable)?;
    Ok(Json(WorkerList { workers }))
}
