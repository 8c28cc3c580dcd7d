//! Parsing of a TOML file into keys with their lines.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Value;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::fault::{ConfigFault, ConfigFaults, FaultPlace};
use crate::regular::{self, FileError};

/// Longest document, in bytes. It bounds the memory used; no file written by hand is longer.
const MAX_BYTES: u64 = 1 << 20;

/// Top-level keys of a TOML file.
pub(crate) type TomlDocument = BTreeMap<String, DocumentEntry>;

/// Value of a key, with its position.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct DocumentEntry {
    /// Value of the key.
    pub value: Value,
    /// Line of the key, counted from 1.
    pub line: usize,
    /// Lines of the keys in the value, if it is a table.
    pub lines: BTreeMap<String, usize>,
}

/// Reads a file named on the command line, which may be a pipe. `missing` describes what is expected if there is no
/// file.
pub(crate) fn read(path: &Path, missing: &str) -> Result<TomlDocument, ConfigFaults> {
    let file = std::fs::File::open(path).map_err(FileError::Io);
    parsed(path, missing, file.and_then(|file| regular::bounded(file, MAX_BYTES)))
}

/// Reads a regular file; any other kind is refused unopened.
pub(crate) fn read_regular(path: &Path, missing: &str) -> Result<TomlDocument, ConfigFaults> {
    parsed(path, missing, regular::read(path, MAX_BYTES))
}

/// Returns the text of a regular file, unless it is longer than a document may be.
pub(crate) fn text(path: &Path) -> Option<String> {
    regular::read(path, MAX_BYTES).ok()
}

fn parsed(path: &Path, missing: &str, read: Result<String, FileError>) -> Result<TomlDocument, ConfigFaults> {
    match read {
        Ok(text) => parse(path, &text),
        Err(FileError::TooLong) => Err(whole(path, "more than 1 MiB", "at most 1 MiB")),
        Err(FileError::NotRegular(kind)) => Err(whole(path, kind, "a regular file")),
        Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            Err(whole(path, "no such file", missing))
        }
        Err(FileError::Io(error)) => Err(whole(path, &error.to_string(), "a readable TOML file")),
    }
}

/// Lists the TOML files of a directory, sorted by name. Hidden ones are skipped, since they belong to editors or mounts.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let toml = path.extension().is_some_and(|extension| extension == "toml");
        if toml && !hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Parses text as the content of the file `path`.
pub(crate) fn parse(path: &Path, text: &str) -> Result<TomlDocument, ConfigFaults> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(ConfigFaults(errors.iter().map(|error| invalid(path, text, error)).collect()));
    }
    let mut faults = ConfigFaults::default();
    let mut document = TomlDocument::new();
    for (key, value) in table.into_inner() {
        let line = line_of(text, key.span().start);
        let lines = match value.get_ref() {
            DeValue::Table(table) => {
                table.keys().map(|key| (key.get_ref().to_string(), line_of(text, key.span().start))).collect()
            }
            _ => BTreeMap::new(),
        };
        match Value::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => _ = document.insert(key.into_inner().into_owned(), DocumentEntry { value, line, lines }),
            Err(error) => faults.push(invalid(path, text, &error)),
        }
    }
    faults.unless_any(document)
}

fn invalid(path: &Path, text: &str, error: &toml::de::Error) -> ConfigFault {
    let line = error.span().map(|span| line_of(text, span.start));
    let place = FaultPlace::File { path: path.to_owned(), line };
    let message = error.message().replace('\n', ", ");
    match message.split_once(", expected ").unwrap_or((&message, "valid TOML")) {
        // An unquoted word that begins like `inf` or `nan` is taken for a number.
        ("string values must be quoted", _) | ("invalid float", "`inf`" | "`nan`") => {
            ConfigFault::new(place, "", "a text without quotes".to_owned(), "\"…\"")
        }
        (found, expected) => ConfigFault::new(place, "", found.to_owned(), expected),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.split(|byte| *byte == b'\n').count()
}

fn whole(path: &Path, found: &str, expected: &str) -> ConfigFaults {
    let place = FaultPlace::File { path: path.to_owned(), line: None };
    ConfigFaults(vec![ConfigFault::new(place, "", found.to_owned(), expected)])
}
