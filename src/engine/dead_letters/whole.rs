//! Properties, headers and body of a dead letter. Its body is customer text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::patch::REPLACED_BODY;

/// Returns all properties and headers, and the body as JSON, text or base64.
pub(super) fn full_view(details: Value, body: &[u8]) -> Map<String, Value> {
    let mut whole = match details {
        Value::Object(details) => details,
        _ => Map::new(),
    };
    put_body(&mut whole, "body", body);
    if let Some(header) = whole.get_mut("headers").and_then(|headers| headers.get_mut(REPLACED_BODY)) {
        let original = STANDARD.decode(header.as_str().unwrap_or_default()).unwrap_or_default();
        *header = json!("(see replaced_body)");
        put_body(&mut whole, "replaced_body", &original);
    }
    whole
}

/// Adds the body as JSON if it parses, else as text if it is UTF-8, else as base64.
fn put_body(whole: &mut Map<String, Value>, name: &str, body: &[u8]) {
    let (name, value) = match (serde_json::from_slice(body), std::str::from_utf8(body)) {
        (Ok(value), _) => (name.to_owned(), value),
        (_, Ok(text)) => (name.to_owned(), json!(text)),
        _ => (format!("{name}_base64"), json!(STANDARD.encode(body))),
    };
    whole.insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_shown_as_json_text_or_base64() {
        let details = |body: &str| json!({ "properties": {}, "headers": { REPLACED_BODY: STANDARD.encode(body) } });
        let json = full_view(details("{ not json"), br#"{"z":1,"a":"b"}"#);
        assert_eq!((&json["body"], &json["replaced_body"]), (&json!({ "z": 1, "a": "b" }), &json!("{ not json")));
        assert_eq!(json["headers"][REPLACED_BODY], "(see replaced_body)");
        let bytes = full_view(json!({}), &[0, 255]);
        assert_eq!((bytes.get("body"), &bytes["body_base64"]), (None, &json!("AP8=")));
    }
}
