//! Uploads one large object in pieces, a few at a time, hashing what is sent.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::repository::store_error;
use crate::error::{Code, Error, Result};

/// Pieces on their way at the same time; one more is being filled.
const IN_FLIGHT: usize = 2;

/// Pieces double in size every so many: 10,000 pieces, the most that S3 takes, reach 5 TiB and more from 8 MiB,
/// and objects of up to 1,000 pieces have equal ones, as some stores demand.
const DOUBLE_EVERY: u64 = 1_000;

/// An object on its way.
#[derive(Debug)]
pub(crate) struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    name: String,
    multipart: Option<Box<dyn MultipartUpload>>,
    tasks: JoinSet<object_store::Result<()>>,
    buffer: Vec<u8>,
    first_piece_bytes: u64,
    pieces: u64,
    sha256: Sha256,
    bytes: u64,
    tail: Vec<u8>,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uploaded {
    pub(crate) bytes: u64,
    /// SHA-256 of the bytes sent, in hex.
    pub(crate) sha256: String,
    /// The last bytes, at most [`Upload::TAIL`].
    pub(crate) tail: Vec<u8>,
}

impl Upload {
    /// How many of the last bytes are kept for comparison.
    pub(crate) const TAIL: usize = 4 << 10;

    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path, name: String, first_piece_bytes: u64) -> Self {
        Self {
            store,
            path,
            name,
            multipart: None,
            tasks: JoinSet::new(),
            buffer: Vec::new(),
            first_piece_bytes,
            pieces: 0,
            sha256: Sha256::new(),
            bytes: 0,
            tail: Vec::new(),
        }
    }

    /// Takes more bytes; waits while too many pieces are on their way.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
        keep_tail(&mut self.tail, bytes);
        while !bytes.is_empty() {
            let piece = piece_bytes(self.first_piece_bytes, self.pieces);
            if self.buffer.capacity() == 0 && self.pieces > 0 {
                self.buffer.reserve_exact(piece);
            }
            let (now, later) = bytes.split_at(bytes.len().min(piece - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == piece {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Makes the object visible; after an error, what was sent is given back.
    pub(crate) async fn finish(mut self) -> Result<Uploaded> {
        if let Err(e) = self.complete().await {
            self.abort().await;
            return Err(e);
        }
        Ok(Uploaded { bytes: self.bytes, sha256: hex::encode(self.sha256.finalize()), tail: self.tail })
    }

    async fn complete(&mut self) -> Result<()> {
        if self.multipart.is_none() {
            let whole = std::mem::take(&mut self.buffer);
            self.store.put(&self.path, whole.into()).await.map_err(|e| store_error(e, &self.name))?;
            return Ok(());
        }
        if !self.buffer.is_empty() {
            self.send().await?;
        }
        while !self.tasks.is_empty() {
            self.wait_for_one().await?;
        }
        if let Some(multipart) = &mut self.multipart {
            multipart.complete().await.map_err(|e| store_error(e, &self.name))?;
        }
        Ok(())
    }

    /// Gives the pieces sent so far back; what fails here is left to the store's own clean-up.
    pub(crate) async fn abort(self) {
        let name = self.name.clone();
        if let Err(e) = self.give_back().await {
            tracing::warn!(object = name, error = %e, "the upload could not be aborted");
        }
    }

    /// Gives the pieces sent so far back.
    pub(crate) async fn give_back(mut self) -> Result<()> {
        self.tasks.shutdown().await;
        match &mut self.multipart {
            Some(multipart) => multipart.abort().await.map_err(|e| store_error(e, &self.name)),
            None => Ok(()),
        }
    }

    async fn send(&mut self) -> Result<()> {
        while self.tasks.len() >= IN_FLIGHT {
            self.wait_for_one().await?;
        }
        let multipart = match &mut self.multipart {
            Some(multipart) => multipart,
            none => none.insert(self.store.put_multipart(&self.path).await.map_err(|e| store_error(e, &self.name))?),
        };
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        self.tasks.spawn(multipart.put_part(piece.into()));
        self.pieces += 1;
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<()> {
        match self.tasks.join_next().await {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(e))) => Err(store_error(e, &self.name)),
            Some(Err(e)) => Err(Error::new(Code::Internal, format!("{}: an upload task failed: {e}", self.name))),
        }
    }
}

/// The size of the `n`-th piece, counted from 0.
fn piece_bytes(first: u64, n: u64) -> usize {
    let doublings = u32::try_from(n / DOUBLE_EVERY).unwrap_or(u32::MAX).min(20);
    usize::try_from(first << doublings).unwrap_or(usize::MAX)
}

fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    tail.extend_from_slice(&bytes[bytes.len().saturating_sub(Upload::TAIL)..]);
    let surplus = tail.len().saturating_sub(Upload::TAIL);
    tail.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn ten_thousand_pieces_reach_five_tebibytes() {
        let total: u64 = (0..10_000).map(|n| piece_bytes(8 << 20, n) as u64).sum();
        assert!(total >= 5 << 40, "{total}");
    }

    #[tokio::test]
    async fn small_and_large_objects_arrive_whole() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for length in [0, 1, 5_000, 10_000, 25_001] {
            let path = Path::from(format!("o{length}"));
            let bytes: Vec<u8> = (0..length).map(|i: u32| i.to_le_bytes()[0]).collect();
            let mut upload = Upload::new(Arc::clone(&store), path.clone(), "o".into(), 5_000);
            for piece in bytes.chunks(777) {
                upload.write(piece).await.unwrap();
            }
            let done = upload.finish().await.unwrap();
            let stored = store.get(&path).await.unwrap().bytes().await.unwrap();
            assert_eq!(stored, bytes);
            assert_eq!(done.sha256, hex::encode(Sha256::digest(&bytes)));
            assert_eq!(done.tail, bytes[bytes.len().saturating_sub(Upload::TAIL)..]);
        }
    }

    #[tokio::test]
    async fn an_aborted_upload_leaves_nothing() {
        let store = Arc::new(InMemory::new());
        let mut upload = Upload::new(store.clone(), Path::from("o"), "o".into(), 10);
        upload.write(&[0; 100]).await.unwrap();
        upload.abort().await;
        assert!(store.head(&Path::from("o")).await.is_err());
    }
}
