//! Writes an organization's file atomically, even if the power fails.
//!
//! An operator who is root writes into a folder that another user may own. So every step refers to the open folder and
//! the open file, never to a path that its owner could point elsewhere meanwhile, and no link in the folder is followed.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::private_files;

/// Mode of a file that holds a secret: only its owner may read it.
const PRIVATE: u32 = 0o600;
/// Mode of a file that only refers to its secret.
const PUBLIC: u32 = 0o644;
/// Permission of the group to read, and all permissions of other users.
const GROUP_READS: u32 = 0o040;
const OTHERS: u32 = 0o007;
/// Permissions of group and others to write.
const FOREIGN_WRITES: u32 = 0o022;
const ROOT: u32 = 0;

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

/// Owner and mode of a file or folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FileAccess {
    user: u32,
    group: u32,
    mode: u32,
}

/// Writes a temporary file beside the path, syncs it and renames it. The file gets the owner of the previous file, or
/// else of its directory, because a worker of another user must be able to read it.
pub fn write_file(path: &Path, text: &str, holds: Holds) -> Result<(), WriteError> {
    let failed = |source| WriteError { path: path.to_owned(), source };
    let name = path.file_name().unwrap_or_default();
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = open_folder(folder).map_err(failed)?;
    // Readers of the directory skip hidden files.
    let draft = format!(".{}.{}", name.to_string_lossy(), std::process::id());
    let written = write(&folder, &draft, name, text, holds)
        .and_then(|()| Ok(rustix::fs::renameat(&folder, &draft, &folder, name)?));
    if let Err(problem) = written {
        // The temporary file is useless and may hold the secret.
        _ = rustix::fs::unlinkat(&folder, &draft, AtFlags::empty());
        return Err(failed(problem));
    }
    folder.sync_all().map_err(failed)
}

