//! One field outside of `data`, wherever its dialect keeps it, with the name by which a publisher knows it.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::instant;
use super::lax::{Object, Text};
use super::problem::{Problem, shown};
use super::surrogate;

/// Longest id, in characters (contract 2). AMQP's own limit for a message id is 255 bytes.
pub(super) const LONGEST_ID: usize = 255;

/// A field's name and what stands there.
pub(super) struct Field<'a> {
    path: Cow<'a, str>,
    value: Value<'a>,
}

/// What stands in a field.
pub(super) enum Value<'a> {
    /// Nothing.
    Absent,
    /// JSON, not yet looked at.
    Json(&'a RawValue),
    /// A header's text.
    Header(&'a str),
}

impl<'a> Field<'a> {
    pub(super) fn json(path: &'static str, raw: Option<&'a RawValue>) -> Self {
        Self { path: Cow::Borrowed(path), value: raw.map_or(Value::Absent, Value::Json) }
    }

    pub(super) fn header(name: Cow<'a, str>, value: Option<&'a str>) -> Self {
        Self { path: name, value: value.map_or(Value::Absent, Value::Header) }
    }

    /// The name in this dialect.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Its text as it stands there; none when absent, null or blank.
    pub(super) fn text(&self) -> Result<Option<String>, Problem> {
        match self.value {
            Value::Absent => Ok(None),
            Value::Header(text) => Ok((!text.trim().is_empty()).then(|| text.to_owned())),
            Value::Json(raw) => parse::<Text>(raw.get(), &self.path).map(|text| text.0),
        }
    }

    /// An id: 1 to 255 characters, none of them a control character.
    pub(super) fn id(&self) -> Result<Option<String>, Problem> {
        id(self.text()?, &self.path)
    }

    /// A time.
    pub(super) fn instant(&self) -> Result<Option<Timestamp>, Problem> {
        let text = self.text()?;
        text.map(|text| time(&text, &self.path)).transpose()
    }

    /// It should be there.
    pub(super) fn missing(&self, expected: &str) -> Problem {
        missing(&self.path, expected)
    }
}

/// A required field that is absent, null or blank.
pub(super) fn missing(path: &str, expected: &str) -> Problem {
    Problem::at(path, format!("required, but absent, null or blank; expected {expected}"))
}

/// Checks an id's length and characters.
pub(super) fn id(text: Option<String>, path: &str) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let length = text.chars().count();
    if length > LONGEST_ID {
        return Err(Problem::at(
            path,
            format!("{length} characters, expected at most {LONGEST_ID}: \"{}\"", shown(&text)),
        ));
    }
    without_controls(&text, path, "an id")?;
    Ok(Some(text))
}

/// Refuses control characters (C0, DEL, C1): what holds them would break log lines, headers and lists.
pub(super) fn without_controls(text: &str, path: &str, what: &str) -> Result<(), Problem> {
    if text.chars().any(char::is_control) {
        return Err(Problem::at(path, format!("{what} can't have control characters: \"{}\"", shown(text))));
    }
    Ok(())
}

/// Reads a time.
pub(super) fn time(text: &str, path: &str) -> Result<Timestamp, Problem> {
    instant::parse(text)
        .ok_or_else(|| Problem::at(path, "not an RFC 3339 time with an offset; expected one like 2026-11-22T10:15:00Z"))
}

/// Reads an object of `data`; none when there is nothing.
pub(super) fn object<T: DeserializeOwned>(text: &str, path: &str) -> Result<Option<T>, Problem> {
    parse::<Object<T>>(text, path).map(|object| object.0)
}

/// Reads JSON that is known to be well formed. The happy path keeps no track of where it is; only when
/// something is wrong is it read once more, without halves of characters, and then to find out where.
fn parse<T: DeserializeOwned>(text: &str, path: &str) -> Result<T, Problem> {
    serde_json::from_str(text).or_else(|_| parse_mended(text, path))
}

#[cold]
fn parse_mended<T: DeserializeOwned>(text: &str, path: &str) -> Result<T, Problem> {
    let mended = surrogate::mended(text.as_bytes()).and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(mended) = mended else { return Err(locate::<T>(text, path)) };
    serde_json::from_str(&mended).map_err(|_| locate::<T>(&mended, path))
}

#[cold]
fn locate<T: DeserializeOwned>(text: &str, path: &str) -> Problem {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let Err(error) = T::deserialize(tracked) else {
        return Problem::at(path, "not readable");
    };
    let within = track.path().to_string();
    let path = match within.as_str() {
        "." => path.to_owned(),
        within if within.starts_with('[') => format!("{path}{within}"),
        within => format!("{path}.{within}"),
    };
    Problem::at(path, bare(&error))
}

/// An error's text without its position, which would count from the field's beginning.
fn bare(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
}
