//! Reads a range of a collection's documents, as the bytes that the server sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{Stream, StreamExt as _};
use mongodb::bson::{Bson, RawArray, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{FindOptions, Hint, ReadConcern};
use mongodb::raw_batch_cursor::RawBatch;
use mongodb::{ClientSession, Collection};

use super::catalog;
use super::connect::Server;
use super::failure::{failure, is_lost_cursor, is_lost_snapshot};
use super::plan::Range;
use super::window::Since;
use crate::error::{Code, Error, Result};

/// Bytes of documents that a server is asked for at once, about. It sends up to 16 MiB of its own accord.
const BATCH: u64 = 2 << 20;

/// What is read, and how.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) collection: Collection<RawDocumentBuf>,
    pub(super) range: Range,
    /// Bytes of a document, on average.
    pub(super) document_bytes: u64,
    pub(super) order: Order,
    /// How reading goes on without the snapshot, where an oplog makes up for it.
    pub(super) without: Option<Without>,
    /// Whether it goes on so already.
    pub(super) live: bool,
}

/// Reading without a snapshot.
#[derive(Debug, Clone)]
pub(super) struct Without {
    pub(super) server: Server,
    pub(super) since: Since,
    /// Whether anybody does.
    pub(super) used: Arc<AtomicBool>,
}

impl Without {
    pub(super) async fn session(&self) -> Result<ClientSession> {
        self.used.store(true, Ordering::SeqCst);
        self.since.session(&self.server).await
    }
}

/// In which order documents come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// By `_id`, so that a cursor that is lost can be taken up where it was, and no document is met twice.
    Id,
    /// As they were inserted.
    Natural,
}

impl Reading {
    /// How a collection's documents are read.
    pub(super) fn new(server: &Server, collection: &catalog::Collection, range: Range) -> Option<Self> {
        let data = collection.data.as_deref()?;
        // Neither of these has the index that order by `_id` needs.
        let natural = collection.is_capped() || (collection.is_clustered() && range == Range::default());
        Some(Self {
            collection: server.database(&collection.database).collection(data),
            range,
            document_bytes: collection.bytes / collection.documents.max(1),
            order: if natural { Order::Natural } else { Order::Id },
            without: None,
            live: false,
        })
    }

    fn options(&self) -> FindOptions {
        let mut options = FindOptions::default();
        // What may be rolled back is in no backup, and a snapshot has its own.
        options.read_concern = self.live.then(ReadConcern::majority);
        let batch = (BATCH / self.document_bytes.max(1)).clamp(1, 100_000);
        options.batch_size = u32::try_from(batch).ok();
        match self.order {
            Order::Natural => options.hint = Some(Hint::Keys(doc! { "$natural": 1 })),
            Order::Id => {
                // Bounds of the index compare values of all types; a filter would compare those of one.
                options.hint = Some(Hint::Keys(doc! { "_id": 1 }));
                options.min = self.range.from.clone().map(|id| doc! { "_id": id });
                options.max = self.range.to.clone().map(|id| doc! { "_id": id });
            }
        }
        options
    }

    /// How to go on where the snapshot is lost, if that can be without missing a document.
    fn leave(&mut self, e: &mongodb::error::Error, delivered: bool) -> Option<Without> {
        let can = is_lost_snapshot(e) && !self.live && (self.order == Order::Id || !delivered);
        let without = self.without.clone().filter(|_| can)?;
        tracing::debug!(namespace = %self.collection.namespace(), "going on without the snapshot, which the server lost");
        self.live = true;
        Some(without)
    }

    /// The batches of documents, each once; a cursor that the server gave up is taken up again.
    pub(super) fn batches(mut self, mut session: ClientSession) -> impl Stream<Item = Result<Batch>> + Send {
        async_stream::try_stream! {
            let doing = format!("reading {}", self.collection.namespace());
            // The document that was read last, to go on from there.
            let mut last: Option<Bson> = None;
            let mut delivered = false;
            'cursors: loop {
                let mut met = last.clone();
                if met.is_some() {
                    self.range.from.clone_from(&met);
                }
                let find = self.collection.find(doc! {}).with_options(self.options()).session(&mut session);
                let mut cursor = match find.batch().await {
                    Ok(cursor) => cursor,
                    Err(e) => match self.leave(&e, delivered) {
                        Some(without) => {
                            session = without.session().await?;
                            continue 'cursors;
                        }
                        None => Err(failure(&doing, e))?,
                    },
                };
                loop {
                    let next = cursor.stream(&mut session).next().await;
                    match next {
                        None => break 'cursors,
                        Some(Ok(batch)) => {
                            let mut batch = Batch { batch, skip: 0 };
                            let ids = if self.order == Order::Id { batch.ids()? } else { None };
                            if let Some((first, newest)) = ids {
                                batch.skip = usize::from(met.take().is_some_and(|met| met == first));
                                last = Some(newest);
                            }
                            delivered = true;
                            yield batch;
                        }
                        Some(Err(e)) if is_lost_cursor(&e) && last.is_some() => {
                            tracing::debug!(%doing, "taking up a cursor that the server gave up");
                            continue 'cursors;
                        }
                        Some(Err(e)) if is_lost_cursor(&e) => Err(lost(&doing, e))?,
                        Some(Err(e)) => match self.leave(&e, delivered) {
                            Some(without) => {
                                session = without.session().await?;
                                continue 'cursors;
                            }
                            None => Err(failure(&doing, e))?,
                        },
                    }
                }
            }
        }
    }
}

/// A cursor that nothing tells where to take up: its documents have no order of their own.
fn lost(doing: &str, e: mongodb::error::Error) -> Error {
    let message = format!("{doing}: the server gave up the cursor of a collection that is read in its natural order");
    Error::new(Code::DatabaseUnavailable, message)
        .next("run the backup again, when the server has less to do")
        .because(e)
}

/// Documents that came in one answer.
#[derive(Debug)]
pub(super) struct Batch {
    batch: RawBatch,
    /// Documents at its beginning that were read before.
    skip: usize,
}

impl Batch {
    /// Hands on each document.
    pub(super) fn each(&self, mut take: impl FnMut(&RawDocument)) -> Result<()> {
        for (i, document) in self.documents()?.into_iter().enumerate() {
            match document {
                Ok(RawBsonRef::Document(document)) if i >= self.skip => take(document),
                Ok(RawBsonRef::Document(_)) => {}
                _ => return Err(unexpected()),
            }
        }
        Ok(())
    }

    /// The `_id` of the first document and of the last one.
    fn ids(&self) -> Result<Option<(Bson, Bson)>> {
        let mut documents = self.documents()?.into_iter();
        let id = |value| match value {
            Ok(RawBsonRef::Document(document)) => {
                document.get("_id").ok().flatten().and_then(|id| Bson::try_from(id).ok())
            }
            _ => None,
        };
        let Some(first) = documents.next() else { return Ok(None) };
        let last = documents.last().unwrap_or_else(|| first.clone());
        Ok(id(first).zip(id(last)))
    }

    fn documents(&self) -> Result<&RawArray> {
        self.batch.doc_slices().map_err(|_| unexpected())
    }
}

fn unexpected() -> Error {
    Error::new(Code::DatabaseError, "the server sent a batch that is no list of documents").next("see the server's log")
}
