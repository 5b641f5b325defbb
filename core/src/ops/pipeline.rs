//! Reads the parts of a snapshot, many at once, and hands their compressed bytes on in order.
//!
//! Each part is read, hashed and compressed by a task of its own and waits in a bounded queue for its turn. The part
//! whose turn it is always has a worker (workers are given out in order), so the pipeline cannot block itself; and no more
//! than `2 · jobs` queues of at most [`QUEUE`] pieces exist, so memory does not depend on the database.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::engine::{DumpFile, FileRole, PartRef, Snapshot};
use crate::error::{Code, Error, Result};
use crate::format::codec::Compressor;
use crate::progress::Run;
use crate::settings::{Codec, Settings};

/// Raw bytes that are compressed in one go, between two chances for other tasks to run.
const STEP: usize = 256 << 10;

/// Pieces of compressed bytes that may wait in one part's queue; a piece comes of at most [`STEP`] raw bytes.
const QUEUE: usize = 16;

/// What the pipeline hands on: for each part, in order, its pieces and then its end.
pub(super) enum Event {
    /// Compressed bytes of the part.
    Piece(Vec<u8>),
    /// The part is complete.
    End {
        /// Raw bytes.
        bytes: u64,
        /// BLAKE3 of the raw bytes, in hex.
        blake3: String,
    },
}

/// A running pipeline.
pub(super) struct Pipeline {
    snapshot: Arc<Box<dyn Snapshot>>,
    codec: Codec,
    level: Option<i32>,
    run: Run,
    todo: VecDeque<PartRef>,
    /// The file that is known only when all others were read. None until the snapshot was asked.
    closing: Option<Option<DumpFile>>,
    running: VecDeque<Worker>,
    window: usize,
    permits: Arc<Semaphore>,
    first_error: FirstError,
}

/// Why the first of the parts failed. Others fail of what it leaves behind, such as a connection that is lost to all of
/// them, and one of those may be the part that comes next.
#[derive(Debug, Clone, Default)]
struct FirstError(Arc<Mutex<Option<Error>>>);

impl FirstError {
    /// Keeps an error that nobody was told of before, and gives another one in its place.
    fn keep(&self, e: Error) -> Error {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
        Error::new(Code::Internal, "a part failed").next("see the first error")
    }

    /// The error to tell of, where this one was given.
    fn or(&self, given: Error) -> Error {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(given)
    }
}

struct Worker {
    part: PartRef,
    pieces: mpsc::Receiver<Vec<u8>>,
    task: AbortOnDrop,
}

