//! Opening a database that belongs to somebody else, and holding one moment of it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libsqlite3_sys as ffi;

use super::blocking::Stop;
use super::failure::{Failure, missing};
use super::ffi::{Access, Connection};
use super::temp::beside;
use crate::error::{Code, Error, Result};

/// A connection that holds a read transaction, so it sees one moment of the database until it is dropped.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) connection: Connection,
    pub(super) access: Access,
    /// The file's change counter (offset 24 of its header).
    pub(super) changes: u32,
    /// Whether other connections can write while this one reads.
    pub(super) wal: bool,
    unlocked: Option<Unlocked>,
}

impl Source {
    /// Opens a database for reading and begins the transaction.
    ///
    /// A database in WAL mode needs its `-wal` and `-shm` files even to be read. Where they lie, a read-only
    /// connection does. Where they do not, a read-only connection would make them and could not take them away
    /// again, so there we open for writing (and do not write). In a folder that we may not write to we read without
    /// locks, and [`Source::end`] checks that the file was left alone meanwhile.
    pub(super) fn open(path: &Path, stop: &Stop) -> Result<Self> {
        let found = fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => missing(path),
            std::io::ErrorKind::PermissionDenied => {
                Error::new(Code::DatabaseDenied, format!("{}: {e}", path.display()))
                    .next("give this user permission to enter the folder and to read the file")
            }
            _ => Error::local(path, e),
        })?;
        if !found.is_file() {
            return Err(Error::new(Code::UnsupportedDatabase, format!("{} is not a file", path.display()))
                .next("give the path of the database file itself"));
        }
        let wal = wal_mode(path, stop)?;
        let first = if wal && !beside(path, "-wal").exists() { Access::ReadWrite } else { Access::ReadOnly };
        let failure = match Self::begin(path, first, stop) {
            Ok(source) => return Ok(source),
            Err(failure) => failure,
        };
        let second = match (first, failure.code) {
            // A crashed transaction is to be rolled back before anybody can read, as any next opening would do.
            (Access::ReadOnly, ffi::SQLITE_READONLY_ROLLBACK) => Access::ReadWrite,
            (Access::ReadWrite, _) if matches!(failure.primary(), ffi::SQLITE_CANTOPEN | ffi::SQLITE_READONLY) => {
                Access::Immutable
            }
            _ => return Err(failure.into()),
        };
        match Self::begin(path, second, stop) {
            Ok(source) => Ok(source),
            Err(second) if failure.code == ffi::SQLITE_READONLY_ROLLBACK => Err(Error::new(
                Code::DatabaseDenied,
                format!("{} has a crashed transaction that must be rolled back first", path.display()),
            )
            .next("open it once with the application, or give this user write permission on the file and its folder")
            .because(second)),
            Err(failure) => Err(failure.into()),
        }
    }

    fn begin(path: &Path, access: Access, stop: &Stop) -> Result<Self, Failure> {
        let unlocked = (access == Access::Immutable).then(|| Unlocked::look(path)).flatten();
        let connection = Connection::open(path, access, stop)?;
        connection.execute("PRAGMA query_only = ON")?;
        connection.execute("BEGIN")?;
        // BEGIN alone takes no lock; the first read does. It also reads the schema, so a broken one shows here.
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")?;
        let mut header = [0; 100];
        let whole = connection.read_header(&mut header)?;
        let changes = u32::from_be_bytes([header[24], header[25], header[26], header[27]]);
        let source = Self { connection, access, changes, wal: whole && header[18] == 2, unlocked };
        source.refuse_half_a_page(path)?;
        Ok(source)
    }

    /// SQLite reads a page of which the end is missing as if zeros were there. Only a file that was cut off ends within
    /// a page, unless its log still holds what is missing.
    fn refuse_half_a_page(&self, path: &Path) -> Result<(), Failure> {
        let page = u64::try_from(self.connection.integer("PRAGMA page_size")?).unwrap_or(0);
        let bytes = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        if page > 0 && !bytes(path).is_multiple_of(page) && bytes(&beside(path, "-wal")) == 0 {
            let message = "the file was cut off within a page".to_owned();
            return Err(Failure { code: ffi::SQLITE_CORRUPT, message, path: path.to_owned() });
        }
        Ok(())
    }

    /// Another connection to the same file, for use beside this one.
    pub(super) fn another(&self, stop: &Stop) -> Result<Connection> {
        Ok(Connection::open(self.connection.path(), self.access, stop)?)
    }

    /// The database's size, as this moment shows it.
    pub(super) fn bytes(&self) -> Result<u64> {
        let pages = self.connection.integer("PRAGMA page_count")?;
        let page = self.connection.integer("PRAGMA page_size")?;
        Ok(u64::try_from(pages.saturating_mul(page)).unwrap_or(0))
    }

    /// Ends the transaction; fails if the moment did not hold.
    pub(super) fn end(self) -> Result<()> {
        match self.unlocked {
            Some(before) if Unlocked::look(&before.path).as_ref() != Some(&before) => Err(Error::new(
                Code::DatabaseChanged,
                format!("{} was written to while it was read without locks", before.path.display()),
            )
            .next("give this user write permission on the folder, so that the database can be locked, or run again when nobody writes")),
            _ => Ok(()),
        }
    }
}

/// Whether the file's header says that writers use a write-ahead log.
fn wal_mode(path: &Path, stop: &Stop) -> Result<bool> {
    let mut header = [0; 100];
    let connection = Connection::open(path, Access::ReadOnly, stop)?;
    Ok(connection.read_header(&mut header)? && header[18] == 2)
}

/// What a file that is read without locks looks like. Any write changes it, and so does a writer's log beside it.
#[derive(Debug, PartialEq, Eq)]
struct Unlocked {
    path: PathBuf,
    state: [i64; 4],
    identity: [u64; 3],
    log: bool,
}

impl Unlocked {
    fn look(path: &Path) -> Option<Self> {
        let found: Metadata = fs::metadata(path).ok()?;
        Some(Self {
            path: path.to_owned(),
            state: [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()],
            identity: [found.dev(), found.ino(), found.size()],
            log: beside(path, "-wal").exists(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_write_during_a_read_without_locks_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        fs::write(&path, "").unwrap();
        let stop = Stop::default();
        let writer = Connection::open(&path, Access::ReadWrite, &stop).unwrap();
        writer.run("CREATE TABLE t(x)").unwrap();

        let quiet = Source::begin(&path, Access::Immutable, &stop).unwrap();
        quiet.end().unwrap();
        let disturbed = Source::begin(&path, Access::Immutable, &stop).unwrap();
        writer.run("CREATE TABLE u(x)").unwrap();
        assert_eq!(disturbed.end().unwrap_err().code(), Code::DatabaseChanged);
        let logged = Source::begin(&path, Access::Immutable, &stop).unwrap();
        writer.run("PRAGMA journal_mode = WAL").unwrap();
        assert_eq!(logged.end().unwrap_err().code(), Code::DatabaseChanged);
    }
}
