//! What is wrong with a configuration.

use std::fmt;
use std::path::{Path, PathBuf};

/// Everything that is wrong with a configuration; displayed one fault a line.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Faults(pub Vec<Fault>);

/// One thing that is wrong. Never holds a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where it stands.
    pub place: Place,
    /// `broker.prefetch`; empty when it concerns the whole file.
    pub key: String,
    /// What stands there; absent where it would be a secret.
    pub found: Option<String>,
    /// What should stand there.
    pub expected: String,
    /// `did you mean …?`
    pub suggestion: Option<String>,
}

/// Where a value stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// In a file.
    File {
        /// Which.
        path: PathBuf,
        /// On which line, counted from 1.
        line: Option<usize>,
    },
    /// In a document that somebody has sent.
    Document,
    /// In an environment variable.
    Variable(String),
    /// Nowhere: it is the default.
    Default,
}

impl Faults {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one concerns this file as a whole: it is missing, or no TOML.
    pub fn concern_file(&self, file: &Path) -> bool {
        let whole =
            |fault: &Fault| fault.key.is_empty() && matches!(&fault.place, Place::File { path, .. } if path == file);
        self.0.iter().any(whole)
    }

    /// Adds one.
    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Adds all of the other's.
    pub fn extend(&mut self, other: Faults) {
        self.0.extend(other.0);
    }

    /// The value when there is no fault; else the faults, file by file and line by line.
    pub fn unless_any<T>(mut self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            return Ok(value);
        }
        self.0.sort_by(|one, other| one.place.cmp(&other.place));
        Err(self)
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        if let Some(found) = &self.found {
            write!(f, "found {found}, ")?;
        }
        write!(f, "expected {}", self.expected)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Document => f.write_str("the document"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}
