//! Conversion of `ticket_properties`, any TOML, to the JSON sent to Dynamics.

use serde_json::{Map, Value as Json};
use toml::Value;

use crate::config::value::Read;

/// Converts the table to JSON and refuses `incidentid`, which the worker sets itself.
pub(super) fn properties(value: &Value) -> Read<Map<String, Json>> {
    let table = value.as_table().ok_or_else(|| "a table [ticket_properties]".to_owned())?;
    for key in table.keys() {
        if key.trim().eq_ignore_ascii_case("incidentid") {
            return Err(
                "any property except incidentid, which the worker sets to prevent duplicate incidents".to_owned()
            );
        }
        if key.trim().is_empty() || key.trim() != key || key.chars().any(char::is_control) {
            return Err(format!("property names of Dynamics without white space, not {key:?}"));
        }
    }
    object(table)
}

fn object(table: &toml::Table) -> Read<Map<String, Json>> {
    table.iter().map(|(key, value)| Ok((key.clone(), json(value)?))).collect()
}

fn json(value: &Value) -> Read<Json> {
    Ok(match value {
        Value::String(text) => Json::from(text.as_str()),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => serde_json::Number::from_f64(*number)
            .map(Json::Number)
            .ok_or_else(|| "finite numbers (no nan, no inf)".to_owned())?,
        Value::Boolean(truth) => Json::from(*truth),
        Value::Datetime(time) => Json::from(time.to_string()),
        Value::Array(items) => items.iter().map(json).collect::<Read<Vec<_>>>()?.into(),
        Value::Table(table) => object(table)?.into(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Read<Map<String, Json>> {
        properties(&Value::Table(text.parse().expect("TOML")))
    }

    #[test]
    fn every_type_of_toml_has_its_json_form() {
        let text = r#"
            text = "a \"quoted\" ' text\u0000"
            empty = ""
            number = -9223372036854775808
            float = 1e300
            truth = false
            time = 2026-11-22T10:15:00Z
            day = 2026-11-22
            list = [1, "a", [true, {}]]
            "customerid_contact@odata.bind" = "/contacts(1)"
            "odd$key/with'quotes\"and😀" = 1
            [nested.deeper]
            value = []
        "#;
        let expected = json!({
            "text": "a \"quoted\" ' text\0", "empty": "", "number": i64::MIN, "float": 1e300, "truth": false,
            "time": "2026-11-22T10:15:00Z", "day": "2026-11-22", "list": [1, "a", [true, {}]],
            "customerid_contact@odata.bind": "/contacts(1)", "odd$key/with'quotes\"and😀": 1,
            "nested": { "deeper": { "value": [] } },
        });
        assert_eq!(Json::Object(read(text).unwrap()), expected);
        assert_eq!(read(&format!("{} = 1", "k".repeat(10_000))).unwrap().len(), 1);
    }

    #[test]
    fn properties_that_dynamics_can_not_accept_are_refused() {
        for (text, expected) in [
            ("incidentid = 1", "incidentid"),
            ("IncidentId = 1", "incidentid"),
            ("\" incidentid \" = 1", "incidentid"),
            ("\"\" = 1", "not \"\""),
            ("\" x\" = 1", "not \" x\""),
            ("\"a\\nb\" = 1", "not \"a\\nb\""),
            ("x = nan", "no nan"),
            ("x = [[-inf]]", "no inf"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        assert!(properties(&Value::Integer(1)).unwrap_err().contains("a table"));
    }

    #[test]
    fn deep_nesting_is_refused_by_the_toml_parser() {
        for text in
            [format!("x = {}1{}", "[".repeat(50_000), "]".repeat(50_000)), format!("{}x = 1", "a.".repeat(50_000))]
        {
            assert!(text.parse::<toml::Table>().is_err());
        }
    }
}
