//! Configuration in force, with the origin of each value.

use std::fmt::Write;
use std::path::Path;

use toml::Value;

use super::broker_url::BrokerUrl;
use super::fault::{ConfigFaults, FaultPlace};
use super::layer::layers;
use super::model::Config;
use super::schema::{ConfigKey, KEYS, ValueKind};
use super::secret::{self, EnvironmentVariables};
use super::sections;
use super::setting::{Layers, Setting};

/// Configuration in force, with the origin of each value.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Typed configuration.
    pub config: Config,
    layers: Layers,
}

impl Effective {
    /// Reads defaults, file and environment. A faulty value is replaced by its default.
    pub(crate) fn read(path: &Path, env: &EnvironmentVariables) -> (Self, ConfigFaults) {
        let mut faults = ConfigFaults::default();
        let layers = layers(path, env, &mut faults);
        let config = sections::config(&layers, env, &mut faults);
        (Self { config, layers }, faults)
    }

    /// Renders the configuration as TOML, with a comment on the origin of each value that is not the default. Secrets
    /// appear as `***`, broker URLs without their password.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for key in KEYS {
            if key.section != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                section = key.section;
                // Writing to a string can't fail.
                let _ = writeln!(text, "{gap}[{section}]");
            }
            let _ = writeln!(text, "{} = {}", key.name, self.line(key));
        }
        text
    }

    fn line(&self, key: &ConfigKey) -> String {
        let setting = self.layers.get(key.section).and_then(|set| set.get(key.name));
        let shown = self.masked(key, setting.map_or(&default(key), |setting| &setting.value));
        match setting {
            Some(setting) if setting.value != default(key) => format!("{shown}  # {}", origin(setting)),
            _ => shown.to_string(),
        }
    }

    fn masked(&self, key: &ConfigKey, value: &Value) -> Value {
        match value {
            _ if key.takes_many() => masked_urls(&self.config.broker.urls),
            Value::String(text) if text.is_empty() => value.clone(),
            _ if key.kind == ValueKind::Secret => Value::String("***".to_owned()),
            Value::String(text) => Value::String(super::broker_url::masked(text)),
            other => other.clone(),
        }
    }
}

fn masked_urls(urls: &[BrokerUrl]) -> Value {
    match urls {
        [url] => Value::String(url.masked()),
        urls => Value::Array(urls.iter().map(|url| Value::String(url.masked())).collect()),
    }
}

fn default(key: &ConfigKey) -> Value {
    key.default_value().expect("every key of the file has a default; a test reads them all")
}

fn origin(setting: &Setting) -> String {
    let place = match &setting.place {
        FaultPlace::Variable(name) => format!("from {name}"),
        other => format!("from {other}"),
    };
    match secret::secret_place(&setting.value) {
        Some(secret_place) => format!("{secret_place}, {place}"),
        None => place,
    }
}
