//! Layers of the configuration: defaults, overridden by the file, overridden by environment variables.

use std::path::Path;

use toml::Value;

use super::document::{self, DocumentEntry, TomlDocument};
use super::fault::{ConfigFault, ConfigFaults, FaultPlace};
use super::model::{KEYS, SECTIONS};
use super::schema::{ConfigKey, ValueKind};
use super::secret::EnvironmentVariables;
use super::setting::{Layers, Setting};
use super::suggest::suggest;

const MISSING: &str = "a configuration file; copy the shipped config/handoffd.toml (an empty file means all defaults) \
or name another with --config or HANDOFFD_CONFIG";

/// Reads the file, in which unknown names are faults, and the environment.
pub(super) fn layers(path: &Path, env: &EnvironmentVariables, faults: &mut ConfigFaults) -> Layers {
    let mut layers = Layers::new();
    match document::read(path, MISSING) {
        Ok(document) => add_document(&mut layers, path, document, faults),
        Err(found) => faults.extend(found),
    }
    for (name, text) in env.iter() {
        if let Some(key) = KEYS.iter().find(|key| key.variable() == name) {
            let setting = Setting { value: value_of(key, text), place: FaultPlace::Variable(key.variable()) };
            layers.entry(key.section).or_default().insert(key.name.to_owned(), setting);
        }
    }
    layers
}

fn add_document(layers: &mut Layers, path: &Path, document: TomlDocument, faults: &mut ConfigFaults) {
    let place = |line| FaultPlace::File { path: path.to_owned(), line: Some(line) };
    for (section, DocumentEntry { value, line, lines }) in document {
        let Some((known, _)) = SECTIONS.iter().find(|(known, _)| *known == section) else {
            faults.push(unknown_section(place(line), section, &value));
            continue;
        };
        let Value::Table(table) = value else {
            let found = format!("a value of type {}", value.type_str());
            faults.push(ConfigFault::new(place(line), section, found, format!("a section [{known}]")));
            continue;
        };
        for (key, value) in table {
            let place = place(lines.get(&key).copied().unwrap_or(line));
            if KEYS.iter().any(|known| known.section == section && known.name == key) {
                layers.entry(known).or_default().insert(key, Setting { value, place });
            } else {
                faults.push(unknown_key(place, &section, &key));
            }
        }
    }
}

/// Converts a variable's text to a value of the key's kind. Text of another kind is kept for the check of the key to
/// refuse.
fn value_of(key: &ConfigKey, text: &str) -> Value {
    let plain = || Value::from(text);
    let split = || text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect();
    match key.kind {
        ValueKind::Number => text.trim().parse().map_or_else(|_| plain(), Value::Integer),
        ValueKind::Switch => text.trim().parse().map_or_else(|_| plain(), Value::Boolean),
        // Text that begins like a table may be one with a mistake, so it is never the secret itself.
        ValueKind::Secret if text.trim_start().starts_with('{') => secret_table(text),
        ValueKind::Text | ValueKind::Secret => plain(),
        ValueKind::Secrets => toml_value(text).unwrap_or_else(plain),
        ValueKind::List if text.trim_start().starts_with('[') => toml_value(text).unwrap_or_else(plain),
        ValueKind::List => Value::Array(split()),
    }
}

/// Parses a table or array, of TOML or JSON.
fn toml_value(text: &str) -> Option<Value> {
    let toml = || {
        let mut table: toml::Table = toml::from_str(&format!("it = {}", text.trim())).ok()?;
        table.remove("it").filter(|_| table.is_empty())
    };
    let value = toml().or_else(|| serde_json::from_str(text).ok());
    value.filter(|value| value.is_table() || value.is_array())
}

/// Parses the table of a secret. Of any other text, which may be the secret, nothing remains for a fault to show.
fn secret_table(text: &str) -> Value {
    let is_place = |value: &Value| {
        value.as_table().is_some_and(|table| table.keys().all(|key| matches!(key.as_str(), "env" | "file")))
    };
    toml_value(text).filter(is_place).unwrap_or_else(|| Value::Table(toml::Table::new()))
}

fn unknown_section(place: FaultPlace, section: String, value: &Value) -> ConfigFault {
    let names: Vec<&str> = SECTIONS.iter().map(|(section, _)| *section).collect();
    // A key written above the first section header is a common mistake.
    let suggestion = match elsewhere(&section).filter(|_| !value.is_table()) {
        Some(advice) => Some(advice),
        None => suggest(&section, names.iter().copied()),
    };
    let expected = format!("one of [{}]", names.join("], ["));
    ConfigFault { suggestion, ..ConfigFault::new(place, section, "an unknown section".to_owned(), expected) }
}

fn unknown_key(place: FaultPlace, section: &str, name: &str) -> ConfigFault {
    let names: Vec<&str> = KEYS.iter().filter(|key| key.section == section).map(|key| key.name).collect();
    let suggestion = suggest(name, names.iter().copied()).or_else(|| elsewhere(name));
    let (key, expected) = (format!("{section}.{name}"), format!("one of {}", names.join(", ")));
    ConfigFault { suggestion, ..ConfigFault::new(place, key, "an unknown key".to_owned(), expected) }
}

/// Advice to move a key to its section.
fn elsewhere(name: &str) -> Option<String> {
    let key = KEYS.iter().find(|key| key.name == name)?;
    Some(format!("move `{name}` to [{}]", key.section))
}
