//! Faults of a configuration, with their place, key and expected value.

use std::fmt;
use std::path::{Path, PathBuf};

/// Faults of a configuration, displayed one per line.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ConfigFaults(pub Vec<ConfigFault>);

/// Single fault. Never holds a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigFault {
    /// Place of the faulty value.
    pub place: FaultPlace,
    /// Key, such as `broker.prefetch`; empty if the fault concerns the whole file.
    pub key: String,
    /// Value that was found; absent if it could be a secret, `nothing` if a required key is missing.
    pub found: Option<String>,
    /// Value that was expected, and the next action.
    pub expected: String,
    /// Suggestion, such as `did you mean …?`.
    pub suggestion: Option<String>,
}

/// Value of [`ConfigFault::found`] for a required key that is missing.
pub(crate) const NOTHING: &str = "nothing";

/// Place of a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FaultPlace {
    /// File.
    File {
        /// Path of the file.
        path: PathBuf,
        /// Line, counted from 1.
        line: Option<usize>,
    },
    /// Document received over HTTP or read from the store.
    Document,
    /// Environment variable of this name.
    Variable(String),
}

impl ConfigFaults {
    /// Reports whether there are no faults.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reports whether a fault concerns this file as a whole: a missing file or invalid TOML.
    pub fn concern_file(&self, file: &Path) -> bool {
        let concerns = |place: &FaultPlace| matches!(place, FaultPlace::File { path, .. } if path == file);
        self.0.iter().any(|fault| fault.key.is_empty() && concerns(&fault.place))
    }

    /// Adds a fault.
    pub fn push(&mut self, fault: ConfigFault) {
        self.0.push(fault);
    }

    /// Adds all faults of another list.
    pub fn extend(&mut self, other: ConfigFaults) {
        self.0.extend(other.0);
    }

    /// Returns the value if there is no fault, else the faults sorted by file and line.
    pub fn unless_any<T>(mut self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            return Ok(value);
        }
        self.0.sort_by(|one, other| one.place.cmp(&other.place));
        Err(self)
    }
}

impl ConfigFault {
    /// Creates a fault without a suggestion.
    pub fn new(
        place: FaultPlace,
        key: impl Into<String>,
        found: impl Into<Option<String>>,
        expected: impl Into<String>,
    ) -> Self {
        Self { place, key: key.into(), found: found.into(), expected: expected.into(), suggestion: None }
    }
}

impl std::error::Error for ConfigFaults {}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        match self.found.as_deref() {
            Some(NOTHING) => f.write_str("required; ")?,
            Some(found) => write!(f, "found {found}, ")?,
            None => {}
        }
        write!(f, "expected {}", self.expected)?;
        self.suggestion.iter().try_for_each(|suggestion| write!(f, "; {suggestion}"))
    }
}

impl fmt::Display for FaultPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Document => f.write_str("the document"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}
