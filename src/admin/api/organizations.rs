//! `/api/v1/organizations`: how they stand, their test, a pause, and those that are kept in the store.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::on;
use handoffd_engine::event::OrganizationId;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::Parts;
use super::parameter::{Kind, Parameter, in_path};
use super::problem::Problem;
use super::route::{Answer, Link, MOMENT, PATIENCE, Route, Verb, schema};
use crate::admin::deps::{OrganizationError, OrganizationView, TestReport};

const ID: &[Parameter] = &[in_path("id", Kind::Text, "OpenCX's id of it.").such_as("org_acme")];
const UNKNOWN: (u16, &str) = (404, "No organization has this id.");
const NO_TEXT: (u16, &str) = (400, "The id is no percent-encoded UTF-8.");
const NOT_SO: (u16, &str) = (409, "It can't be done as things are; the problem says why.");

pub(super) const ROUTES: [Route; 7] = [
    Route {
        verb: Verb::Get,
        path: "/api/v1/organizations",
        name: "listOrganizations",
        summary: "Which organizations there are, and how each stands.",
        parameters: &[],
        body: None,
        answers: &[Answer::new(200, "All of them, by id.", schema::<List>).leading_to(&[Link {
            to: "showOrganization",
            with: &[("id", "$response.body#/organizations/0/organization_id")],
        }])],
        problems: &[],
        within: MOMENT,
        handler: |verb| on(verb, list),
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/organizations/{id}",
        name: "showOrganization",
        summary: "How one organization stands.",
        parameters: &[ID],
        body: None,
        answers: &[Answer::new(200, "How it stands.", schema::<OrganizationView>)],
        problems: &[NO_TEXT, UNKNOWN],
        within: MOMENT,
        handler: |verb| on(verb, show),
    },
    Route {
        verb: Verb::Put,
        path: "/api/v1/organizations/{id}",
        name: "saveOrganization",
        summary: "Tests what an organization's file would say, as JSON, and saves it only if the test passes.",
        parameters: &[ID],
        body: Some(schema::<Document>),
        answers: &[Answer::new(200, "It passed, and is saved; the secret encrypted.", schema::<TestReport>)],
        problems: &[NOT_SO, (422, "Its test failed, and nothing was saved: `report` says what failed and what to do.")],
        within: PATIENCE,
        handler: |verb| on(verb, save),
    },
    Route {
        verb: Verb::Delete,
        path: "/api/v1/organizations/{id}",
        name: "deleteOrganization",
        summary: "Removes one that was saved so. Its events become dead letters, replayable once it is back.",
        parameters: &[ID],
        body: None,
        answers: &[Answer::empty(204, "It is gone.")],
        problems: &[NO_TEXT, UNKNOWN, NOT_SO],
        within: MOMENT,
        handler: |verb| on(verb, delete),
    },
    Route {
        verb: Verb::Post,
        path: "/api/v1/organizations/{id}/test",
        name: "testOrganization",
        summary: "Does what `Test & Save` does, and goes on; changes nothing.",
        parameters: &[ID],
        body: None,
        answers: &[Answer::new(200, "What was found, passed or not.", schema::<TestReport>)],
        problems: &[NO_TEXT, UNKNOWN, NOT_SO],
        within: PATIENCE,
        handler: |verb| on(verb, test),
    },
    Route {
        verb: Verb::Post,
        path: "/api/v1/organizations/{id}/pause",
        name: "pauseOrganization",
        summary: "Its events wait until it is resumed, over restarts too.",
        parameters: &[ID],
        body: None,
        answers: &[Answer::new(200, "How it stands now.", schema::<OrganizationView>)],
        problems: &[NO_TEXT, UNKNOWN, NOT_SO],
        within: MOMENT,
        handler: |verb| on(verb, pause),
    },
    Route {
        verb: Verb::Post,
        path: "/api/v1/organizations/{id}/resume",
        name: "resumeOrganization",
        summary: "Ends a pause.",
        parameters: &[ID],
        body: None,
        answers: &[Answer::new(200, "How it stands now.", schema::<OrganizationView>)],
        problems: &[NO_TEXT, UNKNOWN, NOT_SO],
        within: MOMENT,
        handler: |verb| on(verb, resume),
    },
];

/// All organizations.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Organizations")]
struct List {
    /// By id.
    organizations: Vec<OrganizationView>,
}

/// An organization's file as a JSON object; docs/CONFIGURATION.md has its keys. `client_secret` is the secret itself.
#[derive(JsonSchema)]
#[schemars(
    rename = "OrganizationDocument",
    extend("type" = "object", "properties" = json!({ "client_secret": { "type": "string", "writeOnly": true } }))
)]
struct Document(#[allow(dead_code)] Value);

type Id = Result<Path<String>, PathRejection>;

async fn list(State(parts): State<Arc<Parts>>) -> Json<List> {
    Json(List { organizations: parts.organizations.list().await })
}

async fn show(State(parts): State<Arc<Parts>>, id: Id) -> Result<Json<OrganizationView>, Problem> {
    let id = read(id)?;
    let all = parts.organizations.list().await;
    let found = all.into_iter().find(|view| view.organization_id == id.as_str());
    found.map(Json).ok_or_else(|| OrganizationError::Unknown(id).into())
}

async fn test(State(parts): State<Arc<Parts>>, id: Id) -> Result<Json<TestReport>, Problem> {
    Ok(Json(parts.organizations.test(&read(id)?).await?))
}

async fn pause(State(parts): State<Arc<Parts>>, id: Id) -> Result<Json<OrganizationView>, Problem> {
    Ok(Json(parts.organizations.pause(&read(id)?).await?))
}

async fn resume(State(parts): State<Arc<Parts>>, id: Id) -> Result<Json<OrganizationView>, Problem> {
    Ok(Json(parts.organizations.resume(&read(id)?).await?))
}

async fn save(
    State(parts): State<Arc<Parts>>,
    id: Id,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Json<TestReport>, Problem> {
    let (id, Json(document)) = (read(id)?, body?);
    if !document.is_object() {
        return Err(Problem::bad_request("expected an object with the keys of an organization's file".to_owned()));
    }
    Ok(Json(parts.organizations.save(&id, document).await?))
}

async fn delete(State(parts): State<Arc<Parts>>, id: Id) -> Result<StatusCode, Problem> {
    parts.organizations.delete(&read(id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn read(id: Id) -> Result<OrganizationId, Problem> {
    let Path(id) = id?;
    Ok(OrganizationId::from(id))
}

impl From<OrganizationError> for Problem {
    fn from(error: OrganizationError) -> Self {
        let detail = error.to_string();
        match error {
            OrganizationError::Unknown(_) => Self::not_found(detail),
            OrganizationError::Invalid(_) => Self::bad_request(detail),
            OrganizationError::Untested(report) => Self::unprocessable(detail).with("report", json!(report)),
            OrganizationError::Refused(_) => Self::conflict(detail),
            OrganizationError::Store(_) => Self::unavailable(detail),
        }
    }
}
