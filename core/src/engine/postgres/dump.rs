//! One consistent snapshot of a database, shared by several connections.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_stream::try_stream;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::engine::{ByteStream, DumpFile, PartRef, Snapshot, SnapshotOptions, SnapshotSummary};
use crate::error::{Code, Error, Result};
use crate::format::checksum::RowHasher;
use crate::report::{ConsistencyPoint, TableSummary, Warning};

use super::archive::{self, Archive, END_OF_COPY, Header};
use super::catalog::{self, Catalog, TableData};
use super::connect::{Role, Server, execute, query};
use super::copy::rows_out;
use super::failure::{failure, state};
use super::large_object;
use super::plan::{self, Planned, Source, Table};
use super::pool::Pool;
use super::quote::{literal, qualified};

/// How often a snapshot is tried while tables come and go.
const ATTEMPTS: usize = 5;

/// Tables locked by one statement.
const LOCKS_PER_STATEMENT: usize = 200;

/// The start of a `TABLE DATA` entry's definition whose rows are loaded through the root of their partitions.
const VIA_ROOT: &str = "-- load via partition root ";

/// A snapshot that is open for reading.
pub(super) struct PgSnapshot {
    point: ConsistencyPoint,
    server_version: String,
    files: Vec<DumpFile>,
    sources: Vec<Source>,
    tables: Vec<Table>,
    /// Under which name a table is summed up; none for those that hold an extension's rows beside the user's.
    summaries: Vec<Option<String>>,
    warnings: Vec<Warning>,
    /// Exported the snapshot and holds a lock on every table until the end.
    coordinator: tokio::sync::Mutex<PgConnection>,
    readers: Pool<Reader>,
    seen: Mutex<Seen>,
}

/// A connection that shares the snapshot.
struct Reader {
    conn: PgConnection,
    /// Tables that it has locked itself.
    locked: HashSet<u32>,
}

/// What the parts read so far have brought.
#[derive(Debug)]
struct Seen {
    parts: HashSet<PartRef>,
    tables: Vec<RowHasher>,
    large_objects: RowHasher,
}

impl PgSnapshot {
    /// Opens a snapshot. Tries again when the tables change while it is being taken.
    pub(super) async fn open(server: &Server, options: &SnapshotOptions) -> Result<Self> {
        for _ in 1..ATTEMPTS {
            match Self::attempt(server, options).await {
                Err(e) if e.code() == Code::DatabaseChanged => tracing::debug!(%e, "taking the snapshot again"),
                result => return result,
            }
        }
        Self::attempt(server, options).await
    }

