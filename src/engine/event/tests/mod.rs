//! Decoding tests across files, by dialect.

mod cloudevents;
mod faults;
mod native;
mod properties;
mod webhook;

use serde_json::Value;

use super::{Decoded, Envelope, Event, Limits, Rejection, decode};

const LIMITS: Limits = Limits { max_event_bytes: 1_048_576 };

fn envelope(message_id: Option<&str>) -> Envelope {
    Envelope {
        content_type: Some("application/json".to_owned()),
        message_id: message_id.map(str::to_owned),
        headers: Vec::new(),
    }
}

fn text(body: &str) -> Result<Decoded, Box<Rejection>> {
    decode(&envelope(None), &body.to_owned().into(), &LIMITS)
}

fn event_in(envelope: &Envelope, body: &Value) -> Event {
    match decode(envelope, &body.to_string().into(), &LIMITS) {
        Ok(Decoded::Event(event)) => event,
        other => panic!("expected an event of {body}, got {other:?}"),
    }
}

fn rejection_in(envelope: &Envelope, body: &Value) -> Rejection {
    match decode(envelope, &body.to_string().into(), &LIMITS) {
        Err(rejection) => *rejection,
        other => panic!("expected a rejection of {body}, got {other:?}"),
    }
}

fn event(body: &Value) -> Event {
    event_in(&envelope(None), body)
}

fn rejection(body: &Value) -> Rejection {
    rejection_in(&envelope(None), body)
}

/// Returns `body` with the value at `pointer` (JSON pointer) replaced or removed.
fn with(mut body: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
    let parent = body.pointer_mut(parent).expect("the parent exists");
    match (parent, value) {
        (Value::Object(members), Some(value)) => drop(members.insert(key.to_owned(), value)),
        (Value::Object(members), None) => drop(members.remove(key)),
        (Value::Array(items), Some(value)) => {
            items[key.parse::<usize>().expect("an index")] = value;
        }
        (parent, value) => panic!("can't set {value:?} in {parent}"),
    }
    body
}

fn handoff() -> Value {
    serde_json::from_str(include_str!("../../../../tests/it/fixtures/events/handoff-email.json"))
        .expect("the sample is JSON")
}

fn resolved() -> Value {
    serde_json::from_str(include_str!("../../../../tests/it/fixtures/events/resolved.json"))
        .expect("the sample is JSON")
}
