//! Origin of an organization's settings.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::FaultPlace;

/// Origin of an organization's settings.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// File of this path.
    File(PathBuf),
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
