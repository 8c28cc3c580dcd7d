//! Reads the values of one section and records the faults of each.

use std::path::PathBuf;

use toml::Value;

use super::fault::{ConfigFault, ConfigFaults};
use super::schema::ConfigKey;
use super::secret::{self, EnvironmentVariables};
use super::setting::{Set, Setting};
use super::value::Read;

/// Longest part of a value quoted in a fault, in characters.
const QUOTED: usize = 80;
const LEGAL: &str = "only keys with a legal default are read so; a test reads them all";

/// Reader of the values of one section, or of one organization's file.
pub(crate) struct Reader<'a> {
    /// Name of the section, such as `broker`; empty for an organization's file.
    pub section: &'static str,
    /// Keys of the section.
    pub keys: &'static [ConfigKey],
    /// Values that were set.
    pub set: &'a Set,
    /// Environment that secrets may refer to.
    pub env: &'a EnvironmentVariables,
    /// Faults so far.
    pub faults: &'a mut ConfigFaults,
}

impl Reader<'_> {
    /// Reads a value that has a default. A faulty value is recorded and replaced by the default, so that reading
    /// continues.
    pub(crate) fn read<T>(&mut self, name: &str, parse: impl Fn(&Value) -> Read<T>) -> T {
        self.required(name, &parse).unwrap_or_else(|| parse(&self.default(name)).expect(LEGAL))
    }

    /// Reads a value that may be absent or blank.
    pub(crate) fn optional<T>(&mut self, name: &str, parse: impl Fn(&Value) -> Read<T>) -> Option<T> {
        let blank = |setting: &Setting| setting.value.as_str().is_some_and(|text| text.trim().is_empty());
        if self.set.get(name).is_some_and(blank) { None } else { self.required(name, parse) }
    }

    /// Reads a required value; returns `None` if it is missing, or faulty, which is recorded.
    pub(crate) fn required<T>(&mut self, name: &str, parse: impl Fn(&Value) -> Read<T>) -> Option<T> {
        self.recorded(name, |value, _| parse(value).map_err(|expected| (Some(quoted(value)), expected)))
    }

    /// Reads a required value in whose place a secret may have been pasted, so that a fault gives only its length.
    pub(crate) fn required_unquoted<T>(&mut self, name: &str, parse: impl Fn(&Value) -> Read<T>) -> Option<T> {
        self.recorded(name, |value, _| parse(value).map_err(|expected| (Some(described(value)), expected)))
    }

    /// Reads a secret that has a default.
    pub(crate) fn secret<T>(&mut self, name: &str, parse: impl Fn(&str) -> Read<T>) -> T {
        self.required_secret(name, &parse).unwrap_or_else(|| self.parsed_default(name, parse))
    }

    /// Reads one secret or a list of secrets that have a default. Each text is parsed into any number of values.
    pub(crate) fn secrets<T>(&mut self, name: &str, parse: impl Fn(&str) -> Read<Vec<T>>) -> Vec<T> {
        let values = self.recorded(name, |value, env| {
            let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            if items.is_empty() {
                return Err((Some("an empty list".to_owned()), "at least one item".to_owned()));
            }
            let values: Result<Vec<_>, _> = items.iter().map(|item| resolved(item, env, &parse)).collect();
            Ok(values?.into_iter().flatten().collect())
        });
        values.unwrap_or_else(|| self.parsed_default(name, parse))
    }

    /// Reads a secret; returns `None` if it is missing, or faulty, which is recorded.
    pub(crate) fn required_secret<T>(&mut self, name: &str, parse: impl Fn(&str) -> Read<T>) -> Option<T> {
        self.recorded(name, |value, env| resolved(value, env, parse))
    }

    /// Reads the place of a secret that is read again later, which must be a file; returns `None` if it is missing, or
    /// faulty, which is recorded. Its present text is checked and dropped.
    pub(crate) fn secret_file(&mut self, name: &str, check: impl Fn(&str) -> Read<()>) -> Option<PathBuf> {
        self.recorded(name, |value, env| {
            let file = value.as_table().and_then(|_| secret::secret_files(value).next());
            let file = file.ok_or_else(|| (None, "{ file = \"/path\" }".to_owned()))?;
            resolved(value, env, check).map(|()| file.to_owned())
        })
    }

    /// Reads a secret that must be the value itself; returns `None` if it is missing, or faulty, which is recorded. Any
    /// other value is neither quoted nor resolved: `elsewhere` is the expected value in the fault.
    pub(crate) fn inline_secret<T>(
        &mut self,
        name: &str,
        elsewhere: &str,
        parse: impl Fn(&str) -> Read<T>,
    ) -> Option<T> {
        self.recorded(name, |value, _| {
            let text = value.as_str().ok_or_else(|| elsewhere.to_owned());
            text.and_then(parse).map_err(|expected| (None, expected))
        })
    }

    /// Reads a value that was set; records what was found and what was expected if it is faulty.
    fn recorded<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value, &EnvironmentVariables) -> Result<T, Refused>,
    ) -> Option<T> {
        let setting = self.set.get(name)?;
        let key = if self.section.is_empty() { name.to_owned() } else { format!("{}.{name}", self.section) };
        let fault = |(found, expected)| ConfigFault::new(setting.place.clone(), key, found, expected);
        read(&setting.value, self.env).map_err(|refused| self.faults.push(fault(refused))).ok()
    }

    fn parsed_default<T>(&self, name: &str, parse: impl Fn(&str) -> Read<T>) -> T {
        parse(self.default(name).as_str().unwrap_or_default()).expect(LEGAL)
    }

    fn default(&self, name: &str) -> Value {
        let key = self.keys.iter().find(|key| key.section == self.section && key.name == name);
        key.and_then(ConfigKey::default_value).expect(LEGAL)
    }
}

/// Value that was found, unless it could be a secret, and description of the expected one.
type Refused = (Option<String>, String);

fn resolved<T>(value: &Value, env: &EnvironmentVariables, parse: impl Fn(&str) -> Read<T>) -> Result<T, Refused> {
    let text = secret::resolve(value, env).map_err(|(found, expected)| (Some(found), expected))?;
    // The text is a secret; the place where it was found is none.
    parse(&text).map_err(|expected| (secret::secret_place(value), expected))
}

/// Describes a value that could be a secret.
fn described(value: &Value) -> String {
    match value {
        Value::String(text) => format!("a text of {} characters", text.chars().count()),
        other => format!("a value of type {}", other.type_str()),
    }
}

/// Quotes a value for a fault.
pub(crate) fn quoted(value: &Value) -> String {
    let text = match value {
        // An address may hold a password by mistake, which must not reach a log.
        Value::String(text) if text.contains('@') => format!("{:?}", super::broker_url::masked(text)),
        // A fault takes one line, whatever the value contains.
        Value::String(text) if text.contains(char::is_control) => format!("{text:?}"),
        other => other.to_string(),
    };
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
