//! `GET /api/v1/outcomes` and single outcomes.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::routing::on;
use handoffd_engine::event::{EventId, EventKey, OrganizationId};
use handoffd_engine::ports::store::{Store, StoreError};
use handoffd_engine::workflow::view::{EventStanding, OutcomeView, PendingView, WithHistory, unfinished, view};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::parameter::{Parameter, ParameterType, in_path};
use super::problem::Problem;
use super::query::{OutcomeQuery, PARAMETERS};
use super::route::{AnswerSpec, ApiRoute, DEFAULT_TIMEOUT, HttpVerb, RouteLink, schema};
use super::state::ApiState;
use crate::admin::search_line::{RETRY_AFTER, SearchError};

const KEY: &[Parameter] = &[
    in_path("organization", ParameterType::Text, "Organization ID.").such_as("org_acme"),
    in_path("event_id", ParameterType::Text, "Event ID.").such_as("evt_01JDA7"),
];

pub(super) const ROUTES: [ApiRoute; 2] = [
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/outcomes",
        name: "listOutcomes",
        summary: "Lists event outcomes, newest first, in pages.",
        parameters: &[PARAMETERS],
        body: None,
        answers: &[AnswerSpec::new(
            200,
            "Matching outcomes and the position of the next page.",
            schema::<OutcomeListing>,
        )
        .leading_to(&[RouteLink {
            to: "showOutcome",
            with: &[
                ("organization", "$response.body#/outcomes/0/organization_id"),
                ("event_id", "$response.body#/outcomes/0/source_event_id"),
            ],
        }])],
        problems: &[(400, "Invalid parameter.")],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, list),
    },
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/outcomes/{organization}/{event_id}",
        name: "showOutcome",
        summary: "Shows the outcome of one event, with every request made for it.",
        parameters: &[KEY],
        body: None,
        answers: &[AnswerSpec::new(200, "Outcome and history.", schema::<OutcomeView>)],
        problems: &[
            (400, "An ID is not percent-encoded UTF-8."),
            (404, "No record of the event, or no outcome yet; then `event` describes its progress."),
        ],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, show),
    },
];

/// Page of outcomes.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Outcomes")]
pub struct OutcomeListing {
    /// Outcomes, newest first, without their histories.
    pub outcomes: Vec<OutcomeView>,
    /// Position to continue from (`cursor`); null on the last page.
    pub next: Option<String>,
}

/// Record of an event, finished or not.
#[derive(Clone, PartialEq, Debug)]
pub enum EventReport {
    /// Outcome, as `GET /api/v1/outcomes/{organization}/{event_id}` responds.
    Ended(Value),
    /// Event without an outcome yet.
    Unfinished(PendingView),
}

/// Lists matching outcomes, newest first, in pages.
async fn list(State(parts): State<Arc<ApiState>>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    let _place = parts.searches.enter().await?;
    find(&*parts.store, query.as_deref().unwrap_or_default()).await.map(Json)
}

/// Shows the outcome and history of one event.
async fn show(
    State(parts): State<Arc<ApiState>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path((organization, event_id)) = path?;
    let key = EventKey { organization_id: OrganizationId::from(organization), event_id: EventId::from(event_id) };
    one(&*parts.store, &key).await.map(Json)
}

/// Returns the response of `GET /api/v1/outcomes?<query>`; the command line uses it while no worker runs.
pub async fn find(store: &dyn Store, query: &str) -> Result<Value, Problem> {
    let query = OutcomeQuery::parse(query)?;
    let page = async |query: &OutcomeQuery| {
        store.outcomes(&query.filter, query.cursor.as_ref(), query.limit).await.map_err(|error| away(&error))
    };
    let mut found = page(&query).await?;
    if found.found.is_empty()
        && let Some(trimmed) = query.trimmed()
    {
        found = page(&trimmed).await?;
    }
    let shown = found.found.iter().filter_map(|found| view(&found.key, &found.record, WithHistory::No));
    let outcomes: Vec<Value> = shown.collect();
    let next = found.next.map(|cursor| query.times.next(cursor));
    Ok(json!({ "outcomes": outcomes, "next": next }))
}

/// Returns the response of `GET /api/v1/outcomes/{organization}/{event_id}`.
pub async fn one(store: &dyn Store, key: &EventKey) -> Result<Value, Problem> {
    match known(store, key).await? {
        Some(EventReport::Ended(outcome)) => Ok(outcome),
        Some(EventReport::Unfinished(event)) => {
            Err(Problem::not_found(in_words(event.status).to_owned()).with("event", json!(event)))
        }
        None => {
            let detail = format!("no record of event {:?} of organization {:?}", key.event_id, key.organization_id);
            Err(Problem::not_found(detail))
        }
    }
}

/// Returns the record of an event, finished or not.
pub async fn known(store: &dyn Store, key: &EventKey) -> Result<Option<EventReport>, Problem> {
    let Some(record) = store.record(key).await.map_err(|error| away(&error))? else { return Ok(None) };
    let ended = view(key, &record, WithHistory::Yes).map(EventReport::Ended);
    Ok(ended.or_else(|| unfinished(key, &record).map(EventReport::Unfinished)))
}

fn in_words(standing: EventStanding) -> &'static str {
    match standing {
        EventStanding::Waiting => "the event has no outcome yet; it waits in a retry queue",
        EventStanding::InHand => "the event has no outcome yet; it is in progress",
    }
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Busy => Self::busy(error.to_string(), RETRY_AFTER),
            SearchError::Store(error) => away(&error),
        }
    }
}

fn away(error: &StoreError) -> Problem {
    if let StoreError::Cursor(_) = error {
        return Problem::bad_request(error.to_string());
    }
    tracing::warn!(error = error as &dyn std::error::Error, "could not answer an operator from the store");
    Problem::unavailable(error.to_string())
}
