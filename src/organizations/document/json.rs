//! Conversion of a JSON document to the keys of an organization's file.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use toml::Value;

use crate::config::document::{DocumentEntry, TomlDocument};
use crate::config::{ConfigFault, ConfigFaults};
use crate::organizations::origin::Origin;

/// Converts the top-level keys; a null counts as absent.
pub(super) fn document(document: &Json) -> Result<TomlDocument, ConfigFaults> {
    let mut faults = ConfigFaults::default();
    let mut entries = TomlDocument::new();
    let Some(object) = document.as_object() else {
        faults.push(fault("", "a JSON object with the keys of an organization's file".to_owned()));
        return Err(faults);
    };
    for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        match toml_value(value) {
            Ok(value) => {
                entries.insert(key.clone(), DocumentEntry { value, line: 0, lines: BTreeMap::new() });
            }
            Err(expected) => faults.push(fault(key, expected)),
        }
    }
    faults.unless_any(entries)
}

fn toml_value(value: &Json) -> Result<Value, String> {
    Ok(match value {
        Json::Null => return Err("no null inside a list, because TOML has no null".to_owned()),
        Json::Bool(truth) => Value::Boolean(*truth),
        Json::String(text) => Value::String(text.clone()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Integer(whole),
            (None, Some(float)) if !number.is_u64() => Value::Float(float),
            _ => return Err("signed 64-bit integers".to_owned()),
        },
        Json::Array(items) => Value::Array(items.iter().map(toml_value).collect::<Result<_, _>>()?),
        Json::Object(object) => {
            let values = object.iter().filter(|(_, value)| !value.is_null());
            let values = values.map(|(key, value)| Ok((key.clone(), toml_value(value)?)));
            Value::Table(values.collect::<Result<_, String>>()?)
        }
    })
}

fn fault(key: &str, expected: String) -> ConfigFault {
    ConfigFault { place: Origin::Store.place(None), key: key.to_owned(), found: None, expected, suggestion: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_equals_the_same_file() {
        let read = document(&json!({
            "default_priority": 2, "default_owner_id": null, "client_secret": { "env": "X" },
            "ticket_properties": { "a": 1.5, "b": [true, "x"], "c": null, "d": { "e": -7 } },
        }))
        .unwrap();
        let expected: toml::Table = "default_priority = 2\nclient_secret = { env = \"X\" }\n[ticket_properties]\n\
                                     a = 1.5\nb = [true, \"x\"]\nd = { e = -7 }\n"
            .parse()
            .unwrap();
        let values: toml::Table = read.into_iter().map(|(key, entry)| (key, entry.value)).collect();
        assert_eq!(values, expected);
    }

    #[test]
    fn values_without_toml_form_are_faults_with_their_key() {
        for (value, expected) in [
            (json!([]), "the document: expected a JSON object"),
            (json!({ "x": [null] }), "the document: x: expected no null"),
            (json!({ "x": u64::MAX }), "the document: x: expected signed 64-bit integers"),
        ] {
            let faults = document(&value).unwrap_err().to_string();
            assert!(faults.starts_with(expected), "{faults}");
        }
    }
}
