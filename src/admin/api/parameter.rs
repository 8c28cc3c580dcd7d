//! Parameters of paths, queries and headers: one table defines their names and values.

use handoffd_engine::time_input::{TIME_FORMS, parse_time, time_schema};
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use super::problem::Problem;

/// Definition of a parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Name.
    pub name: &'static str,
    /// Location within the request.
    pub place: ParameterPlace,
    /// Accepted values.
    pub kind: ParameterType,
    /// Description.
    pub about: &'static str,
    /// Example value; empty for none.
    pub example: &'static str,
}

/// Location of a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParameterPlace {
    /// Segment of the path, percent-encoded. Required.
    Path,
    /// Query string. Optional; a blank value counts as absent.
    Query,
    /// Header. Optional.
    Header,
}

/// Accepted values of a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParameterType {
    /// Any text.
    Text,
    /// Several texts; the parameter is repeated.
    Texts,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A GUID.
    Guid,
    /// RFC 3339, a date, a local time, or a span before now.
    Time,
    /// A whole number from 1 to this.
    Count(usize),
}

/// Defines a parameter in the path.
pub(super) const fn in_path(name: &'static str, kind: ParameterType, about: &'static str) -> Parameter {
    Parameter { name, place: ParameterPlace::Path, kind, about, example: "" }
}

/// Defines a parameter in the query.
pub(super) const fn in_query(name: &'static str, kind: ParameterType, about: &'static str) -> Parameter {
    Parameter { name, place: ParameterPlace::Query, kind, about, example: "" }
}

/// Parses a query and drops blank values. Rejects unknown parameters, because ignoring one would silently select too
/// much, and repeated ones that take a single value.
pub(super) fn read(query: &str, known: &[Parameter]) -> Result<Vec<(&'static str, String)>, Problem> {
    let mut found: Vec<(&'static str, String)> = Vec::new();
    let mut seen: Vec<&'static str> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let parameter = known.iter().find(|it| it.name == name).ok_or_else(|| unknown(&name, known))?;
        if seen.contains(&parameter.name) && parameter.kind != ParameterType::Texts {
            return Err(Problem::bad_request(format!("{name}: specify it only once")));
        }
        seen.push(parameter.name);
        if !value.trim().is_empty() {
            // An id may have white space around it.
            let value = if parameter.kind == ParameterType::Text { &value } else { value.trim() };
            found.push((parameter.name, value.to_owned()));
        }
    }
    Ok(found)
}

/// Parses a GUID.
pub(super) fn guid(name: &str, value: &str) -> Result<Uuid, Problem> {
    value.parse().map_err(|_| expected(name, value, "a GUID"))
}

/// Parses a time, in the forms of every command and page.
pub(super) fn time(name: &str, value: &str) -> Result<Timestamp, Problem> {
    parse_time(value, &Zoned::now()).ok_or_else(|| expected(name, value, TIME_FORMS))
}

/// Parses a whole number from 1 to `most`.
pub(super) fn count(name: &str, value: &str, most: usize) -> Result<usize, Problem> {
    let count = value.parse().ok().filter(|count| (1..=most).contains(count));
    count.ok_or_else(|| expected(name, value, &format!("a whole number from 1 to {most}")))
}

/// Describes an invalid value and what was expected.
pub(super) fn expected(name: &str, value: &str, expected: &str) -> Problem {
    Problem::bad_request(format!("{name}: found {value:?}, expected {expected}"))
}

fn unknown(name: &str, known: &[Parameter]) -> Problem {
    let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Problem::bad_request(format!("unknown parameter {name:?}; expected {names}"))
}

impl Parameter {
    /// Adds an example value.
    #[must_use]
    pub const fn such_as(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    /// Returns the OpenAPI description.
    pub fn document(&self) -> Value {
        let place = match self.place {
            ParameterPlace::Path => "path",
            ParameterPlace::Query => "query",
            ParameterPlace::Header => "header",
        };
        let mut schema = self.kind.schema();
        if self.place == ParameterPlace::Query && !matches!(self.kind, ParameterType::Text | ParameterType::Texts) {
            schema = json!({ "anyOf": [schema, { "type": "string", "maxLength": 0 }] });
        }
        let mut document = json!({
            "name": self.name,
            "in": place,
            "required": self.place == ParameterPlace::Path,
            "description": self.about,
            "schema": schema,
        });
        if !self.example.is_empty() {
            document["example"] = json!(self.example);
        }
        document
    }
}

impl ParameterType {
    fn schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Word(words) => json!({ "type": "string", "enum": words }),
            Self::Guid => json!({ "type": "string", "format": "uuid" }),
            Self::Time => time_schema().to_value(),
            Self::Count(most) => json!({ "type": "integer", "minimum": 1, "maximum": most }),
        }
    }
}
