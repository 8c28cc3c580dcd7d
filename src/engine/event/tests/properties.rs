use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::LIMITS;
use crate::event::{Body, Decoded, Envelope, Event, decode};

/// Decodes a message that must be one event.
fn one(envelope: &Envelope, body: &[u8]) -> Event {
    match decode(envelope, &Bytes::copy_from_slice(body), &LIMITS) {
        Ok(Decoded::Event(event)) => event,
        other => panic!("expected an event, got {other:?}"),
    }
}

fn id() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_:.é-]{1,255}"
}

/// Generates text, occasionally blank.
fn prose() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => any::<String>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => "[ \t\n]{0,3}".prop_map(Value::from),
    ]
}

fn instant() -> impl Strategy<Value = String> {
    (0_i64..4_000_000_000, 0_u32..1_000_000_000, -23_i32..=23, 0_i32..60).prop_map(
        |(second, nanosecond, hours, minutes)| {
            let base = jiff::Timestamp::from_second(second).expect("within jiff's range");
            let text = base.strftime("%Y-%m-%dT%H:%M:%S");
            format!("{text}.{nanosecond:09}{hours:+03}:{minutes:02}")
        },
    )
}

fn message() -> impl Strategy<Value = Value> {
    let parts = (option::of(instant()), prose(), prose(), prose());
    parts.prop_map(|(timestamp, sender, name, text)| {
        json!({ "timestamp": timestamp, "sender": sender, "name": name, "text": text, "x": [{}] })
    })
}

fn handoff_data() -> impl Strategy<Value = Value> {
    let customer = [prose(), prose(), prose()];
    let texts = [prose(), prose(), prose()];
    let parts = (id(), "[a-zA-Z_]{1,20}", texts, customer, vec(message(), 0..4));
    parts.prop_map(|(session, channel, texts, customer, transcript)| {
        let [summary, classification, sentiment] = texts;
        let [name, email, phone] = customer;
        json!({
            "session_id": session,
            "channel": channel,
            "summary": summary,
            "classification": classification,
            "sentiment": sentiment,
            "customer": { "name": name, "email": email, "phone": phone },
            "transcript": transcript,
        })
    })
}

fn resolved_data() -> impl Strategy<Value = Value> {
    let meta = option::of(any::<u128>().prop_map(|id| uuid::Uuid::from_u128(id).to_string()));
    (id(), prose(), meta).prop_map(|(session, status, meta)| {
        json!({
            "session_id": session,
            "status": status,
            "meta": { "dynamics365_incident_id": meta },
        })
    })
}

/// Generates name, event id, organization, timestamp and data.
fn parts() -> impl Strategy<Value = (&'static str, String, String, String, Value)> {
    let named = prop_oneof![
        handoff_data().prop_map(|data| ("session.handoff", data)),
        resolved_data().prop_map(|data| ("session.resolved", data)),
    ];
    (named, id(), id(), instant())
        .prop_map(|((name, data), id, organization, timestamp)| (name, id, organization, timestamp, data))
}

/// Generates bytes that resemble events more often than random ones do.
fn almost_json() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "5",
            "-1e9",
            "true",
            "\"\\ud800\"",
            "\"\\u0000\"",
            "\" \"",
            "\"event\"",
            "\"session.handoff\"",
            "\"session.resolved\"",
            "\"conversation.closed\"",
            "\"event_id\"",
            "\"organization_id\"",
            "\"timestamp\"",
            "\"2026-11-22T10:15:00Z\"",
            "\"data\"",
            "\"session_id\"",
            "\"channel\"",
            "\"customer\"",
            "\"transcript\"",
            "\"meta\"",
            "\"conversation_id\"",
            "\"specversion\"",
            "\"1.0\"",
            "\"type\"",
            "\"id\"",
            "\"data_base64\"",
            "\"organizationid\"",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

fn any_envelope() -> impl Strategy<Value = Envelope> {
    let content_type = prop_oneof![
        Just("application/json".to_owned()),
        Just("application/cloudevents+json".to_owned()),
        Just("application/cloudevents-batch+json".to_owned()),
        any::<String>(),
    ];
    let name = prop_oneof![
        Just("cloudEvents:type".to_owned()),
        Just("cloudEvents_specversion".to_owned()),
        Just("CLOUDEVENTS:id".to_owned()),
        any::<String>(),
    ];
    let value = prop_oneof![Just("conversation.closed".to_owned()), Just("1.0".to_owned()), any::<String>(),];
    let headers = vec((name, value), 0..5);
    (option::of(content_type), option::of(any::<String>()), headers)
        .prop_map(|(content_type, message_id, headers)| Envelope { content_type, message_id, headers })
}

