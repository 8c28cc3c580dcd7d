//! `POST /api/v1/store/accept`: a store that took the place of a damaged one is accepted.

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
    summary: "Accepts the new store that took the place of a damaged one: events are consumed again.",
    parameters: &[],
    body: None,
    answers: &[Answer::new(
        200,
        "Done, or there was nothing to accept. Organizations that were paused are resumed; saved ones are gone.",
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
