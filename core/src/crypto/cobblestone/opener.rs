//! Opening as a stream.

use super::{Chunks, HEADER_BYTES, SEALED_CHUNK_BYTES, TAG_BYTES, cut_in_chunk, cut_in_header, damaged};
use crate::error::Result;
use crate::secret::Key;

/// Opens one object as its bytes come, and gives out only bytes that were authenticated.
///
/// What `update` gave out is a true beginning of the object; only when [`finish`](Self::finish) succeeds was the object whole.
/// After an error every further call fails.
#[derive(Debug)]
pub struct Opener {
    state: State,
    /// Bytes of the header or chunk that is not complete yet.
    pending: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Header { key: Key, context: Vec<u8> },
    Body { chunks: Box<Chunks>, next: u64 },
    Failed,
}

impl Opener {
    /// Opens an object sealed under this key and context.
    #[must_use]
    pub fn new(key: &Key, context: &[u8]) -> Self {
        let state = State::Header { key: key.clone(), context: context.to_vec() };
        Self { state, pending: Vec::with_capacity(SEALED_CHUNK_BYTES) }
    }

    /// Takes more of the sealed object and appends the plaintext of every complete chunk to `out`.
    ///
    /// # Errors
    /// `WrongKey` when the key or the context is not the one it was sealed under, `Damaged` when a chunk was altered, moved or
    /// cut. `out` then holds what was authentic before it.
    pub fn update(&mut self, ciphertext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let result = self.advance(ciphertext, out);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    fn advance(&mut self, mut ciphertext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if let State::Header { key, context } = &self.state {
            take(&mut self.pending, &mut ciphertext, HEADER_BYTES);
            if self.pending.len() < HEADER_BYTES {
                return Ok(());
            }
            let chunks = Box::new(Chunks::from_header(key, context, &self.pending)?);
            self.pending.clear();
            self.state = State::Body { chunks, next: 0 };
        }
        let State::Body { chunks, next } = &mut self.state else { return Err(already_failed()) };
        out.reserve(self.pending.len() + ciphertext.len());
        if !self.pending.is_empty() {
            take(&mut self.pending, &mut ciphertext, SEALED_CHUNK_BYTES);
            if self.pending.len() < SEALED_CHUNK_BYTES {
                return Ok(());
            }
            chunks.open(*next, &self.pending, out)?;
            *next += 1;
            self.pending.clear();
        }
        // A chunk of full length is never the last one, so nothing has to be held back.
        let (whole, rest) = ciphertext.as_chunks::<SEALED_CHUNK_BYTES>();
        for chunk in whole {
            chunks.open(*next, chunk, out)?;
            *next += 1;
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    /// Opens the last chunk, which proves that the object was whole, and appends its plaintext to `out`.
    ///
    /// # Errors
    /// `Damaged` when the last chunk is missing, cut or altered, or when something follows it.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<()> {
        match self.state {
            State::Header { .. } => Err(cut_in_header()),
            State::Failed => Err(already_failed()),
            State::Body { next, .. } if self.pending.len() < TAG_BYTES => Err(cut_in_chunk(next)),
            State::Body { chunks, next } => chunks.open(next, &self.pending, out),
        }
    }
}

/// Moves bytes from `input` until `pending` holds `len` of them.
fn take(pending: &mut Vec<u8>, input: &mut &[u8], len: usize) {
    let (head, rest) = input.split_at(input.len().min(len - pending.len()));
    pending.extend_from_slice(head);
    *input = rest;
}

fn already_failed() -> crate::error::Error {
    damaged("an earlier chunk of this object was refused".to_owned())
}
