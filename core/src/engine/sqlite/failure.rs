//! What SQLite answered, and what it means to a caller.

use std::fmt;
use std::path::{Path, PathBuf};

use libsqlite3_sys as ffi;

use crate::error::{Code, Error};

/// SQLite's own answer to a failed call.
#[derive(Debug)]
pub(super) struct Failure {
    /// The extended result code.
    pub(super) code: i32,
    /// SQLite's words for it.
    pub(super) message: String,
    /// The database file it is about.
    pub(super) path: PathBuf,
}

impl Failure {
    /// The result code without its extension.
    pub(super) fn primary(&self) -> i32 {
        self.code & 0xff
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SQLite error {}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let path = failure.path.display();
        let said = &failure.message;
        let error = match failure.primary() {
            ffi::SQLITE_INTERRUPT => return Self::cancelled(),
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => busy(&failure.path),
            ffi::SQLITE_NOTADB => Self::new(
                Code::UnsupportedDatabase,
                format!("{path} is not an SQLite database, or is encrypted as a whole (SQLCipher, SEE)"),
            )
            .next("check the path; an encrypted database can only be backed up by the application that has its key"),
            ffi::SQLITE_CORRUPT => damaged(&failure.path, said),
            ffi::SQLITE_FULL => disk_full(&failure.path, "the disk is full"),
            ffi::SQLITE_CANTOPEN if !failure.path.exists() => missing(&failure.path),
            ffi::SQLITE_CANTOPEN | ffi::SQLITE_PERM | ffi::SQLITE_READONLY | ffi::SQLITE_AUTH => {
                Self::new(Code::DatabaseDenied, format!("{path} cannot be opened: {said}")).next(
                    "give this user read permission on the file and, for a database in WAL mode, write permission on its folder",
                )
            }
            ffi::SQLITE_IOERR => Self::new(Code::LocalFile, format!("{path} cannot be read or written: {said}"))
                .next("check the disk and the system's log"),
            _ => Self::new(Code::DatabaseError, format!("{path}: {said}")).next("check the database and the statement"),
        };
        error.because(failure)
    }
}

pub(super) fn busy(path: &Path) -> Error {
    Error::new(Code::Busy, format!("{} is in use by another connection", path.display()))
        .next("try again later, or close the application that holds it")
}

pub(super) fn missing(path: &Path) -> Error {
    let next = match std::path::absolute(path) {
        Ok(full) if full != path => format!("the full path would be {}; check it", full.display()),
        _ => "check the path; in a URL, three slashes begin an absolute path".to_owned(),
    };
    Error::new(Code::DatabaseNotFound, format!("there is no database {}", path.display())).next(next)
}

pub(super) fn damaged(path: &Path, what: &str) -> Error {
    Error::new(Code::Damaged, format!("{} is damaged: {what}", path.display())).next(
        "restore the last good backup elsewhere and compare, or salvage the rows with the sqlite3 shell's .recover",
    )
}

pub(super) fn disk_full(file: &Path, what: &str) -> Error {
    let folder = file.parent().unwrap_or(file);
    Error::new(Code::DiskFull, format!("{}: {what}", folder.display()))
        .next("free space there or choose another folder")
}
