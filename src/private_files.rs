//! Permissions of files that hold customers' texts or secrets: only their owner has access to them.
//!
//! The process clears its umask's permissions of others before it creates anything, because libraries create files
//! too, each in its own way. Folders of earlier versions, or created with another umask, are closed when they are used.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;

/// Permissions of a private folder.
const FOLDER: u32 = 0o700;
/// Permissions of a private file.
const FILE: u32 = 0o600;
/// Permissions that a private file or folder gives to nobody: those of group and others.
const FOREIGN: u32 = 0o077;

/// Keeps group and others from every file that this process and its children create from now on.
pub(crate) fn restrict_umask() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Creates a folder and its missing parents, for their owner alone.
pub(crate) fn create_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)
}

/// Creates a file that does not exist yet, for its owner alone.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE).open(path)
}

/// Takes the permissions of group and others from a folder and the files in it. What belongs to another user stays as it
/// is, since only its owner may change it.
pub(crate) fn close_folder(path: &Path) -> io::Result<()> {
    match closed(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        closed => closed,
    }
}

fn closed(folder: &Path) -> io::Result<()> {
    close(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type() {
            Ok(kind) if kind.is_file() => close(&entry.path())?,
            Ok(kind) if kind.is_dir() => close_folder(&entry.path())?,
            _ => {}
        }
    }
    Ok(())
}

/// Changes the open file, so that nobody can put another file in its place meanwhile.
fn close(path: &Path) -> io::Result<()> {
    let file = match File::open(path) {
        // Another process may remove a file at any time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mode = file.metadata()?.mode();
    if mode & FOREIGN == 0 { Ok(()) } else { file.set_permissions(Permissions::from_mode(mode & 0o7777 & !FOREIGN)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn folders_are_created_for_their_owner_and_existing_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (open, new) = (folder.path().join("open"), folder.path().join("open/a/b"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        create_folders(&new).unwrap();
        assert_eq!((mode(&open), mode(&open.join("a")), mode(&new)), (0o755, 0o700, 0o700));
    }

    #[test]
    fn an_open_folder_is_closed_with_all_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("inner")).unwrap();
        for (name, open) in
            [("file", 0o666), ("inner/deep", 0o644), ("read-only", 0o444), ("inner", 0o777), ("", 0o755)]
        {
            if !path(name).exists() {
                fs::write(path(name), "").unwrap();
            }
            fs::set_permissions(path(name), Permissions::from_mode(open)).unwrap();
        }
        std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
        close_folder(folder.path()).unwrap();
        for (name, closed) in
            [("file", 0o600), ("inner/deep", 0o600), ("read-only", 0o400), ("inner", 0o700), ("", 0o700)]
        {
            assert_eq!(mode(&path(name)), closed, "{name}");
        }
    }
}
