//! Marker file beside a new store that replaced a damaged one. Nothing is consumed until an operator accepts that
//! store.
//!
//! The marker is written before the damaged store is moved, so no crash in between leaves a new store without it. The
//! marker is not part of the store's folder, so it survives the loss of that folder.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::folder;

/// New store that no operator has accepted yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unaccepted {
    /// Path of the damaged store.
    pub set_aside: PathBuf,
}

/// Returns the marker of the store at this path, if there is one.
///
/// # Errors
/// Fails if the marker can't be read.
pub fn unaccepted(path: &Path) -> io::Result<Option<Unaccepted>> {
    match fs::read(marker(path)) {
        Ok(aside) => Ok(Some(Unaccepted { set_aside: OsString::from_vec(aside).into() })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the marker durably for a store that is about to be set aside.
pub(super) fn require(path: &Path, aside: &Path) -> io::Result<()> {
    let marker = marker(path);
    let mut file = File::create(&marker)?;
    file.write_all(aside.as_os_str().as_bytes())?;
    file.sync_all()?;
    folder::sync_parent(&marker)
}

/// Removes the marker durably.
pub(super) fn accept(path: &Path) -> io::Result<()> {
    let marker = marker(path);
    match fs::remove_file(&marker) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => folder::sync_parent(&marker),
    }
}

fn marker(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unaccepted");
    name.into()
}
