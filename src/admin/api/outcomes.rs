//! `GET /api/v1/outcomes` and one of them.

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
    in_path("organization", Kind::Text, "Whose event.").such_as("org_acme"),
    in_path("event_id", Kind::Text, "Which event.").such_as("evt_01JDA7"),
];

pub(super) const ROUTES: [Route; 2] = [
    Route {
        verb: Verb::Get,
        path: "/api/v1/outcomes",
        name: "listOutcomes",
        summary: "What became of events, newest first, a page at a time.",
        parameters: &[PARAMETERS],
        body: None,
        answers: &[Answer::new(200, "Those that match, and where the next page begins.", schema::<Page>).leading_to(
            &[Link {
                to: "showOutcome",
                with: &[
                    ("organization", "$response.body#/outcomes/0/organization_id"),
                    ("event_id", "$response.body#/outcomes/0/source_event_id"),
                ],
            }],
        )],
        problems: &[(400, "A parameter is not as it should be.")],
        within: MOMENT,
        handler: |verb| on(verb, list),
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/outcomes/{organization}/{event_id}",
        name: "showOutcome",
        summary: "What became of one event, with every request that was made for it.",
        parameters: &[KEY],
        body: None,
        answers: &[Answer::new(200, "Its outcome and its history.", schema::<View>)],
        problems: &[
            (400, "An id is no percent-encoded UTF-8."),
            (404, "It is not remembered; or it has no outcome yet, and `event` tells what is known of it."),
        ],
        within: MOMENT,
        handler: |verb| on(verb, show),
    },
];

/// A page of outcomes.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Outcomes")]
pub struct Page {
    /// Newest first, without their histories.
    pub outcomes: Vec<View>,
    /// Where to go on (`cursor`); null when there are no more.
    pub next: Option<String>,
}

/// What is known of an event.
#[derive(Clone, PartialEq, Debug)]
pub enum Known {
    /// What became of it, as `GET /api/v1/outcomes/{organization}/{event_id}` answers.
    Ended(Value),
    /// It has no outcome yet.
    Unfinished(Unfinished),
}

/// Those that match, newest first, a page at a time.
async fn list(State(parts): State<Arc<Parts>>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    find(&*parts.store, query.as_deref().unwrap_or_default()).await.map(Json)
}

/// One event's, with its history.
async fn show(
    State(parts): State<Arc<Parts>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path((organization, event_id)) = path?;
    let key = EventKey { organization_id: OrganizationId::from(organization), event_id: EventId::from(event_id) };
    one(&*parts.store, &key).await.map(Json)
}

/// What `GET /api/v1/outcomes?<query>` answers: also for the command line, when no worker runs.
pub async fn find(store: &dyn Store, query: &str) -> Result<Value, Problem> {
    let query = Query::parse(query)?;
    let page = store.outcomes(&query.filter, query.cursor.as_ref(), query.limit).await.map_err(|error| away(&error))?;
    let shown = page.found.iter().filter_map(|found| view(&found.key, &found.record, WithHistory::No));
    let outcomes: Vec<Value> = shown.collect();
    let next = page.next.map(|cursor| cursor.0);
    Ok(json!({ "outcomes": outcomes, "next": next }))
}

/// What `GET /api/v1/outcomes/{organization}/{event_id}` answers.
pub async fn one(store: &dyn Store, key: &EventKey) -> Result<Value, Problem> {
    match known(store, key).await? {
        Some(Known::Ended(outcome)) => Ok(outcome),
        Some(Known::Unfinished(event)) => {
            Err(Problem::not_found(in_words(event.status).to_owned()).with("event", json!(event)))
        }
        None => {
            let detail = format!("no event {:?} of organization {:?} is remembered", key.event_id, key.organization_id);
            Err(Problem::not_found(detail))
        }
    }
}

/// What is known of an event, ended or not.
pub async fn known(store: &dyn Store, key: &EventKey) -> Result<Option<Known>, Problem> {
    let Some(record) = store.record(key).await.map_err(|error| away(&error))? else { return Ok(None) };
    let ended = view(key, &record, WithHistory::Yes).map(Known::Ended);
    Ok(ended.or_else(|| unfinished(key, &record).map(Known::Unfinished)))
}

fn in_words(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting => "the event has no outcome yet: it waits in a retry queue",
        Standing::InHand => "the event has no outcome yet: it is being worked",
    }
}

fn away(error: &StoreError) -> Problem {
    if let StoreError::Cursor(_) = error {
        return Problem::bad_request(error.to_string());
    }
    tracing::warn!(error = error as &dyn std::error::Error, "the store could not answer an operator");
    Problem::unavailable(error.to_string())
}
