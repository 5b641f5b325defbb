//! Sealing as a stream.

use super::{CHUNK_BYTES, Chunks, HEADER_BYTES, SALT_BYTES, TAG_BYTES};
use crate::error::{Code, Error, Result};
use crate::secret::Key;

/// Seals one object as its bytes come; [`finish`](Self::finish) writes the last chunk, which marks the end.
///
/// Holds less than one chunk. An object whose sealer was not finished does not open as a whole.
#[derive(Debug)]
pub struct Sealer {
    chunks: Chunks,
    header: Option<[u8; HEADER_BYTES]>,
    next: u64,
    /// Bytes of the chunk that is not full yet: always fewer than `CHUNK_BYTES`.
    pending: Vec<u8>,
}

impl Sealer {
    /// Starts an object under a fresh random salt.
    ///
    /// # Errors
    /// `Internal` when the system gives no random bytes.
    pub fn new(key: &Key, context: &[u8]) -> Result<Self> {
        let mut salt = [0_u8; SALT_BYTES];
        getrandom::fill(&mut salt)
            .map_err(|e| Error::new(Code::Internal, format!("the system gave no random bytes: {e}")))?;
        Self::salted(key, context, salt)
    }

    /// A salt must never be used twice under one key, so only tests choose it.
    pub(super) fn salted(key: &Key, context: &[u8], salt: [u8; SALT_BYTES]) -> Result<Self> {
        let (chunks, commitment) = Chunks::derive(key, &salt, context)?;
        let mut header = [0_u8; HEADER_BYTES];
        header[..SALT_BYTES].copy_from_slice(&salt);
        header[SALT_BYTES..].copy_from_slice(&commitment);
        Ok(Self { chunks, header: Some(header), next: 0, pending: Vec::with_capacity(CHUNK_BYTES) })
    }

    /// Takes more plaintext and appends every chunk that is full to `out`.
    ///
    /// # Errors
    /// `Invalid` when the object reaches 4 PiB.
    pub fn update(&mut self, mut plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let full = (self.pending.len() + plaintext.len()) / CHUNK_BYTES;
        out.reserve(HEADER_BYTES + full * (CHUNK_BYTES + TAG_BYTES));
        self.write_header(out);
        if !self.pending.is_empty() {
            let (head, rest) = plaintext.split_at(plaintext.len().min(CHUNK_BYTES - self.pending.len()));
            self.pending.extend_from_slice(head);
            plaintext = rest;
            if self.pending.len() < CHUNK_BYTES {
                return Ok(());
            }
            self.chunks.seal(self.next, &self.pending, out)?;
            self.next += 1;
            self.pending.clear();
        }
        let (whole, rest) = plaintext.as_chunks::<CHUNK_BYTES>();
        for chunk in whole {
            self.chunks.seal(self.next, chunk, out)?;
            self.next += 1;
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    /// Appends the last chunk to `out`.
    ///
    /// # Errors
    /// `Invalid` when the object reaches 4 PiB.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<()> {
        self.write_header(out);
        self.chunks.seal(self.next, &self.pending, out)
    }

    fn write_header(&mut self, out: &mut Vec<u8>) {
        if let Some(header) = self.header.take() {
            out.extend_from_slice(&header);
        }
    }
}
