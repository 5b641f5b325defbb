//! Cobblestone-256: the chunked encryption of <https://c2sp.org/chunked-encryption>, over AES-256-GCM and HKDF-SHA-512.
//!
//! ```text
//! sealed object   salt (24) ‖ commitment (32) ‖ chunk 0 ‖ chunk 1 ‖ … ‖ last chunk
//! chunk           AES-256-GCM of 16384 bytes: as many bytes of ciphertext and a tag of 16
//! last chunk      always shorter than 16384 bytes, possibly empty: it marks the end
//! derivation      key (32) ‖ base nonce (12) ‖ commitment (32) = HKDF-Expand-SHA-512(input key, info)
//! info            "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM" ‖ 0x00 ‖ salt ‖ context
//! nonce           base nonce XOR chunk number, big-endian
//! ```
//!
//! So the byte `i` of the plaintext lies in chunk `i / 16384`, and chunk `k` begins at byte `56 + k · 16400` of the sealed object.
//!
//! # Example
//! ```
//! use lastgood::{Key, crypto::cobblestone::{Opener, Sealer}};
//!
//! let (key, mut sealed, mut plain) = (Key::random()?, Vec::new(), Vec::new());
//! let mut sealer = Sealer::new(&key, b"where it belongs")?;
//! sealer.update(b"some bytes", &mut sealed)?;
//! sealer.finish(&mut sealed)?;
//!
//! let mut opener = Opener::new(&key, b"where it belongs");
//! opener.update(&sealed, &mut plain)?;
//! opener.finish(&mut plain)?; // an error here means that the end is missing
//! assert_eq!(plain, b"some bytes");
//! # Ok::<(), lastgood::Error>(())
//! ```

mod opener;
mod random_access;
mod sealer;
#[cfg(test)]
mod tests;

use std::fmt;

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};
use crate::secret::Key;

pub use opener::Opener;
pub use random_access::RandomAccess;
pub use sealer::Sealer;

/// Plaintext bytes of every chunk but the last.
pub const CHUNK_BYTES: usize = 16_384;
/// Bytes that sealing adds to each chunk.
pub const TAG_BYTES: usize = 16;
/// Bytes in front of the first chunk: the salt and the key commitment.
pub const HEADER_BYTES: usize = SALT_BYTES + COMMITMENT_BYTES;

const SALT_BYTES: usize = 24;
const COMMITMENT_BYTES: usize = 32;
const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
const MAX_CHUNKS: u64 = 1 << 38;

// The same numbers for offsets.
const CHUNK: u64 = CHUNK_BYTES as u64;
const TAG: u64 = TAG_BYTES as u64;
const HEADER: u64 = HEADER_BYTES as u64;
const SEALED_CHUNK: u64 = SEALED_CHUNK_BYTES as u64;

/// The length of the sealed object for this many bytes of plaintext.
///
/// # Errors
/// `Invalid` for 4 PiB and more, the construction's limit.
pub fn sealed_len(plain_len: u64) -> Result<u64> {
    let full = plain_len / CHUNK;
    if full >= MAX_CHUNKS {
        return Err(too_long());
    }
    Ok(HEADER + full * SEALED_CHUNK + plain_len % CHUNK + TAG)
}

/// The length of the plaintext in a sealed object of this length.
///
/// # Errors
/// `Damaged` for a length that no whole object has.
pub fn plain_len(sealed_len: u64) -> Result<u64> {
    let body = sealed_len.checked_sub(HEADER).ok_or_else(cut_in_header)?;
    let (full, rest) = (body / SEALED_CHUNK, body % SEALED_CHUNK);
    if full >= MAX_CHUNKS {
        return Err(too_long());
    }
    let last = rest.checked_sub(TAG).ok_or_else(|| cut_in_chunk(full))?;
    Ok(full * CHUNK + last)
}

/// The derived key and base nonce of one object: seals and opens its chunks.
struct Chunks {
    cipher: Aes256Gcm,
    base_nonce: Zeroizing<[u8; 12]>,
}

