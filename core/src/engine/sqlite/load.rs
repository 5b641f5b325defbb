//! Putting a database file back, all at once or not at all.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use libsqlite3_sys as ffi;
use rustix::fs::{Access, FallocateFlags, Gid, Uid, access, fallocate, fchown};
use tokio::task::spawn_blocking;

use super::Sqlite;
use super::blocking::{Stop, blocking, joined};
use super::check::{self, Depth};
use super::failure::{busy, disk_full};
use super::ffi::{self as sqlite, Connection};
use super::live::Task;
use super::promote;
use super::temp::{TempFile, folder_of, need_space, remove_side_files, sync_folder};
use crate::engine::{ByteStream, Engine, PartPlace, RestoreOptions, StoredFile, Suffix, Target};
use crate::error::{Code, Error, Result};
use crate::report::{Promoted, Warning};

/// A file that will become the database, in the folder where the database will be.
#[derive(Debug)]
pub(super) struct SqliteTarget {
    path: PathBuf,
    /// See [`live`](super::live).
    command: Vec<String>,
    /// Whether what is there may be replaced, with or without being kept.
    replace: bool,
    loading: Option<Loading>,
    loaded: AtomicU64,
    /// The loaded and checked file, for as long as somebody else looks at it.
    staged: Option<TempFile>,
}

#[derive(Debug, Clone)]
struct Loading {
    file: String,
    bytes: u64,
    temp: Arc<TempFile>,
}

pub(super) async fn target(path: &Path, command: &[String], options: &RestoreOptions) -> Result<SqliteTarget> {
    let (path, replace) = (path.to_owned(), options.overwrite || options.promote);
    let promote = options.promote;
    let path = blocking(move |_| {
        let path = final_path(path)?;
        let folder = folder_of(&path);
        if !fs::metadata(folder).map_err(|e| Error::local(folder, e))?.is_dir() {
            return Err(Error::new(Code::LocalFile, format!("{} is not a folder", folder.display()))
                .next("choose another path for the restored database"));
        }
        access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| Error::local(folder, e.into()))?;
        if promote {
            promote::sweep(&path);
        }
        Ok(path)
    })
    .await?;
    may_replace(&path, replace, command).await?;
    let command = command.to_owned();
    Ok(SqliteTarget { path, command, replace, loading: None, loaded: AtomicU64::new(0), staged: None })
}

/// Where the database will be: behind a symbolic link, so that the link stays one.
fn final_path(path: PathBuf) -> Result<PathBuf> {
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_symlink() => fs::canonicalize(&path).map_err(|e| Error::local(&path, e)),
        _ => Ok(path),
    }
}

/// Checks that nothing of value is in the way, or that it may be replaced and nobody is using it. Gives what is there.
async fn may_replace(path: &Path, replace: bool, command: &[String]) -> Result<Option<Metadata>> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::local(path, e)),
    };
    if !found.is_file() {
        return Err(Error::new(Code::UnsupportedDatabase, format!("{} is not a file", path.display()))
            .next("choose another path for the restored database"));
    }
    if found.len() > 0 {
        if !replace {
            return Err(Error::new(Code::TargetNotEmpty, format!("{} already exists", path.display()))
                .next("restore to another path, or allow it to be overwritten"));
        }
        Task::Unused { path: path.to_owned() }.run::<()>(command).await?;
    }
    Ok(Some(found))
}

/// Fails when another connection has the database open in WAL mode or is in a transaction.
///
/// An exclusive lock tells: a connection in WAL mode keeps a shared one all its life. (An idle connection in another
/// mode has none; it would go on with the old file.) SQLite is asked instead of the kernel because only SQLite can
/// look at its lock bytes without dropping locks that this process holds. Closing again also writes an old log back
/// into the file it belongs to, so nothing is lost if the restore ends before the file is replaced.
pub(super) fn unused(path: &Path, stop: &Stop) -> Result<()> {
    let lock = || {
        let connection = Connection::open(path, sqlite::Access::ReadWrite, stop)?;
        // Long enough for a transaction that is about to end.
        connection.execute("PRAGMA busy_timeout = 250")?;
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")?;
        connection.execute("BEGIN EXCLUSIVE")?;
        connection.execute("ROLLBACK")
    };
    match lock() {
        Err(failure) if matches!(failure.primary(), ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED) => {
            Err(busy(path).because(failure))
        }
        Err(failure) if failure.primary() == ffi::SQLITE_INTERRUPT => Err(failure.into()),
        // Damaged, or no database at all: it is to be replaced anyway.
        _ => Ok(()),
    }
}

