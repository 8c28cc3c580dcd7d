use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{LIMITS, envelope, event, event_in, rejection, rejection_in, with};
use crate::event::{Decoded, Envelope, EventId, Kind, OrganizationId, RejectionReason, decode};

fn native() -> Value {
    serde_json::from_str(include_str!("../../../../tests/it/fixtures/events/handoff-email.json"))
        .expect("the sample is JSON")
}

fn structured() -> Value {
    let native = native();
    json!({
        "specversion": "1.0",
        "source": "/opencx",
        "id": native["event_id"],
        "type": native["event"],
        "time": native["timestamp"],
        "organizationid": native["organization_id"],
        "datacontenttype": "application/json",
        "data": native["data"],
    })
}

fn typed(content_type: &str) -> Envelope {
    Envelope { content_type: Some(content_type.to_owned()), ..envelope(None) }
}

fn binary(prefix: &str) -> Envelope {
    let headers = [
        ("specversion", "1.0"),
        ("id", "evt_01JDA7"),
        ("type", "session.handoff"),
        ("time", "2026-11-22T10:15:00Z"),
        ("organizationid", "org_acme"),
    ];
    Envelope {
        headers: headers.iter().map(|(name, value)| (format!("{prefix}{name}"), (*value).to_owned())).collect(),
        ..envelope(None)
    }
}

fn without(mut envelope: Envelope, header: &str) -> Envelope {
    envelope.headers.retain(|(name, _)| name != header);
    envelope
}

#[test]
fn structured_mode_is_the_same_event() {
    for content_type in [
        "application/cloudevents+json",
        "application/cloudevents+json; charset=utf-8",
        "Application/CloudEvents+JSON;charset=UTF-8",
        "application/json",
    ] {
        assert_eq!(event_in(&typed(content_type), &structured()), event(&native()), "{content_type}");
    }
}

#[test]
fn structured_data_may_be_base64() {
    let encoded = BASE64.encode(native()["data"].to_string());
    let body = with(structured(), "/data", None);
    let body = with(body, "/data_base64", Some(json!(encoded)));
    assert_eq!(event(&body), event(&native()));
    for (value, problem) in [
        (json!("%%"), "not valid base64"),
        (json!("//79"), "decodes to bytes that are not UTF-8"),
        (json!("e30x"), "decodes to text that is not JSON: trailing characters at line 1 column 3"),
        (json!(5), "expected a string, found a number"),
    ] {
        let rejection = rejection(&with(body.clone(), "/data_base64", Some(value)));
        assert_eq!(rejection.path.as_deref(), Some("data_base64"));
        assert_eq!(rejection.problem, problem);
        assert_eq!(rejection.seen.event_id, Some(EventId::from("evt_01JDA7")));
    }
    let blank = rejection(&with(body, "/data_base64", Some(json!(" "))));
    assert_eq!(blank.path.as_deref(), Some("data"));
}

#[test]
fn binary_mode_is_the_same_event() {
    for prefix in ["cloudEvents:", "cloudEvents_", "cloudevents:", "CLOUDEVENTS_"] {
        assert_eq!(event_in(&binary(prefix), &native()["data"]), event(&native()), "{prefix}");
    }
}

#[test]
fn every_kind_of_event_may_be_a_cloud_event() {
    let closed = json!({ "conversation_id": "c1", "ai_resolution_status": "resolved" });
    for (name, data) in [
        ("session.resolved", json!({ "session_id": "c1" })),
        ("conversation.closed", closed.clone()),
        ("conversation.closed", json!([closed])),
    ] {
        let body = with(structured(), "/type", Some(json!(name)));
        let body = with(body, "/data", Some(data));
        let event = event(&body);
        assert_eq!(event.kind(), Kind::Resolution);
        assert_eq!(event.session_id().as_str(), "c1");
        assert_eq!(event.key.event_id.as_str(), "evt_01JDA7");
    }
}

#[test]
fn faults_use_the_field_names_of_the_dialect() {
    for (pointer, path) in [
        ("/type", "type"),
        ("/id", "id"),
        ("/time", "time"),
        ("/organizationid", "organizationid"),
        ("/data", "data"),
        ("/data/session_id", "data.session_id"),
    ] {
        let envelope = typed("application/cloudevents+json");
        let absent = rejection_in(&envelope, &with(structured(), pointer, None));
        assert_eq!(absent.path.as_deref(), Some(path));
        let wrong = rejection_in(&envelope, &with(structured(), pointer, Some(json!(5))));
        assert_eq!(wrong.path.as_deref(), Some(path));
        assert_eq!(wrong.reason, RejectionReason::InvalidEvent);
    }
    for attribute in ["id", "time", "organizationid"] {
        for prefix in ["cloudEvents:", "cloudEvents_"] {
            let header = format!("{prefix}{attribute}");
            let mut envelope = binary(prefix);
            for (name, value) in &mut envelope.headers {
                if *name == header {
                    *value = "\0".to_owned();
                }
            }
            let rejection = rejection_in(&envelope, &native()["data"]);
            assert_eq!(rejection.path.as_deref(), Some(header.as_str()));
        }
        let header = format!("cloudEvents:{attribute}");
        let envelope = without(binary("cloudEvents:"), &header);
        let rejection = rejection_in(&envelope, &native()["data"]);
        assert_eq!(rejection.path.as_deref(), Some(header.as_str()));
    }
}

