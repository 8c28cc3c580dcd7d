//! `/api/v1/events` and `/api/v1/why/{id}`: what is known of events, finished or not.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::on;
use handoffd_engine::event::EventKey;
use handoffd_engine::ports::store::Cursor;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::dead_letters::DeadLetterService;
use super::json_object::JsonObject;
use super::page_cursor::TimeLimits;
use super::parameter::{Parameter, ParameterType, count, expected, in_path, in_query, read};
use super::problem::Problem;
use super::requester::{Permission, Requester, require};
use super::route::{AnswerSpec, ApiRoute, DEFAULT_TIMEOUT, HttpVerb, schema};
use super::state::ApiState;
use crate::admin::events::{
    DiscardedEvent, EventAnswer, EventFilter, EventPage, EventSources, EventState, Found, LetterMatches, LetterSearch,
    Surroundings, browse, find, record_discards,
};
use crate::organizations::OrganizationView;

/// Default number of events on a page.
const DEFAULT_LIMIT: usize = 50;
/// Highest number of events on a page.
const MAX_LIMIT: usize = 500;
/// Longest search of the dead letters.
const SEARCH: Duration = Duration::from_secs(10);
/// Most events in one report of discards.
pub const MOST_DISCARDED: usize = 500;

const STATES: [&str; EventState::ALL.len()] = {
    let mut names = [""; EventState::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = EventState::ALL[at].as_str();
        at += 1;
    }
    names
};

const ID: &[Parameter] = &[in_path(
    "id",
    ParameterType::Text,
    "Event ID, `organization/event ID`, session ID, incident ID, ticket number, chat ID, or a request ID of Dynamics; or the \
     first four or more characters of one.",
)
.such_as("evt_01JDA7")];

const PARAMETERS: &[Parameter] = &[
    in_query("state", ParameterType::Word(&STATES), "Filter by state."),
    in_query("organization", ParameterType::Text, "Filter by organization."),
    in_query("session", ParameterType::Text, "Filter by session."),
    in_query("id", ParameterType::Text, "Filter by an ID of any kind, or its beginning, as in `/api/v1/why/{id}`."),
    in_query("after", ParameterType::Time, "Only events received or finished at or after this time."),
    in_query("before", ParameterType::Time, "Only events received or finished before this time."),
    in_query("limit", ParameterType::Count(MAX_LIMIT), "Maximum number of events; default 50."),
    in_query("cursor", ParameterType::Text, "Position to continue from: `next` of the previous page."),
];

pub(super) const ROUTES: [ApiRoute; 3] = [
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/events",
        name: "listEvents",
        summary: "Lists events in every state, newest first, in pages.",
        parameters: &[PARAMETERS],
        body: None,
        answers: &[AnswerSpec::new(200, "Matching events and the position of the next page.", schema::<EventListing>)],
        problems: &[(400, "Invalid parameter.")],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, list),
    },
    ApiRoute {
        verb: HttpVerb::Get,
        path: "/api/v1/why/{id}",
        name: "why",
        summary: "Finds events by an ID of any kind: state, location, reason, next attempt, advice.",
        parameters: &[ID],
        body: None,
        answers: &[AnswerSpec::new(200, "Events found; none if nothing is known.", schema::<WhyAnswer>)],
        problems: &[(400, "The ID is not percent-encoded UTF-8.")],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, why),
    },
    ApiRoute {
        verb: HttpVerb::Post,
        path: "/api/v1/events/discarded",
        name: "reportDiscards",
        summary: "Records in the histories of events that a command has discarded their dead letters.",
        parameters: &[],
        body: Some(schema::<DiscardReport>),
        answers: &[AnswerSpec::empty(204, "Recorded.")],
        problems: &[],
        within: DEFAULT_TIMEOUT,
        handler: |verb| on(verb, discarded),
    },
];

/// Page of events.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Events")]
pub struct EventListing {
    /// Events, newest first.
    pub events: Vec<EventAnswer>,
    /// Position to continue from (`cursor`); null on the last page.
    pub next: Option<String>,
}

/// Answer of `why`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Why")]
pub struct WhyAnswer {
    /// ID as given.
    pub id: String,
    /// Events found, newest first.
    pub found: Vec<EventAnswer>,
    /// Reasons why the answer may be incomplete; absent if it is complete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("minItems" = 1))]
    pub incomplete: Vec<String>,
}

/// Discards of a command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DiscardReport {
    /// Events whose dead letters were discarded, at most 500.
    #[schemars(with = "Vec<DiscardedEvent>")]
    events: Vec<JsonObject<DiscardedEvent>>,
}

/// Dead letters as the running worker searches them.
struct WorkersLetters(Arc<DeadLetterService>);

impl WhyAnswer {
    /// Creates the answer of a search.
    pub fn new(id: String, found: Found) -> Self {
        let Found { events, incomplete } = found;
        Self { id, found: events.into_iter().map(|event| event.answer).collect(), incomplete }
    }
}

impl ApiState {
    /// Finds events by an ID of any kind.
    pub async fn find_events(&self, id: &str) -> Result<Found, Problem> {
        let (all, letters) = (self.organizations.list().await, WorkersLetters(Arc::clone(&self.letters)));
        Ok(find(&self.event_sources(all, &letters), id).await?)
    }

