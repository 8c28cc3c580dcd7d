//! Locates the fields of a message in whichever dialect it is written, without validating them.

use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::cloudevents::{self, Mode};
use super::decoded::Limits;
use super::envelope::Envelope;
use super::frame::{Frame, TopLevelFields};
use super::problem::DecodeProblem;
use super::{amqp_1_0, seen};

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

/// Locates the fields of any message.
pub(super) fn locate<'a>(envelope: &'a Envelope, body: &'a [u8], limits: Limits) -> Frame<'a> {
    let mode = Mode::of(envelope);
    let mut frame = match text(body) {
        Ok(text) => of_text(&mode, text),
        Err(problem) => of_fault(&mode, problem),
    };
    // An oversized body is still read, so that its dead letter and outcome carry its ids.
    if body.len() > limits.max_event_bytes {
        frame.fault = Some(too_large(body.len(), limits.max_event_bytes));
    }
    frame.message_id = envelope.message_id.as_deref();
    frame
}

fn of_text<'a>(mode: &Mode<'a>, text: &'a str) -> Frame<'a> {
    match (mode, read_top(text)) {
        (Mode::Batch, _) => of_fault(mode, cloudevents::batch()),
        (Mode::Binary(headers), Ok(top)) if !top.is_native() => headers.frame(Some(text)),
        (Mode::Binary(headers), Err(TopError::Shape(_))) => headers.frame(Some(text)),
        (_, Ok(top)) if is_cloud_event(&top, mode) => cloudevents::structured(&top),
        (_, Ok(top)) => Frame::native(&top),
        (_, Err(TopError::Syntax(problem))) => of_fault(mode, problem),
        (_, Err(TopError::Shape(problem))) => {
            let top = seen::salvage(text);
            let frame = if is_cloud_event(&top, mode) { cloudevents::structured(&top) } else { Frame::native(&top) };
            Frame { fault: Some(problem), ..frame }
        }
    }
}

/// Builds the frame of an unusable body; headers may still name its organization.
fn of_fault<'a>(mode: &Mode<'a>, problem: DecodeProblem) -> Frame<'a> {
    let frame = match mode {
        Mode::Binary(headers) => headers.frame(None),
        _ => Frame::native(&TopLevelFields::default()),
    };
    Frame { fault: Some(problem), ..frame }
}

fn read_top(text: &str) -> Result<TopLevelFields<'_>, TopError> {
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

fn is_cloud_event(top: &TopLevelFields<'_>, mode: &Mode<'_>) -> bool {
    match mode {
        Mode::Structured => top.specversion.is_some() || top.event.is_none(),
        _ => top.specversion.is_some() && top.kind.is_some() && top.event.is_none(),
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
