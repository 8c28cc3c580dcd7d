//! Origin of an organization's settings.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::config::FaultPlace;

/// Origin of an organization's settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// File in `organizations.directory`.
    File(
        #[serde(serialize_with = "displayed")]
        #[schemars(with = "String")]
        PathBuf,
    ),
    /// Document saved, or to be saved, in the store.
    Store,
}

impl Origin {
    /// Returns the path if the origin is a file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Store => None,
        }
    }

    /// Returns a place in the file or document.
    pub(super) fn place(&self, line: Option<usize>) -> FaultPlace {
        match self {
            Self::File(path) => FaultPlace::File { path: path.clone(), line },
            Self::Store => FaultPlace::Document,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Store => f.write_str("the store"),
        }
    }
}

/// Serializes a path whatever its bytes; serde refuses one that is not UTF-8.
fn displayed<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
