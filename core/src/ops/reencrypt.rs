//! Seals backups anew, with new data keys under the newest epoch: after somebody saw an earlier identity.
//!
//! A backup is never changed in place: its manifest and its key file are two objects, and whoever met them in between could open
//! neither. So it is copied into a new folder, which becomes a backup by its manifest like any other, says which one it replaces,
//! and carries its holds and proofs; then the old folder is deleted as retention deletes: void, second look, manifest,
//! rest. At every moment the one or the other is a backup. Cut short anywhere, it goes on when it is called again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;

use super::census::{Census, Entry};
use super::parts::PartReader;
use super::pending::{Pending, replaced_by_run};
use super::rewrap::{Examined, examined, refusal};
use super::session::{Opened, Session, millis_since};
use super::sweep::{Sweeper, give_up, mark};
use super::volumes::{VolumeOptions, Volumes};
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::format::manifest::{Body, Encryption, File, Header, Part, Volume, sha256_hex};
use crate::format::proof::Proof;
use crate::id::{BackupId, random_hex};
use crate::progress::{Phase, Run};
use crate::report::{ReencryptReport, Reencrypted};
use crate::secret::Key;
use crate::storage::{Lease, Taken};

/// A silent host is taken for dead after this.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn reencrypt(session: &Arc<Session>, run: &Run) -> Result<ReencryptReport> {
    let began = Instant::now();
    let epoch = session.keys.opened()?.repository.epoch();
    run.until_cancelled(lets_go(session)).await?;
    let mut report =
        ReencryptReport { epoch, reencrypted: Vec::new(), unchanged: 0, refused: Vec::new(), duration_ms: 0 };
    for session in run.until_cancelled(session.of_each_database()).await? {
        let (folder, clock) = (layout::reencrypt_lease(&session.database), layout::clock(&session.database));
        let taken = Lease::take(&session.repository, &folder, &clock, "reencrypt", PATIENCE);
        let mut lease = match run.until_cancelled(taken).await? {
            Taken::Ours(lease) => lease,
            Taken::Theirs(_) => {
                return Err(Error::new(
                    Code::Busy,
                    format!("another host seals the backups of {} anew", session.database),
                )
                .next(format!("wait for it, or for {} s if it is dead", PATIENCE.as_secs())));
            }
        };
        // What must happen once does not rest on the lease: a run that lost it finds its folder given up.
        let result = tokio::select! {
            result = Box::pin(each(&session, epoch, run, &mut report)) => result,
            () = lease.until_lost() => Err(Error::new(Code::Busy, "another host took over").next("it goes on")),
        };
        if let Err(e) = lease.release().await {
            tracing::warn!(error = %e, "the lease could not be given back; it runs out by itself");
        }
        result?;
    }
    report.duration_ms = millis_since(began);
    Ok(report)
}

/// Refuses a store that keeps what is deleted: the old copies would stay, and open with the old keys.
async fn lets_go(session: &Session) -> Result<()> {
    let name = layout::probe(&random_hex::<8>()?);
    session.repository.create(&name, b"written to see whether it can be deleted\n".to_vec()).await?;
    session.repository.delete(&name).await.map_err(|e| match e.is_retryable() {
        true => e,
        false => Error::new(Code::StoreDenied, "this store or these credentials delete nothing: what the old key opens would stay beside the copies")
            .next("use credentials that may delete, or wait until the store's rule allows it; until then nobody but you should be able to read the store")
            .because(e),
    })
}

async fn each(session: &Arc<Session>, epoch: u32, run: &Run, report: &mut ReencryptReport) -> Result<()> {
    let backups = run.until_cancelled(examined(session)).await?;
    let census = run.until_cancelled(session.census()).await?;
    let mut copies = copies(session, &backups, epoch).await?;
    run.begin(Phase::Reencrypting, None);
    for Examined { id, entry, files, sealed_under } in &backups {
        // A key file that was wrapped anew says nothing of who has known the key before.
        let as_it_should = |under| under == epoch && files.iter().all(|file| file.epochs == [epoch]);
        let done = match sealed_under {
            Ok(under) if as_it_should(*under) => {
                report.unchanged += 1;
                continue;
            }
            Ok(_) => one(session, id, entry, &census, &mut copies, run).await,
            Err(e) => Err(Error::new(e.code(), e.message().to_owned())),
        };
        match done {
            Ok((by, refused)) => {
                let removed = refused.is_none();
                report.refused.extend(refused.map(|e| refusal(session, id, &e)));
                report.reencrypted.push(Reencrypted {
                    database: session.database.clone(),
                    backup: id.clone(),
                    by,
                    removed,
                });
            }
            Err(e) if e.is_retryable() || matches!(e.code(), Code::Cancelled | Code::Busy) => return Err(e),
            // It is being deleted at this moment.
            Err(_) if session.repository.size(&manifest(session, id)).await?.is_none() => {}
            Err(e) => report.refused.push(refusal(session, id, &e)),
        }
    }
    run.end();
    Ok(())
}

