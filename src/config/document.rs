//! A TOML file as keys with their lines.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use toml::Value;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::fault::{Fault, Faults, Place};

/// Nobody writes a longer one by hand: a bound on what is read into memory.
const MAX_BYTES: u64 = 1 << 20;

/// The keys at the top of a TOML file.
pub type Document = BTreeMap<String, Entry>;

/// What stands under a key, and where.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// The key's line, counted from 1.
    pub line: usize,
    /// For a table: the lines of its own keys.
    pub lines: BTreeMap<String, usize>,
}

/// Reads a file. `missing` says what to do when there is none.
pub fn read(path: &Path, missing: &str) -> Result<Document, Faults> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > MAX_BYTES => Err(whole(path, "more than 1 MiB", "less")),
        Ok(_) => parse(path, &text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(whole(path, "no such file", missing)),
        Err(error) => Err(whole(path, &error.to_string(), "a readable TOML file")),
    }
}

/// Reads text that stands in the file `path`.
pub fn parse(path: &Path, text: &str) -> Result<Document, Faults> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut faults = Faults::default();
    let mut fault_at = |offset: Option<usize>, error: &toml::de::Error| {
        faults.push(Fault {
            place: Place::File { path: path.to_owned(), line: offset.map(|offset| line_of(text, offset)) },
            key: String::new(),
            found: Some(error.message().replace('\n', ", ")),
            expected: "TOML".to_owned(),
            suggestion: None,
        });
    };
    for error in &errors {
        fault_at(error.span().map(|span| span.start), error);
    }
    if !errors.is_empty() {
        return Err(faults);
    }
    let mut document = Document::new();
    for (key, value) in table.into_inner() {
        let line = line_of(text, key.span().start);
        let lines = lines_of(text, value.get_ref());
        match Value::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => {
                document.insert(key.into_inner().into_owned(), Entry { value, line, lines });
            }
            Err(error) => fault_at(error.span().map(|span| span.start), &error),
        }
    }
    faults.unless_any(document)
}

fn lines_of(text: &str, value: &DeValue<'_>) -> BTreeMap<String, usize> {
    match value {
        DeValue::Table(table) => {
            table.keys().map(|key| (key.get_ref().to_string(), line_of(text, key.span().start))).collect()
        }
        _ => BTreeMap::new(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.split(|byte| *byte == b'\n').count().saturating_sub(1)
}

fn whole(path: &Path, found: &str, expected: &str) -> Faults {
    Faults(vec![Fault {
        place: Place::File { path: path.to_owned(), line: None },
        key: String::new(),
        found: Some(found.to_owned()),
        expected: expected.to_owned(),
        suggestion: None,
    }])
}
