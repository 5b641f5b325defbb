//! Deletes the backups that no rule keeps: marked first, deleted after a time of grace, and only after a second look.
//!
//! Nothing is believed that could make a good backup go. The rules see names and dates only, so every backup that they
//! keep is then read and authenticated: one that fails does not count, and the rules are asked again without it. Two
//! listings must agree before anything is deleted. Of the two clocks the one that makes backups younger counts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::census::{Census, Entry, agree};
use super::session::Session;
use super::sweep::{self, Sweeper};
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::format::manifest::sha256_hex;
use crate::id::BackupId;
use crate::report::{ProofKind, ProofSummary, PruneAction, PruneDecision, PruneReport};
use crate::retention::{Candidate, Decision, Keep, Proven, Standing, decide};

/// Backups read at the same time.
const AT_ONCE: usize = 16;

pub(crate) struct PruneOrder {
    pub(crate) keep: Keep,
    pub(crate) dry_run: bool,
    /// From the mark to the deletion.
    pub(crate) grace: SignedDuration,
    /// What a run left behind is swept when nothing was written for so long.
    pub(crate) orphan_grace: SignedDuration,
}

pub(crate) async fn prune(session: &Arc<Session>, order: &PruneOrder) -> Result<PruneReport> {
    order.keep.check()?;
    session.keys.can_tell()?;
    let local = session.clock.now();
    // A dry run writes nothing, not even to ask the store for the time.
    let now = match order.dry_run {
        true => local,
        false => session.repository.time(&layout::clock(&session.database)).await?,
    };
    let mut planner = Planner { session, keep: &order.keep, now: now.min(local), read: HashMap::new() };
    let first = session.census().await?;
    let planned = planner.plan(&first).await?;
    let (census, planned) = if order.dry_run {
        (first, planned)
    } else {
        let second = session.census().await?;
        agree(&first, &second)?;
        let again = planner.plan(&second).await?;
        (second, both(planned, again))
    };
    let mut prune = Prune {
        order,
        now,
        sweeper: Sweeper::new(session, order.dry_run, order.orphan_grace, now),
        report: PruneReport {
            dry_run: order.dry_run,
            keep: order.keep.to_string(),
            decisions: Vec::new(),
            swept: Vec::new(),
            freed_bytes: 0,
            refused: Vec::new(),
        },
    };
    let runs = prune.runs(&census);
    for decision in planned {
        prune.act(&census, &runs, decision).await?;
    }
    prune.sweeper.sweep(&census).await?;
    let Prune { mut report, sweeper, .. } = prune;
    (report.swept, report.freed_bytes, report.refused) = sweeper.finish();
    Ok(report)
}

/// Deletes only what both plans delete.
fn both(first: Vec<Decision>, mut second: Vec<Decision>) -> Vec<Decision> {
    let kept: HashMap<_, _> = first.into_iter().filter(|d| d.keep).map(|d| (d.id.clone(), d)).collect();
    for decision in second.iter_mut().filter(|d| !d.keep) {
        if let Some(keep) = kept.get(&decision.id) {
            *decision = keep.clone();
        }
    }
    second
}

/// Asks the rules, reads what they keep, and asks again until everything that counts was read.
struct Planner<'a> {
    session: &'a Arc<Session>,
    keep: &'a Keep,
    now: Timestamp,
    /// What was read of each backup, and the objects that it had then.
    read: HashMap<BackupId, (Vec<String>, Candidate)>,
}