#[test]
fn the_message_id_replaces_a_missing_id() {
    let mut envelope = without(binary("cloudEvents:"), "cloudEvents:id");
    envelope.message_id = Some("m1".to_owned());
    let event = event_in(&envelope, &native()["data"]);
    assert_eq!(event.key.event_id.as_str(), "m1");
}

#[test]
fn only_version_1_is_supported() {
    let set = |version: Value| with(structured(), "/specversion", Some(version));
    event(&set(json!("1.0.2")));
    for version in [json!("0.3"), json!("2.0"), json!("10.0"), json!(1.0)] {
        let rejection = rejection(&set(version));
        assert_eq!(rejection.path.as_deref(), Some("specversion"));
        assert_eq!(rejection.seen.organization_id, Some(OrganizationId::from("org_acme")));
    }
    let mut envelope = binary("cloudEvents_");
    envelope.headers[0].1 = "0.2".to_owned();
    let rejection = rejection_in(&envelope, &native()["data"]);
    assert_eq!(rejection.path.as_deref(), Some("cloudEvents_specversion"));
}

#[test]
fn a_batch_is_refused_with_advice() {
    let envelope = typed("application/cloudevents-batch+json");
    let rejection = rejection_in(&envelope, &json!([structured()]));
    assert_eq!(rejection.reason, RejectionReason::InvalidEvent);
    assert!(rejection.problem.contains("publish each event"));
}

#[test]
fn a_native_body_takes_precedence_over_headers() {
    for envelope in [binary("cloudEvents:"), typed("application/cloudevents+json")] {
        let body = with(native(), "/event_id", Some(json!("own")));
        assert_eq!(event_in(&envelope, &body).key.event_id.as_str(), "own");
    }
}

#[test]
fn a_trace_header_alone_makes_no_cloud_event() {
    let mut envelope = envelope(None);
    envelope.headers = vec![("cloudEvents:traceparent".to_owned(), "00-…".to_owned())];
    assert_eq!(event_in(&envelope, &native()), event(&native()));
}

#[test]
fn headers_identify_a_broken_body() {
    let rejection = decode(&binary("cloudEvents:"), &Bytes::from_static(b"{"), &LIMITS).expect_err("no JSON");
    assert_eq!(rejection.path, None);
    assert_eq!(rejection.seen.organization_id, Some(OrganizationId::from("org_acme")));
    assert_eq!(rejection.seen.event_id, Some(EventId::from("evt_01JDA7")));
    assert_eq!(rejection.seen.kind, Some(Kind::Handoff));
}

/// Found by fuzzing: a duplicate field hid that the rest is not JSON, and the path then named a key chosen
/// by the publisher.
#[test]
fn a_binary_body_that_is_not_json_is_reported_as_such() {
    let body = Bytes::from_static(b"{\"timestamp\": \"a\", \"timestamp\": \"b\", \"x\\ty\": [\"\n");
    let rejection = decode(&binary("cloudEvents:"), &body, &LIMITS).expect_err("no JSON");
    assert_eq!(rejection.path, None);
    assert!(rejection.problem.contains("the body is not JSON: control character"));
}

#[test]
fn a_binary_body_may_be_an_array() {
    let mut envelope = binary("cloudEvents:");
    envelope.headers[2].1 = "conversation.closed".to_owned();
    let body = Bytes::from_static(b"\n [{\"conversation_id\":\"a\"},{\"conversation_id\":\"b\"}]");
    let decoded = decode(&envelope, &body, &LIMITS).expect("two pieces");
    let Decoded::Split(pieces) = decoded else {
        panic!("expected pieces, got {decoded:?}");
    };
    // A piece keeps the headers of its array, and is still a separate event.
    for (piece, conversation) in pieces.into_iter().zip(["a", "b"]) {
        envelope.message_id = Some(piece.message_id);
        let decoded = decode(&envelope, &piece.body, &LIMITS).expect("an event");
        let Decoded::Event(event) = decoded else {
            panic!("expected an event, got {decoded:?}");
        };
        assert_eq!(event.session_id().as_str(), conversation);
        assert_eq!(event.key.event_id.as_str(), format!("evt_01JDA7:{conversation}"));
        assert_eq!(event.timestamp.map(|at| at.to_string()).as_deref(), Some("2026-11-22T10:15:00Z"));
    }
}
