//! What the engine promises, tried on real files through the traits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod concurrency;
mod failures;
mod restore;
mod round_trip;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;

use super::Sqlite;
use super::blocking::Stop;
use super::ffi::{Access, Connection};
use crate::engine::{
    Engine, FileRole, PartPlace, PartRef, RestoreOptions, Selection, Snapshot, SnapshotOptions, SnapshotSummary,
    StoredFile,
};
use crate::error::{Code, Result};
use crate::report::Warning;
use crate::settings::Codec;

/// A folder for databases and one for temporary copies, so that what is left behind can be seen.
struct Place {
    data: TempDir,
    work: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { data: tempfile::tempdir().unwrap(), work: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    /// A database made by these statements, closed again.
    fn database(&self, name: &str, sql: &str) -> PathBuf {
        let path = self.path(name);
        open(&path).run(sql).unwrap();
        path
    }

    fn options(&self) -> SnapshotOptions {
        SnapshotOptions {
            jobs: 2,
            part_bytes: 64 << 10,
            codec: Codec::None,
            work_dir: Some(self.work.path().to_owned()),
            globals: false,
            role_passwords: false,
            select: Selection::default(),
        }
    }

    fn files(&self) -> Vec<String> {
        names(self.data.path())
    }

    fn left_behind(&self) -> Vec<String> {
        names(self.work.path())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A connection that makes the file if it is not there.
fn open(path: &Path) -> Connection {
    if !path.exists() {
        File::create(path).unwrap();
    }
    Connection::open(path, Access::ReadWrite, &Stop::default()).unwrap()
}

fn engine(path: &Path) -> Sqlite {
    Sqlite::new(&format!("sqlite:{}", path.display()), &[]).unwrap()
}

fn restore_options(overwrite: bool) -> RestoreOptions {
    RestoreOptions { jobs: 2, overwrite, ..RestoreOptions::default() }
}

/// A dump in memory: the file's name, its parts, and what the snapshot told.
struct Dump {
    name: String,
    parts: Vec<Vec<u8>>,
    summary: SnapshotSummary,
}

impl Dump {
    fn bytes(&self) -> Vec<u8> {
        self.parts.concat()
    }

    fn rows(&self, table: &str) -> u64 {
        self.summary.tables.iter().find(|t| t.name == table).unwrap().rows
    }
}

async fn read_part(snapshot: &dyn Snapshot, part: usize) -> Result<Vec<u8>> {
    let pieces: Vec<Bytes> = snapshot.read(PartRef { file: 0, part }).try_collect().await?;
    assert!(pieces.iter().all(|p| p.len() <= 256 << 10));
    Ok(pieces.concat())
}

async fn dump(path: &Path, options: &SnapshotOptions) -> Result<Dump> {
    let snapshot = engine(path).snapshot(options).await?;
    let [file] = snapshot.files() else { panic!("one file expected") };
    assert_eq!(file.role, FileRole::Data);
    let (name, sizes) = (file.name.clone(), file.parts.clone());
    // Last first and two at a time: parts do not depend on each other.
    let parts: Vec<Vec<u8>> = stream::iter((0..sizes.len()).rev().map(|part| read_part(snapshot.as_ref(), part)))
        .buffered(2)
        .try_collect()
        .await?;
    let parts: Vec<Vec<u8>> = parts.into_iter().rev().collect();
    for (part, size) in parts.iter().zip(&sizes) {
        assert_eq!(u64::try_from(part.len()).unwrap(), *size);
    }
    Ok(Dump { name, parts, summary: snapshot.finish().await? })
}

async fn restore(dump: &Dump, path: &Path, overwrite: bool) -> Result<Vec<Warning>> {
    let mut target = engine(path).target(&restore_options(overwrite)).await?;
    let bytes = Some(dump.parts.iter().map(|p| p.len() as u64).sum());
    target.prepare(Vec::new(), &[StoredFile { name: dump.name.clone(), bytes }]).await?;
    let mut places = Vec::new();
    let mut offset = 0;
    for part in &dump.parts {
        places.push((PartPlace { file: &dump.name, offset, bytes: Some(part.len() as u64) }, part));
        offset += part.len() as u64;
    }
    let loaded: Result<()> = stream::iter(places.into_iter().rev())
        .map(|(place, part)| {
            let pieces: Vec<_> = part.chunks(100_000).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
            target.load(place, stream::iter(pieces).boxed())
        })
        .buffer_unordered(4)
        .try_collect()
        .await;
    match loaded {
        Ok(()) => target.finish().await,
        Err(e) => {
            target.abort().await?;
            Err(e)
        }
    }
}

/// Dumps, restores and compares; gives the dump and what the restore had to say.
async fn round_trip(place: &Place, source: &Path) -> (Dump, Vec<Warning>) {
    let dump = dump(source, &place.options()).await.unwrap();
    let copy = place.path("restored copy.db");
    let warnings = restore(&dump, &copy, true).await.unwrap();
    assert_eq!(fs::read(&copy).unwrap(), dump.bytes());
    let again = engine(&copy).summarize(&dump.summary.tables, 2).await.unwrap();
    assert_eq!(again, dump.summary.tables);
    assert!(place.left_behind().is_empty(), "{:?}", place.left_behind());
    assert!(place.files().iter().all(|n| !n.contains("lastgood")), "{:?}", place.files());
    (dump, warnings)
}

fn code<T>(result: Result<T>) -> Code {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(e) => {
            assert!(e.next_step().is_some() || e.code() == Code::Internal || e.code() == Code::Cancelled, "{e}");
            e.code()
        }
    }
}

fn integer(path: &Path, sql: &str) -> i64 {
    open(path).integer(sql).unwrap()
}

/// Runs a test body; every test here needs an ordinary runtime with real threads.
fn run(body: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(body);
}
