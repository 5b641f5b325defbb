//! Opening any range.

use std::ops::Range;

use super::{CHUNK, Chunks, HEADER, HEADER_BYTES, SEALED_CHUNK, SEALED_CHUNK_BYTES, damaged, plain_len};
use crate::error::{Code, Error, Result};
use crate::secret::Key;

/// Opens ranges of one object: says which sealed bytes hold a range of plaintext, and opens those.
///
/// # Example
/// ```
/// use lastgood::{Key, crypto::cobblestone::{HEADER_BYTES, RandomAccess, Sealer}};
///
/// let (key, mut sealed) = (Key::random()?, Vec::new());
/// let mut sealer = Sealer::new(&key, b"")?;
/// sealer.update(&[7; 100_000], &mut sealed)?;
/// sealer.finish(&mut sealed)?;
///
/// let object = RandomAccess::new(&key, b"", &sealed[..HEADER_BYTES], sealed.len() as u64)?;
/// let wanted = 50_000..50_010;
/// let fetch = object.sealed_range(wanted.clone())?; // one chunk: 16,400 bytes
/// let bytes = object.open_range(wanted, &sealed[fetch.start as usize..fetch.end as usize])?;
/// assert_eq!(bytes, [7; 10]);
/// # Ok::<(), lastgood::Error>(())
/// ```
#[derive(Debug)]
pub struct RandomAccess {
    chunks: Chunks,
    sealed_len: u64,
    plain_len: u64,
}

impl RandomAccess {
    /// Checks the object's first [`HEADER_BYTES`] bytes against the key and context.
    ///
    /// # Errors
    /// `WrongKey` when they do not fit, `Damaged` when no whole object has this length.
    pub fn new(key: &Key, context: &[u8], header: &[u8], sealed_len: u64) -> Result<Self> {
        let plain_len = plain_len(sealed_len)?;
        let chunks = Chunks::from_header(key, context, &header[..header.len().min(HEADER_BYTES)])?;
        Ok(Self { chunks, sealed_len, plain_len })
    }

    /// The plaintext's length, as the sealed object's length implies it. Opening a range that ends there proves it.
    #[must_use]
    pub fn plain_len(&self) -> u64 {
        self.plain_len
    }

    /// The sealed bytes to fetch for a range of plaintext: whole chunks.
    ///
    /// A range that ends where the object ends takes in the last chunk even where that one is empty, so that whoever reads the
    /// end has authenticated the length.
    ///
    /// # Errors
    /// `Invalid` for a range that is not inside the object.
    pub fn sealed_range(&self, plain: Range<u64>) -> Result<Range<u64>> {
        if plain.start > plain.end || plain.end > self.plain_len {
            return Err(Error::new(
                Code::InvalidOption,
                format!("bytes {}..{} are not inside an object of {} bytes", plain.start, plain.end, self.plain_len),
            ));
        }
        let start = HEADER + plain.start / CHUNK * SEALED_CHUNK;
        if plain.end == self.plain_len {
            Ok(start..self.sealed_len)
        } else if plain.is_empty() {
            Ok(start..start)
        } else {
            // Not the last chunk's end, unless the range is cut short by it.
            Ok(start..(HEADER + plain.end.div_ceil(CHUNK) * SEALED_CHUNK).min(self.sealed_len))
        }
    }

    /// Opens a range of plaintext, given the bytes of its [`sealed_range`](Self::sealed_range).
    ///
    /// # Errors
    /// `Damaged` when a chunk was altered, moved or cut, or when the bytes are not as many as were asked for.
    pub fn open_range(&self, plain: Range<u64>, sealed: &[u8]) -> Result<Vec<u8>> {
        let range = self.sealed_range(plain.clone())?;
        if u64::try_from(sealed.len()).ok() != Some(range.end - range.start) {
            return Err(damaged(format!(
                "bytes {}..{} of the object were asked for and {} bytes came",
                range.start,
                range.end,
                sealed.len()
            )));
        }
        let mut out = Vec::with_capacity(sealed.len());
        for (chunk, index) in sealed.chunks(SEALED_CHUNK_BYTES).zip(plain.start / CHUNK..) {
            self.chunks.open(index, chunk, &mut out)?;
        }
        let too_big = |_| Error::new(Code::Internal, "a range is too big for this machine");
        let skip = usize::try_from(plain.start % CHUNK).map_err(too_big)?;
        let len = usize::try_from(plain.end - plain.start).map_err(too_big)?;
        out.truncate(skip + len);
        out.drain(..skip.min(out.len()));
        Ok(out)
    }
}
