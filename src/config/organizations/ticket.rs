//! `ticket_properties`: any TOML, as the JSON that Dynamics is sent.

use serde_json::{Map, Value as Json};
use toml::Value;

use crate::config::value::Read;

/// The table as JSON; `incidentid` is the worker's own.
pub fn properties(value: &Value) -> Read<Map<String, Json>> {
    let table = value.as_table().ok_or_else(|| "a table [ticket_properties]".to_owned())?;
    for key in table.keys() {
        if key.eq_ignore_ascii_case("incidentid") {
            return Err(
                "any property but incidentid: that key is how the worker never makes an incident twice".to_owned()
            );
        }
        if key.is_empty() || key.chars().any(char::is_control) {
            return Err("properties with names".to_owned());
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
            .ok_or_else(|| "numbers that JSON has: no nan, no inf".to_owned())?,
        Value::Boolean(truth) => Json::from(*truth),
        Value::Datetime(time) => Json::from(time.to_string()),
        Value::Array(items) => items.iter().map(json).collect::<Read<Vec<_>>>()?.into(),
        Value::Table(table) => object(table)?.into(),
    })
}
