//! Reads a dump's parts on several connections that share one snapshot.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_stream::try_stream;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::MappedMutexGuard;

use crate::engine::pool::Pool;
use crate::engine::turns::Turns;
use crate::engine::{ByteStream, DumpFile, PartRef, Snapshot, SnapshotOptions, SnapshotSummary};
use crate::error::{Code, Error, Result};
use crate::format::checksum::RowHasher;
use crate::report::{ConsistencyPoint, TableSummary, Warning};

use super::catalog::Dump;
use super::catalog::tables::TableData;
use super::connect::{Role, Server, Session};
use super::databases::Databases;
use super::files::{self, Source};
use super::globals;
use super::plan::{self, Range};
use super::rows::{HEAD, HISTORY, rows_out};
use super::select::Picks;
use super::snapshot::Taken;

/// A snapshot that is open for reading.
pub(super) struct MySnapshot {
    databases: Databases,
    point: ConsistencyPoint,
    server_version: String,
    files: Vec<DumpFile>,
    sources: Vec<Source>,
    tables: Vec<TableData>,
    warnings: Vec<Warning>,
    /// Keeps every table as it is until the end. Reads the large rows, if it shows the snapshot: the driver keeps a buffer
    /// for the largest that a connection has read, so one connection reads them all.
    guard: tokio::sync::Mutex<Session>,
    guard_reads: bool,
    readers: Pool<Session>,
    /// Readers there are, as long as none is lost.
    connections: usize,
    turns: Turns,
    seen: Mutex<Vec<RowHasher>>,
}

impl MySnapshot {
    /// Takes a snapshot, plans the dump and opens the connections that will read it.
    pub(super) async fn open(server: &Server, options: &SnapshotOptions) -> Result<Self> {
        let Taken { guard, guard_reads, mut readers, catalogs, tables, point, mut warnings } =
            Taken::new(server, &Picks::new(&options.select)?, options.jobs).await?;
        let mut dump = Dump::new(catalogs, Vec::new());
        if options.globals {
            // The readers' names of accounts would come as bytes.
            let mut session = server.connect(Role::Catalog).await?;
            let databases: Vec<&str> = dump.databases.iter().map(|c| c.database.as_str()).collect();
            let (accounts, told) = globals::read(&mut session, &databases, options.role_passwords).await?;
            session.close().await;
            dump.accounts = accounts;
            warnings.extend(told);
        }
        let mut ranges = Vec::with_capacity(tables.len());
        for table in &tables {
            ranges.push(plan::ranges(&mut readers[0], &table.database, table, options.part_bytes).await?);
        }
        let planned = files::plan(&mut dump, &tables, ranges, &point)?;
        let (files, sources): (Vec<_>, Vec<_>) = planned.into_iter().unzip();
        let turns = Turns::new(files.iter().map(|file: &DumpFile| file.parts.len()));
        Ok(Self {
            databases: server.databases().clone(),
            server_version: guard.version.text.clone(),
            point,
            files,
            sources,
            seen: Mutex::new(vec![RowHasher::default(); tables.len()]),
            tables,
            warnings,
            guard: tokio::sync::Mutex::new(guard),
            guard_reads,
            connections: readers.len(),
            readers: Pool::new(readers),
            turns,
        })
    }

    fn seen(&self) -> MutexGuard<'_, Vec<RowHasher>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that reads this part's large rows, when no others are being read; none: the part's own.
    async fn alone(&self, part: PartRef) -> Result<Option<MappedMutexGuard<'_, Session>>> {
        self.turns.wait(part, 1).await;
        match self.guard_reads {
            true => Ok(Some(tokio::sync::MutexGuard::map(self.guard.lock().await, |guard| guard))),
            false => Ok(None),
        }
    }

    fn rows<'a>(&'a self, part: PartRef, index: usize, range: &'a Range) -> ByteStream<'a> {
        let table = &self.tables[index];
        Box::pin(try_stream! {
            let mut hasher = RowHasher::default();
            self.turns.wait(part, self.connections).await;
            let mut reader = self.readers.lease().await?;
            yield Bytes::from_static(HEAD.as_bytes());
            if table.history {
                yield Bytes::from_static(HISTORY.as_bytes());
            }
            {
                let (conn, condition) = (&mut reader.conn, range.condition.as_deref());
                let alone = self.alone(part);
                let mut rows = std::pin::pin!(rows_out(conn, &table.database, table, condition, &mut hasher, alone));
                while let Some(piece) = rows.try_next().await? {
                    yield piece;
                }
            }
            reader.done();
            self.seen()[index].merge(&hasher);
            self.turns.done(part);
        })
    }
}

#[async_trait]
impl Snapshot for MySnapshot {
    fn server_version(&self) -> &str {
        &self.server_version
    }

    fn files(&self) -> &[DumpFile] {
        &self.files
    }

    fn read(&self, part: PartRef) -> ByteStream<'_> {
        match self.sources.get(part.file).filter(|_| part.part == 0) {
            Some(Source::Memory(bytes)) => {
                let bytes = bytes.clone();
                self.turns.done(part);
                futures::stream::once(async move { Ok(bytes) }).boxed()
            }
            Some(Source::Rows { table, range }) => self.rows(part, *table, range),
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
        for reader in self.readers.drain() {
            reader.close().await;
        }
        let summary = |(table, sum): (&TableData, &RowHasher)| TableSummary {
            name: self.databases.summary_name(&table.database, &table.name),
            columns: table.names(),
            rows: sum.rows(),
            hash: sum.hash(),
        };
        let tables = self.tables.iter().zip(self.seen().iter()).map(summary).collect();
        let Self { guard, point, warnings, .. } = *self;
        let mut guard = guard.into_inner();
        // The tables were kept as they are until here, or this fails.
        guard.execute("COMMIT", "closing the snapshot").await?;
        guard.close().await;
        Ok(SnapshotSummary { point, tables, warnings })
    }
}

impl fmt::Debug for MySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySnapshot").field("point", &self.point).field("files", &self.files.len()).finish()
    }
}