/// Opens the directory. A missing one is created for its owner, and for the group of a parent that is closed to others,
/// as the worker's configuration is to all but the worker's group.
fn open_folder(path: &Path) -> io::Result<File> {
    if path.is_dir() {
        return File::open(path);
    }
    private_files::create_folders(path)?;
    let folder = File::open(path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = FileAccess::of(&File::open(parent)?)?;
    if parent.mode & OTHERS == 0 && fchown(&folder, Some(parent.user), Some(parent.group)).is_ok() {
        let mode = folder.metadata()?.mode() | parent.mode & 0o050;
        folder.set_permissions(Permissions::from_mode(mode & 0o777))?;
    }
    Ok(folder)
}

fn write(folder: &File, draft: &str, name: &OsStr, text: &str, holds: Holds) -> io::Result<()> {
    _ = rustix::fs::unlinkat(folder, draft, AtFlags::empty());
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file: File = rustix::fs::openat(folder, draft, create, Mode::RUSR | Mode::WUSR)?.into();
    file.write_all(text.as_bytes())?;
    let access = access(FileAccess::of(folder)?, previous(folder, name), holds);
    // Only the superuser may change the owner; files of other users remain their own, as with any editor.
    let owned = fchown(&file, Some(access.user), Some(access.group)).is_ok();
    // The file's own group is not the one that the mode is meant for.
    let mode = if owned || holds == Holds::Reference { access.mode } else { PRIVATE };
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Owner and mode of the file to be replaced; `None` for a link, whose target is not replaced.
fn previous(folder: &File, name: &OsStr) -> Option<FileAccess> {
    let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    is_file.then_some(FileAccess { user: found.st_uid, group: found.st_gid, mode: found.st_mode & 0o777 })
}

/// Decides on owner and mode of the new file.
fn access(folder: FileAccess, before: Option<FileAccess>, holds: Holds) -> FileAccess {
    // In a directory that others write to, the previous file may be anybody's, who would be given the secret.
    let before =
        before.filter(|before| folder.mode & FOREIGN_WRITES == 0 || [ROOT, folder.user].contains(&before.user));
    let FileAccess { user, group, .. } = before.unwrap_or(folder);
    // Root gave the directory to the worker's group.
    let of_the_worker = folder.user == ROOT && folder.group != ROOT;
    let mode = match (holds, before) {
        (Holds::Reference, Some(before)) => before.mode & 0o777,
        (Holds::Reference, None) if folder.is_closed() => PRIVATE | folder.mode & GROUP_READS,
        (Holds::Reference, None) => PUBLIC,
        (Holds::Secret, Some(before)) if before.is_closed() => PRIVATE | before.mode & GROUP_READS,
        (Holds::Secret, None) if folder.is_closed() && of_the_worker => PRIVATE | folder.mode & GROUP_READS,
        (Holds::Secret, _) => PRIVATE,
    };
    FileAccess { user, group, mode }
}

impl FileAccess {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { user: found.uid(), group: found.gid(), mode: found.mode() & 0o7777 })
    }

    /// Returns true if others than owner and group have no permission.
    fn is_closed(self) -> bool {
        self.mode & OTHERS == 0
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn at(user: u32, group: u32, mode: u32) -> FileAccess {
        FileAccess { user, group, mode }
    }

    #[test]
    fn owner_and_mode_follow_the_previous_file_else_the_directory() {
        const WORKER: u32 = 500;
        const OTHER: u32 = 600;
        let own = at(WORKER, WORKER, 0o700);
        let of_the_worker = at(ROOT, WORKER, 0o750);
        for (folder, before, secret, reference) in [
            (own, None, at(WORKER, WORKER, 0o600), at(WORKER, WORKER, 0o600)),
            (at(ROOT, ROOT, 0o755), None, at(ROOT, ROOT, 0o600), at(ROOT, ROOT, 0o644)),
            (at(ROOT, ROOT, 0o750), None, at(ROOT, ROOT, 0o600), at(ROOT, ROOT, 0o640)),
            (of_the_worker, None, at(ROOT, WORKER, 0o640), at(ROOT, WORKER, 0o640)),
            (at(ROOT, WORKER, 0o755), None, at(ROOT, WORKER, 0o600), at(ROOT, WORKER, 0o644)),
            // The worker goes on reading what it read before.
            (of_the_worker, Some(at(ROOT, WORKER, 0o640)), at(ROOT, WORKER, 0o640), at(ROOT, WORKER, 0o640)),
            (of_the_worker, Some(at(OTHER, WORKER, 0o600)), at(OTHER, WORKER, 0o600), at(OTHER, WORKER, 0o600)),
            // That everybody read it is no reason that the group reads a secret.
            (of_the_worker, Some(at(ROOT, WORKER, 0o644)), at(ROOT, WORKER, 0o600), at(ROOT, WORKER, 0o644)),
            // Whoever may write into the directory does not choose the owner.
            (
                at(WORKER, WORKER, 0o777),
                Some(at(OTHER, OTHER, 0o640)),
                at(WORKER, WORKER, 0o600),
                at(WORKER, WORKER, 0o644),
            ),
            (
                at(WORKER, WORKER, 0o770),
                Some(at(ROOT, WORKER, 0o640)),
                at(ROOT, WORKER, 0o640),
                at(ROOT, WORKER, 0o640),
            ),
        ] {
            assert_eq!(access(folder, before, Holds::Secret), secret, "{folder:?} {before:?}");
            assert_eq!(access(folder, before, Holds::Reference), reference, "{folder:?} {before:?}");
        }
    }

    /// As another user could prepare the directory for root.
    #[test]
    fn links_are_replaced_and_their_targets_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("organizations")).unwrap();
        fs::write(path("target"), "before").unwrap();
        fs::set_permissions(path("target"), Permissions::from_mode(0o604)).unwrap();
        let draft = format!("organizations/.acme.toml.{}", std::process::id());
        for link in ["organizations/acme.toml", &draft] {
            symlink(path("target"), path(link)).unwrap();
        }
        write_file(&path("organizations/acme.toml"), "one", Holds::Secret).unwrap();
        assert_eq!((fs::read_to_string(path("target")).unwrap().as_str(), mode(&path("target"))), ("before", 0o604));
        let written = fs::symlink_metadata(path("organizations/acme.toml")).unwrap();
        assert!(written.is_file() && written.mode() & 0o777 == PRIVATE, "{written:?}");
        assert_eq!(fs::read_dir(path("organizations")).unwrap().count(), 1);
    }

    #[test]
    fn root_gives_the_file_to_the_owner_of_the_directory() {
        const WORKER: u32 = 65_533;
        let folder = tempfile::tempdir().unwrap();
        if fs::metadata(folder.path()).unwrap().uid() != ROOT {
            eprintln!("SKIPPED: needs root");
            return;
        }
        for (user, mode) in [(WORKER, 0o600), (ROOT, 0o640)] {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(WORKER)).unwrap();
            fs::set_permissions(folder.path(), Permissions::from_mode(0o750)).unwrap();
            let path = folder.path().join(format!("{user}.toml"));
            write_file(&path, "one", Holds::Secret).unwrap();
            let written = FileAccess::of(&File::open(&path).unwrap()).unwrap();
            assert_eq!((written.user, written.group, written.mode & 0o777), (user, WORKER, mode));
        }
    }

    #[test]
    fn a_missing_directory_is_closed_to_others_and_open_to_the_group_of_a_closed_parent() {
        let folder = tempfile::tempdir().unwrap();
        for (parent, expected) in [(0o755, 0o700), (0o750, 0o750), (0o700, 0o700)] {
            let path = folder.path().join(format!("{parent:o}"));
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(parent)).unwrap();
            write_file(&path.join("organizations/acme.toml"), "one", Holds::Reference).unwrap();
            assert_eq!(mode(&path.join("organizations")), expected, "{parent:o}");
        }
    }

    #[test]
    fn a_file_is_replaced_without_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/acme.toml");
        fs::create_dir(folder.path().join("new")).unwrap();
        fs::set_permissions(folder.path().join("new"), Permissions::from_mode(0o755)).unwrap();
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
