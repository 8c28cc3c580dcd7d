//! `GET /api/v1/outcomes` and single outcomes.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::routing::on;
use handoffd_engine::event::{EventId, EventKey, OrganizationId};
use handoffd_engine::ports::store::{Store, StoreError};
use handoffd_engine::workflow::view::{Standing, Unfinished, View, WithHistory, unfinished, view};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::Parts;
use super::parameter::{Kind, Parameter, in_path};
use super::problem::Problem;
use super::query::{PARAMETERS, Query};
use super::route::{Answer, Link, MOMENT, Route, Verb, schema};

const KEY: &[Parameter] = &[
    in_path("organization", Kind::Text, "Organization ID.").such_as("org_acme"),
    in_path("event_id", Kind::Text, "Event ID.").such_as("evt_01JDA7"),
];

pub(super) const ROUTES: [Route; 2] = [
    Route {
        verb: Verb::Get,
        path: "/api/v1/outcomes",
        name: "listOutcomes",
        summary: "Lists event outcomes, newest first, in pages.",
        parameters: &[PARAMETERS],
        body: None,
        answers: &[Answer::new(200, "Matching outcomes and the position of the next page.", schema::<Page>)
            .leading_to(&[Link {
                to: "showOutcome",
                with: &[
                    ("organization", "$response.body#/outcomes/0/organization_id"),
                    ("event_id", "$response.body#/outcomes/0/source_event_id"),
                ],
            }])],
        problems: &[(400, "Invalid parameter.")],
        within: MOMENT,
        handler: |verb| on(verb, list),
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/outcomes/{organization}/{event_id}",
        name: "showOutcome",
        summary: "Shows the outcome of one event, with every request made for it.",
        parameters: &[KEY],
        body: None,
        answers: &[Answer::new(200, "Outcome and history.", schema::<View>)],
        problems: &[
            (400, "An ID is not percent-encoded UTF-8."),
            (404, "No record of the event, or no outcome yet; then `event` describes its progress."),
        ],
        within: MOMENT,
        handler: |verb| on(verb, show),
    },
];

/// Page of outcomes.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Outcomes")]
pub struct Page {
    /// Outcomes, newest first, without their histories.
    pub outcomes: Vec<View>,
    /// Position to continue from (`cursor`); null on the last page.
    pub next: Option<String>,
}

/// Record of an event, finished or not.
#[derive(Clone, PartialEq, Debug)]
pub enum Known {
    /// Outcome, as `GET /api/v1/outcomes/{organization}/{event_id}` responds.
    Ended(Value),
    /// Event without an outcome yet.
    Unfinished(Unfinished),
}

/// Lists matching outcomes, newest first, in pages.
async fn list(State(parts): State<Arc<Parts>>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    find(&*parts.store, query.as_deref().unwrap_or_default()).await.map(Json)
}

/// Shows the outcome and history of one event.
async fn show(
    State(parts): State<Arc<Parts>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path((organization, event_id)) = path?;
    let key = EventKey { organization_id: OrganizationId::from(organization), event_id: EventId::from(event_id) };
    one(&*parts.store, &key).await.map(Json)
}

/// Returns the response of `GET /api/v1/outcomes?<query>`; the command line uses it while no worker runs.
pub async fn find(store: &dyn Store, query: &str) -> Result<Value, Problem> {
    let query = Query::parse(query)?;
    let page = store.outcomes(&query.filter, query.cursor.as_ref(), query.limit).await.map_err(|error| away(&error))?;
    let shown = page.found.iter().filter_map(|found| view(&found.key, &found.record, WithHistory::No));
    let outcomes: Vec<Value> = shown.collect();
    let next = page.next.map(|cursor| cursor.0);
    Ok(json!({ "outcomes": outcomes, "next": next }))
}

/// Returns the response of `GET /api/v1/outcomes/{organization}/{event_id}`.
pub async fn one(store: &dyn Store, key: &EventKey) -> Result<Value, Problem> {
    match known(store, key).await? {
        Some(Known::Ended(outcome)) => Ok(outcome),
        Some(Known::Unfinished(event)) => {
            Err(Problem::not_found(in_words(event.status).to_owned()).with("event", json!(event)))
        }
        None => {
            let detail = format!("no record of event {:?} of organization {:?}", key.event_id, key.organization_id);
            Err(Problem::not_found(detail))
        }
    }
}

/// Returns the record of an event, finished or not.
pub async fn known(store: &dyn Store, key: &EventKey) -> Result<Option<Known>, Problem> {
    let Some(record) = store.record(key).await.map_err(|error| away(&error))? else { return Ok(None) };
    let ended = view(key, &record, WithHistory::Yes).map(Known::Ended);
    Ok(ended.or_else(|| unfinished(key, &record).map(Known::Unfinished)))
}

fn in_words(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting => "the event has no outcome yet; it waits in a retry queue",
        Standing::InHand => "the event has no outcome yet; it is in progress",
    }
}

fn away(error: &StoreError) -> Problem {
    if let StoreError::Cursor(_) = error {
        return Problem::bad_request(error.to_string());
    }
    tracing::warn!(error = error as &dyn std::error::Error, "could not answer an operator from the store");
    Problem::unavailable(error.to_string())
}
