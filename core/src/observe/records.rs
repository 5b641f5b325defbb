//! What the store's own records say of a database's backups, from one listing and a few small objects.

use jiff::Timestamp;

use crate::error::{Code, Result};
use crate::format::layout;
use crate::format::manifest::Header;
use crate::id::BackupId;
use crate::ops::session::Session;
use crate::report::ProofKind;
use crate::schedule::{JobRecord, read_all};

/// Proofs that are read to find one that succeeded.
const PROOFS_READ: usize = 20;

/// The state of a database's backups.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    /// Backups that are complete.
    pub(crate) complete: u64,
    /// Names that were taken and have no manifest yet: runs that go on, or were killed.
    pub(crate) unfinished: u64,
    /// When the oldest backup was started.
    pub(crate) oldest: Option<Timestamp>,
    /// The newest backup.
    pub(crate) newest: Option<Header>,
    /// When the newest run was started, complete or not.
    pub(crate) last_attempt: Option<Timestamp>,
    /// Bytes of all objects below the names of backups, complete or not.
    pub(crate) stored_bytes: u64,
    pub(crate) verify: Proven,
    pub(crate) drill: Proven,
    /// What the jobs of a schedule did last, if one ever ran.
    pub(crate) jobs: Vec<JobRecord>,
}

/// What the proofs of one kind say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proven {
    /// Whether the newest of all succeeded.
    pub(crate) newest_ok: Option<bool>,
    /// When the newest that succeeded ended.
    pub(crate) last_success: Option<Timestamp>,
    /// Milliseconds that one took.
    pub(crate) duration_ms: Option<u64>,
}

/// Reads the records.
pub(crate) async fn read(session: &Session) -> Result<Records> {
    let mut complete = Vec::new();
    let mut reserved = Vec::new();
    let mut proofs = Vec::new();
    let mut records = Records::default();
    for (id, entry) in session.census().await? {
        records.stored_bytes += entry.bytes();
        if entry.reservation.is_some() {
            reserved.push(id.clone());
        }
        if !entry.is_committed() {
            continue;
        }
        for object in entry.objects.into_keys() {
            if let Some((at, kind)) = layout::proof_parts(&object) {
                proofs.push((at, kind, id.clone(), object));
            }
        }
        complete.push(id);
    }
    complete.sort_by_key(BackupId::order);
    records.complete = complete.len() as u64;
    records.unfinished = reserved.iter().filter(|id| !complete.contains(id)).count() as u64;
    records.last_attempt = complete.last().into_iter().chain(&reserved).map(BackupId::started_at).max();
    records.oldest = complete.first().map(BackupId::started_at);
    records.newest = newest(session, &complete).await?;
    // The newest first; names of one second are in the order they were written.
    proofs.sort_by(|a, b| (b.0, &b.3).cmp(&(a.0, &a.3)));
    records.verify = proven(session, ProofKind::Verify, &proofs).await?;
    records.drill = proven(session, ProofKind::Drill, &proofs).await?;
    records.jobs = read_all(session).await?;
    Ok(records)
}

/// The header of the newest backup whose manifest can be read.
async fn newest(session: &Session, complete: &[BackupId]) -> Result<Option<Header>> {
    for id in complete.iter().rev() {
        match session.manifest(id).await {
            Ok((stored, _)) => return Ok(Some(stored.header)),
            Err(e) if matches!(e.code(), Code::Damaged | Code::BackupNotFound) => {
                tracing::warn!(backup_id = %id, error = %e, "a damaged backup is not counted");
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

async fn proven(
    session: &Session,
    wanted: ProofKind,
    proofs: &[(Timestamp, ProofKind, BackupId, String)],
) -> Result<Proven> {
    let mut proven = Proven::default();
    for (_, _, id, name) in proofs.iter().filter(|(_, kind, ..)| *kind == wanted).take(PROOFS_READ) {
        match session.proof(id, name).await {
            Ok(proof) => {
                proven.newest_ok.get_or_insert(proof.summary.ok);
                if proof.summary.ok {
                    proven.last_success = Some(proof.summary.at);
                    proven.duration_ms = Some(proof.summary.duration_ms);
                    break;
                }
            }
            Err(e) if e.is_retryable() => return Err(e),
            Err(e) => tracing::warn!(backup_id = %id, proof = name, error = %e, "a proof is not believed"),
        }
    }
    Ok(proven)
}
