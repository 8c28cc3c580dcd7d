//! JSON Schemas of the events, derived from the shapes that decoding reads.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use super::lax::Text;
use super::wire::{ClosedData, HandoffData, ResolvedData};

/// A schema per event: its name, and the schema in the draft that `settings` say.
pub fn schemas(settings: &SchemaSettings) -> Vec<(&'static str, Schema)> {
    vec![
        ("session.handoff", schema::<HandoffEvent>(settings)),
        ("session.resolved", schema::<ResolvedEvent>(settings)),
        ("conversation.closed", schema::<ClosedEvent>(settings)),
    ]
}

fn schema<T: JsonSchema>(settings: &SchemaSettings) -> Schema {
    settings.clone().into_generator().into_root_schema_for::<T>()
}

/// An event's name, which is fixed.
macro_rules! name {
    ($type:ident $name:literal) => {
        #[derive(JsonSchema)]
        #[schemars(inline)]
        #[expect(dead_code, reason = "only its schema is used")]
        enum $type {
            #[schemars(rename = $name)]
            Name,
        }
    };
}

name!(HandoffName "session.handoff");
name!(ResolvedName "session.resolved");
name!(ClosedName "conversation.closed");

/// The AI hands a conversation to a human.
#[derive(JsonSchema)]
#[schemars(rename = "SessionHandoff")]
#[expect(dead_code, reason = "only its schema is used")]
struct HandoffEvent {
    event: HandoffName,
    #[schemars(flatten)]
    head: Head,
    data: HandoffData,
}

/// A conversation is over.
#[derive(JsonSchema)]
#[schemars(rename = "SessionResolved")]
#[expect(dead_code, reason = "only its schema is used")]
struct ResolvedEvent {
    event: ResolvedName,
    #[schemars(flatten)]
    head: Head,
    data: ResolvedData,
}

/// What every event of the native dialect has.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Head {
    /// Unique within the organization; absent: the AMQP `message_id`.
    #[schemars(default, length(max = 255))]
    event_id: Text,
    /// Whose event it is.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    organization_id: Text,
    /// When it happened, RFC 3339.
    #[schemars(with = "String", extend("format" = "date-time"))]
    timestamp: Text,
}

/// OpenCX's public webhook, forwarded as it is.
#[derive(JsonSchema)]
#[schemars(rename = "ConversationClosed")]
#[expect(dead_code, reason = "only its schema is used")]
struct ClosedEvent {
    event: ClosedName,
    /// Absent, as OpenCX sends it: the AMQP `message_id`, else a digest.
    #[schemars(default, length(max = 255))]
    event_id: Text,
    /// Whose event it is.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    organization_id: Text,
    /// When it was sent, RFC 3339.
    #[schemars(default)]
    timestamp: Text,
    data: ClosedConversations,
}

/// One conversation, or several: each of several becomes an event of its own.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum ClosedConversations {
    One(ClosedData),
    Several(#[schemars(length(min = 1))] Vec<ClosedData>),
}
