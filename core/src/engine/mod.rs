//! What every database engine offers: a consistent [`Snapshot`] to read parts from, and a [`Target`] to load them into.
//!
//! Engines know nothing of encryption or storage. A dump is the engine's standard dump directory: a list of files,
//! each a sequence of parts that are read, and later loaded, independently of each other and many at once.

use std::fmt::{Debug, Display};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::{Code, Error, Result};
use crate::id::EngineKind;
pub use crate::report::FileRole;
use crate::report::{Check, ConsistencyPoint, DatabaseStats, Probe, Promoted, TableSummary, Warning};
pub use crate::selection::{Mapping, Selection};
use crate::settings::{Codec, Settings};

mod ending;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod findings;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod pattern;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod pool;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod script;
pub(crate) mod stock;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod turns;

#[cfg(feature = "mongodb")]
pub(crate) mod mongodb;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
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
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => Ok(Arc::new(mysql::Mysql::new(url)?)),
        #[cfg(feature = "mongodb")]
        "mongodb" | "mongodb+srv" => Ok(Arc::new(mongodb::Mongodb::new(url)?)),
        #[cfg(feature = "sqlite")]
        "sqlite" | "file" => Ok(Arc::new(sqlite::Sqlite::new(url, &settings.command)?)),
        #[cfg(feature = "sqlite")]
        _ if sqlite::Sqlite::is_path(url) => Ok(Arc::new(sqlite::Sqlite::new(url, &settings.command)?)),
        "postgres" | "postgresql" | "mysql" | "mariadb" | "mongodb" | "mongodb+srv" | "sqlite" => {
            Err(Error::new(Code::NotCompiledIn, format!("{scheme} databases were not compiled in"))
                .next(format!("build lastgood with the feature for {scheme}")))
        }
        // Nothing of the URL is shown: it may hold a password.
        _ => Err(Error::new(Code::InvalidUrl, "the database's URL is of no known kind").next(
            "write postgres://user@host/database, mysql://user@host/database, mongodb://host/database or sqlite:path",
        )),
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
    /// Dump also what belongs to the server: roles, tablespaces.
    pub globals: bool,
    /// With the roles, the verifiers of their passwords.
    pub role_passwords: bool,
    /// What of the database is dumped.
    pub select: Selection,
}

/// What the doctor looks at a database for.
#[derive(Debug, Clone)]
pub struct DoctorOptions {
    /// Connections that a backup would use at the same time.
    pub jobs: usize,
    /// Folder for temporary copies.
    pub work_dir: Option<PathBuf>,
    /// Tables or collections that must be there.
    pub tables: Vec<String>,
    /// Indexes that must be there, and usable.
    pub indexes: Vec<String>,
}

/// How a dump is to be loaded.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// Parts that will be loaded at the same time.
    pub jobs: usize,
    /// Load even though the target holds something (an existing SQLite file is replaced, PostgreSQL objects must not collide).
    pub overwrite: bool,
    /// Leave owners as the restoring user.
    pub no_owner: bool,
    /// Leave out grants.
    pub no_privileges: bool,
    /// The target may hold anything: it will be asked to [`Target::promote`] the result.
    pub promote: bool,
    /// Create the roles and tablespaces that the dump needs and the server lacks.
    pub globals: bool,
    /// What of the dump is restored.
    pub select: Selection,
    /// Other names in the target.
    pub map: Mapping,
    /// Drop what the dump brings before it is created, once everything else was checked.
    pub clean: bool,
    /// Leave out what only a superuser may create, where none restores.
    pub no_superuser: bool,
    /// Nothing of the result is to act by itself, such as events and expiry: it is looked at and dropped.
    pub rehearsal: bool,
    /// Which database of a dump that holds several (a script of pg_dumpall).
    pub from_database: Option<String>,
}

/// What a database is called after it gave way: `shop_before_20251121_020001`, in UTC, so that names sort by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suffix(pub jiff::Timestamp);

impl Suffix {
    /// The name of the database that gave way to a restored one, in at most so many bytes.
    #[must_use]
    pub fn before(&self, name: &str, max_bytes: usize) -> String {
        self.name(name, "before", max_bytes)
    }

    /// The name of the restored database, should it have to give way again.
    #[must_use]
    pub fn restored(&self, name: &str, max_bytes: usize) -> String {
        self.name(name, "restored", max_bytes)
    }

    fn name(&self, name: &str, what: &str, max_bytes: usize) -> String {
        let time = self.0.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y%m%d_%H%M%S");
        shortened(name, &format!("_{what}_{time}"), max_bytes)
    }
}

