//! Fields around an event's data, in a form common to all dialects.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::amqp_1_0;
use super::cloudevents::{self, Mode};
use super::decode::Limits;
use super::envelope::Envelope;
use super::field::{self, Field};
use super::problem::DecodeProblem;
use super::seen;

/// Message whose fields are located but not validated.
pub(super) struct Frame<'a> {
    /// Problem that prevents reading any further.
    pub(super) fault: Option<DecodeProblem>,
    pub(super) event: Field<'a>,
    pub(super) event_id: Field<'a>,
    pub(super) organization_id: Field<'a>,
    pub(super) timestamp: Field<'a>,
    /// JSON of `data`.
    pub(super) data: Option<Cow<'a, str>>,
    /// AMQP `message-id`.
    pub(super) message_id: Option<&'a str>,
}

/// Data of an event: its JSON and its path in the message.
#[derive(Clone, Copy)]
pub(super) struct Data<'a> {
    pub(super) json: &'a str,
    pub(super) path: &'a str,
}

/// Top-level JSON fields of all dialects.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct TopLevelFields<'a> {
    #[serde(borrow)]
    pub(super) event: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) event_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) organization_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) specversion: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) time: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) organizationid: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) data_base64: Option<&'a RawValue>,
}

/// Reason for a body without a readable top level.
enum TopError {
    /// The body is not JSON.
    Syntax(DecodeProblem),
    /// The body is JSON, but not an object, or an object with a duplicate field.
    Shape(DecodeProblem),
}

impl TopError {
    /// Returns `Shape` only if the text is JSON to its end, because callers rely on that.
    fn shape(text: &str, problem: &str) -> Self {
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Self::Shape(DecodeProblem::of_message(problem)),
            Err(error) => Self::Syntax(not_json(&error)),
        }
    }
}

impl<'a> Frame<'a> {
    /// Locates the fields of any message.
    pub(super) fn read(envelope: &'a Envelope, body: &'a [u8], limits: Limits) -> Self {
        let mode = Mode::of(envelope);
        let mut frame = match text(body) {
            Ok(text) => Self::of_text(&mode, text),
            Err(problem) => Self::of_fault(&mode, problem),
        };
        // An oversized body is still read, so that its dead letter and outcome carry its ids.
        if body.len() > limits.max_event_bytes {
            frame.fault = Some(too_large(body.len(), limits.max_event_bytes));
        }
        frame.message_id = envelope.message_id.as_deref();
        frame
    }

    fn of_text(mode: &Mode<'a>, text: &'a str) -> Self {
        match (mode, TopLevelFields::read(text)) {
            (Mode::Batch, _) => Self::of_fault(mode, cloudevents::batch()),
            (Mode::Binary(headers), Ok(top)) if !top.is_native() => headers.frame(Some(text)),
            (Mode::Binary(headers), Err(TopError::Shape(_))) => headers.frame(Some(text)),
            (_, Ok(top)) if top.is_cloud_event(mode) => cloudevents::structured(&top),
            (_, Ok(top)) => Self::native(&top),
            (_, Err(TopError::Syntax(problem))) => Self::of_fault(mode, problem),
            (_, Err(TopError::Shape(problem))) => {
                let top = seen::salvage(text);
                let frame = if top.is_cloud_event(mode) { cloudevents::structured(&top) } else { Self::native(&top) };
                Self { fault: Some(problem), ..frame }
            }
        }
    }

    /// Builds the frame of an unusable body; headers may still name its organization.
    fn of_fault(mode: &Mode<'a>, problem: DecodeProblem) -> Self {
        let frame = match mode {
            Mode::Binary(headers) => headers.frame(None),
            _ => Self::native(&TopLevelFields::default()),
        };
        Self { fault: Some(problem), ..frame }
    }

    fn native(top: &TopLevelFields<'a>) -> Self {
        Self {
            fault: None,
            event: Field::json("event", top.event),
            event_id: Field::json("event_id", top.event_id),
            organization_id: Field::json("organization_id", top.organization_id),
            timestamp: Field::json("timestamp", top.timestamp),
            data: top.data.map(|raw| Cow::Borrowed(raw.get())),
            message_id: None,
        }
    }

    /// Returns the event's id, else the AMQP `message_id`.
    pub(super) fn event_id(&self) -> Result<Option<String>, DecodeProblem> {
        match self.event_id.id()? {
            Some(id) => Ok(Some(id)),
            None => self.message_id(),
        }
    }

    /// Returns the AMQP `message_id` if it is a valid event id.
    pub(super) fn message_id(&self) -> Result<Option<String>, DecodeProblem> {
        let id = self.message_id.filter(|id| !id.trim().is_empty());
        field::id(id.map(str::to_owned), "AMQP message_id")
    }

    /// Returns the event's data, which every event requires.
    pub(super) fn data(&self) -> Result<Data<'_>, DecodeProblem> {
        match &self.data {
            Some(json) => Ok(Data { json: json.trim_ascii(), path: "data" }),
            None => Err(field::missing("data", "an object")),
        }
    }
}

impl<'a> TopLevelFields<'a> {
    fn read(text: &'a str) -> Result<Self, TopError> {
        // serde accepts an array for a struct, by position.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(TopError::shape(text, "expected a JSON object at the top level"));
        }
        serde_json::from_str(text).map_err(|error| match error.classify() {
            // A duplicate field is ambiguous.
            Category::Data => TopError::shape(text, &error.to_string()),
            _ => TopError::Syntax(not_json(&error)),
        })
    }

    /// Returns true for the native envelope, whatever the headers are: a piece of a split array keeps the headers
    /// of its array.
    fn is_native(&self) -> bool {
        self.event.is_some() && self.data.is_some()
    }

    fn is_cloud_event(&self, mode: &Mode<'_>) -> bool {
        match mode {
            Mode::Structured => self.specversion.is_some() || self.event.is_none(),
            _ => self.specversion.is_some() && self.kind.is_some() && self.event.is_none(),
        }
    }
}

/// Returns the body as text, without a byte order mark.
fn text(body: &[u8]) -> Result<&str, DecodeProblem> {
    if let Some(section) = amqp_1_0::section(body) {
        return Err(DecodeProblem::of_message(format!(
            "the body is an AMQP 1.0 {section} section, not JSON; publish the event's JSON as a data section (amqp-data, binary)"
        )));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        DecodeProblem::of_message(format!(
            "the body is not UTF-8: first invalid byte at offset {}",
            error.valid_up_to()
        ))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn too_large(size: usize, limit: usize) -> DecodeProblem {
    DecodeProblem::of_message(format!("the body is {size} bytes, more than worker.max_event_bytes allows ({limit})"))
}

/// Reports malformed JSON. serde_json's texts for syntax errors are constant and quote nothing of the body.
fn not_json(error: &serde_json::Error) -> DecodeProblem {
    DecodeProblem::of_message(format!("the body is not JSON: {error}"))
}
