//! `/api/v1/dead-letters` and `/api/v1/jobs`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use handoffd_engine::dead_letters::{Action, DeadLetterEntry, Selection};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::desk::WaitMode;
use super::jobs::{JobAction, JobView};
use super::requests::{DeadLetterRequest, PARAMETERS, WAIT, listed, truth};
use super::stream::{AnswerChunks, pair};
use crate::admin::api::parameter::{Parameter, ParameterType, in_path, in_query, read};
use crate::admin::api::route::{AnswerSpec, ApiRoute, DEFAULT_TIMEOUT, HttpVerb, RouteLink, schema};
use crate::admin::api::{ApiState, Problem};

/// Full messages in one response; each may have a body of one megabyte.
const MOST_SHOWN: usize = 10;

const EVENT: &[Parameter] = &[in_path("event_id", ParameterType::Text, "Event ID.")];
const OF: &[Parameter] = &[in_query("organization", ParameterType::Text, "Filter by organization.")];
const JOB: &[Parameter] = &[in_path("id", ParameterType::Guid, "Job ID.")];

const IN_USE: (u16, &str) = (409, "Another operator is accessing the dead letters.");
const BAD_PARAMETER: (u16, &str) = (400, "Invalid parameter.");
const ENTRIES: AnswerSpec =
    AnswerSpec::new(200, "Result for each matching dead letter.", schema::<Vec<DeadLetterEntry>>);
const ACCEPTED: AnswerSpec =
    AnswerSpec::new(202, "Started a background job; `Location` is its address.", schema::<JobView>).leading_to(&[
        RouteLink { to: "showJob", with: &[("id", "$response.body#/id")] },
        RouteLink { to: "stopJob", with: &[("id", "$response.body#/id")] },
    ]);
const UNKNOWN_JOB: (u16, &str) = (404, "No such job; old jobs are forgotten.");

/// Routes for dead letters and jobs.
pub const ROUTES: [ApiRoute; 8] = [
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/dead-letters",
        name: "listDeadLetters",
        summary: "Lists dead letters, oldest first: IDs, reasons, times; no customer text.",
        parameters: &[PARAMETERS],
        body: None,
        answers: &[AnswerSpec::new(200, "Matching dead letters.", schema::<Vec<DeadLetterEntry>>)
            .leading_to(&[RouteLink { to: "showDeadLetter", with: &[("event_id", "$response.body#/0/event_id")] }])],
        problems: &[BAD_PARAMETER, IN_USE],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, list),
    },
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/dead-letters/{event_id}",
        name: "showDeadLetter",
        summary: "Shows the dead letters of one event in full: properties, headers and the body, which is CUSTOMER TEXT.",
        parameters: &[EVENT, OF],
        body: None,
        answers: &[AnswerSpec::new(200, "At most ten dead letters.", whole_letters)],
        problems: &[BAD_PARAMETER, (404, "No dead letter of this event."), IN_USE],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, show),
    },
    ApiRoute {
        verb: HttpVerb::Post,
        path: "/api/v1/dead-letters/show",
        name: "showDeadLetters",
        summary: "Shows selected dead letters in full, including those without a readable event ID.",
        parameters: &[],
        body: Some(schema::<DeadLetterRequest>),
        answers: &[AnswerSpec::new(200, "First ten matching dead letters.", whole_letters)],
        problems: &[IN_USE],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, show_selected),
    },
    ApiRoute {
        verb: HttpVerb::Post,
        path: "/api/v1/dead-letters/replay",
        name: "replayDeadLetters",
        summary: "Replays dead letters: each is processed again from the start and never creates duplicates.",
        parameters: &[WAIT],
        body: Some(schema::<DeadLetterRequest>),
        answers: &[ENTRIES, ACCEPTED],
        problems: &[IN_USE, (429, "Too many jobs in progress.")],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, replay),
    },
    ApiRoute {
        verb: HttpVerb::Post,
        path: "/api/v1/dead-letters/discard",
        name: "discardDeadLetters",
        summary: "Permanently deletes dead letters.",
        parameters: &[WAIT],
        body: Some(schema::<DeadLetterRequest>),
        answers: &[ENTRIES, ACCEPTED],
        problems: &[IN_USE, (429, "Too many jobs in progress.")],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, discard),
    },
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/jobs",
        name: "listJobs",
        summary: "Lists running and recently finished jobs, newest first, without their results.",
        parameters: &[],
        body: None,
        answers: &[AnswerSpec::new(200, "Known jobs; a restart forgets them.", schema::<JobList>)
            .leading_to(&[RouteLink { to: "showJob", with: &[("id", "$response.body#/jobs/0/id")] }])],
        problems: &[],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, jobs),
    },
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/jobs/{id}",
        name: "showJob",
        summary: "Shows the progress and the results of a job.",
        parameters: &[JOB],
        body: None,
        answers: &[AnswerSpec::new(200, "State of the job.", schema::<JobView>)],
        problems: &[(400, "The ID is not a GUID."), UNKNOWN_JOB],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, job),
    },
    ApiRoute {
        verb: HttpVerb::Delete,
        path: "/api/v1/jobs/{id}",
        name: "stopJob",
        summary: "Stops a running job after its current dead letters, and forgets it.",
        parameters: &[JOB],
        body: None,
        answers: &[AnswerSpec::new(200, "Final state of the job.", schema::<JobView>)],
        problems: &[(400, "The ID is not a GUID."), UNKNOWN_JOB],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, stop),
    },
];

