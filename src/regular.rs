//! Reads regular files of bounded length completely, without waiting for other processes that have them open.
//!
//! Opening a FIFO waits for its writer, and opening a device may have any effect. A path chosen by another party must
//! do neither, so everything but a regular file is refused before it is opened, and again once it is open.

use std::fmt;
use std::fs::{self, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Longest PEM file, in bytes: five times the size of a system's whole bundle of roots.
pub(crate) const LONGEST_PEM: u64 = 1 << 20;

/// Reason why a file was not read.
#[derive(Debug)]
pub(crate) enum FileError {
    /// The system refused to open or read it.
    Io(io::Error),
    /// File of another kind, which is named.
    NotRegular(&'static str),
    /// File longer than allowed.
    TooLong,
}

/// Reads a file of at most `longest` bytes of UTF-8.
pub(crate) fn read(path: &Path, longest: u64) -> Result<String, FileError> {
    accept(fs::metadata(path)?.file_type())?;
    // The path may name another file by now, so the open does not wait, and the open file is checked again.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    accept(file.metadata()?.file_type())?;
    bounded(file, longest)
}

/// Reads at most `longest` bytes of UTF-8 from any reader.
pub(crate) fn bounded(from: impl Read, longest: u64) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    from.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        return Err(FileError::TooLong);
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8").into())
}

fn accept(kind: FileType) -> Result<(), FileError> {
    let name = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(FileError::NotRegular(name))
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "it can't be read: {error}"),
            Self::NotRegular(kind) => write!(f, "it is {kind}, not a regular file"),
            Self::TooLong => f.write_str("it is too long"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    fn refused(path: &Path) -> String {
        read(path, 8).unwrap_err().to_string()
    }

    /// Opening a FIFO without a writer to read it waits forever.
    #[test]
    fn other_kinds_of_files_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (fifo, socket, link) =
            (folder.path().join("fifo"), folder.path().join("socket"), folder.path().join("link"));
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let _listener = UnixListener::bind(&socket).unwrap();
        symlink(&fifo, &link).unwrap();
        for (path, kind) in [
            (fifo.as_path(), "a FIFO"),
            (&link, "a FIFO"),
            (&socket, "a socket"),
            (folder.path(), "a directory"),
            (Path::new("/dev/null"), "a device"),
        ] {
            assert_eq!(refused(path), format!("it is {kind}, not a regular file"), "{}", path.display());
        }
        assert!(matches!(read(&folder.path().join("none"), 8), Err(FileError::Io(_))));
    }

    #[test]
    fn a_regular_file_is_read_up_to_its_limit_and_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        symlink(&file, &link).unwrap();
        fs::write(&file, "12345678").unwrap();
        assert_eq!(read(&link, 8).unwrap(), "12345678");
        // The limit applies even if it splits a character.
        for long in ["123456789", "1234567\u{fc}"] {
            fs::write(&file, long).unwrap();
            assert_eq!(refused(&file), "it is too long");
        }
        fs::write(&file, [0xff]).unwrap();
        assert_eq!(refused(&file), "it can't be read: it is not UTF-8");
    }
}
