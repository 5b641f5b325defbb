//! A thin safe layer over SQLite's C interface: connections, statements, the online backup.
//!
//! All unsafe code of this engine is here. Calls block, so they belong on blocking threads. Connections are opened
//! without SQLite's own mutex (`NOMUTEX`): Rust's ownership keeps each on one thread at a time.
#![expect(unsafe_code, reason = "SQLite is a C library")]

use std::ffi::{CStr, CString, c_int, c_void};
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::time::Duration;

use libsqlite3_sys as ffi;

use super::blocking::Stop;
use super::failure::Failure;

type Result<T, E = Failure> = std::result::Result<T, E>;

/// What a connection may do to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Read, with locks.
    ReadOnly,
    /// Read and write, with locks; the file must exist.
    ReadWrite,
    /// Read a file that nobody changes: no locks, no log, no side files.
    Immutable,
}

/// How long a connection waits for another one's lock.
const PATIENCE: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_millis(5);
/// Virtual machine steps between two looks at [`Stop`]: well under a millisecond.
const STEPS: c_int = 1000;

/// A connection to one database file.
pub(super) struct Connection {
    db: NonNull<ffi::sqlite3>,
    path: PathBuf,
    /// SQLite holds its address until the connection is closed.
    _stop: Box<Stop>,
}

// SAFETY: SQLite is compiled thread-safe, and a NOMUTEX connection may move between threads as long as no two use it
// at the same time, which `&mut`/ownership rules grant: Connection is Send and not Sync.
unsafe impl Send for Connection {}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("path", &self.path).finish_non_exhaustive()
    }
}

extern "C" fn progress(stop: *mut c_void) -> c_int {
    // SAFETY: registered with the address of the connection's boxed Stop, which outlives the connection.
    let stop = unsafe { &*stop.cast::<Stop>() };
    c_int::from(stop.is_set())
}

extern "C" fn busy(stop: *mut c_void, calls: c_int) -> c_int {
    // SAFETY: as in `progress`.
    let stop = unsafe { &*stop.cast::<Stop>() };
    let waited = WAIT.saturating_mul(u32::try_from(calls).unwrap_or(u32::MAX));
    if stop.is_set() || waited >= PATIENCE {
        return 0;
    }
    std::thread::sleep(WAIT);
    1
}

impl Connection {
    /// Opens an existing file. Nothing of it is read yet.
    pub(super) fn open(path: &Path, access: Access, stop: &Stop) -> Result<Self> {
        let flags = match access {
            Access::ReadOnly | Access::Immutable => ffi::SQLITE_OPEN_READONLY,
            Access::ReadWrite => ffi::SQLITE_OPEN_READWRITE,
        } | ffi::SQLITE_OPEN_URI
            | ffi::SQLITE_OPEN_NOMUTEX
            | ffi::SQLITE_OPEN_PRIVATECACHE
            | ffi::SQLITE_OPEN_EXRESCODE;
        let uri = uri(path, access)?;
        let mut db = ptr::null_mut();
        // SAFETY: `uri` is a C string and `db` a place for the handle; both outlive the call.
        let code = unsafe { ffi::sqlite3_open_v2(uri.as_ptr(), &raw mut db, flags, ptr::null()) };
        let Some(handle) = NonNull::new(db) else {
            return Err(Failure { code, message: "out of memory".to_owned(), path: path.to_owned() });
        };
        let stop = Box::new(stop.clone());
        let address = ptr::from_ref(stop.as_ref()).cast_mut().cast();
        let connection = Self { db: handle, path: path.to_owned(), _stop: stop };
        if code != ffi::SQLITE_OK {
            return Err(connection.failure(code));
        }
        // SAFETY: the handle is open; the callbacks get the address of a Stop that is dropped after the close.
        unsafe {
            ffi::sqlite3_progress_handler(db, STEPS, Some(progress), address);
            ffi::sqlite3_busy_handler(db, Some(busy), address);
        }
        // The file may come from anywhere: its views and indexes get no unsafe functions.
        connection.execute("PRAGMA trusted_schema = OFF")?;
        Ok(connection)
    }

    /// Names another file in errors: the database that this one is a copy of.
    pub(super) fn copy_of(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// The file's path, as it was given.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Compiles exactly one statement.
    pub(super) fn prepare(&self, sql: &str) -> Result<Statement<'_>> {
        let (statement, tail) = self.prepare_first(sql)?;
        let statement = statement.ok_or_else(|| self.misuse("there is no statement"))?;
        // A comment or a semicolon may follow, another statement may not.
        match self.prepare_first(tail)? {
            (None, _) => Ok(statement),
            (Some(_), _) => Err(self.misuse("there is more than one statement")),
        }
    }

