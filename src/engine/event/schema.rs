//! JSON Schemas of the events, derived from the types used for decoding.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use super::lax::Text;
use super::wire::{ClosedData, HandoffData, ResolvedData};

/// Returns the name and the JSON Schema of each event, in the draft given by `settings`.
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

/// Declares the fixed name of an event.
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

/// Handoff of a conversation from the AI to a human.
#[derive(JsonSchema)]
#[schemars(rename = "SessionHandoff")]
#[expect(dead_code, reason = "only its schema is used")]
struct HandoffEvent {
    event: HandoffName,
    #[schemars(flatten)]
    head: Head,
    data: HandoffData<'static>,
}

/// End of a conversation.
#[derive(JsonSchema)]
#[schemars(rename = "SessionResolved")]
#[expect(dead_code, reason = "only its schema is used")]
struct ResolvedEvent {
    event: ResolvedName,
    #[schemars(flatten)]
    head: Head,
    data: ResolvedData<'static>,
}

/// Fields common to all events of the native dialect.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Head {
    /// Id, unique within the organization; if absent, the AMQP `message_id` is used.
    #[schemars(default, length(max = 255))]
    event_id: Text<'static>,
    /// Organization that owns the event.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    organization_id: Text<'static>,
    /// Time of the event, RFC 3339.
    #[schemars(with = "String", extend("format" = "date-time"))]
    timestamp: Text<'static>,
}

/// OpenCX's public webhook, forwarded unchanged.
#[derive(JsonSchema)]
#[schemars(rename = "ConversationClosed")]
#[expect(dead_code, reason = "only its schema is used")]
struct ClosedEvent {
    event: ClosedName,
    /// Id of the event. OpenCX omits it; then the AMQP `message_id` is used, else a digest.
    #[schemars(default, length(max = 255))]
    event_id: Text<'static>,
    /// Organization that owns the event.
    #[schemars(with = "String", length(min = 1, max = 255), regex(pattern = r"\S"))]
    organization_id: Text<'static>,
    /// Time of sending, RFC 3339.
    #[schemars(default)]
    timestamp: Text<'static>,
    data: ClosedConversations,
}

/// One conversation or several; each of several becomes a separate event.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum ClosedConversations {
    One(ClosedData<'static>),
    Several(#[schemars(length(min = 1))] Vec<ClosedData<'static>>),
}
