//! Origin of an organization's settings.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::fault::Place;

/// Origin of an organization's settings.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// File of this path.
    File(PathBuf),
    /// Document saved, or to be saved, in the store.
    Store,
}

impl Source {
    /// Returns the path if the origin is a file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Store => None,
        }
    }

    /// Returns a place in the file or document.
    pub(super) fn place(&self, line: Option<usize>) -> Place {
        match self {
            Self::File(path) => Place::File { path: path.clone(), line },
            Self::Store => Place::Document,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Store => f.write_str("the store"),
        }
    }
}
