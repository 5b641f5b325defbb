//! Reads a dump's parts on several connections that share one snapshot.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_stream::try_stream;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::tz::TimeZone;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::engine::{ByteStream, DumpFile, PartRef, Snapshot, SnapshotOptions, SnapshotSummary};
use crate::error::{Code, Error, Result};
use crate::format::checksum::RowHasher;
use crate::report::{ConsistencyPoint, TableSummary, Warning};

use super::archive::{END_OF_COPY, Header};
use super::catalog::{TableData, read_globals};
use super::connect::{Role, Server, execute};
use super::copy::rows_out;
use super::failure::{failure, state};
use super::globals;
use super::large_object;
use super::large_row;
use super::plan::{self, Source, Table};
use super::quote::{literal, qualified};
use super::snapshot::{Taken, changed, is_gone, rows_are_of_one_moment};
use crate::engine::pool::{Lease, Pool, open_up_to};
use crate::engine::turns::Turns;

/// A snapshot that is open for reading.
pub(super) struct PgSnapshot {
    server: Server,
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
    /// Readers there are, as long as none is lost. Without any, the coordinator reads everything.
    connections: usize,
    turns: Turns,
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
    tables: Vec<RowHasher>,
    large_objects: RowHasher,
}

impl PgSnapshot {
    /// Takes a snapshot, plans the dump and opens the connections that will read it.
    pub(super) async fn open(server: &Server, options: &SnapshotOptions) -> Result<Self> {
        let Taken { mut conn, exported, mut catalog, point, server_version } =
            Taken::new(server, &options.select).await?;
        let globals = match options.globals {
            true => Some(read_globals(&mut conn, options.role_passwords).await?),
            false => None,
        };
        let large_objects = large_object::sizes(&mut conn, &catalog.large_objects).await?;
        let (readers, fewer) = open_up_to(options.jobs.max(1), || Reader::open(server, &exported)).await?;
        let header = Header {
            created: point.at.to_zoned(TimeZone::UTC).datetime(),
            database: server.database().to_owned(),
            server_version: server_version.clone(),
            tool_version: concat!("lastgood ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let summaries = plan::summary_names(&catalog);
        let tables = plan::tables(&catalog);
        let mut planned = plan::schema_files(header, &catalog)?;
        if let Some((sql, warnings)) = globals {
            planned.push(plan::memory_file(globals::FILE, sql.into_bytes()));
            catalog.warnings.extend(warnings);
        }
        planned.extend(plan::data_files(&tables, &large_objects, options.part_bytes));
        let (files, sources): (Vec<_>, Vec<_>) = planned.into_iter().map(|p| (p.file, p.source)).unzip();
        let turns = Turns::new(files.iter().map(|file: &DumpFile| file.parts.len()));
        let hashers = vec![RowHasher::default(); tables.len()];
        Ok(Self {
            server: server.clone(),
            point,
            server_version,
            files,
            sources,
            tables,
            summaries,
            warnings: catalog.warnings.into_iter().chain(fewer).collect(),
            coordinator: tokio::sync::Mutex::new(conn),
            connections: readers.len(),
            turns,
            readers: Pool::new(readers),
            seen: Mutex::new(Seen { tables: hashers, large_objects: RowHasher::default() }),
        })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader, when it is this part's turn. None: there are none.
    async fn reader(&self, part: PartRef) -> Result<Option<Lease<'_, Reader>>> {
        if self.connections == 0 {
            return Ok(None);
        }
        self.turns.wait(part, self.connections).await;
        self.readers.lease().await.map(Some)
    }

    /// The coordinator, when it is this part's turn.
    async fn coordinator(&self, part: PartRef) -> tokio::sync::MutexGuard<'_, PgConnection> {
        self.turns.wait(part, 1).await;
        self.coordinator.lock().await
    }

    /// A reader that has locked this table. None: the coordinator has to read it.
    async fn reader_of(&self, part: PartRef, table: &TableData) -> Result<Option<Lease<'_, Reader>>> {
        let Some(mut reader) = self.reader(part).await? else { return Ok(None) };
        if reader.lock(table).await? {
            return Ok(Some(reader));
        }
        // Somebody waits for this table, and behind him the reader would wait for the end of the dump. The
        // coordinator has its lock already.
        reader.done();
        Ok(None)
    }

    fn table(&self, part: PartRef, index: usize, blocks_per_part: u64) -> ByteStream<'_> {
        let table = &self.tables[index].data;
        let parts = self.files[part.file].parts.len();
        let last = part.part + 1 == parts;
        let blocks = plan::blocks_of(part.part, parts, blocks_per_part);
        let (statement, any_large_row) = (plan::copy_out(table, blocks), plan::any_large_row(table, blocks));
        let doing = format!("reading {}", qualified(&table.schema, &table.name));
        Box::pin(try_stream! {
            let mut hasher = RowHasher::default();
            if let Some(mut reader) = self.reader_of(part, table).await? {
                let large = large_row::is_among(&mut reader.conn, any_large_row.as_deref(), &doing).await?;
                if large {
                    self.turns.wait(part, 1).await;
                }
                {
                    let mut rows = std::pin::pin!(rows_out(&mut reader.conn, statement, doing.clone(), &mut hasher));
                    while let Some(batch) = rows.try_next().await? {
                        yield batch;
                    }
                }
                if large {
                    large_row::let_go(&mut reader.conn, &doing).await?;
                }
                reader.done();
            } else {
                let mut conn = self.coordinator(part).await;
                let mut rows = std::pin::pin!(rows_out(&mut conn, statement, doing, &mut hasher));
                while let Some(batch) = rows.try_next().await? {
                    yield batch;
                }
            }
            if last {
                yield Bytes::from_static(END_OF_COPY);
            }
            self.seen().tables[index].merge(&hasher);
            self.turns.done(part);
        })
    }

    fn large_object(&self, part: PartRef, oid: u32, range: std::ops::Range<u64>) -> ByteStream<'_> {
        Box::pin(try_stream! {
            let mut hasher = RowHasher::default();
            if let Some(mut reader) = self.reader(part).await? {
                {
                    let mut pieces = std::pin::pin!(large_object::read(&mut reader.conn, oid, range, &mut hasher));
                    while let Some(piece) = pieces.try_next().await? {
                        yield piece;
                    }
                }
                reader.done();
            } else {
                let mut conn = self.coordinator(part).await;
                let mut pieces = std::pin::pin!(large_object::read(&mut conn, oid, range, &mut hasher));
                while let Some(piece) = pieces.try_next().await? {
                    yield piece;
                }
            }
            self.seen().large_objects.merge(&hasher);
            self.turns.done(part);
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
                self.turns.done(part);
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
        let (read, planned) = self.turns.progress();
        if read != planned {
            return Err(Error::new(Code::Internal, format!("{read} of {planned} parts were read to their end")));
        }
        let summaries = self.table_summaries(&self.seen());
        for reader in self.readers.drain() {
            drop(reader.conn.close().await);
        }
        // The snapshot and the locks have held until here, or this fails.
        let mut conn = self.coordinator.into_inner();
        let unchecked = rows_are_of_one_moment(&mut conn, &self.server).await?;
        execute(&mut conn, "COMMIT", "closing the snapshot").await?;
        drop(conn.close().await);
        Ok(SnapshotSummary {
            point: self.point,
            tables: summaries,
            warnings: self.warnings.into_iter().chain(unchecked).collect(),
        })
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
            Err(e) if is_gone(&e) => Err(changed(failure(doing, e).message())),
            Err(e) => Err(failure(doing, e)),
        }
    }
}
