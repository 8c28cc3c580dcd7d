//! Wire format of `data`, from which the JSON Schemas are derived.

use schemars::JsonSchema;
use serde::Deserialize;

use super::lax::{LenientText, List, Object, Text};

/// `data` of `session.handoff`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, bound(deserialize = "'de: 'a"))]
#[schemars(extend("required" = ["session_id", "channel"]))]
pub(super) struct HandoffData<'a> {
    /// Id of the conversation.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub(super) session_id: Text<'a>,
    /// Channel of the conversation: `web`, `sms` and `whatsapp` become a live work item, every other an incident.
    /// Trimmed and lower-cased.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub(super) channel: Text<'a>,
    /// Subject of the conversation, in a sentence or two.
    pub(super) summary: Text<'a>,
    /// Topic of the conversation.
    pub(super) classification: Text<'a>,
    /// Mood of the customer.
    pub(super) sentiment: Text<'a>,
    /// Customer of the conversation.
    pub(super) customer: Object<CustomerData<'a>>,
    /// Messages, oldest first.
    pub(super) transcript: List<MessageData<'a>>,
}

/// `data.customer`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct CustomerData<'a> {
    /// Full name.
    pub(super) name: Text<'a>,
    /// Email address.
    pub(super) email: Text<'a>,
    /// Telephone number.
    pub(super) phone: Text<'a>,
}

/// `data.transcript[]`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct MessageData<'a> {
    /// Time of the message, RFC 3339; any other text counts as absent.
    pub(super) timestamp: Text<'a>,
    /// `customer` (or `contact`), `ai`, `agent` (or `human_agent`), `system`, or any other, shown as given.
    pub(super) sender: Text<'a>,
    /// Name of the sender.
    pub(super) name: Text<'a>,
    /// Text of the message.
    pub(super) text: Text<'a>,
}

/// `data` of `session.resolved`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, bound(deserialize = "'de: 'a"))]
#[schemars(extend("required" = ["session_id"]))]
pub(super) struct ResolvedData<'a> {
    /// Id of the conversation.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub(super) session_id: Text<'a>,
    /// Channel of the conversation.
    pub(super) channel: Text<'a>,
    /// `closed_unresolved` and `not_resolved` leave every incident open; any other value, or none, closes.
    pub(super) status: Text<'a>,
    /// References to records in Dynamics.
    pub(super) meta: Object<Meta<'a>>,
}

/// `data.meta`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Meta<'a> {
    /// Incident to close if the session is unknown: a GUID.
    pub(super) dynamics365_incident_id: Text<'a>,
}

/// One conversation of OpenCX's public webhook `conversation.closed`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, bound(deserialize = "'de: 'a"))]
#[schemars(extend("required" = ["conversation_id"]))]
pub(super) struct ClosedData<'a> {
    /// Id of the conversation.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    pub(super) conversation_id: Text<'a>,
    /// Time at which the conversation was closed, RFC 3339.
    pub(super) timestamp: Text<'a>,
    /// `resolved` closes.
    pub(super) human_resolution_status: Text<'a>,
    /// `resolved` closes.
    pub(super) resolution_status: Text<'a>,
    /// `resolved` closes if neither of the two fields above is present.
    pub(super) ai_resolution_status: Text<'a>,
    /// Channel of the conversation; a value that is not a string is ignored.
    pub(super) channel: LenientText<'a>,
    /// References to records in Dynamics.
    pub(super) meta: Object<Meta<'a>>,
}
