//! The shapes of `data` as they travel; their JSON Schema is derived from here.

use schemars::JsonSchema;
use serde::Deserialize;

use super::lax::{List, Loose, Object, Text};

/// `data` of `session.handoff`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["session_id", "channel"]))]
pub(super) struct HandoffData {
    /// The conversation.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub(super) session_id: Text,
    /// Decides the route: `web`, `sms`, `whatsapp` become a live work item, every other an incident.
    /// Trimmed and lower-cased.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub(super) channel: Text,
    /// What it is about.
    pub(super) summary: Text,
    /// The topic.
    pub(super) classification: Text,
    /// The customer's mood.
    pub(super) sentiment: Text,
    /// Who wrote.
    pub(super) customer: Object<CustomerData>,
    /// What was said, oldest first.
    pub(super) transcript: List<MessageData>,
}

/// `data.customer`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct CustomerData {
    /// Full name.
    pub(super) name: Text,
    /// Email address.
    pub(super) email: Text,
    /// Telephone number.
    pub(super) phone: Text,
}

/// `data.transcript[]`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct MessageData {
    /// RFC 3339; a text that is not is taken as absent.
    pub(super) timestamp: Text,
    /// `customer` (or `contact`), `ai`, `agent` (or `human_agent`), `system`, or any other, shown as given.
    pub(super) sender: Text,
    /// The sender's name.
    pub(super) name: Text,
    /// What was said.
    pub(super) text: Text,
}

/// `data` of `session.resolved`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["session_id"]))]
pub(super) struct ResolvedData {
    /// The conversation.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub(super) session_id: Text,
    /// Where it took place.
    pub(super) channel: Text,
    /// `closed_unresolved` and `not_resolved` leave everything open; anything else, or nothing, closes.
    pub(super) status: Text,
    /// What the publisher knows of the incident.
    pub(super) meta: Object<Meta>,
}

/// `data.meta`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Meta {
    /// The incident to close when the session is unknown: a GUID.
    pub(super) dynamics365_incident_id: Text,
}

/// One conversation of OpenCX's public webhook `conversation.closed`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["conversation_id"]))]
pub(super) struct ClosedData {
    /// The conversation.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub(super) conversation_id: Text,
    /// When it was closed, RFC 3339.
    pub(super) timestamp: Text,
    /// `resolved` closes.
    pub(super) human_resolution_status: Text,
    /// `resolved` closes.
    pub(super) resolution_status: Text,
    /// `resolved` closes when neither of the two above is there.
    pub(super) ai_resolution_status: Text,
    /// Where it took place; anything but a text is ignored.
    pub(super) channel: Loose,
    /// What the publisher knows of the incident.
    pub(super) meta: Object<Meta>,
}
