//! Definition of a route: path, method, parameters, body, responses. The router and the OpenAPI document share it.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::{MethodFilter, MethodRouter};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::parameter::Parameter;
use super::problem::ProblemDocument;
use super::state::ApiState;

/// Default time limit of a response, so that a hanging store does not pile up requests.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit of routes that send several requests to Dynamics before they respond.
pub(super) const LONG_TIMEOUT: Duration = Duration::from_secs(300);

/// Definition of a route.
pub struct ApiRoute {
    /// HTTP method.
    pub verb: HttpVerb,
    /// Path; axum and OpenAPI share its syntax.
    pub path: &'static str,
    /// OpenAPI's `operationId`.
    pub name: &'static str,
    /// Summary in one line.
    pub summary: &'static str,
    /// Parameters of path, query and headers.
    pub parameters: &'static [&'static [Parameter]],
    /// Schema of the body.
    pub body: Option<Make>,
    /// Successful responses, by status.
    pub answers: &'static [AnswerSpec],
    /// Problems by status, besides those of every route.
    pub problems: &'static [(u16, &'static str)],
    /// Time limit of a response.
    pub within: Duration,
    /// Handler.
    pub handler: fn(MethodFilter) -> MethodRouter<Arc<ApiState>>,
}

/// Successful response.
pub struct AnswerSpec {
    /// HTTP status.
    pub status: u16,
    /// Description.
    pub about: &'static str,
    /// Schema of its body.
    pub make: Option<Make>,
    /// Operations that may follow.
    pub links: &'static [RouteLink],
}

/// Operation that may follow, with values of the response.
pub struct RouteLink {
    /// `operationId` of the operation.
    pub to: &'static str,
    /// Parameters of the operation, each with the location of its value in the response.
    pub with: &'static [(&'static str, &'static str)],
}

/// HTTP methods in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpVerb {
    /// Reads.
    Get,
    /// Acts.
    Post,
    /// Stores.
    Put,
    /// Deletes.
    Delete,
}

/// Function that generates a schema and those it refers to.
pub(super) type Make = fn(&mut SchemaGenerator) -> Schema;

/// Generates the schema of a type, for use in a table.
pub(super) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Problems of every route.
pub(super) const ALWAYS: [(u16, &str); 6] = [
    (401, "The required token is missing or wrong."),
    (
        403,
        "Requires `http.token`; or a cross-site request; or no token is configured and the host is neither an IP address nor \
         `localhost`.",
    ),
    (408, "The body did not arrive in time."),
    (413, "The body is too long."),
    (429, "Too many failed authentications from this address, or too many jobs in progress."),
    (503, "Temporarily unavailable: the store, the broker, or capacity for another request."),
];

/// Generates the schema of every problem.
pub(super) fn problem(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<ProblemDocument>()
}

impl AnswerSpec {
    /// Defines a response with a body.
    pub const fn new(status: u16, about: &'static str, make: Make) -> Self {
        Self { status, about, make: Some(make), links: &[] }
    }

    /// Defines a response without a body.
    pub const fn empty(status: u16, about: &'static str) -> Self {
        Self { status, about, make: None, links: &[] }
    }

    /// Adds operations that may follow.
    #[must_use]
    pub const fn leading_to(self, links: &'static [RouteLink]) -> Self {
        Self { links, ..self }
    }
}

impl ApiRoute {
    /// Returns the handler, for its method only.
    pub fn method_router(&self) -> MethodRouter<Arc<ApiState>> {
        (self.handler)(self.verb.filter())
    }

    /// Returns all its problems, by status.
    pub fn all_problems(&self) -> impl Iterator<Item = (u16, &'static str)> {
        let of_body = self.body.map(|_| {
            [
                (400, "Invalid body; `detail` names the value and what was expected."),
                (415, "The body is not `application/json`."),
            ]
        });
        of_body.into_iter().flatten().chain(self.problems.iter().copied()).chain(ALWAYS)
    }
}

impl HttpVerb {
    /// Returns the name as OpenAPI writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}