#[async_trait]
impl Target for SqliteTarget {
    async fn prepare(&mut self, schema: Vec<(String, Bytes)>, data: &[StoredFile]) -> Result<()> {
        let ([], [file]) = (schema.as_slice(), data) else {
            return Err(Error::new(Code::UnsupportedDatabase, "the backup is not one SQLite database file")
                .next("restore it with the engine that it was made of"));
        };
        let bytes = file.bytes.ok_or_else(|| internal("the file's size is not known"))?;
        let path = self.path.clone();
        let temp = blocking(move |_| reserve(&path, bytes)).await?;
        self.loading = Some(Loading { file: file.name.clone(), bytes, temp: Arc::new(temp) });
        Ok(())
    }

    async fn load(&self, place: PartPlace<'_>, mut data: ByteStream<'_>) -> Result<()> {
        let loading = self.loading.as_ref().ok_or_else(|| internal("a part came before the preparation"))?;
        let bytes = place.bytes.ok_or_else(|| internal("the part's size is not known"))?;
        let end = place.offset.checked_add(bytes).filter(|end| *end <= loading.bytes);
        let end = end.filter(|_| place.file == loading.file).ok_or_else(|| internal("a part lies outside the file"))?;
        let mut offset = place.offset;
        while let Some(piece) = data.next().await {
            let piece = piece?;
            let next = u64::try_from(piece.len()).ok().and_then(|n| offset.checked_add(n)).filter(|next| *next <= end);
            let next = next.ok_or_else(|| internal("a part is longer than it should be"))?;
            let temp = Arc::clone(&loading.temp);
            let write = move || temp.file().write_all_at(&piece, offset).map_err(|e| Error::local(temp.path(), e));
            joined(spawn_blocking(write)).await?;
            offset = next;
        }
        if offset != end {
            return Err(internal("a part is shorter than it should be"));
        }
        self.loaded.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    async fn finish(&mut self) -> Result<Vec<Warning>> {
        let (path, temp) = (self.path.clone(), self.take_loaded()?);
        let (temp, mut warnings) = blocking(move |stop| {
            let warnings = examine(&temp, &path, stop)?;
            Ok((temp, warnings))
        })
        .await?;
        warnings.extend(self.appear(temp, None).await?);
        Ok(warnings)
    }

    async fn stage(&mut self) -> Result<(Arc<dyn Engine>, Vec<Warning>)> {
        let (path, temp) = (self.path.clone(), self.take_loaded()?);
        let (temp, warnings) = blocking(move |stop| {
            let warnings = examine(&temp, &path, stop)?;
            Ok((temp, warnings))
        })
        .await?;
        let staged = Sqlite::at(temp.path().to_owned());
        self.staged = Some(temp);
        Ok((Arc::new(staged), warnings))
    }

    async fn promote(&mut self, suffix: &Suffix) -> Result<(Promoted, Vec<Warning>)> {
        let temp = self.staged.take().ok_or_else(|| internal("nothing was staged"))?;
        let kept = promote::kept_path(&self.path, suffix);
        // Whoever looked at it in WAL mode may have left side files; it is whole without them.
        remove_side_files(temp.path())?;
        let there = self.path.exists();
        let mut warnings = self.appear(temp, there.then_some(kept.clone())).await?;
        if !there {
            return Ok((Promoted::default(), warnings));
        }
        warnings.push(promote::still_open(&self.path, &kept));
        Ok((promote::promoted(&self.path, &kept), warnings))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        blocking(move |_| {
            let side_files = self.staged.as_ref().map_or(Ok(()), |temp| remove_side_files(temp.path()));
            drop(self);
            side_files
        })
        .await
    }
}

impl SqliteTarget {
    /// The file, once every part of it is loaded.
    fn take_loaded(&mut self) -> Result<TempFile> {
        let loading = self.loading.take().ok_or_else(|| internal("nothing was prepared"))?;
        if *self.loaded.get_mut() != loading.bytes {
            return Err(internal("not every part was loaded"));
        }
        Arc::into_inner(loading.temp).ok_or_else(|| internal("a part is still being loaded"))
    }