impl Chunks {
    /// The keys for one salt and context, and the commitment to them.
    fn derive(key: &Key, salt: &[u8; SALT_BYTES], context: &[u8]) -> Result<(Self, [u8; COMMITMENT_BYTES])> {
        // HMAC fills its key up with zeros, so this is HKDF-Expand under the 32-byte key itself; `from_prk` asks for 64.
        let mut prk = Zeroizing::new([0_u8; 64]);
        prk[..32].copy_from_slice(key.expose());
        let mut okm = Zeroizing::new([0_u8; 32 + 12 + COMMITMENT_BYTES]);
        let internal = || Error::new(Code::Internal, "the sealing key cannot be derived");
        Hkdf::<Sha512>::from_prk(&*prk)
            .map_err(|_| internal())?
            .expand_multi_info(&[b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0", salt, context], &mut *okm)
            .map_err(|_| internal())?;

        let cipher = Aes256Gcm::new_from_slice(&okm[..32]).map_err(|_| internal())?;
        let mut base_nonce = Zeroizing::new([0_u8; 12]);
        base_nonce.copy_from_slice(&okm[32..44]);
        let mut commitment = [0_u8; COMMITMENT_BYTES];
        commitment.copy_from_slice(&okm[44..]);
        Ok((Self { cipher, base_nonce }, commitment))
    }

    /// The keys for a stored header, which must commit to them.
    fn from_header(key: &Key, context: &[u8], header: &[u8]) -> Result<Self> {
        let (salt, stored) = header.split_first_chunk::<SALT_BYTES>().ok_or_else(cut_in_header)?;
        if stored.len() != COMMITMENT_BYTES {
            return Err(cut_in_header());
        }
        let (chunks, commitment) = Self::derive(key, salt, context)?;
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&commitment[..], stored)) {
            return Err(Error::new(
                Code::WrongKey,
                "the key does not fit: it is another key or another backup's object, or the first 56 bytes were altered",
            )
            .next("check the key; if it opens other backups, use another copy of this object or another backup"));
        }
        Ok(chunks)
    }

    fn nonce(&self, index: u64) -> Result<aes_gcm::Nonce<aes_gcm::aead::consts::U12>> {
        if index >= MAX_CHUNKS {
            return Err(too_long());
        }
        let mut nonce = *self.base_nonce;
        for (byte, counter) in nonce[4..].iter_mut().zip(index.to_be_bytes()) {
            *byte ^= counter;
        }
        Ok(nonce.into())
    }

    /// Appends the sealed chunk to `out`.
    fn seal(&self, index: u64, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let nonce = self.nonce(index)?;
        let start = out.len();
        out.extend_from_slice(plain);
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce, &[], (&mut out[start..]).into())
            .map_err(|_| Error::new(Code::Internal, format!("chunk {index} cannot be sealed")))?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Appends the plaintext of a sealed chunk to `out`, or leaves `out` as it was.
    fn open(&self, index: u64, sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let nonce = self.nonce(index)?;
        let (body, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or_else(|| cut_in_chunk(index))?;
        let start = out.len();
        out.extend_from_slice(body);
        self.cipher.decrypt_inout_detached(&nonce, &[], (&mut out[start..]).into(), tag.into()).map_err(|_| {
            out.truncate(start);
            let from = HEADER + index * SEALED_CHUNK;
            damaged(format!("chunk {index}, which begins at byte {from}, was altered, moved or cut"))
        })
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chunks(..)")
    }
}

fn damaged(message: String) -> Error {
    Error::new(Code::Damaged, message).next("use another copy of this object or another backup")
}

fn cut_in_header() -> Error {
    damaged("the object ends inside its first 56 bytes".to_owned())
}

fn cut_in_chunk(index: u64) -> Error {
    let from = HEADER + index * SEALED_CHUNK;
    damaged(format!("the object ends inside or before chunk {index}, which begins at byte {from}: it was cut"))
}

fn too_long() -> Error {
    Error::new(Code::InvalidOption, "a sealed object holds less than 4 PiB").next("use smaller volumes")
}
