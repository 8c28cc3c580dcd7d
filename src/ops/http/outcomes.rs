//! `GET /api/v1/outcomes` and one of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use serde_json::{Value, json};

use super::Parts;
use super::problem::Problem;
use super::query::Query;
use crate::event::{EventId, EventKey, OrganizationId};
use crate::machine::Phase;
use crate::machine::view::{WithHistory, view};
use crate::store::{Store, StoreError};

/// Those that match, newest first, a page at a time.
pub(super) async fn list(State(parts): State<Arc<Parts>>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    find(&*parts.store, query.as_deref().unwrap_or_default()).await.map(Json)
}

/// One event's, with its history.
pub(super) async fn show(
    State(parts): State<Arc<Parts>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path((organization, event_id)) =
        path.map_err(|_| Problem::bad_request("expected ids as percent-encoded UTF-8".to_owned()))?;
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
    let Some(record) = store.record(key).await.map_err(|error| away(&error))? else {
        let detail = format!("no event {:?} of organization {:?} is remembered", key.event_id, key.organization_id);
        return Err(Problem::not_found(detail));
    };
    match view(key, &record, WithHistory::Yes) {
        Some(outcome) => Ok(outcome),
        None => Err(Problem::not_found(unfinished(&record.phase).to_owned())),
    }
}

fn unfinished(phase: &Phase) -> &'static str {
    match phase {
        Phase::Waiting => "the event has no outcome yet: it waits in a retry queue",
        _ => "the event has no outcome yet: it is being worked",
    }
}

fn away(error: &StoreError) -> Problem {
    tracing::warn!(error = error as &dyn std::error::Error, "the store could not answer an operator");
    Problem::unavailable(error.to_string())
}
