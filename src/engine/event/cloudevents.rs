//! CloudEvents 1.0, structured and binary (AMQP binding: headers `cloudEvents:` or `cloudEvents_`).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::value::RawValue;

use super::envelope::Envelope;
use super::field::Field;
use super::frame::{Frame, TopLevelFields};
use super::problem::{DecodeProblem, printable};
use super::surrogate;

/// CloudEvents mode of a message, determined from its envelope.
pub(super) enum Mode<'a> {
    /// `application/cloudevents+json`.
    Structured,
    /// `application/cloudevents-batch+json`.
    Batch,
    /// Attributes in headers; the body is the data.
    Binary(AttributeHeaders<'a>),
    /// Not a CloudEvent.
    Plain,
}

/// Attributes of binary mode, each with the full name of its header.
pub(super) struct AttributeHeaders<'a> {
    attributes: Vec<(&'a str, &'a str, &'a str)>,
}

impl<'a> Mode<'a> {
    /// Determines the mode from content type and headers.
    pub(super) fn of(envelope: &'a Envelope) -> Self {
        let content_type = envelope.content_type.as_deref().unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/cloudevents+json") {
            return Self::Structured;
        }
        if media_type.eq_ignore_ascii_case("application/cloudevents-batch+json") {
            return Self::Batch;
        }
        let headers = AttributeHeaders::of(envelope);
        // A lone trace header does not make the body a CloudEvent.
        if headers.find("specversion").or(headers.find("type")).is_some() { Self::Binary(headers) } else { Self::Plain }
    }
}

impl<'a> AttributeHeaders<'a> {
    fn of(envelope: &'a Envelope) -> Self {
        let attributes = envelope.headers.iter().filter_map(|(name, value)| {
            let (prefix, attribute) = name.split_at_checked("cloudEvents:".len())?;
            let known = ["cloudEvents:", "cloudEvents_"];
            known.iter().any(|known| prefix.eq_ignore_ascii_case(known)).then_some((
                attribute,
                name.as_str(),
                value.as_str(),
            ))
        });
        Self { attributes: attributes.collect() }
    }

    /// Returns the full name and the value of the header.
    fn find(&self, attribute: &str) -> Option<(&'a str, &'a str)> {
        self.attributes
            .iter()
            .find(|(name, ..)| name.eq_ignore_ascii_case(attribute))
            .map(|(_, header, value)| (*header, *value))
    }

    fn field(&self, attribute: &str) -> Field<'a> {
        match self.find(attribute) {
            Some((header, value)) => Field::header(Cow::Borrowed(header), Some(value)),
            None => Field::header(Cow::Owned(format!("cloudEvents:{attribute}")), None),
        }
    }

    /// Builds the frame with the body as its data; `None` if the body can't be read.
    pub(super) fn frame(&self, data: Option<&'a str>) -> Frame<'a> {
        Frame {
            fault: check_version(&self.field("specversion")).err(),
            event: self.field("type"),
            event_id: self.field("id"),
            organization_id: self.field("organizationid"),
            timestamp: self.field("time"),
            data: data.map(Cow::Borrowed),
            message_id: None,
        }
    }
}

/// Builds the frame from the attributes and the data in the body.
pub(super) fn structured<'a>(top: &TopLevelFields<'a>) -> Frame<'a> {
    let version = check_version(&Field::json("specversion", top.specversion));
    let (data, fault) = match data(top) {
        Ok(data) => (data, version.err()),
        Err(problem) => (None, Some(problem)),
    };
    Frame {
        fault,
        event: Field::json("type", top.kind),
        event_id: Field::json("id", top.id),
        organization_id: Field::json("organizationid", top.organizationid),
        timestamp: Field::json("time", top.time),
        data,
        message_id: None,
    }
}

/// Reports a batch. CloudEvents defines no way to acknowledge its events separately.
pub(super) fn batch() -> DecodeProblem {
    DecodeProblem::of_message(
        "a CloudEvents batch (application/cloudevents-batch+json) is not supported; publish each event as a separate message",
    )
}

fn data<'a>(top: &TopLevelFields<'a>) -> Result<Option<Cow<'a, str>>, DecodeProblem> {
    match (top.data, top.data_base64) {
        (Some(data), _) => Ok(Some(Cow::Borrowed(data.get()))),
        (None, Some(raw)) => decode_base64(raw),
        (None, None) => Ok(None),
    }
}

fn decode_base64(raw: &RawValue) -> Result<Option<Cow<'_, str>>, DecodeProblem> {
    let path = "data_base64";
    let Some(text) = Field::json(path, Some(raw)).text()? else {
        return Ok(None);
    };
    let bytes = BASE64.decode(&*text).map_err(|_| DecodeProblem::at(path, "not valid base64"))?;
    // A lone surrogate in there is not one of the body.
    let bytes = surrogate::replace_lone_surrogates(&bytes).unwrap_or(bytes);
    let json = String::from_utf8(bytes).map_err(|_| DecodeProblem::at(path, "decodes to bytes that are not UTF-8"))?;
    serde_json::from_str::<serde::de::IgnoredAny>(&json)
        .map_err(|error| DecodeProblem::at(path, format!("decodes to text that is not JSON: {error}")))?;
    Ok(Some(Cow::Owned(json)))
}

/// Accepts versions 1.x; an absent version counts as 1.0.
fn check_version(version: &Field<'_>) -> Result<(), DecodeProblem> {
    match version.text()? {
        Some(text) if text != "1" && !text.starts_with("1.") => Err(DecodeProblem::at(
            version.path(),
            format!("unsupported CloudEvents version \"{}\"; expected 1.0", printable(&text)),
        )),
        _ => Ok(()),
    }
}
