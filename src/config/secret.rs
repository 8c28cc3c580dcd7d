//! Secrets, and the environment that some of them are read from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Value;

use crate::regular::{self, FileError};

/// Longest file of a secret, in bytes: longer than any key or token.
const MAX_BYTES: u64 = 64 * 1024;

/// Snapshot of the environment variables.
#[derive(Clone, Default)]
pub struct EnvironmentVariables(BTreeMap<String, String>);

impl EnvironmentVariables {
    /// Reads the variables of this process; bytes that are not UTF-8 are replaced.
    pub fn of_process() -> Self {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
    }

    /// Iterates over all variables, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Iterates over owned copies of all variables.
    pub fn pairs(&self) -> impl Iterator<Item = (String, String)> + use<> {
        self.0.clone().into_iter()
    }
}

impl FromIterator<(String, String)> for EnvironmentVariables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// Forms of a secret, for messages.
pub(super) const FORM: &str = "a string, { env = \"VARIABLE\" } or { file = \"/path\" }";

/// Returns the text of a secret. The error holds the reference that was found and the expected value, never the secret.
pub(super) fn resolve(value: &Value, env: &EnvironmentVariables) -> Result<String, (String, String)> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Table(table) => match reference(table) {
            Some(Reference::Variable(name)) => from_variable(name, env),
            Some(Reference::File(path)) => from_file(Path::new(path)),
            None => {
                let keys: Vec<&str> = table.keys().map(String::as_str).collect();
                let found = match keys[..] {
                    [] => "a table with neither env nor file".to_owned(),
                    _ => format!("a table with the keys [{}]", keys.join(", ")),
                };
                Err((found, FORM.to_owned()))
            }
        },
        other => Err((format!("a value of type {}", other.type_str()), FORM.to_owned())),
    }
}

/// Describes the places that a secret, or a list of them, refers to; `None` if the value is the secret itself.
pub(super) fn secret_place(value: &Value) -> Option<String> {
    let place = |reference| match reference {
        Reference::Variable(name) => format!("environment variable {name}"),
        Reference::File(path) => format!("file {path}"),
    };
    let places: Vec<String> = references(value).map(place).collect();
    (!places.is_empty()).then(|| places.join(", "))
}

/// Lists the files that a secret, or a list of them, refers to.
pub(super) fn secret_files(value: &Value) -> impl Iterator<Item = &Path> {
    references(value).filter_map(|reference| match reference {
        Reference::File(path) => Some(Path::new(path)),
        Reference::Variable(_) => None,
    })
}

/// File with a secret that every user of the machine can read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExposedFile {
    /// Key that names the file, such as `http.token`.
    pub key: String,
    /// Path of the file.
    pub path: PathBuf,
}

enum Reference<'a> {
    Variable(&'a str),
    File(&'a str),
}

fn references(value: &Value) -> impl Iterator<Item = Reference<'_>> {
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    items.iter().filter_map(Value::as_table).filter_map(reference)
}

fn reference(table: &toml::Table) -> Option<Reference<'_>> {
    let (key, value) = table.iter().next().filter(|_| table.len() == 1)?;
    let text = value.as_str().filter(|text| !text.is_empty())?;
    match key.as_str() {
        "env" => Some(Reference::Variable(text)),
        "file" => Some(Reference::File(text)),
        _ => None,
    }
}

fn from_variable(name: &str, env: &EnvironmentVariables) -> Result<String, (String, String)> {
    let problem = |what: &str| {
        if !is_name(name) {
            // It may be the secret itself, pasted here.
            let found =
                format!("{{ env = … }} with {} characters that are no name of a variable", name.chars().count());
            return Err((found, "the name of an environment variable: letters, digits and underscores".to_owned()));
        }
        let found = format!("{{ env = {name:?} }} but {name} is {what}");
        Err((found, format!("the secret in environment variable {name}")))
    };
    match env.0.get(name) {
        None => problem("not set"),
        Some(text) if text.is_empty() => problem("empty"),
        Some(text) => Ok(text.clone()),
    }
}

/// Reports whether a text can be the name of an environment variable.
fn is_name(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn from_file(path: &Path) -> Result<String, (String, String)> {
    let shown = path.display();
    let problem = |what: String| {
        let found = format!("{{ file = \"{shown}\" }} but {what}");
        Err((found, format!("the secret in file {shown}")))
    };
    match regular::read(path, MAX_BYTES) {
        Err(FileError::TooLong) => problem("it is longer than 64 KiB".to_owned()),
        Err(unread) => problem(unread.to_string()),
        // An editor or `echo` ends a file with a newline, which is not part of the secret.
        Ok(text) => match text.trim_end_matches(['\r', '\n']) {
            "" => problem("it is empty".to_owned()),
            secret => Ok(secret.to_owned()),
        },
    }
}