    fn prepare_first<'s>(&self, sql: &'s str) -> Result<(Option<Statement<'_>>, &'s str)> {
        let bytes = c_int::try_from(sql.len()).map_err(|_| self.misuse("the statement is too long"))?;
        let (mut statement, mut tail) = (ptr::null_mut(), ptr::null());
        // SAFETY: the text is given with its length; SQLite copies it. `tail` points into it afterwards.
        let code = unsafe {
            let text = sql.as_ptr().cast();
            ffi::sqlite3_prepare_v3(self.db.as_ptr(), text, bytes, 0, &raw mut statement, &raw mut tail)
        };
        self.expect(code, ffi::SQLITE_OK)?;
        let used = (tail as usize).saturating_sub(sql.as_ptr() as usize);
        let rest = sql.get(used..).unwrap_or_default();
        Ok((NonNull::new(statement).map(|raw| Statement { raw, connection: self }), rest))
    }

    /// Runs one statement to its end and drops its rows.
    pub(super) fn execute(&self, sql: &str) -> Result<()> {
        let mut statement = self.prepare(sql)?;
        while statement.step()? {}
        Ok(())
    }

    /// Runs any number of statements.
    #[cfg(test)]
    pub(super) fn run(&self, mut sql: &str) -> Result<()> {
        while let (Some(mut statement), tail) = self.prepare_first(sql)? {
            while statement.step()? {}
            sql = tail;
        }
        Ok(())
    }

    /// The first column of the first row, as an integer.
    pub(super) fn integer(&self, sql: &str) -> Result<i64> {
        let mut statement = self.prepare(sql)?;
        match statement.step()? {
            true => match statement.value(0)? {
                Value::Integer(value) => Ok(value),
                _ => Err(self.misuse("the statement gave something that is not an integer")),
            },
            false => Err(self.misuse("the statement gave no row")),
        }
    }

    /// Reads the start of the file through this connection, without a lock: `false` when the file is shorter.
    ///
    /// The file must not be opened beside SQLite: closing that descriptor would drop every lock that this process
    /// holds on it, those of the application's own connections too (POSIX advisory locks belong to the process).
    pub(super) fn read_header(&self, header: &mut [u8; 100]) -> Result<bool> {
        let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
        // SAFETY: FILE_POINTER stores the address of the connection's file object, which lives as long as the
        // connection; its method table is null while the file is not open.
        let code = unsafe {
            let code = ffi::sqlite3_file_control(
                self.db.as_ptr(),
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_FILE_POINTER,
                ptr::from_mut(&mut file).cast(),
            );
            self.expect(code, ffi::SQLITE_OK)?;
            let read = file.as_ref().and_then(|f| f.pMethods.as_ref()).and_then(|methods| methods.xRead);
            match read {
                Some(read) => read(file, header.as_mut_ptr().cast(), 100, 0),
                None => ffi::SQLITE_IOERR,
            }
        };
        match code {
            ffi::SQLITE_IOERR_SHORT_READ => Ok(false),
            _ => self.expect(code, ffi::SQLITE_OK).map(|()| true),
        }
    }

    /// Copies the whole database into an empty one by the online backup, this many pages at a time.
    pub(super) fn back_up_to(&self, to: &Self, pages: c_int, stop: &Stop) -> Result<()> {
        let main = c"main".as_ptr();
        // SAFETY: both handles are open and used by this thread only; errors are kept in `to`.
        let backup = unsafe { ffi::sqlite3_backup_init(to.db.as_ptr(), main, self.db.as_ptr(), main) };
        let Some(backup) = NonNull::new(backup) else {
            return Err(to.failure(ffi::SQLITE_ERROR));
        };
        let code = loop {
            if stop.is_set() {
                break ffi::SQLITE_INTERRUPT;
            }
            // SAFETY: the backup was begun above and is not yet finished.
            let code = unsafe { ffi::sqlite3_backup_step(backup.as_ptr(), pages) };
            if code != ffi::SQLITE_OK {
                break code;
            }
        };
        // SAFETY: finished exactly once, whatever the outcome.
        let finished = unsafe { ffi::sqlite3_backup_finish(backup.as_ptr()) };
        match code {
            ffi::SQLITE_DONE => to.expect(finished, ffi::SQLITE_OK),
            // Which of the two files failed is not told; a full disk can only be the copy's.
            ffi::SQLITE_FULL => Err(to.failure(code)),
            _ => Err(Failure { message: text_of(code), ..self.failure(code) }),
        }
    }

    fn expect(&self, code: c_int, expected: c_int) -> Result<()> {
        if code == expected { Ok(()) } else { Err(self.failure(code)) }
    }

    fn failure(&self, code: c_int) -> Failure {
        // SAFETY: the handle is open, or failed to open and is not yet closed; the text is valid until the next call.
        let message = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.db.as_ptr())) };
        Failure { code, message: message.to_string_lossy().into_owned(), path: self.path.clone() }
    }

    fn misuse(&self, message: &str) -> Failure {
        Failure { code: ffi::SQLITE_MISUSE, message: message.to_owned(), path: self.path.clone() }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: closed once. Statements borrow the connection, so none is left.
        unsafe { ffi::sqlite3_close(self.db.as_ptr()) };
    }
}