/// A task that ends when nobody waits for it any more.
struct AbortOnDrop(JoinHandle<Result<(u64, String)>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Pipeline {
    pub(super) fn new(snapshot: Arc<Box<dyn Snapshot>>, settings: &Settings, run: Run) -> Self {
        let parts = |(file, dump): (usize, &DumpFile)| (0..dump.parts.len()).map(move |part| PartRef { file, part });
        let todo = snapshot.files().iter().enumerate().flat_map(parts).collect();
        Self {
            snapshot,
            codec: settings.codec,
            level: settings.level,
            run,
            todo,
            closing: None,
            running: VecDeque::new(),
            window: 2 * settings.jobs,
            permits: Arc::new(Semaphore::new(settings.jobs)),
            first_error: FirstError::default(),
        }
    }

    /// One of the dump's files.
    pub(super) fn file(&self, index: usize) -> Option<&DumpFile> {
        self.snapshot.files().get(index).or_else(|| self.closing.as_ref()?.as_ref())
    }

    /// The part whose events come next; `None` when all are done.
    pub(super) async fn next_part(&mut self) -> Result<Option<PartRef>> {
        if self.running.is_empty() && self.todo.is_empty() && self.closing.is_none() {
            let file = self.snapshot.closing().await?;
            let parts = 0..file.as_ref().map_or(0, |file| file.parts.len());
            self.todo.extend(parts.map(|part| PartRef { file: self.snapshot.files().len(), part }));
            self.closing = Some(file);
        }
        if self.running.is_empty() && !self.todo.is_empty() {
            let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
            self.start(permit);
        }
        Ok(self.running.front().map(|w| w.part))
    }

    /// The next event of the part that [`Self::next_part`] named.
    pub(super) async fn next_event(&mut self) -> Result<Event> {
        loop {
            let more = !self.todo.is_empty() && self.running.len() < self.window;
            let permits = Arc::clone(&self.permits);
            let Some(head) = self.running.front_mut() else {
                return Err(Error::new(Code::Internal, "the pipeline was asked for a part that it does not read"));
            };
            let piece = tokio::select! {
                biased;
                permit = permits.acquire_owned(), if more => {
                    self.start(permit.map_err(closed)?);
                    continue;
                }
                piece = head.pieces.recv() => piece,
            };
            if let Some(piece) = piece {
                return Ok(Event::Piece(piece));
            }
            let (bytes, blake3) = match (&mut head.task.0).await {
                Ok(result) => result.map_err(|e| self.first_error.or(e))?,
                Err(e) => return Err(Error::new(Code::Internal, format!("a part's task failed: {e}"))),
            };
            self.running.pop_front();
            return Ok(Event::End { bytes, blake3 });
        }
    }

    /// Gives the snapshot back once every part was read.
    pub(super) fn finish(self) -> Result<Box<dyn Snapshot>> {
        drop(self.running);
        Arc::into_inner(self.snapshot).ok_or_else(|| Error::new(Code::Internal, "the snapshot is still being read"))
    }

    fn start(&mut self, permit: OwnedSemaphorePermit) {
        let Some(part) = self.todo.pop_front() else { return };
        let Some(codec) = self.file(part.file).map(|file| codec_of(file, self.codec)) else { return };
        let (sender, pieces) = mpsc::channel(QUEUE);
        let (snapshot, level, run) = (Arc::clone(&self.snapshot), self.level, self.run.clone());
        let first_error = self.first_error.clone();
        let task = tokio::spawn(
            async move {
                let result = read(&**snapshot, part, codec, level, &run, &sender, &first_error).await;
                // Before the queue closes: whoever sees its end may take the snapshot back.
                drop(snapshot);
                drop(permit);
                result
            }
            .in_current_span(),
        );
        self.running.push_back(Worker { part, pieces, task: AbortOnDrop(task) });
    }
}

/// How the parts of a file are compressed.
pub(super) fn codec_of(file: &DumpFile, data: Codec) -> Codec {
    match file.role {
        FileRole::Schema => Codec::None,
        FileRole::Data => data,
    }
}

async fn read(
    snapshot: &dyn Snapshot,
    part: PartRef,
    codec: Codec,
    level: Option<i32>,
    run: &Run,
    queue: &mpsc::Sender<Vec<u8>>,
    first_error: &FirstError,
) -> Result<(u64, String)> {
    let mut compressor = Compressor::new(codec, level)?;
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    let mut raw = snapshot.read(part);
    while let Some(batch) = raw.next().await {
        // Before the connection is let go of, which others fail of.
        let batch = batch.map_err(|e| first_error.keep(e))?;
        for step in batch.chunks(STEP) {
            hasher.update(step);
            compressor.write(step)?;
            let piece = compressor.take();
            if !piece.is_empty() {
                send(queue, piece).await?;
            }
            tokio::task::consume_budget().await;
        }
        bytes += batch.len() as u64;
        run.advance(batch.len() as u64);
    }
    let rest = compressor.finish()?;
    if !rest.is_empty() {
        send(queue, rest).await?;
    }
    Ok((bytes, hasher.finalize().to_hex().to_string()))
}

async fn send(queue: &mpsc::Sender<Vec<u8>>, piece: Vec<u8>) -> Result<()> {
    // The other end is dropped only when the whole backup is given up.
    queue.send(piece).await.map_err(|_| Error::cancelled())
}

fn closed(_: tokio::sync::AcquireError) -> Error {
    Error::new(Code::Internal, "the pipeline's workers are gone")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use async_stream::try_stream;
    use async_trait::async_trait;
    use bytes::Bytes;
    use futures::stream;

    use super::*;
    use crate::engine::{ByteStream, SnapshotSummary};

    /// Its second part loses what the first one waits for.
    #[derive(Debug)]
    struct Losing {
        files: Vec<DumpFile>,
        lost: Semaphore,
    }

    struct Connection<'a>(&'a Semaphore);

    impl Drop for Connection<'_> {
        fn drop(&mut self) {
            self.0.add_permits(1);
        }
    }

    #[async_trait]
    impl Snapshot for Losing {
        fn server_version(&self) -> &'static str {
            "1"
        }

        fn files(&self) -> &[DumpFile] {
            &self.files
        }

        fn read(&self, part: PartRef) -> ByteStream<'_> {
            if part.part == 0 {
                return Box::pin(stream::once(async {
                    drop(self.lost.acquire().await);
                    Err(Error::new(Code::DatabaseUnavailable, "another connection broke"))
                }));
            }
            Box::pin(try_stream! {
                let _connection = Connection(&self.lost);
                Err(Error::new(Code::RecoveryConflict, "this is why"))?;
                yield Bytes::new();
            })
        }

        async fn finish(self: Box<Self>) -> Result<SnapshotSummary> {
            Err(Error::cancelled())
        }
    }

    #[tokio::test]
    async fn what_failed_first_is_told_and_not_what_followed_from_it() {
        let files = vec![DumpFile { name: "1.dat".to_owned(), role: FileRole::Data, parts: vec![1, 1] }];
        let snapshot: Box<dyn Snapshot> = Box::new(Losing { files, lost: Semaphore::new(0) });
        let settings = Settings { jobs: 2, ..Settings::default() };
        let mut pipeline = Pipeline::new(Arc::new(snapshot), &settings, Run::default());
        assert_eq!(pipeline.next_part().await.unwrap(), Some(PartRef { file: 0, part: 0 }));
        assert_eq!(pipeline.next_event().await.err().map(|e| e.code()), Some(Code::RecoveryConflict));
    }
}
