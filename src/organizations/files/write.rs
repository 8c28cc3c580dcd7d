//! Writes an organization's file atomically, even if the power fails.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Mode of a file that holds a secret: only its owner may read it.
const PRIVATE: u32 = 0o600;
/// Mode of a file that only refers to its secret.
const PUBLIC: u32 = 0o644;

/// Error of a file that could not be written. The previous file is unchanged.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteError {
    /// Path of the file.
    path: PathBuf,
    /// Cause of the failure.
    source: io::Error,
}

/// Presence of a secret in a file's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// The text holds the secret.
    Secret,
    /// The text refers to the secret's place.
    Reference,
}

/// Writes a temporary file beside the path, syncs it and renames it. The file gets the owner of the previous file, or
/// else of its directory, because a worker of another user must be able to read it.
pub fn write_file(path: &Path, text: &str, holds: Holds) -> Result<(), WriteError> {
    let failed = |source| WriteError { path: path.to_owned(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Readers of the directory skip hidden files.
    let draft = directory.join(format!(".{name}.{}", std::process::id()));
    let written = write(&draft, path, directory, text, holds).and_then(|()| fs::rename(&draft, path));
    if let Err(problem) = written {
        // The temporary file is useless and may hold the secret.
        _ = fs::remove_file(&draft);
        return Err(failed(problem));
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

fn write(draft: &Path, path: &Path, directory: &Path, text: &str, holds: Holds) -> io::Result<()> {
    _ = fs::remove_file(draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(draft)?;
    file.write_all(text.as_bytes())?;
    let before = fs::metadata(path);
    let owner = before.as_ref().or(fs::metadata(directory).as_ref()).map(|known| (known.uid(), known.gid())).ok();
    if let Some((user, group)) = owner {
        // Only the superuser may change the owner; files of other users remain their own, as with any editor.
        _ = chown(draft, Some(user), Some(group));
    }
    let mode = match holds {
        Holds::Secret => PRIVATE,
        Holds::Reference => before.map_or(PUBLIC, |before| before.mode() & 0o777),
    };
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_without_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/acme.toml");
        write_file(&path, "one", Holds::Reference).unwrap();
        assert_eq!(mode(&path), PUBLIC);
        write_file(&path, "two", Holds::Secret).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("two", PRIVATE));
        write_file(&path, "three", Holds::Reference).unwrap();
        assert_eq!(mode(&path), PRIVATE, "unchanged");
        let names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["acme.toml"]);
    }

    #[test]
    fn a_failed_write_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme.toml");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("x"), "").unwrap();
        let problem = write_file(&path, "one", Holds::Secret).unwrap_err().to_string();
        assert!(problem.contains("acme.toml"), "{problem}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
