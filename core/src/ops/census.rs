//! Everything that one listing of a database's folder tells, by backup.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::session::Session;
use crate::error::{Code, Error, Result};
use crate::format::layout::{self, Place};
use crate::id::BackupId;
use crate::storage::Meta;

/// What lies under one backup's name. It need not be a backup: a run may be in progress, or dead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The objects in its folder, by name.
    pub(crate) objects: BTreeMap<String, Meta>,
    /// Its name is taken by a run.
    pub(crate) reservation: Option<Meta>,
    /// It is no backup any more.
    pub(crate) void: Option<Meta>,
    /// It is going to be deleted.
    pub(crate) mark: Option<Meta>,
}

impl Entry {
    /// Whether it is a backup.
    pub(crate) fn is_committed(&self) -> bool {
        self.void.is_none() && self.objects.contains_key(layout::MANIFEST)
    }

    /// Until when it must not be deleted, if anybody said so.
    pub(crate) fn held_until(&self) -> Option<Timestamp> {
        self.objects.keys().filter_map(|name| layout::hold_until(name)).max()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.objects.values().map(|meta| meta.bytes).sum()
    }
}

/// What lies in a database's folder, by backup.
pub(crate) type Census = BTreeMap<BackupId, Entry>;

impl Session {
    /// Lists the database's folder once. A listing that breaks off is an error.
    pub(crate) async fn census(&self) -> Result<Census> {
        let mut census = Census::new();
        for (name, meta) in self.repository.list(self.database.as_str()).await? {
            match layout::place(&name) {
                Place::InBackup(id, object) => {
                    census.entry(id).or_default().objects.insert(object, meta);
                }
                Place::Reservation(id) => census.entry(id).or_default().reservation = Some(meta),
                Place::Void(id) => census.entry(id).or_default().void = Some(meta),
                Place::Mark(id) => census.entry(id).or_default().mark = Some(meta),
                Place::Other => {}
            }
        }
        Ok(census)
    }
}

/// Refuses two listings, one taken after the other, that cannot both be whole: nothing may be deleted by them.
pub(crate) fn agree(first: &Census, second: &Census) -> Result<()> {
    let doubt = |id: &BackupId, what: &str| {
        Err(Error::new(Code::StoreUnavailable, format!("the store's listings disagree: {what} of {id}"))
            .next("nothing was deleted; run again, and check the store if it stays so"))
    };
    let newest = first.iter().filter(|(_, e)| e.is_committed()).map(|(id, _)| id.order()).max();
    for (id, _) in second.iter().filter(|(_, e)| e.is_committed()) {
        let known = first.get(id).is_some_and(|e| e.is_committed() || e.reservation.is_some() || e.void.is_some());
        if !known && newest.is_some_and(|newest| id.order() <= newest) {
            return doubt(id, "the first one lacks the manifest");
        }
    }
    for (id, entry) in first.iter().filter(|(_, e)| e.is_committed()) {
        match second.get(id) {
            // Another host deletes it at this moment.
            Some(now) if now.void.is_some() => {}
            Some(now) if now.is_committed() => {
                let proofs =
                    |e: &Entry| e.objects.keys().filter(|name| layout::is_proof(name)).cloned().collect::<Vec<_>>();
                let after = proofs(now);
                if proofs(entry).iter().any(|proof| !after.contains(proof)) {
                    return doubt(id, "the second one lacks a proof");
                }
            }
            _ => return doubt(id, "the second one lacks the manifest"),
        }
    }
    Ok(())
}