    async fn attempt(server: &Server, options: &SnapshotOptions) -> Result<Self> {
        let mut conn = server.connect(Role::Catalog).await?;
        let to_lock = catalog::tables_to_lock(&mut conn).await?;
        // Locks first, snapshot second: what TRUNCATE or ALTER did before a lock is seen by the snapshot, and nothing
        // of the kind happens after it. LOCK is one of the statements that take no snapshot of their own.
        execute(&mut conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "opening the snapshot").await?;
        lock(&mut conn, &to_lock).await?;
        let opened = Opened::read(&mut conn).await?;
        let locked: HashSet<&String> = to_lock.iter().collect();
        if let Some(name) = catalog::tables_to_lock(&mut conn).await?.iter().find(|name| !locked.contains(name)) {
            return Err(changed(&format!("table {name} appeared while the snapshot was taken")));
        }
        let catalog = catalog::read(&mut conn).await?;
        // Rows of the catalog come from the snapshot, but the server writes definitions from the catalog of the moment.
        // A second reading, later than all of the first, is the same unless something changed in between.
        let mut second = server.connect(Role::Catalog).await?;
        // It holds no locks: it would wait behind a migration that waits for ours, and the server sees no deadlock in that.
        execute(&mut second, "SET lock_timeout = '2s'", "reading the catalog again").await?;
        let again = catalog::read(&mut second).await?;
        drop(second);
        if again.fingerprint != catalog.fingerprint {
            return Err(changed("the schema changed while it was read"));
        }
        let large_objects = large_object::sizes(&mut conn, &catalog.large_objects).await?;
        let mut readers = Vec::with_capacity(options.jobs);
        for _ in 0..options.jobs.max(1) {
            readers.push(Reader::open(server, &opened.snapshot).await?);
        }

        let summaries = summary_names(&catalog);
        let tables = divisible_tables(&catalog);
        let data = plan::data_files(&tables, &large_objects, options.part_bytes);
        let planned = with_schema_files(server, &opened, &catalog, data)?;
        let (files, sources) = planned.into_iter().map(|p| (p.file, p.source)).unzip();
        let hashers = vec![RowHasher::default(); tables.len()];
        Ok(Self {
            point: opened.point,
            server_version: opened.server_version,
            files,
            sources,
            tables,
            summaries,
            warnings: catalog.warnings,
            coordinator: tokio::sync::Mutex::new(conn),
            readers: Pool::new(readers),
            seen: Mutex::new(Seen { parts: HashSet::new(), tables: hashers, large_objects: RowHasher::default() }),
        })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self, part: PartRef, index: usize, blocks_per_part: u64) -> ByteStream<'_> {
        let table = &self.tables[index].data;
        let parts = self.files[part.file].parts.len();
        let last = part.part + 1 == parts;
        let statement = plan::copy_out(table, plan::blocks_of(part.part, parts, blocks_per_part));
        let doing = format!("reading {}", qualified(&table.schema, &table.name));
        Box::pin(try_stream! {
            let mut hasher = RowHasher::default();
            let mut reader = self.readers.lease().await?;
            if reader.lock(table).await? {
                {
                    let mut rows = std::pin::pin!(rows_out(&mut reader.conn, statement, doing, &mut hasher));
                    while let Some(batch) = rows.try_next().await? {
                        yield batch;
                    }
                }
                reader.done();
            } else {
                // Somebody waits for this table, and behind him the reader would wait for the end of the dump. The
                // coordinator has its lock already.
                reader.done();
                let mut conn = self.coordinator.lock().await;
                let mut rows = std::pin::pin!(rows_out(&mut conn, statement, doing, &mut hasher));
                while let Some(batch) = rows.try_next().await? {
                    yield batch;
                }
            }
            if last {
                yield Bytes::from_static(END_OF_COPY);
            }
            let mut seen = self.seen();
            seen.tables[index].merge(&hasher);
            seen.parts.insert(part);
        })
    }

    fn large_object(&self, part: PartRef, oid: u32, range: std::ops::Range<u64>) -> ByteStream<'_> {
        Box::pin(try_stream! {
            let mut hasher = RowHasher::default();
            let mut reader = self.readers.lease().await?;
            {
                let mut pieces = std::pin::pin!(large_object::read(&mut reader.conn, oid, range, &mut hasher));
                while let Some(piece) = pieces.try_next().await? {
                    yield piece;
                }
            }
            reader.done();
            let mut seen = self.seen();
            seen.large_objects.merge(&hasher);
            seen.parts.insert(part);
        })
    }

    /// Rows and hashes by name. Partitions that are loaded through their root are summed up under its name.
    fn table_summaries(&self, seen: &Seen) -> Vec<TableSummary> {
        let mut summaries: Vec<(TableSummary, RowHasher)> = Vec::with_capacity(self.tables.len() + 1);
        for ((table, name), hasher) in self.tables.iter().zip(&self.summaries).zip(&seen.tables) {
            let Some(name) = name else { continue };
            let via_root = *name != qualified(&table.data.schema, &table.data.name);
            match summaries.iter_mut().find(|(s, _)| via_root && s.name == *name) {
                Some((_, sum)) => sum.merge(hasher),
                None => {
                    let columns = table.data.columns.clone();
                    let summary = TableSummary { name: name.clone(), columns, rows: 0, hash: String::new() };
                    summaries.push((summary, *hasher));
                }
            }
        }
        let finished =
            |(summary, sum): (TableSummary, RowHasher)| TableSummary { rows: sum.rows(), hash: sum.hash(), ..summary };
        let mut summaries: Vec<TableSummary> = summaries.into_iter().map(finished).collect();
        if seen.large_objects.rows() > 0 {
            summaries.push(large_object::summary(&seen.large_objects));
        }
        summaries
    }
}

