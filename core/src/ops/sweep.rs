//! Removes what is no backup, or is to be none: void first, then the manifest, then the rest.
//!
//! A void is a create-only object. From then on the folder is no backup, whatever a run that was thought dead still
//! writes into it: such a run looks for its void after its commit. Everything can be cut short anywhere and goes on later.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::census::{Census, Entry};
use super::session::Session;
use crate::error::{Error, Result};
use crate::format::layout;
use crate::id::{BackupId, random_hex};
use crate::report::Refusal;

/// A void outlives what it voided by this, so that a run that wakes up after it is over for good.
const VOID_LASTS: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Claims of slots older than this are removed: no run wakes up that late.
const CLAIMS_LAST: SignedDuration = SignedDuration::from_hours(60 * 24);

pub(super) struct Sweeper<'a> {
    pub(super) session: &'a Arc<Session>,
    dry_run: bool,
    orphan_grace: SignedDuration,
    /// By the store's clock.
    now: Timestamp,
    swept: Vec<BackupId>,
    freed_bytes: u64,
    refused: Vec<Refusal>,
}

impl<'a> Sweeper<'a> {
    pub(super) fn new(session: &'a Arc<Session>, dry_run: bool, orphan_grace: SignedDuration, now: Timestamp) -> Self {
        Self { session, dry_run, orphan_grace, now, swept: Vec::new(), freed_bytes: 0, refused: Vec::new() }
    }

    pub(super) fn finish(self) -> (Vec<BackupId>, u64, Vec<Refusal>) {
        (self.swept, self.freed_bytes, self.refused)
    }

    pub(super) fn count(&mut self, entry: &Entry) {
        self.freed_bytes += entry.bytes();
    }

    /// Whether nothing was written under this name for so long that its run must be dead.
    pub(super) fn is_dead(&self, entry: &Entry) -> bool {
        let last = entry.objects.values().chain(&entry.reservation).map(|meta| meta.modified).max();
        last.is_none_or(|last| self.now.duration_since(last) > self.orphan_grace)
    }

    /// Deletes a marked backup. Gives the reason when it stays after all.
    pub(super) async fn delete(&mut self, id: &BackupId) -> Result<Option<String>> {
        void(self.session, id, "retention").await?;
        // Somebody who holds the backup writes the hold first and looks for the void afterwards: one sees the other.
        let entry = self.look(id).await?;
        if let Some(until) = entry.held_until().filter(|until| *until > self.now) {
            self.unvoid(id).await?;
            self.unmark(id).await?;
            return Ok(Some(format!("held until {until}")));
        }
        // The manifest goes first: from then on it is no backup any more, whatever becomes of the rest.
        if let Some(bytes) = entry.objects.get(layout::MANIFEST).map(|meta| meta.bytes)
            && !self.remove(id, &layout::in_backup(&self.session.database, id, layout::MANIFEST), bytes).await?
        {
            self.unvoid(id).await?;
            return Ok(Some("the store does not let it go".to_owned()));
        }
        if self.remove_folder(id, &entry).await? {
            self.unmark(id).await?;
        }
        Ok(None)
    }

    /// Goes on with deletions that were cut short, and removes what dead runs left.
    pub(super) async fn sweep(&mut self, census: &Census) -> Result<()> {
        for (id, entry) in census {
            match (entry.void, entry.mark) {
                (Some(_), Some(_)) if self.dry_run => self.swept.push(id.clone()),
                (Some(_), Some(_)) => {
                    let stays = self.delete(id).await?;
                    self.swept.extend(stays.is_none().then(|| id.clone()));
                }
                (Some(void), None) => self.finish_void(id, entry, void.modified).await?,
                (None, Some(_)) if !entry.objects.contains_key(layout::MANIFEST) && !self.dry_run => {
                    self.unmark(id).await?
                }
                (None, _) if !entry.objects.contains_key(layout::MANIFEST) && self.is_dead(entry) => {
                    self.give_up(id).await?;
                }
                _ => {}
            }
        }
        if self.dry_run { Ok(()) } else { self.forget_claims().await }
    }

    /// A run is dead: its folder becomes void, unless it committed at the last moment.
    async fn give_up(&mut self, id: &BackupId) -> Result<()> {
        if self.dry_run {
            self.swept.push(id.clone());
            return Ok(());
        }
        if give_up(self.session, id).await? {
            let entry = self.look(id).await?;
            self.finish_void(id, &entry, self.now).await?;
        }
        Ok(())
    }

