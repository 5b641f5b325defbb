//! Reads a dump's parts in sessions that all show one moment.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_stream::try_stream;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::bson::{Timestamp as ClusterTime, doc};

use super::address::Address;
use super::catalog::{self, Collection, changed};
use super::connect::Server;
use super::failure::failure;
use super::globals;
use super::moment::{self, Moment};
use super::oplog;
use super::plan::{self, Planned, Source};
use super::read::{Reading, Without};
use super::select::Scope;
use super::window::{Since, Window};
use crate::engine::{
    ByteStream, DumpFile, FileRole, PartRef, Selection, Snapshot, SnapshotOptions, SnapshotSummary, some_of,
};
use crate::error::{Code, Error, Result};
use crate::format::checksum::RowHasher;
use crate::report::{ConsistencyPoint, TableSummary, Warning};

/// How often a snapshot is tried while collections come and go.
const ATTEMPTS: usize = 8;

/// Bytes handed on at once, about.
const PIECE: usize = 256 << 10;

/// A moment of a deployment that is open for reading.
pub(super) struct MongoSnapshot {
    server: Server,
    moment: Moment,
    point: ConsistencyPoint,
    collections: Vec<Collection>,
    files: Vec<DumpFile>,
    sources: Vec<Source>,
    warnings: Vec<Warning>,
    /// Databases and collections that are dumped.
    select: Selection,
    /// How reading goes on where there is no snapshot any more, and whether it did.
    without: Option<Without>,
    seen: Mutex<Seen>,
}

/// What the parts read so far have brought.
#[derive(Debug)]
struct Seen {
    /// By collection; none of those whose documents are not dumped.
    hashers: Vec<Option<RowHasher>>,
    parts: usize,
    /// The last entry of the oplog that is dumped.
    end: Option<ClusterTime>,
    /// Collections that were written to until then.
    touched: BTreeSet<String>,
}

/// A list of collections, and a moment in which it held.
struct Taken {
    collections: Vec<Collection>,
    /// Whose documents are dumped.
    documents: Vec<bool>,
    moment: Moment,
    point: ConsistencyPoint,
    warnings: Vec<Warning>,
}

impl MongoSnapshot {
    pub(super) async fn open(address: &Address, options: &SnapshotOptions) -> Result<Self> {
        let server = Server::connect(address).await?;
        let scope = Scope::new(&options.select)?;
        // Before anything is read.
        let since = Since::find(&server).await;
        let Taken { mut collections, documents, moment, point, mut warnings } = Taken::new(&server, &scope).await?;
        let mut sizes = Vec::new();
        for collection in &mut collections {
            sizes.push(catalog::read_size(&server, collection));
        }
        stream::iter(sizes).buffer_unordered(options.jobs.max(1)).collect::<Vec<()>>().await;
        let mut borders = Vec::new();
        for (collection, documents) in collections.iter().zip(&documents) {
            borders.push(match documents {
                true => Some(plan::borders(&server, collection, options.part_bytes).await?),
                false => None,
            });
        }
        warnings.extend(moment.left_out(&server, &collections));
        let mut planned = plan::files(&collections, borders)?;
        if options.globals {
            let (found, more) = globals::read(&server, options.role_passwords).await?;
            planned.splice(0..0, found.into_iter().map(|(name, bytes)| Planned::whole(name, bytes)));
            warnings.extend(more);
        }
        let (files, sources): (Vec<_>, Vec<_>) = planned.into_iter().map(|p| (p.file, p.source)).unzip();
        let hashers = documents.iter().map(|documents| documents.then(RowHasher::default)).collect();
        let seen = Mutex::new(Seen { hashers, parts: 0, end: None, touched: BTreeSet::new() });
        let without = since.map(|since| Without {
            server: server.clone(),
            since: since.reaching(&moment),
            used: Arc::new(AtomicBool::new(false)),
        });
        let select = options.select.clone();
        Ok(Self { server, moment, point, collections, files, sources, warnings, select, without, seen })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn documents(&self, index: usize, range: plan::Range) -> ByteStream<'_> {
        let collection = &self.collections[index];
        Box::pin(try_stream! {
            let mut hasher = RowHasher::default();
            if let Some(mut reading) = Reading::new(&self.server, collection, range) {
                reading.without.clone_from(&self.without);
                reading.live = self.moment == Moment::Live && self.without.is_some();
                let session = match &self.without {
                    Some(without) if reading.live => without.session().await?,
                    _ => self.moment.session(&self.server, collection).await?,
                };
                let mut batches = std::pin::pin!(reading.batches(session));
                while let Some(batch) = batches.try_next().await? {
                    let mut pieces = Vec::new();
                    let mut piece = Vec::new();
                    batch.each(|document| {
                        let document = document.as_bytes();
                        hasher.add(document);
                        piece.extend_from_slice(document);
                        if piece.len() >= PIECE {
                            pieces.push(Bytes::from(std::mem::take(&mut piece)));
                        }
                    })?;
                    pieces.push(piece.into());
                    drop(batch);
                    for piece in pieces {
                        if !piece.is_empty() {
                            yield piece;
                        }
                    }
                }
            }
            let mut seen = self.seen();
            if let Some(sum) = &mut seen.hashers[index] {
                sum.merge(&hasher);
            }
            seen.parts += 1;
        })
    }