#[async_trait]
impl Snapshot for PgSnapshot {
    fn server_version(&self) -> &str {
        &self.server_version
    }

    fn files(&self) -> &[DumpFile] {
        &self.files
    }

    fn read(&self, part: PartRef) -> ByteStream<'_> {
        let planned = self.sources.get(part.file).zip(self.files.get(part.file));
        match planned.filter(|(_, file)| part.part < file.parts.len()) {
            Some((Source::Memory(bytes), _)) => {
                let bytes = bytes.clone();
                self.seen().parts.insert(part);
                futures::stream::once(async move { Ok(bytes) }).boxed()
            }
            Some((Source::Table { table, blocks_per_part }, _)) => self.table(part, *table, *blocks_per_part),
            Some((Source::LargeObject { oid, bytes, bytes_per_part }, _)) => {
                self.large_object(part, *oid, plan::bytes_of(part.part, *bytes, *bytes_per_part))
            }
            None => futures::stream::once(async move {
                Err(Error::new(Code::Internal, format!("the dump has no part {} of file {}", part.part, part.file)))
            })
            .boxed(),
        }
    }

    async fn finish(self: Box<Self>) -> Result<SnapshotSummary> {
        let planned: usize = self.files.iter().map(|f| f.parts.len()).sum();
        let summaries = {
            let seen = self.seen();
            if seen.parts.len() != planned {
                let read = seen.parts.len();
                return Err(Error::new(Code::Internal, format!("{read} of {planned} parts were read to their end")));
            }
            self.table_summaries(&seen)
        };
        for reader in self.readers.drain() {
            drop(sqlx::Connection::close(reader.conn).await);
        }
        // The snapshot and the locks have held until here, or this fails.
        let mut conn = self.coordinator.into_inner();
        execute(&mut conn, "COMMIT", "closing the snapshot").await?;
        drop(sqlx::Connection::close(conn).await);
        Ok(SnapshotSummary { point: self.point, tables: summaries, warnings: self.warnings })
    }
}

impl fmt::Debug for PgSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgSnapshot").field("point", &self.point).field("files", &self.files.len()).finish()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    async fn open(server: &Server, snapshot: &str) -> Result<Self> {
        let mut conn = server.connect(Role::Reader).await?;
        let sql =
            format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}", literal(snapshot));
        execute(&mut conn, &sql, "sharing the snapshot").await?;
        Ok(Self { conn, locked: HashSet::new() })
    }

    /// Locks a table unless that means to wait. Returns whether it is locked.
    async fn lock(&mut self, table: &TableData) -> Result<bool> {
        if self.locked.contains(&table.oid) {
            return Ok(true);
        }
        let name = qualified(&table.schema, &table.name);
        let doing = format!("locking {name}");
        let sql = format!("SAVEPOINT lock; LOCK TABLE ONLY {name} IN ACCESS SHARE MODE NOWAIT; RELEASE lock");
        match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.conn).await {
            Ok(_) => {
                self.locked.insert(table.oid);
                Ok(true)
            }
            Err(e) if state(&e).as_deref() == Some("55P03") => {
                execute(&mut self.conn, "ROLLBACK TO lock", &doing).await?;
                Ok(false)
            }
            Err(e) => Err(failure(doing, e)),
        }
    }
}

/// What the server said when the snapshot was taken.
struct Opened {
    snapshot: String,
    point: ConsistencyPoint,
    server_version: String,
}

