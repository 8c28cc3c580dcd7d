//! `/api/v1/dead-letters` and `/api/v1/jobs`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use handoffd_engine::dead_letters::{Action, DeadLetterEntry, LetterChange, RunMode, SelectionText};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::array::array;
use super::groups::{GroupList, groups};
use super::jobs::JobView;
use super::parameters::{PARAMETERS, WAIT, listed, required, waits};
use crate::admin::api::json_object::JsonObject;
use crate::admin::api::parameter::{Parameter, ParameterType, guid, in_path, in_query, read};
use crate::admin::api::route::{AnswerSpec, ApiRoute, DEFAULT_TIMEOUT, HttpVerb, RouteLink, schema};
use crate::admin::api::{ApiState, Problem};

/// Full messages in one response; each may have a body of one megabyte.
const MOST_SHOWN: usize = 10;

const LETTER: &[Parameter] = &[in_path("id", ParameterType::Text, "`letter_id`, or event ID.")];
const OF: &[Parameter] = &[in_query("organization", ParameterType::Text, "Filter by organization.")];
const JOB: &[Parameter] = &[in_path("id", ParameterType::Guid, "Job ID.")];

const IN_USE: (u16, &str) = (409, "Another operator is accessing the dead letters.");
const BAD_PARAMETER: (u16, &str) = (400, "Invalid parameter.");
const ENTRIES: AnswerSpec =
    AnswerSpec::new(200, "Result for each matching dead letter.", schema::<Vec<DeadLetterEntry>>);
const SHOWN: AnswerSpec = AnswerSpec::new(
    200,
    "At most ten dead letters, each with `properties`, `headers`, and `body` (JSON or text) or `body_base64`; also \
     `replaced_body` if a patch replaced the body.",
    schema::<Vec<DeadLetterEntry>>,
);
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
            .leading_to(&[RouteLink { to: "showDeadLetter", with: &[("id", "$response.body#/0/letter_id")] }])],
        problems: &[BAD_PARAMETER, IN_USE],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, list),
    },
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/dead-letters/groups",
        name: "groupDeadLetters",
        summary: "Counts dead letters by reason, organization and error; the handle of a group selects its dead letters.",
        parameters: &[PARAMETERS],
        body: None,
        answers: &[AnswerSpec::new(200, "Groups, largest first.", schema::<GroupList>)],
        problems: &[BAD_PARAMETER, IN_USE],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, groups),
    },
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/dead-letters/{id}",
        name: "showDeadLetter",
        summary: "Shows one dead letter, or those of one event, in full: properties, headers and the body, which is CUSTOMER TEXT.",
        parameters: &[LETTER, OF],
        body: None,
        answers: &[SHOWN],
        problems: &[BAD_PARAMETER, (404, "No such dead letter."), IN_USE],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, show),
    },
    ApiRoute {
        verb: HttpVerb::Post,
        path: "/api/v1/dead-letters/replay",
        name: "replayDeadLetters",
        summary: "Replays dead letters: each is processed again from the start and never creates duplicates.",
        parameters: &[WAIT],
        body: Some(schema::<SelectionText>),
        answers: &[ENTRIES, ACCEPTED],
        problems: &[IN_USE, (429, "Too many jobs in progress.")],
        within: DEFAULT_TIMEOUT,
        handler: |verb| {
            on(verb, |state, query, headers, given| change(LetterChange::Replay, state, query, headers, given))
        },
    },
    ApiRoute {
        verb: HttpVerb::Post,
        path: "/api/v1/dead-letters/discard",
        name: "discardDeadLetters",
        summary: "Permanently deletes dead letters.",
        parameters: &[WAIT],
        body: Some(schema::<SelectionText>),
        answers: &[ENTRIES, ACCEPTED],
        problems: &[IN_USE, (429, "Too many jobs in progress.")],
        within: DEFAULT_TIMEOUT,
        handler: |verb| {
            on(verb, |state, query, headers, given| change(LetterChange::Discard, state, query, headers, given))
        },
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

type Given = Result<Json<JsonObject<SelectionText>>, JsonRejection>;
type GivenId = Result<Path<String>, PathRejection>;

async fn list(State(parts): State<Arc<ApiState>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (selection, limit) = listed(query.as_deref().unwrap_or_default())?;
    array(parts.letters.list(selection, limit).await?).await
}

async fn show(
    State(parts): State<Arc<ApiState>>,
    id: GivenId,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<DeadLetterEntry>>, Problem> {
    let Path(id) = id?;
    let organization = read(query.as_deref().unwrap_or_default(), OF)?.pop().map(|(_, value)| value.trim().to_owned());
    let mut text = SelectionText { organization, ..SelectionText::default() };
    text.add_id(id.clone());
    let found = parts.letters.collect(required(&text)?, Action::Show, MOST_SHOWN).await?;
    if found.entries.is_empty() {
        return Err(Problem::not_found(format!("no dead letter with this letter ID or event ID: {id:?}")));
    }
    Ok(Json(found.entries))
}

/// Replays or discards, and responds with the results, or with a job that goes on in the background.
async fn change(
    change: LetterChange,
    State(parts): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    given: Given,
) -> Result<Response, Problem> {
    let waits = waits(query.as_deref().unwrap_or_default(), &headers)?;
    let Json(JsonObject(text)) = given?;
    let (selection, mode) = (required(&text)?, RunMode::of(text.dry_run));
    if waits {
        return array(parts.letters.change(selection, change, mode)?).await;
    }
    let job = parts.letters.start(selection, change, mode)?;
    let place = [(header::LOCATION, format!("/api/v1/jobs/{}", job.id))];
    Ok((StatusCode::ACCEPTED, place, Json(job)).into_response())
}

async fn jobs(State(parts): State<Arc<ApiState>>) -> Json<JobList> {
    Json(JobList { jobs: parts.letters.jobs.list() })
}

async fn job(State(parts): State<Arc<ApiState>>, id: GivenId) -> Result<Json<JobView>, Problem> {
    let id = guid("id", &id?.0)?;
    parts.letters.jobs.get(id).map(Json).ok_or_else(|| no_such_job(id))
}

async fn stop(State(parts): State<Arc<ApiState>>, id: GivenId) -> Result<Json<JobView>, Problem> {
    let id = guid("id", &id?.0)?;
    parts.letters.jobs.remove(id).await.map(Json).ok_or_else(|| no_such_job(id))
}

fn no_such_job(id: Uuid) -> Problem {
    Problem::not_found(format!("no record of job {id}; only the last 20 jobs since the worker's start are kept"))
}
