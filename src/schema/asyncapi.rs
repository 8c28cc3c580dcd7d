//! AsyncAPI 3.0 document of the worker.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::all;

/// Exchanges named in the document; the contract's names by default.
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

/// AsyncAPI 3.0 document of the messages that the worker receives and sends.
pub fn asyncapi(exchanges: &Exchanges) -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "handoffd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Transfers OpenCX handoffs and resolutions to Microsoft Dynamics 365 and publishes the outcome of each.",
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
            "receiveHandoff": operation("receive", "handoffs", "Hands a conversation off to a human; creates an incident or a live work item."),
            "receiveResolution": operation("receive", "resolutions", "Ends a conversation; closes its incidents."),
            "receiveClosedConversation": operation("receive", "closedConversations", "OpenCX's public webhook, forwarded unchanged; treated as a resolution."),
            "sendOutcome": operation("send", "outcomes", "Outcome of an event, with the same event_id each time it is sent."),
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

/// Messages with draft 7 schemas, which every AsyncAPI tool supports, and without references, which tools would resolve
/// against the document's root.
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

/// Trace context headers, copied from an event to its outcome.
fn trace_context() -> Value {
    json!({
        "schemaFormat": "application/schema+json;version=draft-07",
        "schema": {
            "type": "object",
            "properties": {
                "traceparent": {
                    "type": "string",
                    "description": "W3C Trace Context: trace that the message belongs to.",
                    "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
                },
                "tracestate": { "type": "string", "description": "W3C Trace Context: data of tracing systems." },
            },
        },
    })
}

fn parameters() -> Value {
    json!({
        "channel": { "description": "Channel of the conversation. The worker trusts the body, not the routing key." },
        "type": { "description": "Type of the event.", "enum": ["handoff", "resolution"] },
        "status": { "description": "Status of the outcome.", "enum": ["succeeded", "skipped", "failed"] },
    })
}

/// Component key of a message. Some tools do not accept dots in keys.
fn message_id(name: &str) -> String {
    name.replace('.', "-")
}
