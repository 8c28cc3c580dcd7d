//! One thing that can be asked for: where, how, what it takes, what it answers. Router and document are made of the same.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::{MethodFilter, MethodRouter};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::Parts;
use super::parameter::Parameter;
use super::problem::Document;

/// Longest time for an answer: a store that hangs must not pile up requests.
pub(super) const MOMENT: Duration = Duration::from_secs(30);
/// For what asks Dynamics several times before it answers.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// One thing that can be asked for.
pub struct Route {
    /// How.
    pub verb: Verb,
    /// Where: axum's way to write a path is OpenAPI's too.
    pub path: &'static str,
    /// OpenAPI's `operationId`.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// In the path and in the query.
    pub parameters: &'static [&'static [Parameter]],
    /// What it takes.
    pub body: Option<Make>,
    /// What it answers when all is well, by status.
    pub answers: &'static [Answer],
    /// What else it may answer, besides what every route may: problems, by status.
    pub problems: &'static [(u16, &'static str)],
    /// How long an answer may take.
    pub within: Duration,
    /// Who answers.
    pub handler: fn(MethodFilter) -> MethodRouter<Arc<Parts>>,
}

/// What is answered when all is well.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// What it means.
    pub about: &'static str,
    /// Its body.
    pub make: Option<Make>,
    /// What can be asked for next.
    pub links: &'static [Link],
}

/// What can be asked for next, with what was just answered.
pub struct Link {
    /// Which operation.
    pub to: &'static str,
    /// Its parameters, each with where in the answer its value is.
    pub with: &'static [(&'static str, &'static str)],
}

/// HTTP's methods, as far as they are used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Changes nothing.
    Get,
    /// Does something.
    Post,
    /// Puts something there.
    Put,
    /// Takes it away.
    Delete,
}

/// Makes a schema, and those it refers to.
pub(super) type Make = fn(&mut SchemaGenerator) -> Schema;

/// The schema of a type, to stand in a table.
pub(super) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What every route may answer.
pub(super) const ALWAYS: [(u16, &str); 3] = [
    (401, "A token is set, and it is missing or another one."),
    (
        403,
        "It came from another site's page, or no token is set and the host is named in another way than by its address.",
    ),
    (503, "What it takes to answer is not there at the moment: the store, the broker, a free place."),
];

/// The schema of every problem.
pub(super) fn problem(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Document>()
}

impl Answer {
    /// With a body of this shape.
    pub const fn new(status: u16, about: &'static str, make: Make) -> Self {
        Self { status, about, make: Some(make), links: &[] }
    }

    /// Without a body.
    pub const fn empty(status: u16, about: &'static str) -> Self {
        Self { status, about, make: None, links: &[] }
    }

    /// With what can be asked for next.
    #[must_use]
    pub const fn leading_to(self, links: &'static [Link]) -> Self {
        Self { links, ..self }
    }
}

impl Route {
    /// Its handler, for its method and no other.
    pub fn method_router(&self) -> MethodRouter<Arc<Parts>> {
        (self.handler)(self.verb.filter())
    }

    /// All its problems, by status.
    pub fn all_problems(&self) -> impl Iterator<Item = (u16, &'static str)> {
        let of_body = self.body.map(|_| {
            [
                (400, "The body is not as it should be: the problem says where, and what was expected."),
                (413, "The body is too long."),
                (415, "The body is not `application/json`."),
            ]
        });
        of_body.into_iter().flatten().chain(self.problems.iter().copied()).chain(ALWAYS)
    }
}

impl Verb {
    /// As OpenAPI writes it.
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