impl Planner<'_> {
    /// Newest first.
    async fn plan(&mut self, census: &Census) -> Result<Vec<Decision>> {
        let mut committed: Vec<_> = census.iter().filter(|(_, entry)| entry.is_committed()).collect();
        committed.sort_by_key(|(id, _)| std::cmp::Reverse(id.order()));
        if !self.keep.tags.is_empty() {
            // Labels are in the manifests only.
            self.read(&committed).await?;
        }
        loop {
            let mut candidates: Vec<_> = committed.iter().map(|(id, entry)| self.candidate(id, entry)).collect();
            let good = candidates.iter().filter(|c| c.standing == Standing::Counted);
            let replaced: HashSet<_> = good.filter_map(|c| c.replaces.clone()).collect();
            for candidate in candidates.iter_mut().filter(|c| replaced.contains(&c.id)) {
                candidate.standing = Standing::Replaced;
            }
            let decisions = decide(self.keep, self.now, &candidates)?;
            let unread: Vec<_> = committed
                .iter()
                .zip(&decisions)
                .filter(|((id, entry), decision)| decision.keep && self.known(id, entry).is_none())
                .map(|(backup, _)| *backup)
                .collect();
            if unread.is_empty() {
                return Ok(decisions);
            }
            self.read(&unread).await?;
        }
    }

    fn known(&self, id: &BackupId, entry: &Entry) -> Option<&Candidate> {
        let (objects, candidate) = self.read.get(id)?;
        objects.iter().eq(entry.objects.keys()).then_some(candidate)
    }

    /// What is known of a backup; of one that was not read, what its objects' names promise.
    fn candidate(&self, id: &BackupId, entry: &Entry) -> Candidate {
        self.known(id, entry).cloned().unwrap_or_else(|| Candidate {
            written: entry.objects.get(layout::MANIFEST).map(|meta| meta.modified),
            held_until: entry.held_until(),
            proven: entry
                .objects
                .keys()
                .filter_map(|name| layout::proof_parts(name).map(|(_, kind)| kind))
                .map(proven)
                .max()
                .unwrap_or_default(),
            ..Candidate::new(id.clone())
        })
    }

    async fn read(&mut self, backups: &[(&BackupId, &Entry)]) -> Result<()> {
        let session = self.session;
        let examine = |(id, entry): (&BackupId, &Entry)| {
            let (id, entry, promised) = (id.clone(), entry.clone(), self.candidate(id, entry));
            async move { examine(session, &id, &entry, promised).await.map(|found| (id, entry, found)) }
        };
        let found: Vec<_> = stream::iter(backups.iter().copied().map(examine).collect::<Vec<_>>())
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        for (id, entry, candidate) in found {
            self.read.insert(id, (entry.objects.into_keys().collect(), candidate));
        }
        Ok(())
    }
}

/// Reads one backup's manifest and proofs, and finds out what it counts for.
async fn examine(session: &Session, id: &BackupId, entry: &Entry, promised: Candidate) -> Result<Candidate> {
    let unbelieved = |e: Error| {
        tracing::warn!(backup_id = %id, error = %e, "a backup does not count: it cannot be authenticated");
        Ok(Candidate { standing: Standing::Unbelieved, proven: Proven::No, ..promised.clone() })
    };
    let (stored, bytes) = match session.manifest(id).await {
        Ok(found) => found,
        Err(e) if e.is_retryable() => return Err(e),
        Err(e) => return unbelieved(e),
    };
    let (tags, base) = (stored.header.tags.clone(), stored.header.base.clone());
    if let Err(e) = session.authenticate(id, &stored) {
        // What it refers to stays as long as it does.
        return unbelieved(e).map(|found| Candidate { base, tags, ..found });
    }
    let proofs = proofs(session, id, entry, &sha256_hex(&bytes)).await?;
    let proven = proofs.iter().filter(|p| p.ok).map(|p| proven(p.kind)).max().unwrap_or_default();
    let failing = proofs.last().is_some_and(|p| !p.ok);
    let standing = if failing { Standing::Failing } else { Standing::Counted };
    let replaces = session.replaced(&stored)?;
    Ok(Candidate { tags, base, proven, standing, replaces, ..promised })
}