fn manifest(session: &Session, id: &BackupId) -> String {
    layout::in_backup(&session.database, id, layout::MANIFEST)
}

/// The copies there are, each with the backup that it replaces.
async fn copies(session: &Session, backups: &[Examined], epoch: u32) -> Result<Vec<(BackupId, BackupId)>> {
    let mut copies = Vec::new();
    for backup in backups.iter().filter(|backup| backup.sealed_under.as_ref().is_ok_and(|under| *under == epoch)) {
        let (stored, _) = session.manifest(&backup.id).await?;
        copies.extend(session.replaced(&stored)?.map(|replaces| (replaces, backup.id.clone())));
    }
    Ok(copies)
}

/// Copies one backup, unless that was done before, and removes it. Gives the copy, and why the old one stays if it does.
async fn one(
    session: &Arc<Session>,
    id: &BackupId,
    entry: &Entry,
    census: &Census,
    copies: &mut Vec<(BackupId, BackupId)>,
    run: &Run,
) -> Result<(BackupId, Option<Error>)> {
    let by = match copies.iter().find(|(replaces, _)| replaces == id) {
        Some((_, by)) => by.clone(),
        None => {
            // Whoever was at it before is dead, or will find that it was given up.
            for (other, found) in census.iter().filter(|(_, e)| !e.is_committed() && e.reservation.is_some()) {
                if found.void.is_none()
                    && replaced_by_run(session, other).await?.as_ref() == Some(id)
                    && !give_up(session, other).await?
                {
                    return Err(Error::new(Code::Busy, format!("{other} took the place of {id} at this moment"))
                        .next("run again"));
                }
            }
            let by = copy(session, id, entry, run).await?;
            copies.push((id.clone(), by.clone()));
            by
        }
    };
    run.until_cancelled(hand_over(session, id, &by)).await.map(|refused| (by, refused))
}

/// Makes the copy.
async fn copy(session: &Arc<Session>, id: &BackupId, entry: &Entry, run: &Run) -> Result<BackupId> {
    let backup = run.until_cancelled(session.open_backup(id)).await?;
    let pending = run.until_cancelled(Pending::reserve(session, backup.stored.header.started_at, Some(id))).await?;
    let stored = async {
        let data_key = pending.new_data_key().await?;
        let (files, volumes) = volumes(session, &backup, &pending, data_key.as_ref(), run).await?;
        pending.read_back(&volumes).await?;
        Ok((data_key, files, volumes))
    };
    let stored = async {
        let (data_key, files, volumes) = run.until_cancelled(stored).await?;
        let volumes: Vec<Volume> = volumes.into_iter().map(|(volume, _)| volume).collect();
        let old = &backup.stored.header;
        let scheme = "cobblestone-256".to_owned();
        let header = Header {
            id: pending.id.clone(),
            base: None,
            stored_bytes: volumes.iter().map(|v| v.bytes).sum(),
            volumes,
            encryption: session.keys.epoch().map(|epoch| Encryption { scheme, epoch }),
            replaces: Some(id.clone()),
            ..old.clone()
        };
        let body = Body { files, ..backup.body.clone() };
        run.until_cancelled(carry_holds(session, entry, &pending.id)).await?;
        pending.still_ours().await?;
        Ok((data_key, header, body))
    };
    let (data_key, header, body) = match stored.await {
        Ok(stored) => stored,
        Err(e) => {
            pending.clean_up().await;
            return Err(e);
        }
    };
    pending.commit(&header, &body, data_key.as_ref()).await?;
    tracing::info!(backup_id = %pending.id, replaces = %id, "backup sealed anew");
    pending.release().await;
    Ok(pending.id)
}

/// Every part as it is stored, compressed, authenticated under the old key and sealed under the new one.
async fn volumes(
    session: &Arc<Session>,
    backup: &Arc<Opened>,
    pending: &Pending<'_>,
    data_key: Option<&Key>,
    run: &Run,
) -> Result<(Vec<File>, Vec<(Volume, Vec<u8>)>)> {
    let reader = PartReader::new(Arc::clone(session), Arc::clone(backup));
    let mut volumes = Volumes::new(VolumeOptions {
        repository: &session.repository,
        repository_id: session.repository_id(),
        database: &session.database,
        backup: &pending.id,
        data_key,
        volume_bytes: session.settings.volume_bytes,
        upload_part_bytes: session.settings.upload_part_bytes,
    });
    let moved = async {
        let mut files = Vec::with_capacity(backup.body.files.len());
        for file in &backup.body.files {
            volumes.start_file(&file.name, file.codec.suffix());
            let mut parts = Vec::with_capacity(file.parts.len());
            for part in &file.parts {
                let mut at = volumes.start_part().await?;
                let mut stored = reader.read_stored(part);
                while let Some(bytes) = stored.try_next().await? {
                    at.length += bytes.len() as u64;
                    volumes.write(&bytes).await?;
                }
                run.advance(part.bytes);
                parts.push(Part { at, ..part.clone() });
            }
            files.push(File { parts, ..file.clone() });
        }
        Ok((files, volumes.finish().await?))
    };
    match moved.await {
        Ok(moved) => Ok(moved),
        Err(e) => {
            volumes.abort().await;
            Err(e)
        }
    }
}

