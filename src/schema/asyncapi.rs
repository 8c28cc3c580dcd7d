//! The AsyncAPI 3.0 document of the worker.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::all;

/// What the document names; the contract's names by default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchanges {
    /// `broker.events_exchange`
    pub events: String,
    /// `broker.outcomes_exchange`
    pub outcomes: String,
}

impl Default for Exchanges {
    fn default() -> Self {
        Self { events: "opencx.events".to_owned(), outcomes: "opencx.outcomes".to_owned() }
    }
}

/// What the worker receives and what it sends, for tools that read AsyncAPI 3.0.
pub fn asyncapi(exchanges: &Exchanges) -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "handoffd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Carries OpenCX handoffs and resolutions into Microsoft Dynamics 365, and tells what became of each.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "handoffs": channel(
                &exchanges.events, "session.handoff.{channel}", "session.handoff", &["channel"],
            ),
            "resolutions": channel(
                &exchanges.events, "session.resolved.{channel}", "session.resolved", &["channel"],
            ),
            "closedConversations": channel(
                &exchanges.events, "conversation.closed", "conversation.closed", &[],
            ),
            "outcomes": channel(
                &exchanges.outcomes, "dynamics365.{type}.{status}", "outcome", &["type", "status"],
            ),
        },
        "operations": {
            "receiveHandoff": operation("receive", "handoffs", "A human is needed: becomes an incident or a live work item."),
            "receiveResolution": operation("receive", "resolutions", "A conversation is over: its incidents are closed."),
            "receiveClosedConversation": operation("receive", "closedConversations", "OpenCX's public webhook, forwarded as it is: a resolution."),
            "sendOutcome": operation("send", "outcomes", "What became of an event; the same event_id every time it is sent."),
        },
        "components": {
            "messages": messages(),
            "parameters": parameters(),
        },
    })
}

fn channel(exchange: &str, address: &str, message: &str, parameters: &[&str]) -> Value {
    let mut channel = json!({
        "address": address,
        "messages": { message_id(message): { "$ref": format!("#/components/messages/{}", message_id(message)) } },
        "bindings": { "amqp": {
            "is": "routingKey",
            "exchange": { "name": exchange, "type": "topic", "durable": true, "autoDelete": false },
            "bindingVersion": "0.3.0",
        } },
    });
    if !parameters.is_empty() {
        let references = parameters.iter().map(|name| {
            let to = json!({ "$ref": format!("#/components/parameters/{name}") });
            ((*name).to_owned(), to)
        });
        channel["parameters"] = Value::Object(references.collect());
    }
    channel
}

fn operation(action: &str, channel: &str, summary: &str) -> Value {
    let bindings = match action {
        "send" => json!({ "deliveryMode": 2, "mandatory": true, "bindingVersion": "0.3.0" }),
        _ => json!({ "ack": true, "bindingVersion": "0.3.0" }),
    };
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "summary": summary,
        "bindings": { "amqp": bindings },
    })
}

/// Draft 7, which every AsyncAPI tool knows, and without references: they would be taken from the
/// document's root.
fn messages() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let messages = all(&settings).map(|(name, schema)| {
        let message = json!({
            "name": name,
            "contentType": "application/json",
            "headers": trace_context(),
            "payload": {
                "schemaFormat": "application/schema+json;version=draft-07",
                "schema": schema,
            },
        });
        (message_id(&name), message)
    });
    Value::Object(messages.collect::<Map<_, _>>())
}

/// Handed on from an event to its outcome.
fn trace_context() -> Value {
    json!({
        "schemaFormat": "application/schema+json;version=draft-07",
        "schema": {
            "type": "object",
            "properties": {
                "traceparent": {
                    "type": "string",
                    "description": "W3C Trace Context: the trace that the message belongs to.",
                    "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
                },
                "tracestate": { "type": "string", "description": "W3C Trace Context: what tracing systems add to it." },
            },
        },
    })
}

fn parameters() -> Value {
    json!({
        "channel": { "description": "Where the conversation took place. The worker trusts the body, not the key." },
        "type": { "description": "What the event was.", "enum": ["handoff", "resolution"] },
        "status": { "description": "How it ended.", "enum": ["succeeded", "skipped", "failed"] },
    })
}

/// Keys of components may have no dots in every tool.
fn message_id(name: &str) -> String {
    name.replace('.', "-")
}
