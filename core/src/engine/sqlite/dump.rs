//! Taking one moment of a database into a private copy, and reading that.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, spawn_blocking};

use super::blocking::{Stop, StopOnDrop, blocking, joined};
use super::check::{self, Depth, Findings};
use super::ffi::{self, Access, Connection};
use super::live::Task;
use super::source::Source;
use super::summary::{Queue, Summaries, Table, tables};
use super::temp::{TempFile, folder_of, need_space};
use crate::engine::{ByteStream, DumpFile, FileRole, PartRef, Snapshot, SnapshotOptions, SnapshotSummary};
use crate::error::{Code, Error, Result};
use crate::id::DatabaseName;
use crate::report::{ConsistencyPoint, Warning};

const PREFIX: &str = "lastgood-snapshot-";
/// Bytes that the backup copies between two looks at [`Stop`]: some ten milliseconds.
const STEP: u64 = 4 << 20;
/// Bytes of one piece of a part's stream.
const PIECE: u64 = 256 << 10;

/// A copy of the database at one moment.
#[derive(Debug)]
struct Copy {
    file: File,
    bytes: u64,
    page: u64,
    /// Connections to the copy, opened while it still had a name.
    connections: Vec<Connection>,
    tables: Vec<Table>,
    point: ConsistencyPoint,
    warnings: Vec<Warning>,
}

/// What is known of the moment that was copied.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Copied {
    at: Timestamp,
    changes: u32,
    wal: bool,
    held_ms: u64,
}

/// Copies the database by SQLite's online backup under one read transaction into a file that is there, and empty.
pub(super) fn copy(from: &Path, to: &Path, stop: &Stop) -> Result<Copied> {
    let source = Source::open(from, stop)?;
    let (at, began) = (Timestamp::now(), Instant::now());
    need_space(folder_of(to), source.bytes()?)?;
    let copy = Connection::open(to, Access::ReadWrite, stop)?;
    // Nothing to roll back to, nothing to outlast a crash, nobody else to let in.
    for pragma in ["journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"] {
        copy.execute(&format!("PRAGMA {pragma}"))?;
    }
    let page = u64::try_from(source.connection.integer("PRAGMA page_size")?).unwrap_or(4096).max(512);
    let pages = i32::try_from(STEP / page).unwrap_or(i32::MAX);
    source.connection.back_up_to(&copy, pages, stop)?;
    drop(copy);
    let (changes, wal) = (source.changes, source.wal);
    source.end()?;
    let held_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Copied { at, changes, wal, held_ms })
}

impl Copy {
    /// Opens what was copied into `temp`.
    ///
    /// SQLite needs a name to open the copy, so it has one (0600) until every connection that will be needed is open;
    /// then the name is taken away. A kill leaves a file only during the copying, and the next snapshot in that
    /// folder removes it.
    fn open(path: &Path, temp: TempFile, copied: &Copied, jobs: usize, stop: &Stop) -> Result<Self> {
        stop.check()?;
        // Immutable: the copy's header may say WAL, and nobody writes to it.
        let open = || Connection::open(temp.path(), Access::Immutable, stop).map(|copy| copy.copy_of(path));
        let first = open()?;
        let tables = tables(&first)?;
        let page = u64::try_from(first.integer("PRAGMA page_size")?).unwrap_or(0);
        let mut connections = vec![first];
        while connections.len() < jobs.min(tables.len() + 1) {
            connections.push(open()?);
        }
        let bytes = temp.file().metadata().map_err(|e| Error::local(temp.path(), e))?.len();
        let file = temp.unlink()?;

        let position = copied.changes.to_string();
        let point = ConsistencyPoint { at: copied.at, kind: "change_counter".to_owned(), position };
        let mut warnings = Vec::new();
        if !copied.wal && copied.held_ms >= 1000 {
            let message = format!(
                "writers had to wait for {} ms while the database was copied; WAL mode spares them that",
                copied.held_ms
            );
            warnings.push(Warning::new("writers_waited", message));
        }
        Ok(Self { file, bytes, page, connections, tables, point, warnings })
    }
}

/// A copy of the database whose parts can be read, while its rows are counted and hashed beside.
#[derive(Debug)]
pub(super) struct SqliteSnapshot {
    path: PathBuf,
    version: String,
    files: [DumpFile; 1],
    copy: Arc<File>,
    /// Bytes of every part but the last.
    part_bytes: u64,
    bytes: u64,
    point: ConsistencyPoint,
    warnings: Vec<Warning>,
    workers: Vec<JoinHandle<Result<Counted>>>,
    _stop: StopOnDrop,
}

#[derive(Debug)]
struct Counted {
    summaries: Summaries,
    findings: Option<Findings>,
}