    /// The oplog up to what was read last.
    fn oplog(&self) -> ByteStream<'_> {
        let (Some(without), Some(end)) = (&self.without, self.seen().end) else {
            let e = Error::new(Code::Internal, "no oplog is to be dumped");
            return stream::once(async move { Err(e) }).boxed();
        };
        let place = &self.server.address().place;
        let window = Window { place, select: &self.select, touched: BTreeSet::new() };
        let done = |touched| {
            let mut seen = self.seen();
            seen.touched = touched;
            seen.parts += 1;
        };
        without.since.entries(&self.server, end, window, done).boxed()
    }

    /// Collections that were dropped, renamed or made anew while they were read: what came of them may be nothing.
    async fn check_still_there(&self) -> Result<()> {
        let mut databases: Vec<&str> = self.collections.iter().map(|c| c.database.as_str()).collect();
        databases.dedup();
        for database in databases {
            let (now, _) = catalog::list(&self.server, database).await?;
            for collection in self.collections.iter().filter(|c| c.database == database) {
                let found = now.iter().find(|c| c.name() == collection.name());
                match found {
                    Some(found) if found.metadata.uuid == collection.metadata.uuid => {}
                    Some(_) => return Err(changed(&collection.full_name(), "was dropped and made anew")),
                    None => return Err(changed(&collection.full_name(), "was dropped or renamed")),
                }
            }
        }
        Ok(())
    }
}

impl Taken {
    /// Takes a moment. Tries again while collections come and go.
    async fn new(server: &Server, scope: &Scope<'_>) -> Result<Self> {
        for _ in 1..ATTEMPTS {
            match Self::attempt(server, scope).await {
                Err(e) if e.code() == Code::DatabaseChanged => tracing::debug!(%e, "taking the snapshot again"),
                result => return result,
            }
        }
        Self::attempt(server, scope).await
    }

    async fn attempt(server: &Server, scope: &Scope<'_>) -> Result<Self> {
        let (before, mut warnings) = definitions(server, scope).await?;
        let (moment, warning) = Moment::take(server, &before).await?;
        let hello =
            server.command("admin", doc! { "hello": 1 }).await.map_err(|e| failure("asking for the time", e))?;
        // Definitions are as they are now, never as in a snapshot: equal before and after, they are of the snapshot.
        let (after, _) = definitions(server, scope).await?;
        if before != after {
            return Err(Error::new(
                Code::DatabaseChanged,
                "collections or indexes changed while the snapshot was taken",
            )
            .next("run the backup again when no migration is running"));
        }
        warnings.extend(warning);
        let takes = |c: &Collection| scope.takes(&c.database, c.name()).is_some_and(|taken| taken.documents);
        let documents = before.iter().map(|c| c.data.is_some() && takes(c)).collect();
        Ok(Self { documents, point: moment.point(&hello), collections: before, moment, warnings })
    }
}