    /// Puts the file in its place, and keeps the one that is there under the name `kept` if one is given. Everything
    /// that can fail comes before the rename.
    async fn appear(&self, temp: TempFile, kept: Option<PathBuf>) -> Result<Vec<Warning>> {
        let old = may_replace(&self.path, self.replace, &self.command).await?;
        let path = self.path.clone();
        blocking(move |stop| {
            stop.check()?;
            let mut warnings = Vec::new();
            if let Some(old) = old {
                warnings.extend(take_after(&temp, &old, &path)?);
            }
            temp.file().sync_all().map_err(|e| Error::local(temp.path(), e))?;
            if let Some(kept) = &kept {
                promote::keep(&path, kept)?;
            }
            // Before the rename: SQLite would play an old log into the new file.
            remove_side_files(&path)?;
            temp.persist(&path)?;
            sync_folder(folder_of(&path))?;
            Ok(warnings)
        })
        .await
    }
}

/// Makes the temporary file beside the target, with room for all of it.
fn reserve(path: &Path, bytes: u64) -> Result<TempFile> {
    let folder = folder_of(path);
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let temp = TempFile::create(folder, &format!(".{name}.lastgood-"))?;
    need_space(folder, bytes)?;
    if bytes > 0 {
        match fallocate(temp.file(), FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::NOSPC) => return Err(disk_full(path, &format!("{bytes} bytes are needed"))),
            // Some file systems cannot reserve; there the writes will tell.
            _ => temp.file().set_len(bytes).map_err(|e| Error::local(temp.path(), e))?,
        }
    }
    Ok(temp)
}

/// Checks the loaded file before anybody can see it.
fn examine(temp: &TempFile, path: &Path, stop: &Stop) -> Result<Vec<Warning>> {
    let look = || {
        let connection = Connection::open(temp.path(), sqlite::Access::Immutable, stop)?;
        let mut warnings = check::check(&connection, Depth::Full)?.into_warnings(temp.path())?;
        warnings.append(&mut check::orphans(&connection)?);
        Ok(warnings)
    };
    look().map_err(|e: Error| match e.code() {
        Code::Damaged | Code::UnsupportedDatabase => {
            let copy = format!("the restored copy of {}", path.display());
            Error::new(Code::Damaged, e.message().replace(&temp.path().display().to_string(), &copy))
                .next("the target was left as it was; restore another backup, or export this one and salvage its rows")
                .because(e)
        }
        _ => e,
    })
}

/// Gives the file the owner and the mode of the one that it takes the place of.
fn take_after(temp: &TempFile, old: &Metadata, path: &Path) -> Result<Option<Warning>> {
    let file = temp.file();
    // The owner first: a change of owner clears bits of the mode.
    let owned = fchown(file, Some(Uid::from_raw(old.uid())), Some(Gid::from_raw(old.gid())));
    file.set_permissions(Permissions::from_mode(old.mode() & 0o7777)).map_err(|e| Error::local(temp.path(), e))?;
    Ok(owned.err().map(|_| {
        let message =
            format!("{} now belongs to the user who restored it; its owner could not be kept", path.display());
        Warning::new("owner_not_kept", message)
    }))
}

fn internal(what: &str) -> Error {
    Error::new(Code::Internal, format!("SQLite restore: {what}"))
}
