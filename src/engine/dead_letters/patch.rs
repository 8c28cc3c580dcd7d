//! Correction of a body by a JSON merge patch (RFC 7386), which keeps the original.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::event::{Envelope, Limits, decode};

/// Header with the original body in base64; after several patches still the first one. Its name does not start with
/// `x-handoffd-`, because those headers may be shown and this one holds customer text.
pub const REPLACED_BODY: &str = "x-replaced-body";

/// Longest such header, in bytes. All headers of a message share one AMQP frame, 128 KiB in RabbitMQ's default settings.
const LONGEST_HEADER: usize = 96 << 10;

/// Corrected body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patched {
    /// JSON of a valid event.
    pub body: Bytes,
    /// Value of [`REPLACED_BODY`]; `None` if the original is too long for a header.
    pub original: Option<String>,
}

/// Reason for refusing a patch.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PatchError {
    /// The event would be rejected again.
    #[error("the patched event would be rejected again: {0}")]
    StillInvalid(String),
    /// The patch changes nothing.
    #[error("the patch changes nothing; replay without a patch")]
    NothingChanged,
}

/// Applies a patch to a body and checks that the result is a valid event. The patch replaces a body that is not JSON completely.
pub fn patched(envelope: &Envelope, body: &[u8], patch: &Value, limits: Limits) -> Result<Patched, PatchError> {
    let before = serde_json::from_slice(body).unwrap_or(Value::Null);
    replaced(envelope, body, &merge(before, patch), limits)
}

/// Replaces a body and checks that the result is a valid event.
pub fn replaced(envelope: &Envelope, body: &[u8], after: &Value, limits: Limits) -> Result<Patched, PatchError> {
    if serde_json::from_slice::<Value>(body).unwrap_or(Value::Null) == *after {
        return Err(PatchError::NothingChanged);
    }
    let corrected = Bytes::from(after.to_string());
    decode(envelope, &corrected, &limits).map_err(|rejection| PatchError::StillInvalid(rejection.text()))?;
    let first = envelope.header(REPLACED_BODY).map_or_else(|| STANDARD.encode(body), str::to_owned);
    Ok(Patched { body: corrected, original: Some(first).filter(|text| text.len() <= LONGEST_HEADER) })
}

/// Applies an RFC 7386 merge patch: its members replace those of the target, `null` removes them; a patch that is not an object
/// replaces the target completely.
pub fn merge(target: Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut members = match target {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    for (name, change) in changes {
        if change.is_null() {
            members.shift_remove(name);
        } else {
            let member = members.get_mut(name).map(Value::take).unwrap_or_default();
            members.insert(name.clone(), merge(member, change));
        }
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMITS: Limits = Limits { max_event_bytes: 1 << 20 };

    /// Test cases of RFC 7386, appendix A.
    #[test]
    fn merges_as_rfc_7386_specifies() {
        for (target, patch, expected) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            assert_eq!(merge(target.clone(), &patch), expected, "{target} {patch}");
        }
    }

    fn event() -> Value {
        json!({
            "event": "session.handoff", "event_id": "evt_1", "organization_id": "org_acme",
            "timestamp": "2026-11-22T10:15:00Z", "data": { "session_id": "ses_1", "channel": 7 },
        })
    }

    fn patch(body: &[u8], patch: &Value) -> Result<Patched, PatchError> {
        patched(&Envelope::default(), body, patch, LIMITS)
    }

    #[test]
    fn the_original_is_kept_byte_for_byte() {
        let body = format!(" {}\n", event());
        let patched = patch(body.as_bytes(), &json!({ "data": { "channel": "web" } })).unwrap();
        let corrected: Value = serde_json::from_slice(&patched.body).unwrap();
        assert_eq!((&corrected["data"]["channel"], &corrected["data"]["session_id"]), (&json!("web"), &json!("ses_1")));
        assert_eq!(STANDARD.decode(patched.original.unwrap()).unwrap(), body.as_bytes());
    }

    #[test]
    fn of_several_patches_the_first_original_is_kept() {
        let headers = vec![(REPLACED_BODY.to_owned(), "Zmlyc3Q=".to_owned())];
        let envelope = Envelope { headers, ..Envelope::default() };
        let body = event().to_string();
        let again = patched(&envelope, body.as_bytes(), &json!({ "data": { "channel": "web" } }), LIMITS).unwrap();
        assert_eq!(again.original.as_deref(), Some("Zmlyc3Q="));
    }

    #[test]
    fn a_patch_that_leaves_the_event_invalid_is_refused_with_the_path() {
        let refused =
            patch(event().to_string().as_bytes(), &json!({ "data": { "session_id": null, "channel": "web" } }));
        let Err(PatchError::StillInvalid(problem)) = refused else { panic!("{refused:?}") };
        assert!(problem.starts_with("data.session_id"), "{problem}");
        let same = patch(event().to_string().as_bytes(), &json!({ "data": { "channel": 7 } }));
        assert_eq!(same, Err(PatchError::NothingChanged));
    }

    #[test]
    fn a_body_that_is_not_json_is_replaced_completely() {
        let whole = merge(event(), &json!({ "data": { "channel": "web" } }));
        let patched = patch(b"{ not json", &whole).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&patched.body).unwrap(), whole);
        assert!(patch(b"{ not json", &json!({ "data": { "channel": "web" } })).is_err());
    }

    #[test]
    fn an_original_too_long_for_a_header_is_left_out() {
        let long = merge(event(), &json!({ "data": { "summary": "s".repeat(80 << 10) } }));
        let patched = patch(long.to_string().as_bytes(), &json!({ "data": { "channel": "web" } })).unwrap();
        assert_eq!(patched.original, None);
    }
}
