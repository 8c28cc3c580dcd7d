//! Configuration in force, with the origin of each value.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use toml::Value;

use super::broker_url::{self, BrokerUrl};
use super::fault::{ConfigFaults, FaultPlace};
use super::layer::layers;
use super::model::{Config, KEYS, SECTIONS};
use super::schema::{ConfigKey, ValueKind};
use super::secret::{self, EnvironmentVariables};
use super::setting::Layers;
use super::{checks, exposed, variable};

/// Configuration in force, with the origin of each value.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Typed configuration.
    pub config: Config,
    layers: Layers,
    file: PathBuf,
}

impl Effective {
    /// Reads defaults, file and environment. A faulty value is replaced by its default.
    pub(crate) fn read(path: &Path, env: &EnvironmentVariables) -> (Self, ConfigFaults) {
        let mut faults = ConfigFaults::default();
        let layers = layers(path, env, &mut faults);
        let mut config = Config::read(&layers, env, &mut faults);
        checks::check(&mut config, &layers, &mut faults);
        let directory = &config.organizations.directory;
        faults.extend(variable::unknown_variables(path, env, &layers, directory));
        (Self { config, layers, file: path.to_owned() }, faults)
    }

    /// Returns the place that sets a key: the configuration file for a default.
    pub(crate) fn place(&self, section: &str, name: &str) -> FaultPlace {
        let setting = self.layers.get(section).and_then(|set| set.get(name));
        let file = || FaultPlace::File { path: self.file.clone(), line: None };
        setting.map_or_else(file, |setting| setting.place.clone())
    }

    /// Finds the files with secrets that every user of the machine can read.
    pub(crate) fn find_exposed_files(&mut self) {
        self.config.exposed_files = exposed::files(&self.config, &self.layers);
    }

    /// Renders the configuration as TOML, with a comment on the origin of each value that is not the default. Secrets
    /// appear as `***`, broker URLs without their password.
    pub fn render(&self) -> String {
        let section = |(section, _): &(&str, &str)| {
            let keys = KEYS.iter().filter(|key| key.section == *section);
            keys.fold(format!("[{section}]\n"), |mut text, key| {
                // Writing to a string can't fail.
                let _ = writeln!(text, "{} = {}", key.name, self.line(key));
                text
            })
        };
        SECTIONS.iter().map(section).collect::<Vec<_>>().join("\n")
    }

    fn line(&self, key: &ConfigKey) -> String {
        let default = key.default_value().expect("every key of the file has a default; a test reads them all");
        let setting = self.layers.get(key.section).and_then(|set| set.get(key.name));
        match setting {
            Some(setting) if setting.value != default => {
                let place = match &setting.place {
                    FaultPlace::Variable(name) => name.clone(),
                    other => other.to_string(),
                };
                let origin =
                    secret::secret_place(&setting.value).map(|secret| format!("{secret}, ")).unwrap_or_default();
                format!("{}  # {origin}from {place}", self.masked(key, &setting.value))
            }
            _ => self.masked(key, &default).to_string(),
        }
    }

    fn masked(&self, key: &ConfigKey, value: &Value) -> Value {
        match value {
            _ if key.kind == ValueKind::Secrets => match &self.config.broker.url[..] {
                [url] => Value::from(url.masked()),
                urls => Value::Array(urls.iter().map(BrokerUrl::masked).map(Value::from).collect()),
            },
            Value::String(text) if text.is_empty() => value.clone(),
            _ if key.kind.is_secret() => Value::from("***"),
            Value::String(text) => Value::from(broker_url::masked(text)),
            other => other.clone(),
        }
    }
}