    /// Removes what is left under a void, and after a long time the void.
    async fn finish_void(&mut self, id: &BackupId, entry: &Entry, voided_at: Timestamp) -> Result<()> {
        if entry.objects.is_empty() && entry.reservation.is_none() {
            if self.now.duration_since(voided_at) > VOID_LASTS && !self.dry_run {
                self.unvoid(id).await?;
            }
            return Ok(());
        }
        if self.dry_run {
            self.swept.push(id.clone());
            return Ok(());
        }
        // It was committed before the void, whose writer had no time to see that. The store is asked, not the listing.
        let manifest = layout::in_backup(&self.session.database, id, layout::MANIFEST);
        if self.session.repository.meta(&manifest).await?.is_some_and(|meta| meta.modified <= voided_at) {
            return self.unvoid(id).await;
        }
        if self.remove_folder(id, entry).await? {
            self.swept.push(id.clone());
        }
        Ok(())
    }

    /// Removes everything of a folder, then the reservation. `false` when something stays.
    async fn remove_folder(&mut self, id: &BackupId, entry: &Entry) -> Result<bool> {
        let mut all = true;
        for (name, meta) in &entry.objects {
            let name = layout::in_backup(&self.session.database, id, name);
            all &= self.remove(id, &name, meta.bytes).await?;
        }
        if all {
            self.session.repository.delete(&layout::reservation(&self.session.database, id)).await?;
        }
        Ok(all)
    }

    /// Removes an object; what the store does not allow is told, and the rest goes on.
    async fn remove(&mut self, id: &BackupId, name: &str, bytes: u64) -> Result<bool> {
        match self.session.repository.delete(name).await {
            Ok(()) => {
                self.freed_bytes += bytes;
                Ok(true)
            }
            Err(e) if e.is_retryable() => Err(e),
            Err(e) => {
                self.refuse(id, &e);
                Ok(false)
            }
        }
    }

    fn refuse(&mut self, id: &BackupId, e: &Error) {
        tracing::warn!(backup_id = %id, error = %e, "the store did not let an object go");
        if !self.refused.iter().any(|r| r.backup == *id) {
            let (code, message) = (e.code().to_string(), e.to_string());
            self.refused.push(Refusal { backup: id.clone(), code, message });
        }
    }

    pub(super) async fn unmark(&self, id: &BackupId) -> Result<()> {
        self.session.repository.delete(&layout::mark(&self.session.database, id)).await
    }

    async fn unvoid(&self, id: &BackupId) -> Result<()> {
        self.session.repository.delete(&layout::void(&self.session.database, id)).await
    }

    /// What lies in the folder at this moment.
    async fn look(&self, id: &BackupId) -> Result<Entry> {
        let objects = self.session.repository.list(&layout::backup(&self.session.database, id)).await?;
        Ok(Entry { objects, ..Entry::default() })
    }

    async fn forget_claims(&self) -> Result<()> {
        let folder = layout::slots(&self.session.database);
        for (name, meta) in self.session.repository.list(&folder).await? {
            if self.now.duration_since(meta.modified) > CLAIMS_LAST {
                self.session.repository.delete(&format!("{folder}/{name}")).await?;
            }
        }
        Ok(())
    }
}

/// Makes a folder no backup for ever. One that was void before is as good.
async fn void(session: &Session, id: &BackupId, why: &str) -> Result<()> {
    let record = serde_json::json!({ "why": why, "at": session.clock.now(), "nonce": random_hex::<8>()? });
    let name = layout::void(&session.database, id);
    session.repository.create(&name, format!("{record}\n").into_bytes()).await.map(drop)
}

/// Says that a backup is going to be deleted. Another host's mark is as good.
pub(super) async fn mark(session: &Session, id: &BackupId, reasons: &[String]) -> Result<()> {
    let record =
        serde_json::json!({ "reasons": reasons, "marked_at": session.clock.now(), "nonce": random_hex::<8>()? });
    let name = layout::mark(&session.database, id);
    session.repository.create(&name, format!("{record}\n").into_bytes()).await.map(drop)
}

/// Gives a run up that has not committed: it never will. `false` when it has, and its backup stands.
pub(crate) async fn give_up(session: &Session, id: &BackupId) -> Result<bool> {
    void(session, id, "dead run").await?;
    // The run writes its manifest first and looks for the void afterwards: one of the two sees the other.
    let manifest = layout::in_backup(&session.database, id, layout::MANIFEST);
    if session.repository.size(&manifest).await?.is_none() {
        return Ok(true);
    }
    session.repository.delete(&layout::void(&session.database, id)).await?;
    Ok(false)
}
