//! Lists backups and shows one, with what has been proven of them.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::census::Entry;
use super::session::Session;
use crate::error::{Code, Result};
use crate::format::layout;
use crate::format::manifest::Header;
use crate::id::BackupId;
use crate::report::{BackupDetails, BackupSummary, FileDetails, ProofKind, ProofSummary};

/// Manifests read at the same time.
const AT_ONCE: usize = 16;

/// The newest `limit` backups, newest first. Needs no key; with one, proofs are checked before they count. A backup whose manifest
/// cannot be read is left out, and logged: the others must be found all the same.
pub(crate) async fn list(session: &Arc<Session>, limit: Option<usize>) -> Result<Vec<BackupSummary>> {
    let mut backups: Vec<_> = session.census().await?.into_iter().filter(|(_, entry)| entry.is_committed()).collect();
    backups.sort_by_key(|(id, _)| std::cmp::Reverse(id.order()));
    backups.truncate(limit.unwrap_or(usize::MAX));
    let read = |(id, entry): (BackupId, Entry)| async move {
        let stored = match session.manifest(&id).await {
            Ok((stored, _)) => stored,
            Err(e) if e.code() == Code::Damaged => {
                tracing::warn!(backup_id = %id, error = %e, "a damaged backup is not listed");
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let proofs = proofs(session, &id, entry.objects.keys()).await?;
        Ok(Some(summarize(stored.header, &proofs, &entry)))
    };
    stream::iter(backups).map(read).buffered(AT_ONCE).try_filter_map(|found| async { Ok(found) }).try_collect().await
}

/// One backup in full.
pub(crate) async fn show(session: &Arc<Session>, id: &BackupId) -> Result<BackupDetails> {
    let backup = session.open_backup(id).await?;
    let entry = Entry {
        objects: session.repository.list(&layout::backup(&session.database, id)).await?,
        mark: session.repository.meta(&layout::mark(&session.database, id)).await?,
        ..Entry::default()
    };
    let proofs = proofs(session, id, entry.objects.keys()).await?;
    let header = backup.stored.header.clone();
    let point = header.point.clone();
    let files = backup.body.files.iter();
    Ok(BackupDetails {
        summary: summarize(header, &proofs, &entry),
        point,
        files: files
            .map(|f| FileDetails { name: f.name.clone(), bytes: f.bytes(), stored_bytes: f.stored_bytes() })
            .collect(),
        table_summaries: backup.body.tables.clone(),
        warning_list: backup.body.warnings.clone(),
        selection: backup.body.selection.clone(),
        proofs,
    })
}

/// The proofs among a backup's objects, oldest first. One that cannot be believed is left out, and logged.
async fn proofs(session: &Session, id: &BackupId, objects: impl Iterator<Item = &String>) -> Result<Vec<ProofSummary>> {
    let mut proofs = Vec::new();
    for name in objects.filter(|name| layout::is_proof(name)) {
        match session.proof(id, name).await {
            Ok(proof) => proofs.push(proof.summary),
            Err(e) if e.is_retryable() => return Err(e),
            Err(e) => tracing::warn!(backup_id = %id, proof = name, error = %e, "a proof is not believed"),
        }
    }
    proofs.sort_by_key(|p| p.at);
    Ok(proofs)
}

fn summarize(header: Header, proofs: &[ProofSummary], entry: &Entry) -> BackupSummary {
    let newest = |kind| proofs.iter().rfind(|p| p.kind == kind && p.ok).map(|p| p.at);
    BackupSummary {
        id: header.id,
        database: header.database,
        engine: header.engine,
        server_version: header.server_version,
        started_at: header.started_at,
        finished_at: header.finished_at,
        source_bytes: header.source_bytes,
        stored_bytes: header.stored_bytes,
        tables: header.tables,
        rows: header.rows,
        tags: header.tags,
        encrypted: header.encryption.is_some(),
        warnings: header.warnings,
        partial: header.partial,
        verified_at: newest(ProofKind::Verify),
        drilled_at: newest(ProofKind::Drill),
        failing: proofs.last().is_some_and(|p| !p.ok),
        held_until: entry.held_until(),
        marked_at: entry.mark.map(|mark| mark.modified),
    }
}
