//! Reads parts back: fetched by range, authenticated, decompressed and compared with their hashes.

use std::collections::HashMap;
use std::sync::Arc;

use async_stream::try_stream;
use bytes::Bytes;
use tokio::sync::{Mutex, OnceCell};

use super::session::{Opened, Session, context, damage};
use crate::crypto::cobblestone::{HEADER_BYTES, RandomAccess};
use crate::engine::ByteStream;
use crate::error::{Code, Error, Result};
use crate::format::codec::Decompressor;
use crate::format::layout;
use crate::format::manifest::{File, Location, Part, Volume};
use crate::id::BackupId;
use crate::secret::Key;

/// Plain bytes of a volume that are fetched in one request.
const FETCH: u64 = 2 << 20;

/// Raw bytes handed on at once, about.
const BATCH: usize = 256 << 10;

/// Reads the parts of one backup, many at once.
pub(super) struct PartReader {
    session: Arc<Session>,
    backup: Arc<Opened>,
    volumes: Mutex<HashMap<String, Arc<OnceCell<OpenVolume>>>>,
}

struct OpenVolume {
    object: String,
    bytes: u64,
    sealed: Option<RandomAccess>,
}

impl PartReader {
    pub(super) fn new(session: Arc<Session>, backup: Arc<Opened>) -> Self {
        Self { session, backup, volumes: Mutex::default() }
    }

    /// The raw bytes of a part; the stream ends with an error unless they are what was backed up.
    pub(super) fn read<'a>(&'a self, file: &'a File, part: &'a Part) -> ByteStream<'a> {
        Box::pin(try_stream! {
            let mut decompressor = Decompressor::new(file.codec)?;
            let mut hasher = blake3::Hasher::new();
            let mut batch = Vec::new();
            let mut bytes = 0_u64;
            let mut at = part.at.offset;
            let end = part.at.offset + part.at.length;
            while at < end {
                let stored = self.fetch(&part.at, at..end.min(at + FETCH)).await?;
                at += stored.len() as u64;
                let mut rest = &stored[..];
                while !rest.is_empty() {
                    let taken = decompressor.write(rest).map_err(|e| e.at(&file.name))?;
                    rest = &rest[taken..];
                    batch.append(&mut decompressor.take());
                    if batch.len() >= BATCH {
                        let raw = Bytes::from(std::mem::take(&mut batch));
                        bytes += raw.len() as u64;
                        hasher.update(&raw);
                        yield raw;
                        tokio::task::consume_budget().await;
                    }
                }
            }
            batch.append(&mut decompressor.finish().map_err(|e| e.at(&file.name))?);
            bytes += batch.len() as u64;
            hasher.update(&batch);
            check(file, part, bytes, &hasher)?;
            if !batch.is_empty() {
                yield Bytes::from(batch);
            }
        })
    }

    /// Reads the stored (compressed) bytes of a part, in pieces.
    pub(super) fn read_stored<'a>(&'a self, part: &'a Part) -> ByteStream<'a> {
        Box::pin(try_stream! {
            let (mut at, end) = (part.at.offset, part.at.offset + part.at.length);
            while at < end {
                let stored = self.fetch(&part.at, at..end.min(at + FETCH)).await?;
                at += stored.len() as u64;
                yield Bytes::from(stored);
            }
        })
    }

    /// A whole file, for small ones.
    pub(super) async fn read_file(&self, file: &File, max_bytes: u64) -> Result<Bytes> {
        use futures::TryStreamExt;
        if file.bytes() > max_bytes {
            return Err(Error::new(
                Code::Damaged,
                format!("{} is {} bytes long, at most {max_bytes} are possible", file.name, file.bytes()),
            ));
        }
        let mut whole = Vec::new();
        for part in &file.parts {
            let mut stream = self.read(file, part);
            while let Some(raw) = stream.try_next().await? {
                whole.extend_from_slice(&raw);
            }
        }
        Ok(whole.into())
    }

    /// Authenticated plain bytes of a volume.
    async fn fetch(&self, location: &Location, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
        let id = location.backup.as_ref().unwrap_or(&self.backup.stored.header.id);
        let cell = {
            let mut volumes = self.volumes.lock().await;
            Arc::clone(volumes.entry(format!("{id}/{}", location.volume)).or_default())
        };
        let volume = cell.get_or_try_init(|| self.open(id, &location.volume)).await?;
        let repository = &self.session.repository;
        match &volume.sealed {
            None => {
                if range.end > volume.bytes {
                    return Err(short(&volume.object));
                }
                repository.get_range(&volume.object, range).await.map(|b| b.to_vec())
            }
            Some(access) => {
                let sealed = access.sealed_range(range.clone()).map_err(|e| e.at(&volume.object))?;
                let bytes = repository.get_range(&volume.object, sealed).await?;
                access.open_range(range, &bytes).map_err(|e| damage(e).at(&volume.object))
            }
        }
    }

    async fn open(&self, id: &BackupId, name: &str) -> Result<OpenVolume> {
        let own = *id == self.backup.stored.header.id;
        let other = if own { None } else { Some(self.session.open_backup(id).await?) };
        let backup = other.as_ref().unwrap_or(&self.backup);
        let record: &Volume = backup.stored.header.volumes.iter().find(|v| v.name == name).ok_or_else(|| {
            Error::new(Code::Damaged, format!("{id} has no volume {name}, which the manifest refers to"))
        })?;
        let object = layout::in_backup(&self.session.database, id, name);
        let sealed = match &backup.data_key {
            None => None,
            Some(key) => Some(self.random_access(key, id, name, &object, record.bytes).await?),
        };
        Ok(OpenVolume { object, bytes: record.bytes, sealed })
    }

    async fn random_access(
        &self,
        key: &Key,
        id: &BackupId,
        name: &str,
        object: &str,
        bytes: u64,
    ) -> Result<RandomAccess> {
        let header = self.session.repository.get_range(object, 0..bytes.min(HEADER_BYTES as u64)).await?;
        let context = context(self.session.repository_id(), id, name);
        RandomAccess::new(key, &context, &header, bytes).map_err(|e| damage(e).at(object))
    }
}

/// Compares what came out of a part with what went in.
pub(super) fn check(file: &File, part: &Part, bytes: u64, hasher: &blake3::Hasher) -> Result<()> {
    if bytes == part.bytes && hasher.finalize().to_hex().as_str() == part.blake3 {
        return Ok(());
    }
    Err(Error::new(Code::Damaged, format!("{}: a part is not what was backed up", file.name))
        .next("restore another backup, or this one from another copy of the store"))
}

fn short(object: &str) -> Error {
    Error::new(Code::Damaged, format!("{object} is shorter than its parts need")).next("use another copy of the store")
}
