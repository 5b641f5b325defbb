//! Opens and checks every stored byte of one backup.
//!
//! Each volume is read once, from its first byte to its last: hashed as stored, authenticated chunk by chunk, and
//! every part in it decompressed and compared with its BLAKE3.

use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::parts::check;
use super::session::{Opened, Session, context, damage, millis_since};
use crate::crypto::cobblestone::Opener;
use crate::error::{Code, Error, Result};
use crate::format::codec::Decompressor;
use crate::format::layout;
use crate::format::manifest::{File, Part, Volume};
use crate::format::proof::Proof;
use crate::id::BackupId;
use crate::progress::{Phase, Run};
use crate::report::{ProofKind, ProofSummary, VerifyReport};
use crate::storage::Repository;

/// Stored bytes fetched in one request.
const FETCH: u64 = 4 << 20;

pub(crate) async fn verify(session: &Arc<Session>, id: &BackupId, run: &Run) -> Result<VerifyReport> {
    let began = Instant::now();
    let backup = run.until_cancelled(session.open_backup(id)).await?;
    let result = run.until_cancelled(check_backup(session, &backup, run)).await;
    // What stopped the check without finding anything is no proof of either kind.
    let problem = result.as_ref().err();
    if problem.is_none_or(|e| e.code() == Code::Damaged || e.code() == Code::ObjectMissing) {
        let summary = ProofSummary {
            kind: ProofKind::Verify,
            at: session.clock.now(),
            ok: problem.is_none(),
            duration_ms: millis_since(began),
            problems: problem.map(ToString::to_string).into_iter().collect(),
        };
        keep(session, &backup, summary).await?;
    }
    result.map(|()| VerifyReport {
        id: id.to_string(),
        stored_bytes: backup.stored.header.stored_bytes,
        raw_bytes: backup.stored.header.source_bytes,
        parts: backup.body.files.iter().map(|f| f.parts.len() as u64).sum(),
        warnings: Vec::new(),
        duration_ms: millis_since(began),
    })
}

/// Keeps what was found beside the backup.
pub(super) async fn keep(session: &Session, backup: &Opened, summary: ProofSummary) -> Result<()> {
    let proof = Proof {
        backup: backup.stored.header.id.clone(),
        manifest_sha256: backup.manifest_sha256.clone(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        summary,
    };
    session.keep_proof(&proof).await
}

async fn check_backup(session: &Session, backup: &Opened, run: &Run) -> Result<()> {
    let header = &backup.stored.header;
    run.begin(Phase::Verifying, Some(header.source_bytes));
    for volume in &header.volumes {
        check_volume(session, backup, volume, run).await?;
    }
    let in_volumes = |p: &&Part| p.at.backup.is_some() || header.volumes.iter().any(|v| v.name == p.at.volume);
    if !backup.body.files.iter().flat_map(|f| &f.parts).all(|p| in_volumes(&p)) {
        return Err(Error::new(Code::Damaged, format!("{} has parts in a volume that it does not list", header.id)));
    }
    run.end();
    Ok(())
}

async fn check_volume(session: &Session, backup: &Opened, volume: &Volume, run: &Run) -> Result<()> {
    let id = &backup.stored.header.id;
    let object = |name: &str| layout::in_backup(&session.database, id, name);
    let name = object(&volume.name);
    let damaged = |what: String| {
        Error::new(Code::Damaged, format!("{name}{what}"))
            .next("use another copy of the store, or restore another backup")
    };

    let side = session.repository.get(&object(&layout::checksum_file(&volume.name)), 1 << 10).await?;
    if side.as_deref() != Some(layout::checksum_line(&volume.name, &volume.sha256).as_bytes()) {
        return Err(damaged(".sha256 is not what was written".to_owned()));
    }
    match session.repository.size(&name).await? {
        Some(bytes) if bytes == volume.bytes => {}
        Some(bytes) => return Err(damaged(format!(" is {bytes} bytes long instead of {}", volume.bytes))),
        None => {
            return Err(Error::new(Code::ObjectMissing, format!("{name} is missing"))
                .next("use another copy of the store, or restore another backup"));
        }
    }

    let mut parts = PartChecker::new(backup, volume, run);
    let mut opener =
        backup.data_key.as_ref().map(|key| Opener::new(key, &context(session.repository_id(), id, &volume.name)));
    let mut sha256 = Sha256::new();
    let mut plain = Vec::new();
    let mut at = 0;
    while at < volume.bytes {
        let stored = session.repository.get_range(&name, at..volume.bytes.min(at + FETCH)).await?;
        at += stored.len() as u64;
        sha256.update(&stored);
        match &mut opener {
            None => parts.pass(&stored)?,
            Some(opener) => {
                opener.update(&stored, &mut plain).map_err(|e| damage(e).at(&name))?;
                parts.pass(&plain)?;
                plain.clear();
            }
        }
        tokio::task::yield_now().await;
    }
    if let Some(opener) = opener {
        opener.finish(&mut plain).map_err(|e| damage(e).at(&name))?;
        parts.pass(&plain)?;
    }
    parts.finish()?;
    if hex::encode(sha256.finalize()) != volume.sha256 {
        return Err(damaged(" is not what was stored: its SHA-256 differs".to_owned()));
    }
    Ok(())
}

/// Checks the parts of one volume as its plain bytes pass.
struct PartChecker<'a> {
    parts: std::vec::IntoIter<(&'a File, &'a Part)>,
    current: Option<Current<'a>>,
    next: Option<(&'a File, &'a Part)>,
    at: u64,
    run: &'a Run,
    volume: &'a str,
}