/// All known jobs.
#[derive(Debug, Serialize, JsonSchema)]
struct JobList {
    /// Jobs, newest first.
    jobs: Vec<JobView>,
}

type JobPath = Result<Json<DeadLetterRequest>, JsonRejection>;
type JobIdPath = Result<Path<String>, PathRejection>;

async fn list(State(parts): State<Arc<ApiState>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (selection, limit) = listed(query.as_deref().unwrap_or_default())?;
    stream(&parts, selection, Action::List, limit.unwrap_or(usize::MAX)).await
}

async fn show(
    State(parts): State<Arc<ApiState>>,
    event_id: JobIdPath,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<Map<String, Value>>>, Problem> {
    let Path(event_id) = event_id?;
    let organization = read(query.as_deref().unwrap_or_default(), OF)?.pop().map(|(_, value)| value);
    let selection = Selection { ids: vec![event_id.clone()], organization, ..Selection::default() };
    let found = parts.letters.collect(selection, Action::Show, MOST_SHOWN).await?;
    if found.shown.is_empty() {
        return Err(Problem::not_found(format!("no dead letter of event {event_id:?}")));
    }
    Ok(Json(found.shown))
}

async fn show_selected(
    State(parts): State<Arc<ApiState>>,
    given: JobPath,
) -> Result<Json<Vec<Map<String, Value>>>, Problem> {
    let Json(request) = given?;
    let found = parts.letters.collect(request.selection()?, Action::Show, MOST_SHOWN).await?;
    Ok(Json(found.shown))
}

async fn replay(
    State(parts): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    given: JobPath,
) -> Result<Response, Problem> {
    act(&parts, JobAction::Replay, waits(query.as_deref(), &headers)?, given).await
}

async fn discard(
    State(parts): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    given: JobPath,
) -> Result<Response, Problem> {
    act(&parts, JobAction::Discard, waits(query.as_deref(), &headers)?, given).await
}

async fn jobs(State(parts): State<Arc<ApiState>>) -> Json<JobList> {
    Json(JobList { jobs: parts.letters.jobs.list() })
}

async fn job(State(parts): State<Arc<ApiState>>, id: JobIdPath) -> Result<Json<JobView>, Problem> {
    let id = guid(id)?;
    parts.letters.jobs.get(id).map(Json).ok_or_else(|| no_such_job(id))
}

async fn stop(State(parts): State<Arc<ApiState>>, id: JobIdPath) -> Result<Json<JobView>, Problem> {
    let id = guid(id)?;
    parts.letters.jobs.remove(id).await.map(Json).ok_or_else(|| no_such_job(id))
}

/// Mode of an action: the response carries its results, or a job runs in the background.
enum ResponseMode {
    Here,
    Elsewhere,
}

async fn act(parts: &ApiState, action: JobAction, waits: ResponseMode, given: JobPath) -> Result<Response, Problem> {
    let Json(request) = given?;
    let (selection, effect) = (request.selection()?, request.effect());
    if let ResponseMode::Elsewhere = waits {
        let job = parts.letters.start(selection, action, effect)?;
        let place = [(header::LOCATION, format!("/api/v1/jobs/{}", job.id))];
        return Ok((StatusCode::ACCEPTED, place, Json(job)).into_response());
    }
    let action = match action {
        JobAction::Replay => Action::Replay(effect),
        JobAction::Discard => Action::Discard(effect),
    };
    stream(parts, selection, action, usize::MAX).await
}

async fn stream(parts: &ApiState, selection: Selection, action: Action, limit: usize) -> Result<Response, Problem> {
    let stop = parts.letters.stop();
    let (writer, chunks) = pair(&stop, limit);
    let look = parts.letters.begin(selection, action, writer, stop.clone(), WaitMode::Short);
    AnswerChunks::new(look, chunks, stop).answer().await
}

fn waits(query: Option<&str>, headers: &HeaderMap) -> Result<ResponseMode, Problem> {
    let prefers = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut elsewhere = prefers.flat_map(|value| value.split(',')).any(|value| value.trim() == "respond-async");
    for (name, value) in read(query.unwrap_or_default(), &WAIT[..1])? {
        elsewhere = !truth(name, &value)?;
    }
    Ok(if elsewhere { ResponseMode::Elsewhere } else { ResponseMode::Here })
}

fn guid(id: JobIdPath) -> Result<Uuid, Problem> {
    let Path(id) = id?;
    crate::admin::api::parameter::guid("id", &id)
}

fn no_such_job(id: Uuid) -> Problem {
    Problem::not_found(format!("no record of job {id}; only the last 20 jobs since the worker's start are kept"))
}

/// Returns the schema of the output of `dead-letters show --json`.
fn whole_letters(generator: &mut SchemaGenerator) -> Schema {
    let entry = generator.subschema_for::<DeadLetterEntry>();
    json_schema!({
        "type": "array",
        "items": { "allOf": [entry, {
            "type": "object",
            "description": "Has `properties`, `headers`, and `body` (JSON or text) or `body_base64`; also `replaced_body` if a patch replaced the body.",
            "properties": {
                "properties": { "type": "object" },
                "headers": { "type": "object" },
                "body_base64": { "type": "string" },
                "replaced_body_base64": { "type": "string" },
            },
        }] },
    })
}