/// What was proven of this very manifest, oldest first. A host that holds recipients only cannot tell who wrote a
/// proof, and takes it as it stands: it can make an authentic backup look proven, not a planted one.
async fn proofs(session: &Session, id: &BackupId, entry: &Entry, manifest: &str) -> Result<Vec<ProofSummary>> {
    let mut proofs = Vec::new();
    for name in entry.objects.keys().filter(|name| layout::is_proof(name)) {
        let proof = match session.keys.is_sealing() {
            true => session.proof_as_stored(id, name).await.map(|(proof, ..)| proof),
            false => session.proof(id, name).await,
        };
        match proof {
            Ok(proof) if proof.manifest_sha256 == manifest => proofs.push(proof.summary),
            Ok(_) => {}
            Err(e) if e.is_retryable() => return Err(e),
            Err(e) => tracing::warn!(backup_id = %id, proof = name, error = %e, "a proof is not believed"),
        }
    }
    proofs.sort_by_key(|p| p.at);
    Ok(proofs)
}

fn proven(kind: ProofKind) -> Proven {
    match kind {
        ProofKind::Verify => Proven::Verified,
        ProofKind::Drill => Proven::Drilled,
    }
}

/// Carries a plan out.
struct Prune<'a> {
    order: &'a PruneOrder,
    /// By the store's clock.
    now: Timestamp,
    sweeper: Sweeper<'a>,
    report: PruneReport,
}

impl Prune<'_> {
    async fn act(&mut self, census: &Census, runs: &[(BackupId, Timestamp)], decision: Decision) -> Result<()> {
        let Decision { id, keep, mut reasons } = decision;
        let Some(entry) = census.get(&id) else { return Ok(()) };
        let mark = entry.mark;
        let (mut action, mut deletes_at) = (PruneAction::Keep, None);
        if !keep {
            let marked_at = mark.map_or(self.now, |mark| mark.modified);
            // A date far away when the grace is.
            let due = marked_at.checked_add(self.order.grace).unwrap_or(Timestamp::MAX);
            // A run that began before the mark may have chosen this backup to refer to.
            let waits_for = runs.iter().find(|(_, reserved_at)| *reserved_at <= marked_at).map(|(id, _)| id);
            action = match (mark, due <= self.now, &waits_for) {
                (_, true, None) => PruneAction::Delete,
                (None, ..) => PruneAction::Mark,
                (Some(_), ..) => PruneAction::Wait,
            };
            if action != PruneAction::Delete {
                deletes_at = Some(due);
            }
            reasons.extend(waits_for.map(|run| format!("the run {run} may refer to it and has not ended")));
        }
        if !self.order.dry_run {
            match action {
                PruneAction::Keep if mark.is_some() => self.sweeper.unmark(&id).await?,
                PruneAction::Mark => sweep::mark(self.sweeper.session, &id, &reasons).await?,
                PruneAction::Delete => {
                    if mark.is_none() {
                        sweep::mark(self.sweeper.session, &id, &reasons).await?;
                    }
                    if let Some(why) = self.sweeper.delete(&id).await? {
                        (action, reasons) = (PruneAction::Keep, vec![why]);
                    }
                }
                PruneAction::Keep | PruneAction::Wait => {}
            }
        } else if action == PruneAction::Delete {
            self.sweeper.count(entry);
        }
        self.report.decisions.push(PruneDecision { backup: id, action, reasons, deletes_at });
        Ok(())
    }

    /// The runs that are not known to be dead, with the time of their reservations.
    fn runs(&self, census: &Census) -> Vec<(BackupId, Timestamp)> {
        let runs =
            census.iter().filter(|(_, entry)| !entry.objects.contains_key(layout::MANIFEST) && entry.void.is_none());
        let alive = runs.filter(|(_, entry)| !self.sweeper.is_dead(entry));
        alive.filter_map(|(id, entry)| Some((id.clone(), entry.reservation?.modified))).collect()
    }
}

/// Refuses a grace that is no length of time.
pub(crate) fn duration(seconds: u64, name: &str) -> Result<SignedDuration> {
    const MOST: u64 = 10 * 366 * 86_400;
    match i64::try_from(seconds) {
        Ok(value) if seconds <= MOST => Ok(SignedDuration::from_secs(value)),
        _ => Err(Error::new(Code::InvalidOption, format!("{name} is {seconds}")).next(format!("give at most {MOST}"))),
    }
}