/// What was selected, with its indexes.
async fn definitions(server: &Server, scope: &Scope<'_>) -> Result<(Vec<Collection>, Vec<Warning>)> {
    let (mut collections, mut warnings) = (Vec::new(), Vec::new());
    let databases = server.databases().await?;
    if databases.is_empty()
        && let super::address::Place::One(name) = &server.address().place
    {
        return Err(Error::new(Code::DatabaseNotFound, format!("there is no database {name}"))
            .next("check the name: MongoDB has a database once something was written to it"));
    }
    for database in databases {
        let (mut found, more) = catalog::list(server, &database).await?;
        collections.append(&mut found);
        warnings.extend(more);
    }
    scope.check_all_fit(collections.iter().map(|c| (c.database.as_str(), c.name())))?;
    collections.retain(|c| scope.takes(&c.database, c.name()).is_some());
    for collection in &mut collections {
        catalog::read_indexes(server, collection).await?;
    }
    Ok((collections, warnings))
}

#[async_trait]
impl Snapshot for MongoSnapshot {
    fn server_version(&self) -> &str {
        &self.server.version
    }

    fn files(&self) -> &[DumpFile] {
        &self.files
    }

    fn read(&self, part: PartRef) -> ByteStream<'_> {
        match self.sources.get(part.file) {
            Some(Source::Memory(bytes)) if part.part == 0 => {
                self.seen().parts += 1;
                let bytes = bytes.clone();
                stream::once(async move { Ok(bytes) }).boxed()
            }
            Some(Source::Documents { collection, borders }) if part.part <= borders.len() => {
                self.documents(*collection, plan::range(part.part, borders))
            }
            None if part == (PartRef { file: self.files.len(), part: 0 }) => self.oplog(),
            _ => stream::once(async move {
                Err(Error::new(Code::Internal, format!("the dump has no part {} of file {}", part.part, part.file)))
            })
            .boxed(),
        }
    }

    async fn closing(&self) -> Result<Option<DumpFile>> {
        let Some(without) = self.without.as_ref().filter(|without| without.used.load(Ordering::SeqCst)) else {
            return Ok(None);
        };
        let end = without.since.end(&self.server).await?;
        self.seen().end = Some(end);
        Ok(Some(DumpFile { name: oplog::FILE.to_owned(), role: FileRole::Data, parts: vec![0] }))
    }

    async fn finish(mut self: Box<Self>) -> Result<SnapshotSummary> {
        let planned: usize = self.files.iter().map(|file| file.parts.len()).sum();
        let (read, end) = {
            let seen = self.seen();
            (seen.parts, seen.end)
        };
        let planned = planned + usize::from(end.is_some());
        if read != planned {
            return Err(Error::new(Code::Internal, format!("{read} of {planned} parts were read to their end")));
        }
        self.check_still_there().await?;
        let seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = end {
            self.point = moment::at(end, "oplog");
            // What was written meanwhile is there in whole.
            self.warnings.retain(|warning| warning.code != "no_snapshot");
        }
        if !seen.touched.is_empty() {
            let message = format!(
                "written to while they were read, and brought to the end of the backup by its oplog: {}; their counts and \
                 hashes are not known, and no drill compares them",
                some_of(&seen.touched, 20)
            );
            self.warnings.push(Warning::new("not_compared", message));
        }
        let touched = seen.touched;
        let tables = self.collections.iter().zip(seen.hashers).filter_map(|(collection, hasher)| {
            let hasher = hasher.filter(|_| !touched.contains(&collection.full_name()))?;
            Some(TableSummary {
                name: collection.full_name(),
                columns: Vec::new(),
                rows: hasher.rows(),
                hash: hasher.hash(),
            })
        });
        Ok(SnapshotSummary { point: self.point, tables: tables.collect(), warnings: self.warnings })
    }
}

impl fmt::Debug for MongoSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoSnapshot").field("point", &self.point).field("files", &self.files.len()).finish()
    }
}