/// The name with this suffix, in at most so many bytes: the name is cut, the suffix is not.
#[must_use]
pub fn shortened(name: &str, suffix: &str, max_bytes: usize) -> String {
    let mut name = name.to_owned();
    while name.len() + suffix.len() > max_bytes && name.pop().is_some() {}
    name + suffix
}

/// What became of the names that the caller requires, by kind; `None` where he requires none.
#[allow(dead_code, reason = "a build without engines has nobody to ask")]
pub(crate) fn required(options: &DoctorOptions, missing: &[String]) -> Option<Check> {
    const NAME: &str = "required";
    let count = options.tables.len() + options.indexes.len();
    if count == 0 {
        return None;
    }
    Some(match missing.is_empty() {
        true => Check::pass(NAME, format!("all {count} tables and indexes that are required are there")),
        false => Check::fail(
            NAME,
            format!("not there: {}", some_of(missing, 20)),
            "run the application's migrations, or look whether this is the right database",
        ),
    })
}

/// Names for people, at most so many, and how many more there are: `a, b and 3 more`.
#[allow(dead_code, reason = "a build without engines has nobody to ask")]
pub(crate) fn some_of(names: impl IntoIterator<Item = impl Display>, at_most: usize) -> String {
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(at_most).map(|name| name.to_string()).collect();
    match names.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
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

    /// A file that is known only when all others were read to their end, and is then read as the one after them.
    async fn closing(&self) -> Result<Option<DumpFile>> {
        Ok(None)
    }

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
    /// Raw bytes of this part. Absent when nobody knows yet: the part is then all that is left of the file.
    pub bytes: Option<u64>,
}

/// A data file of a dump that is about to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// The file's name, as in [`DumpFile::name`].
    pub name: String,
    /// Raw bytes in all, where they are known: not of a dump that is read from a pipe.
    pub bytes: Option<u64>,
}

/// A database that is being restored into.
#[async_trait]
pub trait Target: Send + Sync + Debug {
    /// Takes the schema files and the list of data files, checks everything that can be checked, and only then
    /// creates what the data needs.
    async fn prepare(&mut self, schema: Vec<(String, Bytes)>, data: &[StoredFile]) -> Result<()>;

    /// Whether the parts of this data file are to be loaded. Asked after [`prepare`](Self::prepare).
    fn wants(&self, _file: &str) -> bool {
        true
    }

    /// Whether this data file is loaded when all others are there, one of its parts after the other.
    fn comes_last(&self, _file: &str) -> bool {
        false
    }

    /// Loads one part. Up to `jobs` parts are loaded at the same time.
    async fn load(&self, place: PartPlace<'_>, data: ByteStream<'_>) -> Result<()>;

    /// Builds what comes after the data, checks, and makes the result visible. Returns what could not be kept.
    async fn finish(&mut self) -> Result<Vec<Warning>>;

    /// Builds what comes after the data, as [`Target::finish`] does, and shows the result to whoever is to check it before
    /// anybody else sees it. Nobody may be connected to it any more when it is then promoted.
    async fn stage(&mut self) -> Result<(Arc<dyn Engine>, Vec<Warning>)> {
        Err(Error::new(Code::UnsupportedDatabase, "databases of this engine cannot be promoted")
            .next("restore into a new database, and let the application use that one"))
    }

    /// Lets what was staged take the place of the live database, which keeps its content under its own name with this
    /// suffix. Either all of that happens or nothing. Returns also what the two differ in, beside their content.
    async fn promote(&mut self, _suffix: &Suffix) -> Result<(Promoted, Vec<Warning>)> {
        Err(Error::new(Code::Internal, "nothing was staged"))
    }

    /// What was created on the server beside the database.
    fn created(&self) -> Vec<String> {
        Vec::new()
    }

    /// Takes back what was done so far: called after an error or a cancellation, also one in the middle of `finish`.
    async fn abort(self: Box<Self>) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_names_some_are_told_and_the_rest_is_counted() {
        let told = [0, 1, 2, 5].map(|n| some_of((0..n).map(|i| format!("t{i}")), 2));
        assert_eq!(told, ["", "t0", "t0, t1", "t0, t1 and 3 more"]);
    }

    #[test]
    fn names_of_databases_that_gave_way_sort_by_time_and_fit() {
        let suffix = Suffix(jiff::Timestamp::from_second(1_763_690_401).unwrap_or_default());
        assert_eq!(suffix.before("shop", 63), "shop_before_20251121_020001");
        assert_eq!(suffix.restored("shop", 63), "shop_restored_20251121_020001");
        let long = "ä".repeat(31);
        let name = suffix.before(&long, 63);
        assert_eq!(name, format!("{}_before_20251121_020001", "ä".repeat(20)));
        assert!(name.len() <= 63);
    }
}
