//! Puts an organization's file in place: whole or not at all, also when the power goes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Who may read a file that holds a secret: its owner.
const PRIVATE: u32 = 0o600;
/// Who may read one that only says where its secret is.
const PUBLIC: u32 = 0o644;

/// A file that could not be put in place; what was there before still is.
#[derive(Debug, thiserror::Error)]
#[error("cannot put {} in place: {source}", path.display())]
pub struct PlaceError {
    /// Where it was to be.
    path: PathBuf,
    /// Why it is not.
    source: io::Error,
}

/// Whether a file's text holds a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// It does.
    Secret,
    /// It says where to find it.
    Reference,
}

/// Writes beside it, syncs, and renames. It belongs to whom the file before it, or else its directory, belongs to: a
/// worker of another user must be able to read it.
pub fn place(path: &Path, text: &str, holds: Holds) -> Result<(), PlaceError> {
    let failed = |source| PlaceError { path: path.to_owned(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Hidden: whoever reads the directory leaves it alone.
    let draft = directory.join(format!(".{name}.{}", std::process::id()));
    let written = write(&draft, path, directory, text, holds).and_then(|()| fs::rename(&draft, path));
    if let Err(problem) = written {
        // The draft is of no use to anybody, and may hold the secret.
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
        // Only the superuser may give files away; anybody else's are his own, as with any editor.
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
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/acme.toml");
        place(&path, "one", Holds::Reference).unwrap();
        assert_eq!(mode(&path), PUBLIC);
        place(&path, "two", Holds::Secret).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("two", PRIVATE));
        place(&path, "three", Holds::Reference).unwrap();
        assert_eq!(mode(&path), PRIVATE, "as it was");
        let names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["acme.toml"]);
    }

    #[test]
    fn what_can_not_be_put_there_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme.toml");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("x"), "").unwrap();
        let problem = place(&path, "one", Holds::Secret).unwrap_err().to_string();
        assert!(problem.contains("acme.toml"), "{problem}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
