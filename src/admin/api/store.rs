//! `POST /api/v1/store/accept`: acceptance of a store that replaced a damaged one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::on;

use super::problem::Problem;
use super::requester::audit;
use super::route::{AnswerSpec, ApiRoute, DEFAULT_TIMEOUT, HttpVerb, schema};
use super::state::ApiState;
use crate::admin::audit::AuditAction;
use crate::admin::deps::StoreAccepted;

pub(super) const ROUTES: [ApiRoute; 1] = [ApiRoute {
    verb: HttpVerb::Post,
    path: "/api/v1/store/accept",
    name: "acceptStore",
    summary: "Accepts the new store that replaced a damaged one, so that the worker consumes events again.",
    parameters: &[],
    body: None,
    answers: &[AnswerSpec::new(
        200,
        "Accepted, or there was nothing to accept. Paused organizations are resumed; saved organizations are lost.",
        schema::<StoreAccepted>,
    )],
    problems: &[],
    within: DEFAULT_TIMEOUT,
    handler: |verb| on(verb, accept),
}];

async fn accept(State(parts): State<Arc<ApiState>>) -> Result<Json<StoreAccepted>, Problem> {
    let accepted =
        parts.acceptance.accept_store().await.map_err(|problem| Problem::unavailable(problem.to_string()))?;
    audit(AuditAction::AcceptStore, accepted.set_aside.as_deref().unwrap_or_default(), u64::from(accepted.accepted));
    Ok(Json(accepted))
}