struct Current<'a> {
    file: &'a File,
    part: &'a Part,
    left: u64,
    decompressor: Decompressor,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<'a> PartChecker<'a> {
    fn new(backup: &'a Opened, volume: &'a Volume, run: &'a Run) -> Self {
        let here = |p: &Part| p.at.backup.is_none() && p.at.volume == volume.name;
        let mut parts: Vec<_> =
            backup.body.files.iter().flat_map(|f| f.parts.iter().filter(|p| here(p)).map(move |p| (f, p))).collect();
        parts.sort_by_key(|(_, p)| p.at.offset);
        let mut parts = parts.into_iter();
        let next = parts.next();
        Self { parts, current: None, next, at: 0, run, volume: &volume.name }
    }

    fn pass(&mut self, mut plain: &[u8]) -> Result<()> {
        loop {
            if let Some(current) = &mut self.current {
                let take = usize::try_from(current.left).unwrap_or(usize::MAX).min(plain.len());
                let (now, later) = plain.split_at(take);
                current.feed(now, self.run)?;
                self.at += take as u64;
                plain = later;
                if current.left > 0 {
                    return Ok(());
                }
                if let Some(current) = self.current.take() {
                    current.finish(self.run)?;
                }
            }
            let Some((file, part)) = self.next else {
                self.at += plain.len() as u64;
                return Ok(());
            };
            if part.at.offset < self.at {
                return Err(Error::new(Code::Damaged, format!("{}: parts overlap", self.volume)));
            }
            let gap = usize::try_from(part.at.offset - self.at).unwrap_or(usize::MAX).min(plain.len());
            self.at += gap as u64;
            plain = &plain[gap..];
            if self.at < part.at.offset {
                return Ok(());
            }
            self.next = self.parts.next();
            self.current = Some(Current {
                file,
                part,
                left: part.at.length,
                decompressor: Decompressor::new(file.codec)?,
                hasher: blake3::Hasher::new(),
                bytes: 0,
            });
        }
    }

    fn finish(self) -> Result<()> {
        if self.current.is_none() && self.next.is_none() {
            return Ok(());
        }
        Err(Error::new(Code::Damaged, format!("{} ends before its parts do", self.volume))
            .next("use another copy of the store"))
    }
}

impl Current<'_> {
    fn feed(&mut self, mut stored: &[u8], run: &Run) -> Result<()> {
        self.left -= stored.len() as u64;
        while !stored.is_empty() {
            let taken = self.decompressor.write(stored).map_err(|e| e.at(&self.file.name))?;
            stored = &stored[taken..];
            let raw = self.decompressor.take();
            self.count(&raw, run);
        }
        Ok(())
    }

    fn finish(mut self, run: &Run) -> Result<()> {
        let decompressor = std::mem::replace(&mut self.decompressor, Decompressor::new(crate::settings::Codec::None)?);
        let rest = decompressor.finish().map_err(|e| e.at(&self.file.name))?;
        self.count(&rest, run);
        check(self.file, self.part, self.bytes, &self.hasher)
    }

    fn count(&mut self, raw: &[u8], run: &Run) {
        self.bytes += raw.len() as u64;
        self.hasher.update(raw);
        run.advance(raw.len() as u64);
    }
}

/// SHA-256 of an object as stored, in hex.
pub(super) async fn sha256_of(repository: &Repository, name: &str, bytes: u64) -> Result<String> {
    let mut sha256 = Sha256::new();
    let mut at = 0;
    while at < bytes {
        let stored = repository.get_range(name, at..bytes.min(at + FETCH)).await?;
        at += stored.len() as u64;
        sha256.update(&stored);
    }
    Ok(hex::encode(sha256.finalize()))
}
