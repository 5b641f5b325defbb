//! Temporary files that a killed run does not leave behind for ever.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use tempfile::NamedTempFile;

use super::failure::disk_full;
use crate::error::{Error, Result};

const SUFFIX: &str = ".tmp";

/// A new, empty file that only this user can read (0600). It is removed when dropped.
///
/// The file is locked (`flock`) for as long as it is open, and the kernel drops the lock of a killed process: so
/// whoever next makes a file of the same prefix in the same folder knows which ones nobody holds, and removes them.
#[derive(Debug)]
pub(super) struct TempFile(NamedTempFile);

impl TempFile {
    /// Makes a file `<prefix><random>.tmp` after removing those that killed runs left there.
    pub(super) fn create(folder: &Path, prefix: &str) -> Result<Self> {
        sweep(folder, prefix);
        loop {
            let file = tempfile::Builder::new()
                .prefix(prefix)
                .suffix(SUFFIX)
                .rand_bytes(12)
                .tempfile_in(folder)
                .map_err(|e| Error::local(folder, e))?;
            // A sweep that ran between these two lines took the file for an abandoned one; then make another.
            let locked = flock(file.as_file(), FlockOperation::NonBlockingLockExclusive);
            let links = file.as_file().metadata().map_err(|e| Error::local(folder, e))?.nlink();
            match locked {
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                // A file system without locks has no sweeps either.
                _ if links > 0 => return Ok(Self(file)),
                _ => {}
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn file(&self) -> &File {
        self.0.as_file()
    }

    /// Takes the name away at once. The content lives on for as long as it is held open, and no longer: not even a
    /// kill leaves anything.
    pub(super) fn unlink(self) -> Result<File> {
        let (file, path) = self.0.into_parts();
        let shown = path.to_path_buf();
        path.close().map_err(|e| Error::local(&shown, e))?;
        Ok(file)
    }

    /// Gives the file its final name, in place of what bears it now.
    pub(super) fn persist(self, path: &Path) -> Result<File> {
        self.0.persist(path).map_err(|e| Error::local(path, e.error))
    }
}

/// Removes abandoned files. What cannot be looked at or removed is left: this is housekeeping, not the task.
fn sweep(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|n| n.starts_with(prefix) && n.ends_with(SUFFIX));
        if ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let _ = remove_if_abandoned(&entry.path());
        }
    }
}

fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    tracing::debug!(path = %path.display(), "removing a temporary file that a killed run left");
    fs::remove_file(path)
}

/// Fails when a folder's file system has not so many bytes left.
pub(super) fn need_space(folder: &Path, bytes: u64) -> Result<()> {
    let stat = rustix::fs::statvfs(folder).map_err(|e| Error::local(folder, e.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < bytes {
        let what = format!("{bytes} bytes are needed and {free} are free");
        return Err(disk_full(&folder.join("_"), &what));
    }
    Ok(())
}

/// Makes a rename or a removal in this folder outlast a power failure.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::local(folder, e))
}

/// The folder a file is in; `.` for a bare name.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file that SQLite keeps beside a database: `-wal`, `-shm` or `-journal`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Removes what SQLite may have left beside a database that is gone or about to be replaced.
pub(super) fn remove_side_files(path: &Path) -> Result<()> {
    for suffix in ["-wal", "-shm", "-journal"] {
        remove_if_there(&beside(path, suffix))?;
    }
    Ok(())
}

/// Removes a file; one that is not there is fine.
pub(super) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::local(path, e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn abandoned_files_are_swept_and_held_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let held = TempFile::create(folder.path(), "p-").unwrap();
        let abandoned = folder.path().join("p-abandoned.tmp");
        let foreign = folder.path().join("p-other.db");
        fs::write(&abandoned, "x").unwrap();
        fs::write(&foreign, "x").unwrap();
        std::os::unix::fs::symlink(&foreign, folder.path().join("p-link.tmp")).unwrap();

        let next = TempFile::create(folder.path(), "p-").unwrap();
        assert!(!abandoned.exists());
        assert!(foreign.exists() && held.path().exists() && next.path().exists());
        assert!(folder.path().join("p-link.tmp").exists());
    }

    #[test]
    fn a_dropped_file_is_gone_and_a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = TempFile::create(folder.path(), "p-").unwrap();
        assert_eq!(file.file().metadata().unwrap().mode() & 0o777, 0o600);
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let missing = folder.path().join("nowhere");
        assert!(TempFile::create(&missing, "p-").unwrap_err().message().contains("nowhere"));
    }
}