proptest! {
    #[test]
    fn never_panics_on_any_bytes(envelope in any_envelope(), body in vec(any::<u8>(), 0..300)) {
        let _ = decode(&envelope, &body.into(), &LIMITS);
    }

    #[test]
    fn never_panics_on_almost_json(envelope in any_envelope(), body in almost_json()) {
        let _ = decode(&envelope, &body.into(), &LIMITS);
    }

    /// Truncates a message anywhere, and changes one byte of it.
    #[test]
    fn never_panics_on_damaged_events(
        parts in parts(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let (name, id, organization, timestamp, data) = parts;
        let mut body = json!({
            "event": name, "event_id": id, "organization_id": organization, "timestamp": timestamp, "data": data,
        }).to_string().into_bytes();
        let at = at.index(body.len());
        let _ = decode(&Envelope::default(), &Bytes::copy_from_slice(&body[..at]), &LIMITS);
        body[at] = byte;
        let _ = decode(&Envelope::default(), &body.into(), &LIMITS);
    }

    #[test]
    fn all_dialects_decode_to_the_same_event(parts in parts()) {
        let (name, id, organization, timestamp, data) = parts;
        let native = json!({
            "event": name, "event_id": id, "organization_id": organization, "timestamp": timestamp, "data": data,
        });
        let event = one(&Envelope::default(), native.to_string().as_bytes());
        prop_assert_eq!(event.key.event_id.as_str(), &id);
        prop_assert_eq!(Some(event.session_id().as_str()), data["session_id"].as_str());

        let cloud = |key: &str, data: Value| json!({
            "specversion": "1.0", "id": id, "source": "/", "type": name, "time": timestamp,
            "organizationid": organization, key: data,
        });
        let structured = Envelope {
            content_type: Some("application/cloudevents+json".to_owned()),
            ..Envelope::default()
        };
        let plain = cloud("data", data.clone()).to_string();
        prop_assert_eq!(&one(&structured, plain.as_bytes()), &event);
        let encoded = cloud("data_base64", json!(BASE64.encode(data.to_string()))).to_string();
        prop_assert_eq!(&one(&structured, encoded.as_bytes()), &event);

        let header = |name: &str, value: &str| (format!("cloudEvents:{name}"), value.to_owned());
        let binary = Envelope {
            headers: vec![
                header("specversion", "1.0"), header("id", &id), header("type", name),
                header("time", &timestamp), header("organizationid", &organization),
            ],
            ..Envelope::default()
        };
        prop_assert_eq!(&one(&binary, data.to_string().as_bytes()), &event);
    }

    /// Removing null and blank values changes nothing.
    #[test]
    fn removing_null_and_blank_changes_nothing(parts in parts()) {
        let (name, id, organization, timestamp, data) = parts;
        let of = |data: &Value| json!({
            "event": name, "event_id": id, "organization_id": organization, "timestamp": timestamp, "data": data,
        }).to_string();
        let full = one(&Envelope::default(), of(&data).as_bytes());
        let lean = one(&Envelope::default(), of(&without_nothing(data)).as_bytes());
        prop_assert_eq!(lean, full);
    }

    /// Decoded texts hold no character that Dynamics refuses, and none is blank.
    #[test]
    fn texts_are_valid_for_dynamics(data in handoff_data()) {
        let body = json!({
            "event": "session.handoff", "event_id": "e", "organization_id": "o",
            "timestamp": "2026-11-22T10:15:00Z", "data": data,
        });
        let Body::Handoff(handoff) = one(&Envelope::default(), body.to_string().as_bytes()).body else {
            panic!("a handoff");
        };
        let mut texts = vec![handoff.summary, handoff.customer.name, handoff.customer.email];
        for message in handoff.transcript {
            texts.extend([message.sender, message.name, message.text]);
        }
        for text in texts.into_iter().flatten() {
            prop_assert!(!text.trim().is_empty());
            let unfit = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r');
            prop_assert!(!text.chars().any(unfit));
        }
    }

    /// Each piece of an array is a complete message that is never split again.
    #[test]
    fn pieces_stand_alone(
        items in vec(prop_oneof![resolved_data().prop_map(closed), any::<i32>().prop_map(Value::from), Just(json!([[], {}]))], 2..6),
        message_id in option::of(id()),
    ) {
        let body = json!({ "event": "conversation.closed", "organization_id": "o", "data": items });
        let envelope = Envelope { message_id, ..Envelope::default() };
        let Ok(Decoded::Split(pieces)) = decode(&envelope, &body.to_string().into(), &LIMITS) else {
            panic!("expected pieces of {body}");
        };
        prop_assert_eq!(pieces.len(), items.len());
        for (piece, item) in pieces.iter().zip(&items) {
            let envelope = Envelope { message_id: Some(piece.message_id.clone()), ..Envelope::default() };
            match decode(&envelope, &piece.body, &LIMITS) {
                Ok(Decoded::Event(event)) => {
                    prop_assert_eq!(event.key.event_id.as_str(), &piece.message_id);
                    prop_assert_eq!(Some(event.session_id().as_str()), item["conversation_id"].as_str());
                }
                Ok(Decoded::Split(_)) => panic!("taken apart twice: {item}"),
                Err(_) => prop_assert!(!item.is_object()),
            }
        }
    }
}

fn closed(mut data: Value) -> Value {
    let members = data.as_object_mut().expect("an object");
    let session = members.remove("session_id").expect("a session");
    members.insert("conversation_id".to_owned(), session);
    data
}

/// Removes members that are null or blank, at any depth.
fn without_nothing(value: Value) -> Value {
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    };
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !nothing(value))
            .map(|(key, value)| (key, without_nothing(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nothing).collect(),
        value => value,
    }
}
