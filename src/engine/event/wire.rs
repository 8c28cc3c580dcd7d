//! Wire format of `data`, from which the JSON Schemas are derived.

use schemars::JsonSchema;
use serde::Deserialize;

use super::lax::{LenientText, List, Object, Text};

/// `data` of `session.handoff`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["session_id", "channel"]))]
pub(super) struct HandoffData {
    /// Id of the conversation.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub(super) session_id: Text,
    /// Channel of the conversation: `web`, `sms` and `whatsapp` become a live work item, every other an incident.
    /// Trimmed and lower-cased.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub(super) channel: Text,
    /// Subject of the conversation, in a sentence or two.
    pub(super) summary: Text,
    /// Topic of the conversation.
    pub(super) classification: Text,
    /// Mood of the customer.
    pub(super) sentiment: Text,
    /// Customer of the conversation.
    pub(super) customer: Object<CustomerData>,
    /// Messages, oldest first.
    pub(super) transcript: List<MessageData>,
}

/// `data.customer`.
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

/// `data.transcript[]`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct MessageData {
    /// Time of the message, RFC 3339; any other text counts as absent.
    pub(super) timestamp: Text,
    /// `customer` (or `contact`), `ai`, `agent` (or `human_agent`), `system`, or any other, shown as given.
    pub(super) sender: Text,
    /// Name of the sender.
    pub(super) name: Text,
    /// Text of the message.
    pub(super) text: Text,
}

/// `data` of `session.resolved`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["session_id"]))]
pub(super) struct ResolvedData {
    /// Id of the conversation.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub(super) session_id: Text,
    /// Channel of the conversation.
    pub(super) channel: Text,
    /// `closed_unresolved` and `not_resolved` leave every incident open; any other value, or none, closes.
    pub(super) status: Text,
    /// References to records in Dynamics.
    pub(super) meta: Object<Meta>,
}

/// `data.meta`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Meta {
    /// Incident to close if the session is unknown: a GUID.
    pub(super) dynamics365_incident_id: Text,
}

/// One conversation of OpenCX's public webhook `conversation.closed`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["conversation_id"]))]
pub(super) struct ClosedData {
    /// Id of the conversation.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub(super) conversation_id: Text,
    /// Time at which the conversation was closed, RFC 3339.
    pub(super) timestamp: Text,
    /// `resolved` closes.
    pub(super) human_resolution_status: Text,
    /// `resolved` closes.
    pub(super) resolution_status: Text,
    /// `resolved` closes if neither of the two fields above is present.
    pub(super) ai_resolution_status: Text,
    /// Channel of the conversation; a value that is not a string is ignored.
    pub(super) channel: LenientText,
    /// References to records in Dynamics.
    pub(super) meta: Object<Meta>,
}