/// A compiled statement, standing on a row after each successful step.
pub(super) struct Statement<'c> {
    raw: NonNull<ffi::sqlite3_stmt>,
    connection: &'c Connection,
}

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'r> {
    Null,
    Integer(i64),
    Real(f64),
    /// UTF-8 as far as the database is right about it.
    Text(&'r [u8]),
    Blob(&'r [u8]),
}

impl Statement<'_> {
    /// Goes to the next row; `false` after the last one.
    pub(super) fn step(&mut self) -> Result<bool> {
        // SAFETY: the statement is not finalized before it is dropped.
        match unsafe { ffi::sqlite3_step(self.raw.as_ptr()) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => Err(self.connection.failure(code)),
        }
    }

    /// How many columns the rows have.
    pub(super) fn columns(&self) -> c_int {
        // SAFETY: as in `step`.
        unsafe { ffi::sqlite3_column_count(self.raw.as_ptr()) }
    }

    /// Whether the statement leaves the database as it is.
    pub(super) fn is_read_only(&self) -> bool {
        // SAFETY: as in `step`.
        unsafe { ffi::sqlite3_stmt_readonly(self.raw.as_ptr()) != 0 }
    }

    /// A value of the current row. It stays valid until the next step, which the borrow holds off.
    pub(super) fn value(&self, column: c_int) -> Result<Value<'_>> {
        let raw = self.raw.as_ptr();
        // SAFETY: a column out of range reads as NULL. Text and blobs are read by their own type only, so that no
        // later call converts them under an earlier slice; bytes are asked for after the pointer, as SQLite wants it.
        unsafe {
            Ok(match ffi::sqlite3_column_type(raw, column) {
                ffi::SQLITE_INTEGER => Value::Integer(ffi::sqlite3_column_int64(raw, column)),
                ffi::SQLITE_FLOAT => Value::Real(ffi::sqlite3_column_double(raw, column)),
                ffi::SQLITE_TEXT => Value::Text(self.bytes(ffi::sqlite3_column_text(raw, column), column)?),
                ffi::SQLITE_BLOB => Value::Blob(self.bytes(ffi::sqlite3_column_blob(raw, column).cast(), column)?),
                _ => Value::Null,
            })
        }
    }

    /// A text column, as valid UTF-8; other values as an empty text.
    pub(super) fn text(&self, column: c_int) -> Result<String> {
        Ok(match self.value(column)? {
            Value::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        })
    }

    /// # Safety
    /// `start` was just returned for this column.
    unsafe fn bytes(&self, start: *const u8, column: c_int) -> Result<&[u8]> {
        // SAFETY: as in `step`.
        let bytes = unsafe { ffi::sqlite3_column_bytes(self.raw.as_ptr(), column) };
        match (start.is_null(), usize::try_from(bytes)) {
            (false, Ok(bytes)) => {
                // SAFETY: SQLite says that so many bytes are there until the next step.
                Ok(unsafe { std::slice::from_raw_parts(start, bytes) })
            }
            (true, Ok(0)) => Ok(&[]),
            _ => Err(self.connection.failure(ffi::SQLITE_NOMEM)),
        }
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: finalized once; the result repeats an error that a step has already given.
        unsafe { ffi::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

/// The version of the SQLite library that is linked in.
pub(super) fn version() -> String {
    // SAFETY: a static C string.
    unsafe { CStr::from_ptr(ffi::sqlite3_libversion()) }.to_string_lossy().into_owned()
}

/// Whether a word has to be quoted because the language uses it.
pub(super) fn is_keyword(word: &str) -> bool {
    // SAFETY: the text is given with its length.
    c_int::try_from(word.len()).is_ok_and(|n| unsafe { ffi::sqlite3_keyword_check(word.as_ptr().cast(), n) } != 0)
}

fn text_of(code: c_int) -> String {
    // SAFETY: a static C string for every code.
    unsafe { CStr::from_ptr(ffi::sqlite3_errstr(code)) }.to_string_lossy().into_owned()
}

/// A `file:` URI: as a plain name, a path that happens to begin with `file:` or to hold `?` could mean another file.
fn uri(path: &Path, access: Access) -> Result<CString> {
    let failure = |message: String| Failure { code: ffi::SQLITE_CANTOPEN, message, path: path.to_owned() };
    let full = std::path::absolute(path).map_err(|e| failure(e.to_string()))?;
    let mut uri = String::from("file://");
    for &byte in full.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    if access == Access::Immutable {
        uri.push_str("?immutable=1");
    }
    CString::new(uri).map_err(|_| failure("the path holds a zero byte".to_owned()))
}
