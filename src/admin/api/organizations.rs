//! `/api/v1/organizations`: state, test, pause and resume; organizations saved in the store.

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

use super::parameter::{Parameter, ParameterType, in_path};
use super::problem::Problem;
use super::requester::audit;
use super::route::{AnswerSpec, ApiRoute, DEFAULT_TIMEOUT, HttpVerb, LONG_TIMEOUT, RouteLink, schema};
use super::state::ApiState;
use crate::admin::audit::AuditAction;
use crate::organizations::{OrganizationError, OrganizationView, TestReport};

const ID: &[Parameter] = &[in_path("id", ParameterType::Text, "OpenCX's ID of the organization.").such_as("org_acme")];
const UNKNOWN: (u16, &str) = (404, "No organization has this ID.");
const NO_TEXT: (u16, &str) = (400, "The ID is not percent-encoded UTF-8.");
const NOT_SO: (u16, &str) = (409, "Conflict with the current state; `detail` gives the reason.");

pub(super) const ROUTES: [ApiRoute; 7] = [
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/organizations",
        name: "listOrganizations",
        summary: "Lists the organizations with their states.",
        parameters: &[],
        body: None,
        answers: &[AnswerSpec::new(200, "All organizations, by ID.", schema::<OrganizationList>).leading_to(&[
            RouteLink { to: "showOrganization", with: &[("id", "$response.body#/organizations/0/organization_id")] },
        ])],
        problems: &[],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, list),
    },
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/organizations/{id}",
        name: "showOrganization",
        summary: "Shows the state of one organization.",
        parameters: &[ID],
        body: None,
        answers: &[AnswerSpec::new(200, "State of the organization.", schema::<OrganizationView>)],
        problems: &[NO_TEXT, UNKNOWN],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, show),
    },
    ApiRoute {
        verb: HttpVerb::Put,
        path: "/api/v1/organizations/{id}",
        name: "saveOrganization",
        summary: "Tests an organization's settings, given as JSON with the keys of its file, and saves them only if the test passes.",
        parameters: &[ID],
        body: Some(schema::<OrganizationDocument>),
        answers: &[AnswerSpec::new(
            200,
            "Test passed; settings saved, with the secret encrypted.",
            schema::<TestReport>,
        )],
        problems: &[NOT_SO, (422, "Test failed and nothing was saved; `report` lists the failures with advice.")],
        within: LONG_TIMEOUT,
        handler: |verb| on(verb, save),
    },
    ApiRoute {
        verb: HttpVerb::Delete,
        path: "/api/v1/organizations/{id}",
        name: "deleteOrganization",
        summary: "Deletes a saved organization. Its events become dead letters; replay them after it is added again.",
        parameters: &[ID],
        body: None,
        answers: &[AnswerSpec::empty(204, "Deleted.")],
        problems: &[NO_TEXT, UNKNOWN, NOT_SO],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, delete),
    },
    ApiRoute {
        verb: HttpVerb::Post,
        path: "/api/v1/organizations/{id}/test",
        name: "testOrganization",
        summary: "Runs the `Test & Save` checks, then further checks. Unblocks a blocked organization if all pass; changes nothing else.",
        parameters: &[ID],
        body: None,
        answers: &[AnswerSpec::new(200, "Report of the test, passed or failed.", schema::<TestReport>)],
        problems: &[NO_TEXT, UNKNOWN, NOT_SO],
        within: LONG_TIMEOUT,
        handler: |verb| on(verb, test),
    },
    ApiRoute {
        verb: HttpVerb::Post,
        path: "/api/v1/organizations/{id}/pause",
        name: "pauseOrganization",
        summary: "Holds the organization's events until it is resumed, across restarts.",
        parameters: &[ID],
        body: None,
        answers: &[AnswerSpec::new(200, "New state of the organization.", schema::<OrganizationView>)],
        problems: &[NO_TEXT, UNKNOWN, NOT_SO],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, pause),
    },
    ApiRoute {
        verb: HttpVerb::Post,
        path: "/api/v1/organizations/{id}/resume",
        name: "resumeOrganization",
        summary: "Ends a pause.",
        parameters: &[ID],
        body: None,
        answers: &[AnswerSpec::new(200, "New state of the organization.", schema::<OrganizationView>)],
        problems: &[NO_TEXT, UNKNOWN, NOT_SO],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, resume),
    },
];

/// All organizations.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Organizations")]
struct OrganizationList {
    /// Organizations, by ID.
    organizations: Vec<OrganizationView>,
}

/// Settings of an organization: a JSON object with the keys of its file (docs/CONFIGURATION.md). `client_secret` is the
/// secret itself; in its place, `client_certificate` is PEM of a certificate and its RSA key.
#[derive(JsonSchema)]
#[schemars(
    rename = "OrganizationDocument",
    extend("type" = "object", "properties" = json!({
        "client_secret": { "type": "string", "writeOnly": true },
        "client_certificate": { "type": "string", "writeOnly": true },
    }))
)]
struct OrganizationDocument(#[allow(dead_code)] Value);

type OrganizationIdPath = Result<Path<String>, PathRejection>;

async fn list(State(parts): State<Arc<ApiState>>) -> Json<OrganizationList> {
    Json(OrganizationList { organizations: parts.organizations.list().await })
}

async fn show(State(parts): State<Arc<ApiState>>, id: OrganizationIdPath) -> Result<Json<OrganizationView>, Problem> {
    let id = read(id)?;
    let all = parts.organizations.list().await;
    let found = all.into_iter().find(|view| view.organization_id == id.as_str());
    found.map(Json).ok_or_else(|| OrganizationError::Unknown(id).into())
}

async fn test(State(parts): State<Arc<ApiState>>, id: OrganizationIdPath) -> Result<Json<TestReport>, Problem> {
    Ok(Json(parts.organizations.test(&read(id)?, Arc::new(|_| ())).await?))
}

async fn pause(State(parts): State<Arc<ApiState>>, id: OrganizationIdPath) -> Result<Json<OrganizationView>, Problem> {
    let id = read(id)?;
    let view = parts.organizations.pause(&id).await?;
    audit(AuditAction::Pause, id.as_str(), 1);
    Ok(Json(view))
}

async fn resume(State(parts): State<Arc<ApiState>>, id: OrganizationIdPath) -> Result<Json<OrganizationView>, Problem> {
    let id = read(id)?;
    let view = parts.organizations.resume(&id).await?;
    audit(AuditAction::Resume, id.as_str(), 1);
    Ok(Json(view))
}

async fn save(
    State(parts): State<Arc<ApiState>>,
    id: OrganizationIdPath,
    body: Result<Json<Value>, JsonRejection>,
) -> Result<Json<TestReport>, Problem> {
    let (id, Json(document)) = (read(id)?, body?);
    if !document.is_object() {
        return Err(Problem::bad_request(
            "invalid body; expected an object with the keys of an organization's file".to_owned(),
        ));
    }
    let report = parts.organizations.save(&id, document).await?;
    audit(AuditAction::Save, id.as_str(), 1);
    Ok(Json(report))
}

async fn delete(State(parts): State<Arc<ApiState>>, id: OrganizationIdPath) -> Result<StatusCode, Problem> {
    let id = read(id)?;
    parts.organizations.delete(&id).await?;
    audit(AuditAction::Delete, id.as_str(), 1);
    Ok(StatusCode::NO_CONTENT)
}

fn read(id: OrganizationIdPath) -> Result<OrganizationId, Problem> {
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
