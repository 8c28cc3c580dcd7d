//! OpenAPI document, generated from the same table as the router.

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::on;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::parameter::Parameter;
use super::route::{AnswerSpec, ApiRoute, DEFAULT_TIMEOUT, HttpVerb, Make, RouteLink, problem};
use super::state::ApiState;
use super::{audit_list, dead_letters, events, organizations, outcomes, queues, status, store, workers};

const ABOUT: &str = "Status, outcomes, dead letters, organizations, queues and the store of a running handoffd. Every answer is JSON; every error is \
    `application/problem+json` (RFC 9457). docs/API.md shows each call.";

const OWN: [ApiRoute; 1] = [ApiRoute {
    verb: HttpVerb::Get,
    path: "/api/v1/openapi.json",
    name: "openapi",
    summary: "This document.",
    parameters: &[],
    body: None,
    answers: &[AnswerSpec::new(200, "OpenAPI 3.1.", any_object)],
    problems: &[],
    within: DEFAULT_TIMEOUT,
    handler: |verb| on(verb, show),
}];

/// Returns all routes below `/api/v1`.
pub(super) fn routes() -> impl Iterator<Item = &'static ApiRoute> {
    const OUTCOMES: &[ApiRoute] = &outcomes::ROUTES;
    const EVENTS: &[ApiRoute] = &events::ROUTES;
    const LETTERS: &[ApiRoute] = &dead_letters::ROUTES;
    const ORGANIZATIONS: &[ApiRoute] = &organizations::ROUTES;
    const QUEUES: &[ApiRoute] = &queues::ROUTES;
    const STORE: &[ApiRoute] = &store::ROUTES;
    const WORKERS: &[ApiRoute] = &workers::ROUTES;
    const AUDIT: &[ApiRoute] = &audit_list::ROUTES;
    const STATUS: &[ApiRoute] = &status::ROUTES;
    const DOCUMENT: &[ApiRoute] = &OWN;
    [STATUS, OUTCOMES, EVENTS, LETTERS, ORGANIZATIONS, QUEUES, STORE, WORKERS, AUDIT, DOCUMENT].into_iter().flatten()
}

/// Authentication of the interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenPolicy {
    /// A token is required.
    Token,
    /// No token; only this machine can connect.
    Open,
}

/// Serves the document, generated once because it takes milliseconds during which no event is processed.
async fn show(State(parts): State<Arc<ApiState>>) -> impl IntoResponse {
    static TEXTS: [OnceLock<String>; 2] = [const { OnceLock::new() }; 2];
    let (text, access) =
        if parts.authenticator.is_open() { (&TEXTS[1], TokenPolicy::Open) } else { (&TEXTS[0], TokenPolicy::Token) };
    ([(CONTENT_TYPE, "application/json")], text.get_or_init(|| document(access).to_string()).as_str())
}

/// Generates the document.
pub fn document(access: TokenPolicy) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with(|it| it.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in routes() {
        let operation = operation(route, &mut generator);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.verb.as_str()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "handoffd", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT },
        "security": if access == TokenPolicy::Token { json!([{ "token": [] }]) } else { json!([]) },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "`http.token`, or `http.reader_token` to look; not required if unset." },
            },
            "schemas": generator.take_definitions(true),
        },
    })
}

fn operation(route: &ApiRoute, generator: &mut SchemaGenerator) -> Value {
    let parameters: Vec<Value> =
        route.parameters.iter().flat_map(|some| some.iter()).map(Parameter::document).collect();
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses(route, generator),
    });
    if let Some(make) = route.body {
        operation["requestBody"] = json!({ "required": true, "content": content("application/json", make, generator) });
    }
    operation
}

fn responses(route: &ApiRoute, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut responses = Map::new();
    for answer in route.answers {
        let mut response = json!({ "description": answer.about });
        if let Some(make) = answer.make {
            response["content"] = content("application/json", make, generator);
        }
        if !answer.links.is_empty() {
            response["links"] = answer.links.iter().map(link).collect();
        }
        responses.insert(answer.status.to_string(), response);
    }
    for (status, about) in route.all_problems() {
        let content = content("application/problem+json", problem, generator);
        responses.insert(status.to_string(), json!({ "description": about, "content": content }));
    }
    responses
}

fn link(link: &RouteLink) -> (String, Value) {
    let with: Map<String, Value> = link.with.iter().map(|(name, from)| ((*name).to_owned(), json!(from))).collect();
    (link.to.to_owned(), json!({ "operationId": link.to, "parameters": with }))
}

fn content(kind: &str, make: Make, generator: &mut SchemaGenerator) -> Value {
    json!({ kind: { "schema": make(generator) } })
}

fn any_object(_: &mut SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object" })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reference_resolves() {
        let document = document(TokenPolicy::Token);
        let text = document.to_string();
        let references: BTreeSet<&str> =
            text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(references.len() > 8, "{references:?}");
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn names_are_unique_and_every_part_of_a_path_is_described() {
        let mut names = BTreeSet::new();
        for route in routes() {
            assert!(names.insert(route.name), "{} is defined twice", route.name);
            let given = route.parameters.iter().flat_map(|some| some.iter());
            let in_path: Vec<_> = given.filter(|it| it.document()["in"] == "path").map(|it| it.name).collect();
            let wanted: Vec<_> = route.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
            assert_eq!(in_path, wanted, "{}", route.path);
        }
    }

    #[test]
    fn every_route_of_the_contract_exists() {
        let document = document(TokenPolicy::Token);
        for (verb, path) in [
            ("get", "/api/v1/status"),
            ("get", "/api/v1/outcomes"),
            ("get", "/api/v1/outcomes/{organization}/{event_id}"),
            ("get", "/api/v1/dead-letters"),
            ("post", "/api/v1/dead-letters/replay"),
            ("post", "/api/v1/dead-letters/discard"),
            ("get", "/api/v1/organizations"),
            ("post", "/api/v1/organizations/{id}/test"),
            ("post", "/api/v1/organizations/{id}/pause"),
            ("post", "/api/v1/organizations/{id}/resume"),
            ("put", "/api/v1/organizations/{id}"),
            ("post", "/api/v1/store/accept"),
            ("get", "/api/v1/audit"),
            ("delete", "/api/v1/organizations/{id}"),
        ] {
            assert!(document["paths"][path][verb].is_object(), "{verb} {path}");
        }
    }
}
