//! Reads the values of one section and records the faults of each.

use toml::Value;

use super::fault::{ConfigFault, ConfigFaults, FaultPlace};
use super::schema::ConfigKey;
use super::secret::{self, EnvironmentVariables};
use super::setting::{Set, Setting};
use super::value::Read;

/// Longest part of a value quoted in a fault, in characters.
const QUOTED: usize = 80;

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
        if let Some(setting) = self.set.get(name) {
            match parse(&setting.value) {
                Ok(value) => return value,
                Err(expected) => self.fault(name, setting, Some(quoted(&setting.value)), expected),
            }
        }
        let default = self.default(name);
        parse(&default).expect("a default is legal; a test reads them all")
    }

    /// Reads a string that has a default.
    pub(crate) fn text<T>(&mut self, name: &str, parse: impl Fn(&str) -> Read<T>) -> T {
        self.read(name, |value| super::value::text(value).and_then(&parse))
    }

    /// Reads a secret that has a default.
    pub(crate) fn secret<T>(&mut self, name: &str, parse: impl Fn(&str) -> Read<T>) -> T {
        if let Some(value) = self.required_secret(name, &parse) {
            return value;
        }
        let default = self.default(name);
        let text = default.as_str().unwrap_or_default();
        parse(text).expect("a default is legal; a test reads them all")
    }

    /// Reads one secret or a list of secrets that have a default. Each text is parsed into any number of values.
    pub(crate) fn secrets<T>(&mut self, name: &str, parse: impl Fn(&str) -> Read<Vec<T>>) -> Vec<T> {
        let Some(setting) = self.set.get(name) else { return self.default_secrets(name, parse) };
        let items = match &setting.value {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut values = Vec::new();
        for item in items {
            let text = secret::resolve(item, self.env).map_err(|(found, expected)| (Some(found), expected));
            match text.and_then(|text| parse(&text).map_err(|expected| (None, expected))) {
                Ok(parsed) => values.extend(parsed),
                Err((found, expected)) => self.fault(name, setting, found, expected),
            }
        }
        if items.is_empty() {
            self.fault(name, setting, Some("an empty list".to_owned()), "at least one item".to_owned());
        }
        if values.is_empty() { self.default_secrets(name, parse) } else { values }
    }

    fn default_secrets<T>(&self, name: &str, parse: impl Fn(&str) -> Read<Vec<T>>) -> Vec<T> {
        let default = self.default(name);
        parse(default.as_str().unwrap_or_default()).expect("a default is legal; a test reads them all")
    }

    /// Reads a value that may be absent or blank.
    pub(crate) fn optional<T>(&mut self, name: &str, parse: impl Fn(&Value) -> Read<T>) -> Option<T> {
        let setting = self.set.get(name)?;
        if setting.value.as_str().is_some_and(|text| text.trim().is_empty()) {
            return None;
        }
        match parse(&setting.value) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.fault(name, setting, Some(quoted(&setting.value)), expected);
                None
            }
        }
    }

    /// Reads a required value; returns `None` if it is missing, or faulty, which is recorded.
    pub(crate) fn required<T>(&mut self, name: &str, parse: impl Fn(&Value) -> Read<T>) -> Option<T> {
        let setting = self.set.get(name)?;
        match parse(&setting.value) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.fault(name, setting, Some(quoted(&setting.value)), expected);
                None
            }
        }
    }

    /// Reads a secret; returns `None` if it is missing, or faulty, which is recorded.
    pub(crate) fn required_secret<T>(&mut self, name: &str, parse: impl Fn(&str) -> Read<T>) -> Option<T> {
        let setting = self.set.get(name)?;
        match secret::resolve(&setting.value, self.env) {
            Ok(text) => parse(&text).map_err(|expected| self.fault(name, setting, None, expected)).ok(),
            Err((found, expected)) => {
                self.fault(name, setting, Some(found), expected);
                None
            }
        }
    }

    /// Reads a secret that must be the value itself; returns `None` if it is missing, or faulty, which is recorded. Any
    /// other value is neither quoted nor resolved: `elsewhere` is the expected value in the fault.
    pub(crate) fn inline_secret<T>(
        &mut self,
        name: &str,
        elsewhere: &str,
        parse: impl Fn(&str) -> Read<T>,
    ) -> Option<T> {
        let setting = self.set.get(name)?;
        let read = setting.value.as_str().ok_or_else(|| elsewhere.to_owned()).and_then(parse);
        read.map_err(|expected| self.fault(name, setting, None, expected)).ok()
    }

    /// Records a fault of a value that is valid alone but conflicts with others.
    pub(crate) fn conflict(&mut self, name: &str, expected: String) {
        let place = self.set.get(name).map_or(FaultPlace::Default, |setting| setting.place.clone());
        self.faults.push(ConfigFault {
            place,
            key: self.path(name),
            found: self.set.get(name).map(|setting| quoted(&setting.value)),
            expected,
            suggestion: None,
        });
    }

    /// Reports whether a fault of this key was recorded.
    pub(crate) fn has_fault(&self, name: &str) -> bool {
        let path = self.path(name);
        self.faults.0.iter().any(|fault| fault.key == path)
    }

    fn fault(&mut self, name: &str, setting: &Setting, found: Option<String>, expected: String) {
        self.faults.push(ConfigFault {
            place: setting.place.clone(),
            key: self.path(name),
            found,
            expected,
            suggestion: None,
        });
    }

    fn path(&self, name: &str) -> String {
        match self.section {
            "" => name.to_owned(),
            section => format!("{section}.{name}"),
        }
    }

    fn default(&self, name: &str) -> Value {
        self.keys
            .iter()
            .find(|key| key.section == self.section && key.name == name)
            .and_then(ConfigKey::default_value)
            .expect("only keys of the schema that have a default are read; a test reads them all")
    }
}

fn quoted(value: &Value) -> String {
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
