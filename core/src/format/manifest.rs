//! The manifest: the one small object that makes a backup exist.
//!
//! It is one JSON text, `{"header":H,"body":B,"auth":A}` and a line feed, in exactly this order and without other
//! white space between the three. `H` is readable without a key. `B` is a string (base64 of the sealed, zlib-compressed
//! JSON) or, in an unencrypted store, an object. `A` authenticates the SHA-256 of `H` and of `B`.

use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::error::{Code, Error, Result};
use crate::id::{BackupId, DatabaseName, EngineKind, RepositoryId};
use crate::report::{ConsistencyPoint, FileRole, TableSummary, Warning};
use crate::selection::Selection;
use crate::settings::Codec;

/// The version of the format that this library writes, and the newest it reads.
pub const VERSION: u32 = 1;

/// A manifest larger than this is refused before it is read: 1 GiB.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// What can be known of a backup without a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub format: u32,
    /// Names of features a reader must know; a reader that meets another refuses.
    #[serde(default)]
    pub requires: Vec<String>,
    /// The store it was written to.
    pub repository: RepositoryId,
    /// The backup.
    pub id: BackupId,
    /// The database's name in the store.
    pub database: DatabaseName,
    /// The engine.
    pub engine: EngineKind,
    /// The server's version.
    pub server_version: String,
    /// The version of this library.
    pub tool_version: String,
    /// When the run began.
    pub started_at: Timestamp,
    /// When the manifest was made.
    pub finished_at: Timestamp,
    /// The moment the backup shows.
    pub point: ConsistencyPoint,
    /// The backup whose parts this one may refer to, if any.
    pub base: Option<BackupId>,
    /// Number of this backup among the database's, from 1: gaps and forks can be seen.
    pub sequence: u64,
    /// The database's manifest before this one.
    pub previous: Option<Previous>,
    /// Raw bytes of the dump.
    pub source_bytes: u64,
    /// Bytes of the volumes.
    pub stored_bytes: u64,
    /// Number of tables.
    pub tables: u64,
    /// Number of rows.
    pub rows: u64,
    /// Number of warnings in the body.
    pub warnings: u64,
    /// Whether only a part of the database was backed up; the body says which.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Labels given by the caller.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Compression of the data files.
    pub codec: Codec,
    /// The volumes, in order.
    pub volumes: Vec<Volume>,
    /// The backup that this is a copy of, sealed anew under a later epoch: it counts no more, and goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<BackupId>,
    /// How it is encrypted; absent when it is not.
    pub encryption: Option<Encryption>,
}

/// The manifest before this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Its backup.
    pub id: BackupId,
    /// SHA-256 of the manifest's bytes, in hex.
    pub sha256: String,
}

/// One stored volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its object name in the backup's folder.
    pub name: String,
    /// Stored bytes.
    pub bytes: u64,
    /// SHA-256 of the stored bytes, in hex.
    pub sha256: String,
}

/// How a backup is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// Always `cobblestone-256`.
    pub scheme: String,
    /// The epoch of the repository identity that the data key was wrapped to.
    pub epoch: u32,
}

/// What is sealed: where everything is, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The dump's files, in the order in which they are restored.
    pub files: Vec<File>,
    /// Count and hash of each table.
    pub tables: Vec<TableSummary>,
    /// What the caller should know, and what was left out and why.
    pub warnings: Vec<Warning>,
    /// What of the database was backed up; absent when it was all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
}

/// One file of the dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name in the dump directory, without the codec's suffix.
    pub name: String,
    /// What it is for.
    pub role: FileRole,
    /// How its parts are compressed.
    pub codec: Codec,
    /// Its parts: together, in this order, they are the file.
    pub parts: Vec<Part>,
}

impl File {
    /// Raw bytes of the whole file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|p| p.bytes).sum()
    }

    /// Stored bytes of the whole file.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.parts.iter().map(|p| p.at.length).sum()
    }
}

/// One part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Raw bytes.
    pub bytes: u64,
    /// BLAKE3 of the raw bytes, in hex.
    pub blake3: String,
    /// Where its compressed bytes lie.
    pub at: Location,
}

/// Where the compressed bytes of a part lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The backup that holds them; absent for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// The volume.
    pub volume: String,
    /// First byte, in the volume's plain ZIP file.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

/// A manifest in the making: the header is fixed, so that the body can be bound to it.
#[derive(Debug)]
pub(crate) struct Draft {
    header: String,
}

impl Draft {
    pub(crate) fn new(header: &Header) -> Result<Self> {
        Ok(Self { header: to_json(header)? })
    }

    /// SHA-256 of the header's bytes, in hex: part of the body's context.
    pub(crate) fn header_sha256(&self) -> String {
        sha256_hex(self.header.as_bytes())
    }

    /// Puts the body in. `seal` turns the body's compressed JSON into sealed bytes; without it the body stays readable.
    pub(crate) fn body(self, body: &Body, seal: Option<impl FnOnce(&[u8]) -> Result<Vec<u8>>>) -> Result<Unsigned> {
        let json = to_json(body)?;
        let body = match seal {
            None => json,
            Some(seal) => format!("\"{}\"", STANDARD.encode(seal(&deflate(json.as_bytes())?)?)),
        };
        Ok(Unsigned { header: self.header, body })
    }
}

