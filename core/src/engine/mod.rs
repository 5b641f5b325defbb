//! What every database engine offers: a consistent [`Snapshot`] to read parts from, and a [`Target`] to load them into.
//!
//! Engines know nothing of encryption or storage. A dump is the engine's standard dump directory: a list of files,
//! each a sequence of parts that are read, and later loaded, independently of each other and many at once.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::{Code, Error, Result};
use crate::id::EngineKind;
pub use crate::report::FileRole;
use crate::report::{Check, ConsistencyPoint, DatabaseStats, Probe, TableSummary, Warning};
use crate::settings::{Codec, Settings};

#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

/// Raw (uncompressed) bytes of one part, in pieces of some 16 KiB to 1 MiB.
pub type ByteStream<'a> = BoxStream<'a, Result<Bytes>>;

/// A database that can be backed up and restored into.
#[async_trait]
pub trait Engine: Send + Sync + Debug {
    /// Which database system this is.
    fn kind(&self) -> EngineKind;

    /// Where the database is, for people: without credentials.
    fn describe(&self) -> String;

    /// The database's own name (for SQLite the file's name without its extension).
    fn database(&self) -> &str;

    /// Connects and asks the database who it is.
    async fn probe(&self) -> Result<Probe>;

    /// Opens one consistent snapshot and plans the dump.
    async fn snapshot(&self, options: &SnapshotOptions) -> Result<Box<dyn Snapshot>>;

    /// Checks that the database can be restored into, and touches nothing.
    async fn target(&self, options: &RestoreOptions) -> Result<Box<dyn Target>>;

    /// Another database of the same server (for SQLite: another file in `work_dir`), which need not exist.
    fn sibling(&self, name: &str, work_dir: Option<&std::path::Path>) -> Result<Arc<dyn Engine>>;

    /// Counts and hashes these tables' rows as a snapshot does, for comparison. A table that is not there gives no entry.
    async fn summarize(&self, tables: &[TableSummary], jobs: usize) -> Result<Vec<TableSummary>>;

    /// Runs one read-only query; an error or a first column of `false`, `f` or `0` in the first row is a failure.
    async fn smoke(&self, query: &str) -> Result<bool>;

    /// How the database is doing, as far as it says.
    async fn stats(&self) -> Result<DatabaseStats>;

    /// Drops the database, which a drill made, with all that is in it.
    async fn discard(&self) -> Result<()>;

    /// Looks at everything about the database that a backup depends on. Changes nothing, ends in bounded time, and
    /// tells what is broken as a failed check.
    async fn doctor(&self, _options: &DoctorOptions) -> Vec<Check> {
        Vec::new()
    }
}

/// Chooses the engine by the URL.
///
/// # Errors
/// `invalid_url`, `not_compiled_in`.
#[allow(unused_variables, unreachable_patterns, reason = "the features decide which arms are left for the last two")]
pub(crate) fn open(url: &str, settings: &Settings) -> Result<Arc<dyn Engine>> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(Arc::new(postgres::Postgres::new(url)?)),
        #[cfg(feature = "sqlite")]
        "sqlite" | "file" => Ok(Arc::new(sqlite::Sqlite::new(url, &settings.command)?)),
        #[cfg(feature = "sqlite")]
        _ if sqlite::Sqlite::is_path(url) => Ok(Arc::new(sqlite::Sqlite::new(url, &settings.command)?)),
        "postgres" | "postgresql" | "sqlite" => {
            Err(Error::new(Code::NotCompiledIn, format!("{scheme} databases were not compiled in"))
                .next(format!("build lastgood with the feature for {scheme}")))
        }
        // Nothing of the URL is shown: it may hold a password.
        _ => Err(Error::new(Code::InvalidUrl, "the database's URL is of no known kind")
            .next("write postgres://user@host/database or sqlite:path")),
    }
}

/// How a snapshot is to be taken.
#[derive(Debug, Clone)]
pub struct SnapshotOptions {
    /// Parts that will be read at the same time.
    pub jobs: usize,
    /// Raw bytes of one part, about.
    pub part_bytes: u64,
    /// How data files will be compressed; some dump formats write it down.
    pub codec: Codec,
    /// Folder for temporary copies.
    pub work_dir: Option<PathBuf>,
}

/// What the doctor looks at a database for.
#[derive(Debug, Clone)]
pub struct DoctorOptions {
    /// Connections that a backup would use at the same time.
    pub jobs: usize,
    /// Folder for temporary copies.
    pub work_dir: Option<PathBuf>,
}

/// How a dump is to be loaded.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Parts that will be loaded at the same time.
    pub jobs: usize,
    /// Load even though the target holds something (an existing SQLite file is replaced, PostgreSQL objects must not collide).
    pub overwrite: bool,
    /// Leave owners as the restoring user.
    pub no_owner: bool,
    /// Leave out grants.
    pub no_privileges: bool,
}

/// One file of a dump, as planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpFile {
    /// Its name in the dump directory, without a codec's suffix: `3456.dat`.
    pub name: String,
    /// What it is for.
    pub role: FileRole,
    /// The estimated raw size of each of its parts, in bytes. At least one part.
    pub parts: Vec<u64>,
}

/// One part of a dump: which file, which piece of it, both counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartRef {
    /// Index into [`Snapshot::files`].
    pub file: usize,
    /// Index into that file's parts.
    pub part: usize,
}

/// One consistent moment of a database, open for reading.
#[async_trait]
pub trait Snapshot: Send + Sync + Debug {
    /// The server's version, for the manifest.
    fn server_version(&self) -> &str;

    /// The dump's files in the order in which they should be stored: schema first, then the largest data first.
    fn files(&self) -> &[DumpFile];

    /// Reads one part. Up to `jobs` parts are read at the same time; each part is read once.
    fn read(&self, part: PartRef) -> ByteStream<'_>;

    /// Ends the snapshot after all parts were read: checks that nothing moved under the dump, and sums up.
    async fn finish(self: Box<Self>) -> Result<SnapshotSummary>;
}

/// What a finished snapshot tells for the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// The moment the snapshot shows.
    pub point: ConsistencyPoint,
    /// Rows and hash of each table, from the rows as they passed.
    pub tables: Vec<TableSummary>,
    /// What was left out and why, and other things to know.
    pub warnings: Vec<Warning>,
}

/// Where a part's bytes belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPlace<'a> {
    /// The file's name, as in [`DumpFile::name`].
    pub file: &'a str,
    /// Raw bytes of the file before this part.
    pub offset: u64,
    /// Raw bytes of this part.
    pub bytes: u64,
}

/// A data file of a dump that is about to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// The file's name, as in [`DumpFile::name`].
    pub name: String,
    /// Raw bytes in all.
    pub bytes: u64,
}

/// A database that is being restored into.
#[async_trait]
pub trait Target: Send + Sync + Debug {
    /// Takes the schema files and the list of data files, checks everything that can be checked, and only then
    /// creates what the data needs.
    async fn prepare(&mut self, schema: Vec<(String, Bytes)>, data: &[StoredFile]) -> Result<()>;

    /// Loads one part. Up to `jobs` parts are loaded at the same time.
    async fn load(&self, place: PartPlace<'_>, data: ByteStream<'_>) -> Result<()>;

    /// Builds what comes after the data, checks, and makes the result visible. Returns what could not be kept.
    async fn finish(&mut self) -> Result<Vec<Warning>>;

    /// Takes back what was done so far: called after an error or a cancellation, also one in the middle of `finish`.
    async fn abort(self: Box<Self>) -> Result<()>;
}