impl Opened {
    async fn read(conn: &mut PgConnection) -> Result<Self> {
        let sql = "SELECT pg_catalog.pg_export_snapshot(), \
             (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8, \
             CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
             ELSE pg_catalog.pg_current_wal_lsn() END, \
             pg_catalog.current_setting('server_version')";
        let rows = query(conn, sql, "taking the snapshot").await?;
        let values: Option<[String; 4]> =
            rows.into_iter().next().and_then(|row| row.into_iter().collect::<Option<Vec<_>>>()?.try_into().ok());
        let internal = || Error::new(Code::Internal, "taking the snapshot: the server's answer is not as expected");
        let [snapshot, micros, position, version] = values.ok_or_else(internal)?;
        let at =
            micros.parse().ok().and_then(|micros| Timestamp::from_microsecond(micros).ok()).ok_or_else(internal)?;
        // `15.20 (Debian 15.20-0+deb12u1)`: the packager's part says nothing about the data.
        let server_version = version.split(' ').next().unwrap_or_default().to_owned();
        Ok(Self { snapshot, point: ConsistencyPoint { at, kind: "lsn".to_owned(), position }, server_version })
    }
}

/// Locks the tables against changes of their definition; rows can be written as before.
async fn lock(conn: &mut PgConnection, tables: &[String]) -> Result<()> {
    for batch in tables.chunks(LOCKS_PER_STATEMENT) {
        let sql = format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE", batch.join(", ONLY "));
        if let Err(e) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await {
            // Dropped, moved or replaced by a view after it was listed.
            let gone = matches!(state(&e).as_deref(), Some("42P01" | "3F000" | "42809"));
            let e = failure("locking the tables", e);
            return Err(if gone { changed(e.message()) } else { e });
        }
    }
    Ok(())
}

fn changed(what: &str) -> Error {
    Error::new(Code::DatabaseChanged, what).next("run the backup again when no migration is running")
}

/// The tables of the archive, each with whether ranges of its blocks can be read.
fn divisible_tables(catalog: &Catalog) -> Vec<Table> {
    let heaps: HashSet<u32> = catalog
        .entries
        .iter()
        .filter(|e| e.desc == "TABLE" && e.table_am.as_deref().is_none_or(|am| am == "heap"))
        .map(|e| e.oid)
        .collect();
    let table =
        |data: &TableData| Table { divisible: data.filter.is_none() && heaps.contains(&data.oid), data: data.clone() };
    catalog.tables.iter().map(table).collect()
}

/// The name under which each table is summed up.
fn summary_names(catalog: &Catalog) -> Vec<Option<String>> {
    let roots: std::collections::HashMap<i32, &str> = catalog
        .entries
        .iter()
        .filter(|e| e.desc == "TABLE DATA")
        .filter_map(|e| Some((e.dump_id, e.defn.strip_prefix(VIA_ROOT)?.trim_end())))
        .collect();
    let name = |table: &TableData| {
        let own = || qualified(&table.schema, &table.name);
        table.filter.is_none().then(|| roots.get(&table.dump_id).map_or_else(own, |root| (*root).to_owned()))
    };
    catalog.tables.iter().map(name).collect()
}

/// Puts the table of contents and the list of large objects in front of the data.
fn with_schema_files(server: &Server, opened: &Opened, catalog: &Catalog, data: Vec<Planned>) -> Result<Vec<Planned>> {
    let mut entries = catalog.entries.clone();
    // Behind the settings, where pg_dump has it.
    let settings = entries.iter().take_while(|e| matches!(e.desc.as_str(), "ENCODING" | "STDSTRINGS" | "SEARCHPATH"));
    let at = settings.count();
    entries.splice(at..at, catalog.database.iter().cloned());
    for entry in &mut entries {
        entry.file = match entry.desc.as_str() {
            "TABLE DATA" => Some(format!("{}.dat", entry.dump_id)),
            "BLOBS" => Some("blobs.toc".to_owned()),
            _ => None,
        };
    }
    let header = Header {
        created: opened.point.at.to_zoned(TimeZone::UTC).datetime(),
        database: server.database().to_owned(),
        server_version: opened.server_version.clone(),
        tool_version: concat!("lastgood ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let mut planned = vec![plan::memory_file("toc.dat", archive::write(&Archive { header, entries })?)];
    if !catalog.large_objects.is_empty() {
        planned.push(plan::memory_file("blobs.toc", archive::write_blobs(&catalog.large_objects)));
    }
    planned.extend(data);
    Ok(planned)
}
