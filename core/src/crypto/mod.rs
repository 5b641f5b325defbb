//! How a backup is sealed, who can open it, and who wrote it: pure functions from bytes to bytes.
//!
//! - [`cobblestone`] seals volumes and manifest bodies (AES-256-GCM in chunks, seekable, key committing).
//! - [`keyring`] holds the repository's identity in `age` files, and wraps each backup's data key to it.
//! - [`auth`] says which host wrote a manifest.

pub mod auth;
pub mod cobblestone;
pub mod keyring;

mod age_file;
mod credential;
mod identity;
pub(crate) mod openssl;
mod passphrase;
mod recipients;
mod signer;
mod stanzas;

pub use credential::{Credential, KeyProvider};
pub use identity::RepositoryKeys;
pub use passphrase::check_passphrase;
pub use recipients::Recipients;
pub(crate) use stanzas::{LockedWith, locked_with};

/// The first part of every context: the format and its major version.
pub const FORMAT: &str = "lastgood/1";

/// Binds a sealed object to its place: each part as its length (4 bytes, little-endian) and its bytes.
///
/// An object sealed under one context does not open under another, so that a volume cannot be passed off as
/// another backup's. The parts of a volume are [`FORMAT`], the repository's id, the backup's id and the object's name.
///
/// # Example
/// ```
/// use lastgood::crypto::context;
/// assert_eq!(context(&["ab", "c"]), b"\x02\0\0\0ab\x01\0\0\0c");
/// assert_ne!(context(&["ab", "c"]), context(&["a", "bc"]));
/// ```
#[must_use]
pub fn context(parts: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        // Parts are ids and names of at most some hundred bytes.
        let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}
