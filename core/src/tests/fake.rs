//! An engine whose database is a map of files in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::engine::*;
use crate::error::{Code, Error, Result};
use crate::format::checksum::RowHasher;
use crate::id::EngineKind;
use crate::report::{ConsistencyPoint, DatabaseStats, Probe, TableSummary, Warning};

pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Databases by name; several fakes share one server.
#[derive(Debug, Clone)]
pub(super) struct Fake {
    server: Arc<Mutex<BTreeMap<String, Files>>>,
    name: String,
    /// Raw bytes of a part.
    part: usize,
    /// Fail while reading this file.
    pub(super) broken_file: Option<String>,
    /// The server is out of reach, for all fakes that share it.
    pub(super) down: Arc<AtomicBool>,
}

impl Fake {
    pub(super) fn new(files: Files, part: usize) -> Self {
        let server = Arc::new(Mutex::new(BTreeMap::from([("home".to_owned(), files)])));
        Self { server, name: "home".to_owned(), part, broken_file: None, down: Arc::default() }
    }

    pub(super) fn other(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    pub(super) fn files(&self) -> Option<Files> {
        self.server.lock().unwrap().get(&self.name).cloned()
    }

    pub(super) fn databases(&self) -> Vec<String> {
        self.server.lock().unwrap().keys().cloned().collect()
    }
}

fn summary(name: &str, content: &[u8]) -> TableSummary {
    let mut hasher = RowHasher::default();
    content.chunks(100).for_each(|row| hasher.add(row));
    TableSummary { name: name.to_owned(), columns: vec!["c".to_owned()], rows: hasher.rows(), hash: hasher.hash() }
}

#[async_trait]
impl Engine for Fake {
    fn kind(&self) -> EngineKind {
        EngineKind::Sqlite
    }

    fn describe(&self) -> String {
        format!("fake:{}", self.name)
    }

    fn database(&self) -> &str {
        &self.name
    }

    async fn probe(&self) -> Result<Probe> {
        Ok(Probe { engine: self.kind(), version: "1".to_owned(), size_bytes: None })
    }

    async fn snapshot(&self, options: &SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        options.select.must_be_everything("a fake")?;
        if self.down.load(Ordering::Relaxed) {
            return Err(Error::new(Code::DatabaseUnavailable, "the server is down"));
        }
        let content = self.files().ok_or_else(|| Error::new(Code::DatabaseNotFound, "no such database"))?;
        let file = |(name, bytes): (&String, &Vec<u8>)| DumpFile {
            name: name.clone(),
            role: if name == "toc.dat" { FileRole::Schema } else { FileRole::Data },
            parts: bytes.chunks(self.part).map(|c| c.len() as u64).chain(bytes.is_empty().then_some(0)).collect(),
        };
        let files = content.iter().map(file).collect();
        Ok(Box::new(FakeSnapshot { content, files, part: self.part, broken_file: self.broken_file.clone() }))
    }

    async fn target(&self, options: &RestoreOptions) -> Result<Box<dyn Target>> {
        if self.files().is_some_and(|f| !f.is_empty()) && !options.overwrite {
            return Err(Error::new(Code::TargetNotEmpty, "the target is not empty"));
        }
        Ok(Box::new(FakeTarget { home: self.clone(), loaded: Mutex::default() }))
    }

    fn sibling(&self, name: &str, _work_dir: Option<&Path>) -> Result<Arc<dyn Engine>> {
        Ok(Arc::new(self.other(name)))
    }

    async fn summarize(&self, _tables: &[TableSummary], _jobs: usize) -> Result<Vec<TableSummary>> {
        Ok(self.files().unwrap_or_default().iter().map(|(name, bytes)| summary(name, bytes)).collect())
    }

    async fn smoke(&self, query: &str) -> Result<bool> {
        Ok(query == "true")
    }

    async fn stats(&self) -> Result<DatabaseStats> {
        Ok(DatabaseStats::new(self.kind(), "1".to_owned()))
    }

    async fn discard(&self) -> Result<()> {
        self.server.lock().unwrap().remove(&self.name);
        Ok(())
    }
}

#[derive(Debug)]
struct FakeSnapshot {
    content: Files,
    files: Vec<DumpFile>,
    part: usize,
    broken_file: Option<String>,
}

#[async_trait]
impl Snapshot for FakeSnapshot {
    fn server_version(&self) -> &str {
        "1"
    }

    fn files(&self) -> &[DumpFile] {
        &self.files
    }

    fn read(&self, part: PartRef) -> ByteStream<'_> {
        let name = &self.files[part.file].name;
        if self.broken_file.as_ref() == Some(name) {
            return stream::once(async { Err(Error::new(Code::DatabaseUnavailable, "the connection broke")) }).boxed();
        }
        let bytes = self.content[name].chunks(self.part).nth(part.part).unwrap_or_default();
        stream::iter(bytes.chunks(10_000).map(|c| Ok(Bytes::copy_from_slice(c)))).boxed()
    }

    async fn finish(self: Box<Self>) -> Result<SnapshotSummary> {
        Ok(SnapshotSummary {
            point: ConsistencyPoint {
                at: jiff::Timestamp::UNIX_EPOCH,
                kind: "change_counter".to_owned(),
                position: "1".to_owned(),
            },
            tables: self.content.iter().map(|(name, bytes)| summary(name, bytes)).collect(),
            warnings: vec![Warning::new("unsupported_object", "a thing")],
        })
    }
}

#[derive(Debug)]
struct FakeTarget {
    home: Fake,
    loaded: Mutex<Files>,
}

#[async_trait]
impl Target for FakeTarget {
    async fn prepare(&mut self, schema: Vec<(String, Bytes)>, data: &[StoredFile]) -> Result<()> {
        let files = self.loaded.get_mut().unwrap();
        files.extend(schema.into_iter().map(|(name, bytes)| (name, bytes.to_vec())));
        files.extend(data.iter().map(|f| (f.name.clone(), vec![0; f.bytes.unwrap() as usize])));
        Ok(())
    }

    async fn load(&self, place: PartPlace<'_>, mut data: ByteStream<'_>) -> Result<()> {
        let mut at = place.offset as usize;
        while let Some(bytes) = data.try_next().await? {
            self.loaded.lock().unwrap().get_mut(place.file).unwrap()[at..at + bytes.len()].copy_from_slice(&bytes);
            at += bytes.len();
        }
        assert_eq!(at as u64, place.offset + place.bytes.unwrap());
        Ok(())
    }

    async fn finish(&mut self) -> Result<Vec<Warning>> {
        let files = std::mem::take(self.loaded.get_mut().unwrap());
        self.home.server.lock().unwrap().insert(self.home.name.clone(), files);
        Ok(Vec::new())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
