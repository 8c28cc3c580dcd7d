//! Field outside `data`, with the name it has in its dialect.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::instant;
use super::lax::{Object, Text};
use super::problem::{DecodeProblem, printable};

/// Longest id, in characters (contract 2). AMQP limits a message id to 255 bytes.
pub(super) const LONGEST_ID: usize = 255;

/// Name and value of a field.
pub(super) struct Field<'a> {
    path: Cow<'a, str>,
    value: Value<'a>,
}

/// Value of a field.
pub(super) enum Value<'a> {
    /// The field is absent.
    Absent,
    /// Unparsed JSON.
    Json(&'a RawValue),
    /// Text of a header.
    Header(&'a str),
}

impl<'a> Field<'a> {
    pub(super) fn json(path: &'static str, raw: Option<&'a RawValue>) -> Self {
        Self { path: Cow::Borrowed(path), value: raw.map_or(Value::Absent, Value::Json) }
    }

    pub(super) fn header(name: Cow<'a, str>, value: Option<&'a str>) -> Self {
        Self { path: name, value: value.map_or(Value::Absent, Value::Header) }
    }

    /// Returns the field's name in its dialect.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the field's text unchanged; `None` if it is absent, null or blank.
    pub(super) fn text(&self) -> Result<Option<Cow<'a, str>>, DecodeProblem> {
        match self.value {
            Value::Absent => Ok(None),
            Value::Header(text) => Ok((!text.trim().is_empty()).then_some(Cow::Borrowed(text))),
            Value::Json(raw) => parse::<Text<'a>>(raw.get(), &self.path).map(|text| text.0),
        }
    }

    /// Returns the field as an id: 1 to 255 characters without NUL.
    pub(super) fn id(&self) -> Result<Option<Cow<'a, str>>, DecodeProblem> {
        id(self.text()?, &self.path)
    }

    /// Returns the field as a time.
    pub(super) fn instant(&self) -> Result<Option<Timestamp>, DecodeProblem> {
        let text = self.text()?;
        text.map(|text| time(&text, &self.path)).transpose()
    }

    /// Reports the field as missing.
    pub(super) fn missing(&self, expected: &str) -> DecodeProblem {
        missing(&self.path, expected)
    }
}

/// Reports a required field that is absent, null or blank.
pub(super) fn missing(path: &str, expected: &str) -> DecodeProblem {
    DecodeProblem::at(path, format!("required, but absent, null or blank; expected {expected}"))
}

/// Checks the length and the characters of an id.
pub(super) fn id<'a>(text: Option<Cow<'a, str>>, path: &str) -> Result<Option<Cow<'a, str>>, DecodeProblem> {
    let Some(text) = text else { return Ok(None) };
    let length = text.chars().count();
    if length > LONGEST_ID {
        return Err(DecodeProblem::at(
            path,
            format!("{length} characters, expected at most {LONGEST_ID}: \"{}\"", printable(&text)),
        ));
    }
    without_nul(&text, path, "an id")?;
    Ok(Some(text))
}

/// Rejects U+0000, which PostgreSQL can't store. Other control characters are escaped wherever a person reads them.
pub(super) fn without_nul(text: &str, path: &str, what: &str) -> Result<(), DecodeProblem> {
    if text.contains('\0') {
        return Err(DecodeProblem::at(path, format!("{what} must not contain U+0000: \"{}\"", printable(text))));
    }
    Ok(())
}

/// Parses a time.
pub(super) fn time(text: &str, path: &str) -> Result<Timestamp, DecodeProblem> {
    instant::parse(text).ok_or_else(|| {
        DecodeProblem::at(path, "not an RFC 3339 time with an offset; expected a time such as 2026-11-22T10:15:00Z")
    })
}

/// Parses an object of `data`; `None` if it is null or blank.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str, path: &str) -> Result<Option<T>, DecodeProblem> {
    parse::<Object<T>>(text, path).map(|object| object.0)
}

/// Parses JSON that is known to be well formed. The common path tracks no position. Only after an error is the text
/// parsed again to locate it.
fn parse<'a, T: Deserialize<'a>>(text: &'a str, path: &str) -> Result<T, DecodeProblem> {
    serde_json::from_str(text).map_err(|_| locate::<T>(text, path))
}

#[cold]
fn locate<'a, T: Deserialize<'a>>(text: &'a str, path: &str) -> DecodeProblem {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let Err(error) = T::deserialize(tracked) else {
        return DecodeProblem::at(path, "can't be parsed");
    };
    let within = track.path().to_string();
    let path = match within.as_str() {
        "." => path.to_owned(),
        within if within.starts_with('[') => format!("{path}{within}"),
        within => format!("{path}.{within}"),
    };
    DecodeProblem::at(path, bare(&error))
}

/// Returns the text of an error without its position, which would count from the beginning of the field.
fn bare(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
}
