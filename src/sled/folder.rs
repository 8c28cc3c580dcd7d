//! Creates, syncs, measures and sets aside the store's folder.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::private_files;

/// Creates the folder and its parents durably, closed to other users. An existing folder is closed to them.
pub(super) fn create(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    private_files::create_folders(path)?;
    private_files::close_folder(path)?;
    for folder in missing {
        sync_parent(folder)?;
    }
    Ok(())
}

/// Removes unfinished files that sled left on a full disk or when it was killed, and that it would take for damage: an
/// empty `conf` without a `db`, and a half-written snapshot (0.34.7 writes `snap.….generating`, and skips
/// `snap.….in___motion` when it reads them). The previous snapshot exists until the new one is complete.
pub(super) fn tidy(path: &Path) -> io::Result<()> {
    let Ok(db) = File::open(path.join("db")) else {
        let settings = path.join("conf");
        return if fs::metadata(&settings).is_ok_and(|file| file.len() == 0) {
            fs::remove_file(settings)
        } else {
            Ok(())
        };
    };
    // sled's own lock: a process that has the store open may be writing a snapshot.
    if db.try_lock().is_err() {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating")) {
            fs::remove_file(path.join(name))?;
        }
    }
    Ok(())
}

/// Makes the files of a new database durable; sled syncs none of them.
pub(super) fn sync_all(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        sync(&entry?.path())?;
    }
    sync(path)
}

/// Returns a free path beside the folder, to which it is moved when it is set aside now.
pub(super) fn set_aside_path(path: &Path, now: Timestamp) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".corrupt-{}", now.strftime("%Y%m%dT%H%M%SZ")));
    let mut aside = PathBuf::from(&name);
    for again in 2..100 {
        if !aside.exists() {
            break;
        }
        let mut other = name.clone();
        other.push(format!("-{again}"));
        aside = PathBuf::from(other);
    }
    aside
}

/// Moves the folder to that path. Deletes nothing.
pub(super) fn set_aside(path: &Path, aside: &Path) -> io::Result<()> {
    fs::rename(path, aside)?;
    sync_parent(path)
}

/// Returns once no database has the folder open, or after this time.
pub(super) fn wait_until_free(path: &Path, limit: Duration) {
    let started = Instant::now();
    while File::open(path.join("db")).is_ok_and(|db| db.try_lock().is_err()) && started.elapsed() < limit {
        thread::sleep(Duration::from_millis(20));
    }
}

/// Makes the creation, move or removal of this path durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    sync(&parent(path))
}

/// Returns the size of the folder on disk, in bytes. Files that vanish during the measurement count nothing.
pub(super) fn bytes(path: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => sum += bytes(&entry.path())?,
            Ok(metadata) => sum += metadata.blocks() * 512, // the unit of `blocks` on every file system
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