/// A manifest that only lacks its authentication.
#[derive(Debug)]
pub(crate) struct Unsigned {
    header: String,
    body: String,
}

impl Unsigned {
    /// The bytes that are authenticated.
    pub(crate) fn signed(&self) -> Vec<u8> {
        signed(&self.header, &self.body)
    }

    /// The whole manifest.
    pub(crate) fn finish(self, auth: &impl Serialize) -> Result<Vec<u8>> {
        Ok(assemble(&self.header, &self.body, &to_json(auth)?))
    }
}

/// A manifest as it was read: the header is parsed, the body may still be sealed.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) header: Header,
    /// The authentication, as JSON.
    pub(crate) auth: Box<RawValue>,
    header_raw: Box<RawValue>,
    body_raw: Box<RawValue>,
}

#[derive(Deserialize)]
struct Envelope {
    header: Box<RawValue>,
    body: Box<RawValue>,
    auth: Box<RawValue>,
}

impl Stored {
    /// Takes a manifest apart. The body is neither opened nor believed.
    ///
    /// # Errors
    /// `NewerFormat` when it was written by a later version of the format; `Damaged` when it is not a manifest.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let envelope: Envelope =
            serde_json::from_slice(bytes).map_err(|e| damaged("it is not a manifest").because(e))?;
        let Envelope { header, body, auth } = envelope;
        if assemble(header.get(), body.get(), auth.get()) != bytes {
            return Err(damaged("it has bytes that a manifest does not have"));
        }
        check_version(header.get())?;
        let parsed: Header =
            serde_json::from_str(header.get()).map_err(|e| damaged("its header cannot be read").because(e))?;
        Ok(Self { header: parsed, auth, header_raw: header, body_raw: body })
    }

    /// The bytes that [`Self::auth`] authenticates.
    pub(crate) fn signed(&self) -> Vec<u8> {
        signed(self.header_raw.get(), self.body_raw.get())
    }

    /// SHA-256 of the header's bytes, in hex.
    pub(crate) fn header_sha256(&self) -> String {
        sha256_hex(self.header_raw.get().as_bytes())
    }

    /// Opens the body with `open` (sealed bytes in, compressed JSON out); a readable body needs none.
    pub(crate) fn body(&self, open: impl FnOnce(&[u8]) -> Result<Vec<u8>>) -> Result<Body> {
        let raw = self.body_raw.get();
        let json = if self.header.encryption.is_some() {
            let text: String = serde_json::from_str(raw).map_err(|e| damaged("its body is not sealed").because(e))?;
            let sealed = STANDARD.decode(text).map_err(|e| damaged("its body is not base64").because(e))?;
            inflate(&open(&sealed)?)?
        } else {
            raw.as_bytes().to_vec()
        };
        serde_json::from_slice(&json).map_err(|e| damaged("its body cannot be read").because(e))
    }
}

/// The version comes first: a later one may have changed everything else.
fn check_version(header: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
        #[serde(default)]
        requires: Vec<String>,
    }
    let version: Version = serde_json::from_str(header).map_err(|e| damaged("its header has no version").because(e))?;
    let newer = |what: String| Err(Error::new(Code::NewerFormat, what).next("use a newer version of lastgood"));
    if version.format != VERSION {
        return newer(format!("the backup is of format {}, this library reads format {VERSION}", version.format));
    }
    match version.requires.first() {
        Some(feature) => newer(format!("the backup needs `{feature}`, which this library does not know")),
        None => Ok(()),
    }
}

/// `{"header":H,"body":B,"auth":A}` and a line feed.
fn assemble(header: &str, body: &str, auth: &str) -> Vec<u8> {
    format!("{{\"header\":{header},\"body\":{body},\"auth\":{auth}}}\n").into_bytes()
}

/// What is authenticated: a label, then the SHA-256 of the header's and of the body's bytes.
fn signed(header: &str, body: &str) -> Vec<u8> {
    format!("lastgood/1 manifest\n{}\n{}\n", sha256_hex(header.as_bytes()), sha256_hex(body.as_bytes())).into_bytes()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub(crate) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(Code::Internal, format!("a record cannot be written as JSON: {e}")))
}

fn damaged(what: &str) -> Error {
    Error::new(Code::Damaged, format!("{MANIFEST}: {what}", MANIFEST = super::layout::MANIFEST))
        .next("restore another backup, or this one from another copy of the store")
}

fn deflate(raw: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(raw).and_then(|()| encoder.finish()).map_err(|e| Error::new(Code::Internal, e.to_string()))
}

fn inflate(stored: &[u8]) -> Result<Vec<u8>> {
    let mut raw = Vec::new();
    flate2::read::ZlibDecoder::new(stored)
        .take(MAX_BYTES)
        .read_to_end(&mut raw)
        .map_err(|e| damaged("its body cannot be decompressed").because(e))?;
    Ok(raw)
}