/// A hold is on the content: the copy has it before it is a backup.
async fn carry_holds(session: &Session, entry: &Entry, to: &BackupId) -> Result<()> {
    for name in entry.objects.keys().filter(|name| layout::hold_until(name).is_some()) {
        let record = serde_json::json!({ "until": layout::hold_until(name), "reason": "carried over from the backup that this one replaces", "placed_at": session.clock.now(), "nonce": random_hex::<8>()? });
        let object = layout::in_backup(&session.database, to, name);
        session.repository.create(&object, format!("{record}\n").into_bytes()).await?;
    }
    Ok(())
}

/// What was proven is the dump, which is the same byte for byte: its proofs are of the copy as well.
async fn carry_proofs(session: &Session, id: &BackupId, entry: &Entry, backup: &Opened, to: &BackupId) -> Result<()> {
    let manifest_sha256 = sha256_hex(&session.manifest_bytes(to).await?);
    for name in entry.objects.keys().filter(|name| layout::is_proof(name)) {
        match session.proof(id, name).await {
            Ok(proof) if proof.manifest_sha256 == backup.manifest_sha256 => {
                let proof = Proof { backup: to.clone(), manifest_sha256: manifest_sha256.clone(), ..proof };
                let bytes = proof.encode(|signed| session.keys.sign(signed))?;
                session.repository.create(&layout::in_backup(&session.database, to, name), bytes).await?;
            }
            Ok(_) => {}
            Err(e) if e.is_retryable() => return Err(e),
            Err(e) => {
                tracing::warn!(backup_id = %id, proof = name, error = %e, "a proof is not believed, and not carried over")
            }
        }
    }
    Ok(())
}

/// The last look before the old one goes: the copy opens, tells of the same dump, and its volumes are there.
async fn must_be_the_same(session: &Session, old: &Opened, copy: &Opened) -> Result<()> {
    let content = |backup: &Opened| {
        let part = |part: &Part| (part.bytes, part.blake3.clone(), part.at.length);
        let file = |file: &File| (file.name.clone(), file.parts.iter().map(part).collect::<Vec<_>>());
        (backup.body.tables.clone(), backup.body.files.iter().map(file).collect::<Vec<_>>())
    };
    let id = &copy.stored.header.id;
    let differs = |what: &str| {
        Error::new(Code::Damaged, format!("{id} says that it replaces {}, and {what}", old.stored.header.id))
            .next("verify both; delete the one that is damaged, then run again")
    };
    if content(old) != content(copy) {
        return Err(differs("holds another dump"));
    }
    for volume in &copy.stored.header.volumes {
        let name = layout::in_backup(&session.database, id, &volume.name);
        if session.repository.size(&name).await? != Some(volume.bytes) {
            return Err(differs(&format!("its {} is not there as it was written", volume.name)));
        }
    }
    Ok(())
}

/// Deletes a backup whose copy is committed, as retention does. Gives the reason why it stays, if it does.
async fn hand_over(session: &Arc<Session>, id: &BackupId, by: &BackupId) -> Result<Option<Error>> {
    let now = session.repository.time(&layout::clock(&session.database)).await?;
    // A hold that came while it was copied, or an attempt that was cut short right after its commit.
    let objects = session.repository.list(&layout::backup(&session.database, id)).await?;
    let entry = Entry { objects, ..Entry::default() };
    carry_holds(session, &entry, by).await?;
    if entry.objects.contains_key(layout::MANIFEST) {
        let (old, copy) = (session.open_backup(id).await?, session.open_backup(by).await?);
        must_be_the_same(session, &old, &copy).await?;
        carry_proofs(session, id, &entry, &old, by).await?;
    }
    session.repository.delete(&layout::reservation(&session.database, by)).await?;
    mark(session, id, &[format!("{by} replaces it")]).await?;
    let mut sweeper = Sweeper::new(session, false, jiff::SignedDuration::MAX, now);
    let stays = sweeper.delete(id).await?;
    let (_, _, mut refused) = sweeper.finish();
    Ok(match (stays, refused.pop()) {
        (None, None) => None,
        (_, Some(refused)) => Some(
            Error::new(
                Code::StoreDenied,
                format!("{by} replaces it, and the store does not let it go: {}", refused.message),
            )
            .next("it opens with the old key until the store's rule lets it go; run again then"),
        ),
        (Some(why), None) => Some(
            Error::new(Code::Busy, format!("{by} replaces it, and it stays: {why}"))
                .next("`release` it, then run again: the copy is held as well"),
        ),
    })
}
