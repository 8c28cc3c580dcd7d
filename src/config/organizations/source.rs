//! Where an organization's settings come from.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::fault::Place;

/// Where an organization's settings come from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A document: saved in the store, or to be.
    Store,
}

impl Source {
    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Store => None,
        }
    }

    /// A place in it.
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
