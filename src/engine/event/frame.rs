//! Fields around an event's data, in a form common to all dialects.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::field::{self, Field};
use super::ids::OrganizationId;
use super::problem::DecodeProblem;

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

impl<'a> Frame<'a> {
    /// Fields of the native dialect.
    pub(super) fn native(top: &TopLevelFields<'a>) -> Self {
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
    pub(super) fn event_id(&self) -> Result<Option<Cow<'a, str>>, DecodeProblem> {
        match self.event_id.id()? {
            Some(id) => Ok(Some(id)),
            None => self.message_id(),
        }
    }

    /// Returns the AMQP `message_id` if it is a valid event id.
    pub(super) fn message_id(&self) -> Result<Option<Cow<'a, str>>, DecodeProblem> {
        let id = self.message_id.filter(|id| !id.trim().is_empty());
        field::id(id.map(Cow::Borrowed), "AMQP message_id")
    }

    /// Returns the organization, which every event requires.
    pub(super) fn organization(&self) -> Result<OrganizationId, DecodeProblem> {
        match self.organization_id.id()? {
            Some(id) => Ok(OrganizationId::from(id)),
            None => Err(self.organization_id.missing("an organization's id")),
        }
    }

    /// Returns the event's data, which every event requires.
    pub(super) fn data(&self) -> Result<Data<'_>, DecodeProblem> {
        match &self.data {
            Some(json) => Ok(Data { json: json.trim_ascii(), path: "data" }),
            None => Err(field::missing("data", "an object")),
        }
    }
}

impl TopLevelFields<'_> {
    /// Returns true for the native envelope, whatever the headers are: a piece of a split array keeps the headers
    /// of its array.
    pub(super) fn is_native(&self) -> bool {
        self.event.is_some() && self.data.is_some()
    }
}