pub(super) async fn snapshot(path: &Path, command: &[String], options: &SnapshotOptions) -> Result<SqliteSnapshot> {
    let folder = options.work_dir.clone().unwrap_or_else(std::env::temp_dir);
    let temp = blocking(move |_| TempFile::create(&folder, PREFIX)).await?;
    let task = Task::Copy { from: path.to_owned(), to: temp.path().to_owned() };
    let copied: Copied = task.run(command).await?;
    // Its connections ask this Stop, which the snapshot takes over from this future.
    let stop = Stop::default();
    let stop_on_drop = stop.on_drop();
    let copy = blocking({
        let (from, jobs, stop) = (path.to_owned(), options.jobs, stop.clone());
        move |_| Copy::open(&from, temp, &copied, jobs, &stop)
    })
    .await?;

    let queue = Queue::new(copy.tables);
    let workers = copy.connections.into_iter().enumerate().map(|(i, connection)| {
        let queue = queue.clone();
        spawn_blocking(move || {
            // A backup of a damaged database must not look good.
            let findings = (i == 0).then(|| check::check(&connection, Depth::Quick)).transpose()?;
            Ok(Counted { summaries: queue.drain(&connection)?, findings })
        })
    });
    // Both are powers of two in practice, so parts begin on page boundaries and stay where they are between backups.
    let part_bytes = (options.part_bytes / copy.page.max(1)).max(1).saturating_mul(copy.page.max(1));
    let stem = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let file = DumpFile {
        name: format!("{}.db", DatabaseName::sanitize(&stem)),
        role: FileRole::Data,
        parts: part_sizes(copy.bytes, part_bytes),
    };
    Ok(SqliteSnapshot {
        path: path.to_owned(),
        version: ffi::version(),
        files: [file],
        workers: workers.collect(),
        copy: Arc::new(copy.file),
        part_bytes,
        bytes: copy.bytes,
        point: copy.point,
        warnings: copy.warnings,
        _stop: stop_on_drop,
    })
}

fn part_sizes(bytes: u64, part_bytes: u64) -> Vec<u64> {
    let mut sizes = Vec::new();
    let mut left = bytes;
    while left > part_bytes {
        sizes.push(part_bytes);
        left -= part_bytes;
    }
    sizes.push(left);
    sizes
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    fn server_version(&self) -> &str {
        &self.version
    }

    fn files(&self) -> &[DumpFile] {
        &self.files
    }

    fn read(&self, part: PartRef) -> ByteStream<'_> {
        let size = self.files.get(part.file).and_then(|file| file.parts.get(part.part).copied());
        let start = u64::try_from(part.part).ok().and_then(|i| i.checked_mul(self.part_bytes));
        let (Some(size), Some(start)) = (size, start) else {
            return stream::iter([Err(internal("there is no such part"))]).boxed();
        };
        let end = start.saturating_add(size).min(self.bytes);
        stream::try_unfold(start, move |offset| async move {
            if offset >= end {
                return Ok(None);
            }
            let copy = Arc::clone(&self.copy);
            let piece = PIECE.min(end - offset);
            let read = move || read_piece(&copy, offset, piece);
            let bytes = joined(spawn_blocking(read)).await?;
            Ok(Some((bytes, offset + piece)))
        })
        .boxed()
    }

    async fn finish(self: Box<Self>) -> Result<SnapshotSummary> {
        let Self { path, point, mut warnings, workers, _stop: stop, .. } = *self;
        let mut tables = Vec::new();
        for worker in workers {
            let mut counted = joined(worker).await?;
            tables.append(&mut counted.summaries.tables);
            warnings.append(&mut counted.summaries.warnings);
            if let Some(findings) = counted.findings {
                warnings.append(&mut findings.into_warnings(&path)?);
            }
        }
        drop(stop);
        // In an order that does not depend on which thread was first.
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        warnings.sort_by(|a, b| (&a.code, &a.message).cmp(&(&b.code, &b.message)));
        Ok(SnapshotSummary { point, tables, warnings })
    }
}

fn read_piece(copy: &File, offset: u64, bytes: u64) -> Result<Bytes> {
    let mut piece = BytesMut::zeroed(usize::try_from(bytes).map_err(|_| internal("a piece is too large"))?);
    copy.read_exact_at(&mut piece, offset).map_err(|e| {
        Error::new(Code::LocalFile, format!("the temporary copy cannot be read: {e}")).next("check the disk").because(e)
    })?;
    Ok(piece.freeze())
}

fn internal(what: &str) -> Error {
    Error::new(Code::Internal, format!("SQLite snapshot: {what}"))
}
