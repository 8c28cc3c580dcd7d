//! Layers of the configuration: defaults, overridden by the file, overridden by environment variables.

use std::path::Path;

use toml::Value;

use super::document::{self, DocumentEntry, TomlDocument};
use super::fault::{ConfigFault, ConfigFaults, FaultPlace};
use super::schema::{ConfigKey, KEYS, ValueKind};
use super::secret::EnvironmentVariables;
use super::setting::{Layers, Setting};
use super::suggest::suggest;
use super::variable;

const MISSING: &str = "a configuration file; copy the shipped config/handoffd.toml (an empty file means all defaults) \
or name another with --config or HANDOFFD_CONFIG";

/// Reads the file and the environment; unknown names are faults.
pub(super) fn layers(path: &Path, env: &EnvironmentVariables, faults: &mut ConfigFaults) -> Layers {
    let mut layers = Layers::new();
    match document::read(path, MISSING) {
        Ok(document) => add_document(&mut layers, path, document, faults),
        Err(found) => faults.extend(found),
    }
    let mut unknown = Vec::new();
    for (name, text) in env.iter() {
        match KEYS.iter().find(|key| key.variable() == name) {
            Some(key) => add_variable(&mut layers, key, text),
            None if variable::is_ours(name) => unknown.push(name),
            None => {}
        }
    }
    if !unknown.is_empty() {
        unknown.retain(|name| !variable::is_named(name, path, &layers));
        for name in unknown {
            faults.push(variable::unknown(name));
        }
    }
    layers
}

fn add_document(layers: &mut Layers, path: &Path, document: TomlDocument, faults: &mut ConfigFaults) {
    for (section, entry) in document {
        let place = |line| FaultPlace::File { path: path.to_owned(), line: Some(line) };
        let Some(known) = KEYS.iter().find(|key| key.section == section) else {
            faults.push(unknown_section(place(entry.line), section, &entry.value));
            continue;
        };
        let DocumentEntry { value, line, lines } = entry;
        let Value::Table(table) = value else {
            faults.push(ConfigFault {
                place: place(line),
                key: section.clone(),
                found: Some(format!("a value of type {}", value.type_str())),
                expected: format!("a section [{section}]"),
                suggestion: None,
            });
            continue;
        };
        for (key, value) in table {
            let place = place(lines.get(&key).copied().unwrap_or(line));
            if find(&section, &key).is_some() {
                let set = layers.entry(known.section).or_default();
                set.insert(key, Setting { value, place });
            } else {
                faults.push(unknown_key(place, &section, &key));
            }
        }
    }
}

fn add_variable(layers: &mut Layers, key: &ConfigKey, text: &str) {
    let setting = Setting { value: value_of(key, text), place: FaultPlace::Variable(key.variable()) };
    layers.entry(key.section).or_default().insert(key.name.to_owned(), setting);
}

/// Converts a variable's text to a value of the key's kind. Text of another kind is kept for the check of the key to
/// refuse.
fn value_of(key: &ConfigKey, text: &str) -> Value {
    let plain = || Value::String(text.to_owned());
    match key.kind {
        ValueKind::Text => plain(),
        ValueKind::Number => text.trim().parse().map_or_else(|_| plain(), Value::Integer),
        ValueKind::Switch => text.trim().parse().map_or_else(|_| plain(), Value::Boolean),
        ValueKind::Secret => toml_value(text).filter(|value| is_secret(key, value)).unwrap_or_else(plain),
        ValueKind::List => {
            let split = || {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Value::Array(items.map(Value::from).collect())
            };
            toml_value(text).filter(Value::is_array).unwrap_or_else(split)
        }
    }
}

fn is_secret(key: &ConfigKey, value: &Value) -> bool {
    value.is_table() || (value.is_array() && key.takes_many())
}

fn toml_value(text: &str) -> Option<Value> {
    let text = text.trim();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let mut table: toml::Table = toml::from_str(&format!("it = {text}")).ok()?;
    table.remove("it").filter(|_| table.is_empty())
}

fn unknown_section(place: FaultPlace, section: String, value: &Value) -> ConfigFault {
    let sections = || KEYS.iter().map(|key| key.section);
    // A key written above the first section header is a common mistake.
    let misplaced = KEYS.iter().find(|key| key.name == section && !value.is_table());
    let suggestion = match misplaced {
        Some(key) => Some(format!("move `{section}` to [{}]", key.section)),
        None => suggest(&section, sections()),
    };
    let mut names: Vec<&str> = sections().collect();
    names.dedup();
    ConfigFault {
        place,
        key: section,
        found: Some("an unknown section".to_owned()),
        expected: format!("one of [{}]", names.join("], [")),
        suggestion,
    }
}

fn unknown_key(place: FaultPlace, section: &str, name: &str) -> ConfigFault {
    let keys = || KEYS.iter().filter(|key| key.section == section);
    let elsewhere = || {
        let other = KEYS.iter().find(|key| key.name == name)?;
        Some(format!("move `{name}` to [{}]", other.section))
    };
    let names: Vec<&str> = keys().map(|key| key.name).collect();
    ConfigFault {
        place,
        key: format!("{section}.{name}"),
        found: Some("an unknown key".to_owned()),
        expected: format!("one of {}", names.join(", ")),
        suggestion: suggest(name, names.iter().copied()).or_else(elsewhere),
    }
}

fn find(section: &str, name: &str) -> Option<&'static ConfigKey> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}