    /// Lists events.
    pub async fn list_events(
        &self,
        filter: &EventFilter,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<EventPage, Problem> {
        let (all, letters) = (self.organizations.list().await, WorkersLetters(Arc::clone(&self.letters)));
        Ok(browse(&self.event_sources(all, &letters), filter, cursor, limit).await?)
    }

    fn event_sources<'a>(&'a self, all: Vec<OrganizationView>, letters: &'a WorkersLetters) -> EventSources<'a> {
        let waiting = all.iter().filter_map(|view| view.waiting).sum();
        // Only the report of another owner says whether it is blocked there.
        let elsewhere = all.iter().filter(|view| view.blocked_elsewhere.is_some());
        let elsewhere =
            elsewhere.filter_map(|view| Some((view.organization_id.clone(), view.worker.clone()?))).collect();
        let is_shared = all.iter().any(|view| view.worker.is_some());
        let organizations = all.into_iter().map(|view| (view.organization_id, view.state)).collect();
        let around = Surroundings {
            now: Timestamp::now(),
            names: &self.names,
            broker_connected: self.metrics.counts().broker_connected,
            organizations: Some(organizations),
            paused: HashSet::new(),
            is_shared,
            elsewhere,
        };
        let tracker = Some(&*self.tracker);
        EventSources { store: &*self.store, tracker, waiting, letters, around, line: &self.searches }
    }
}

#[async_trait]
impl LetterSearch for WorkersLetters {
    async fn search(&self, id: &str, most: usize) -> Result<LetterMatches, String> {
        let found = timeout(SEARCH, self.0.find(id, most)).await.map_err(|_| "it takes too long".to_owned())?;
        let (entries, age) = found.map_err(|problem| problem.to_string())?;
        Ok(LetterMatches { entries, incomplete: age.map(|age| age.in_words()) })
    }
}

async fn why(
    State(parts): State<Arc<ApiState>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<WhyAnswer>, Problem> {
    let Path(id) = path?;
    let found = parts.find_events(&id).await?;
    Ok(Json(WhyAnswer::new(id, found)))
}

async fn list(State(parts): State<Arc<ApiState>>, RawQuery(query): RawQuery) -> Result<Json<EventListing>, Problem> {
    let query = EventListQuery::parse(query.as_deref().unwrap_or_default())?;
    if let Some(id) = &query.id {
        let found = parts.find_events(id).await?;
        let matching = found.events.into_iter().map(|event| event.answer).filter(|answer| query.filter.accepts(answer));
        return Ok(Json(EventListing { events: matching.take(query.limit).collect(), next: None }));
    }
    let EventPage { events, next } = parts.list_events(&query.filter, query.cursor.as_ref(), query.limit).await?;
    let events = events.into_iter().map(|event| event.answer).collect();
    Ok(Json(EventListing { events, next: next.map(|cursor| query.times.next(cursor)) }))
}

async fn discarded(
    State(parts): State<Arc<ApiState>>,
    given: Result<Json<JsonObject<DiscardReport>>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    require(Permission::Change)?;
    let Json(JsonObject(DiscardReport { events })) = given?;
    if events.len() > MOST_DISCARDED {
        return Err(Problem::bad_request(format!("events: found {}, expected at most {MOST_DISCARDED}", events.len())));
    }
    let events: Vec<EventKey> = events.into_iter().map(|JsonObject(event)| EventKey::from(event)).collect();
    let by = Requester::current().map(|requester| requester.name());
    record_discards(&*parts.store, &events, by.as_deref()).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Query of a list of events.
#[derive(Debug)]
struct EventListQuery {
    filter: EventFilter,
    id: Option<String>,
    cursor: Option<Cursor>,
    limit: usize,
    times: TimeLimits,
}

impl EventListQuery {
    fn parse(text: &str) -> Result<Self, Problem> {
        let (filter, times) = (EventFilter::default(), TimeLimits::default());
        let mut query = Self { filter, id: None, cursor: None, limit: DEFAULT_LIMIT, times };
        let mut cursor = None;
        for (name, value) in read(text, PARAMETERS)? {
            match name {
                "cursor" => cursor = Some(value),
                _ => query.set(name, value)?,
            }
        }
        query.cursor = cursor.map(|cursor| query.times.resume(&cursor)).transpose()?;
        (query.filter.after, query.filter.before) = (query.times.after(), query.times.before());
        Ok(query)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        let filter = &mut self.filter;
        match name {
            "state" => filter.state = Some(state(&value)?),
            "organization" => filter.organization = Some(value.trim().into()),
            "session" => filter.session = Some(value.trim().into()),
            "id" => self.id = Some(value),
            "after" | "before" => self.times.set(name, &value)?,
            _ => self.limit = count(name, &value, MAX_LIMIT)?,
        }
        Ok(())
    }
}

fn state(value: &str) -> Result<EventState, Problem> {
    let found = EventState::ALL.into_iter().find(|state| state.as_str() == value);
    found.ok_or_else(|| expected("state", value, &STATES.join(", ")))
}
