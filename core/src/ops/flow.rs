//! Between the store and readers that wait: what is fetched flows to a thread that decrypts, decompresses and takes it
//! apart, and from there to whoever loads it. Both queues are bounded, and an end that is gone stops the other one.

use std::io::{self, Read};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use crate::engine::ByteStream;
use crate::engine::stock::FileReader;
use crate::error::{Code, Error, Result};
use crate::progress::Run;
use crate::storage::Repository;

/// Stored bytes fetched in one request.
const FETCH: u64 = 2 << 20;

/// Requests on their way, and answers that wait.
const AHEAD: usize = 2;

/// Pieces of at most 256 KiB that wait to be loaded.
const QUEUE: usize = 8;

/// An object's bytes, for a thread that may block.
pub(super) struct Feed {
    pieces: mpsc::Receiver<Result<Bytes>>,
    current: Bytes,
    ended: bool,
}

impl Feed {
    /// Begins to fetch an object of this many bytes. Called on the runtime or on one of its blocking threads.
    pub(super) fn new(repository: &Repository, name: &str, bytes: u64, run: &Run) -> Self {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let (repository, name, run) = (repository.clone(), name.to_owned(), run.clone());
        tokio::spawn(
            async move {
                let starts = (0..bytes.div_ceil(FETCH)).map(|i| i * FETCH);
                let fetch = |at| repository.get_range(&name, at..bytes.min(at + FETCH));
                let mut fetched = stream::iter(starts.map(fetch)).buffered(AHEAD);
                while let Some(piece) = fetched.next().await {
                    run.advance(piece.as_ref().map_or(0, |piece| piece.len() as u64));
                    let failed = piece.is_err();
                    if sender.send(piece).await.is_err() || failed {
                        return;
                    }
                }
                // An empty piece is the end; a queue that only closes was given up.
                let _ = sender.send(Ok(Bytes::new())).await;
            }
            .in_current_span(),
        );
        Self { pieces, current: Bytes::new(), ended: false }
    }
}

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() && !self.ended {
            self.current = match self.pieces.blocking_recv() {
                Some(piece) => piece.map_err(io::Error::other)?,
                None => return Err(io::Error::other(Error::cancelled())),
            };
            self.ended = self.current.is_empty();
        }
        let n = out.len().min(self.current.len());
        out[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

/// Data files that a thread reads one after the other.
pub(super) struct Lane(mpsc::Receiver<Result<Event>>);

enum Event {
    File(String),
    Piece(Bytes),
    EndOfFile,
    End,
}

impl Lane {
    /// Begins to read.
    pub(super) fn new(mut files: Box<dyn FileReader>) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        tokio::task::spawn_blocking(move || {
            // Who listens no more has an error of its own.
            let send = |event| sender.blocking_send(Ok(event)).map_err(|_| Error::cancelled());
            let mut pump = || {
                while let Some(name) = files.next_file()? {
                    send(Event::File(name))?;
                    loop {
                        let piece = files.read()?;
                        if piece.is_empty() {
                            break;
                        }
                        send(Event::Piece(piece))?;
                    }
                    send(Event::EndOfFile)?;
                }
                send(Event::End)
            };
            if let Err(e) = pump() {
                let _ = sender.blocking_send(Err(e));
            }
        });
        Self(events)
    }

    /// The name of the next file; none when all were read and the dump was whole.
    pub(super) async fn next_file(&mut self) -> Result<Option<String>> {
        loop {
            match self.next().await? {
                Event::File(name) => return Ok(Some(name)),
                Event::End => return Ok(None),
                // Of a file that nobody wanted to the end.
                Event::Piece(_) | Event::EndOfFile => {}
            }
        }
    }

    /// The bytes of the file.
    pub(super) fn bytes(&mut self) -> ByteStream<'_> {
        Box::pin(async_stream::try_stream! {
            while let Event::Piece(piece) = self.next().await? {
                yield piece;
            }
        })
    }

    async fn next(&mut self) -> Result<Event> {
        self.0.recv().await.unwrap_or_else(|| Err(Error::new(Code::Internal, "the thread that reads the dump ended")))
    }
}

/// Does something that blocks on a thread of its own.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let result = tokio::task::spawn_blocking(work).await;
    result.unwrap_or_else(|e| Err(Error::new(Code::Internal, format!("the thread that reads the dump failed: {e}"))))
}
