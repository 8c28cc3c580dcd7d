//! Process that has the store open, as reported by the kernel.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Returns ` (pid 123)`, or an empty text if the holder is unknown, as in another container.
pub(super) fn owner(path: &Path) -> String {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = fs::metadata(path.join("db")).map(|metadata| metadata.ino());
    match inode.ok().and_then(|inode| holder(&locks, inode)) {
        Some(pid) if pid == std::process::id() => format!(" (pid {pid}, this process)"),
        Some(pid) => format!(" (pid {pid})"),
        None => String::new(),
    }
}

/// Finds the line of a whole-file lock: `1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF`. The device is
/// not compared, since some file systems number it differently here.
fn holder(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = fields.as_slice() else {
            return None;
        };
        let locked: u64 = file.rsplit(':').next()?.parse().ok()?;
        (locked == inode).then(|| pid.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKS: &str = "\
1: POSIX  ADVISORY  WRITE 11 fd:00:77 0 EOF
2: FLOCK  ADVISORY  READ  12 fd:00:77 0 EOF
2: -> FLOCK  ADVISORY  WRITE 13 fd:00:77 0 EOF
3: FLOCK  ADVISORY  WRITE -1 fd:00:78 0 EOF
4: FLOCK  ADVISORY  WRITE 14 fd:00:77 0 EOF
";

    #[test]
    fn the_holder_has_locked_the_whole_file() {
        assert_eq!(holder(LOCKS, 77), Some(14));
    }

    #[test]
    fn an_unknown_holder_is_not_named() {
        assert_eq!(holder(LOCKS, 78), None);
        assert_eq!(holder(LOCKS, 79), None);
        assert_eq!(holder("", 77), None);
    }
}
