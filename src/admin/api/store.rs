//! `POST /api/v1/store/accept`: acceptance of a store that replaced a damaged one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::on;

use super::Parts;
use super::problem::Problem;
use super::route::{Answer, MOMENT, Route, Verb, schema};
use crate::admin::deps::StoreAccepted;

pub(super) const ROUTES: [Route; 1] = [Route {
    verb: Verb::Post,
    path: "/api/v1/store/accept",
    name: "acceptStore",
    summary: "Accepts the new store that replaced a damaged one, so that the worker consumes events again.",
    parameters: &[],
    body: None,
    answers: &[Answer::new(
        200,
        "Accepted, or there was nothing to accept. Paused organizations are resumed; saved organizations are lost.",
        schema::<StoreAccepted>,
    )],
    problems: &[],
    within: MOMENT,
    handler: |verb| on(verb, accept),
}];

async fn accept(State(parts): State<Arc<Parts>>) -> Result<Json<StoreAccepted>, Problem> {
    let accepted = parts.acceptance.accept_store().await;
    accepted.map(Json).map_err(|problem| Problem::unavailable(problem.to_string()))
}
