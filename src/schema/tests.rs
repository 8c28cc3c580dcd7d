use std::fs;
use std::path::Path;

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use handoffd_engine::event::{Envelope, EventKey, Limits, decode};
use handoffd_engine::workflow::{Outcome, render};
use serde_json::{Value, json};

use super::{Exchanges, asyncapi, schemas};

/// Compiled schema.
struct SchemaValidator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl SchemaValidator {
    fn new(schema: Value, draft: Draft) -> Self {
        let mut compiler = Compiler::new();
        compiler.set_default_draft(draft);
        compiler.add_resource("mem:/schema.json", schema).expect("a resource");
        let mut schemas = Schemas::new();
        let index = compiler.compile("mem:/schema.json", &mut schemas).expect("a valid schema");
        Self { schemas, index }
    }

    fn takes(&self, value: &Value) -> bool {
        self.schemas.validate(value, self.index).is_ok()
    }
}

fn judge(name: &str) -> SchemaValidator {
    SchemaValidator::new(schemas()[name].clone(), Draft::V2020_12)
}

/// Sample events, by file name.
fn samples() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/events");
    let files = fs::read_dir(folder).expect("the samples' folder");
    let samples = files.map(|file| {
        let path = file.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = fs::read(&path).expect("a readable file");
        (name, serde_json::from_slice(&text).expect("JSON"))
    });
    samples.collect()
}

#[test]
fn every_sample_is_decoded_and_fits_its_schema() {
    let limits = Limits { max_event_bytes: 1_048_576 };
    let samples = samples();
    assert!(samples.len() >= 10);
    for (name, body) in samples {
        let decoded = decode(&Envelope::default(), &body.to_string().into(), &limits);
        assert!(decoded.is_ok(), "{name}: {decoded:?}");
        if let Some(event) = body["event"].as_str() {
            assert!(judge(event).takes(&body), "{name}");
        }
    }
}

#[test]
fn the_schemas_refuse_what_decoding_refuses() {
    let samples = samples();
    let sample = |name: &str| {
        let found = samples.iter().find(|(sample, _)| sample == name);
        found.expect("the sample is there").1.clone()
    };
    for (file, pointer, value) in [
        ("handoff-email.json", "/event", json!("session.resolved")),
        ("handoff-email.json", "/event_id", json!(5)),
        ("handoff-email.json", "/event_id", json!("e".repeat(256))),
        ("handoff-email.json", "/organization_id", json!(null)),
        ("handoff-email.json", "/timestamp", json!(null)),
        ("handoff-email.json", "/data/session_id", json!("")),
        ("handoff-email.json", "/data/session_id", json!("  ")),
        ("handoff-email.json", "/data/channel", json!(null)),
        ("handoff-email.json", "/data/summary", json!(5)),
        ("handoff-email.json", "/data/customer", json!("Ann")),
        ("handoff-email.json", "/data/transcript/0/text", json!(5)),
        ("handoff-email.json", "/data/transcript", json!({})),
        ("resolved.json", "/data/session_id", json!(null)),
        ("resolved-with-meta.json", "/data/meta/dynamics365_incident_id", json!(5)),
        ("webhook-closed.json", "/data/conversation_id", json!(null)),
        ("webhook-closed-several.json", "/data", json!([])),
        ("webhook-closed-several.json", "/data/1", json!(5)),
    ] {
        let mut body = sample(file);
        let event = body["event"].as_str().expect("a name").to_owned();
        *body.pointer_mut(pointer).expect("the field is there") = value;
        assert!(!judge(&event).takes(&body), "{file} {pointer}");
    }
}

#[test]
fn blank_and_null_fit_where_a_field_is_optional() {
    for nothing in [json!(null), json!(""), json!("  ")] {
        let body = json!({
            "event": "session.handoff",
            "event_id": nothing,
            "organization_id": "org_acme",
            "timestamp": "2026-11-22T10:15:00Z",
            "data": {
                "session_id": "s",
                "channel": "email",
                "summary": nothing,
                "customer": nothing,
                "transcript": nothing,
            },
        });
        assert!(judge("session.handoff").takes(&body));
    }
}

#[test]
fn an_outcome_fits_its_schema() {
    let outcome: Outcome = serde_json::from_value(json!({
        "kind": "handoff", "status": "failed", "route": null, "session_id": null, "channel": null,
        "incident": null, "work_item": null, "contact_id": null, "attempts": 1, "warnings": [],
        "reason": "invalid_event", "finished_at": "2026-11-22T10:15:01Z",
        "error": { "step": "decode", "status": null, "code": null, "message": "m", "advice": "a" },
    }))
    .expect("an outcome");
    let key = EventKey { organization_id: "o".into(), event_id: "e".into() };
    let mut event = serde_json::to_value(render(&outcome, &key)).expect("JSON");
    assert!(judge("outcome").takes(&event));
    event["data"]["session_meta"] = json!({
        "dynamics365_incident_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "dynamics365_ticket_number": null,
    });
    assert!(judge("outcome").takes(&event));
    for (field, value) in
        [("route", json!("email")), ("attempts", json!("1")), ("session_meta", json!({ "x": 1 })), ("reason", json!(1))]
    {
        let mut wrong = event.clone();
        wrong["data"][field] = value;
        assert!(!judge("outcome").takes(&wrong), "{field}");
    }
    event["event"] = json!("dynamics365.handoff.done");
    assert!(!judge("outcome").takes(&event));
}

#[test]
fn asyncapi_describes_both_directions() {
    let exchanges = Exchanges { events: "e".to_owned(), outcomes: "o".to_owned() };
    let document = asyncapi(&exchanges);
    let exchange = |channel: &str| document["channels"][channel]["bindings"]["amqp"]["exchange"]["name"].clone();
    for (operation, action, channel, name) in [
        ("receiveHandoff", "receive", "handoffs", "e"),
        ("receiveResolution", "receive", "resolutions", "e"),
        ("receiveClosedConversation", "receive", "closedConversations", "e"),
        ("sendOutcome", "send", "outcomes", "o"),
    ] {
        assert_eq!(document["operations"][operation]["action"], action);
        let reference = format!("#/channels/{channel}");
        assert_eq!(document["operations"][operation]["channel"]["$ref"], reference);
        assert_eq!(exchange(channel), name);
    }
}

#[test]
fn asyncapi_references_all_resolve() {
    let document = asyncapi(&Exchanges::default());
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.trim_start_matches('#');
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                open.extend(members.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

#[test]
fn asyncapi_s_payloads_are_draft_7_schemas_of_the_samples() {
    let document = asyncapi(&Exchanges::default());
    for (name, body) in samples() {
        let Some(event) = body["event"].as_str() else {
            continue;
        };
        let payload = &document["components"]["messages"][event.replace('.', "-")]["payload"];
        assert_eq!(payload["schemaFormat"], "application/schema+json;version=draft-07");
        let judge = SchemaValidator::new(payload["schema"].clone(), Draft::V7);
        assert!(judge.takes(&body), "{name}");
        let headers = &document["components"]["messages"][event.replace('.', "-")]["headers"]["schema"];
        let judge = SchemaValidator::new(headers.clone(), Draft::V7);
        assert!(judge.takes(&json!({ "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" })));
        assert!(!judge.takes(&json!({ "traceparent": "none" })));
    }
}
