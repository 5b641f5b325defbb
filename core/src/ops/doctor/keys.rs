//! Whether the keys are as they should be: strong, the same everywhere, and opening what they are kept for.

use std::sync::Arc;

use super::in_time;
use crate::crypto::keyring::open_slot;
use crate::crypto::{Credential, check_passphrase};
use crate::error::Result;
use crate::ops::key_report::keys;
use crate::ops::key_slots::{Slot, aside, slots};
use crate::ops::keys::{Keys, MAX_SLOT_BYTES, OpenKeys};
use crate::ops::session::Session;
use crate::report::{Check, CheckStatus};
use crate::storage::Repository;

/// Backups that are tried, the newest first.
const TRIED: usize = 3;

/// A passphrase that is too easily guessed, among the keys that were given.
pub(super) fn strength(open: &OpenKeys, opened: Check) -> Check {
    let weak = open.options.credentials.iter().find_map(|credential| match credential {
        Credential::Passphrase(passphrase) => check_passphrase(passphrase).err(),
        _ => None,
    });
    match weak {
        Some(e) => Check {
            status: CheckStatus::Warn,
            message: format!("{}; but {}", opened.message, e.message()),
            next: Some("give it a strong one with `rotate-key`: one made by `openssl rand -base64 32`".to_owned()),
            ..opened
        },
        None => opened,
    }
}

const ROTATION: &str = "key_rotation";
const BACKUPS: &str = "key_backups";

/// The checks of a store that is not there yet.
pub(super) fn none_yet() -> [Check; 2] {
    [ROTATION, BACKUPS].map(|name| Check::pass(name, "nothing is under a key yet"))
}

/// What there is to say of one of them where there is no key to look at.
fn without(name: &str, keys: &Keys) -> Check {
    match keys {
        Keys::Unencrypted => Check::pass(name, "the store has no keys"),
        Keys::Sealing { .. } => Check::pass(name, "for a host that holds the key to say"),
        Keys::Locked { .. } | Keys::Open(_) => Check::not_checked(name, "the store cannot be opened"),
    }
}

/// Whether a rotation waits, or stopped half-way.
pub(super) async fn rotation(repository: &Repository, keys: &Keys) -> Check {
    const NAME: &str = ROTATION;
    let Keys::Open(open) = keys else { return without(NAME, keys) };
    match in_time("reading the key slots", look(repository, open)).await {
        Ok(Some((what, next))) => Check::warn(NAME, what, next),
        Ok(None) => Check::pass(NAME, "no rotation is going on; every key slot opens every backup"),
        Err(e) => Check::failed(NAME, &e),
    }
}

async fn look(repository: &Repository, open: &OpenKeys) -> Result<Option<(String, &'static str)>> {
    let there = slots(repository).await?;
    let newest = there.iter().map(|slot| slot.epoch).max().unwrap_or(0);
    let named = |found: Vec<&Slot>| found.into_iter().map(Slot::id).collect::<Vec<_>>().join(", ");
    if let Some(pending) = open.options.pending {
        let (mut old, mut new) = (false, false);
        for slot in there.iter().filter(|slot| slot.epoch == newest) {
            let Some(sealed) = repository.get(&slot.object, MAX_SLOT_BYTES).await? else { continue };
            let credentials = open.options.credentials.clone();
            let opened: Vec<bool> =
                aside(move || Ok(credentials.iter().map(|c| open_slot(&sealed, c).is_ok()).collect())).await?;
            old |= opened.iter().enumerate().any(|(i, opens)| *opens && i != pending);
            new |= opened.get(pending).copied().unwrap_or(false);
        }
        return Ok(Some(match (old, new) {
            (true, false) => (
                "a new key is given (BACKUP_ENCRYPTION_KEY_NEW), and does not open the store yet".to_owned(),
                "once every host has it, run `rotate-key`",
            ),
            (true, true) => (
                "both the old and the new key open the store".to_owned(),
                "once every host has the new one as BACKUP_ENCRYPTION_KEY, remove the old one's slot with `remove-key`",
            ),
            _ => (
                "only the new key opens the store: the rotation is done".to_owned(),
                "make it BACKUP_ENCRYPTION_KEY on every host, and unset BACKUP_ENCRYPTION_KEY_NEW",
            ),
        }));
    }
    let removed: Vec<_> = there.iter().filter(|slot| slot.being_removed).collect();
    if !removed.is_empty() {
        let what = format!("the removal of {} was begun and not finished", named(removed));
        return Ok(Some((what, "run `remove-key` on it again")));
    }
    let behind: Vec<_> = there.iter().filter(|slot| slot.epoch < newest).collect();
    if !behind.is_empty() {
        let what = format!("{} opens no backup of epoch {newest}, nor those to come", named(behind));
        return Ok(Some((what, "add its key again with `add-key`, or remove it with `remove-key`")));
    }
    Ok(None)
}

/// Whether the key opens the newest backups, and whether earlier epochs open or have known any.
pub(super) async fn backups(session: &Arc<Session>) -> Check {
    const NAME: &str = BACKUPS;
    let Keys::Open(open) = &session.keys else { return without(NAME, &session.keys) };
    let ids = match in_time("listing backups", session.committed()).await {
        Ok(ids) => ids,
        Err(e) => return Check::failed(NAME, &e),
    };
    let newest: Vec<_> = ids.iter().rev().take(TRIED).collect();
    for id in &newest {
        if let Err(e) = in_time("opening a backup", session.open_backup(id)).await {
            return Check::failed(NAME, &e.at("the key does not open one of the newest backups"));
        }
    }
    let pass = format!("the key opens the newest {} backups", newest.len());
    if open.repository.epochs().len() < 2 {
        return Check::pass(NAME, pass);
    }
    match in_time("reading the backups' keys", keys(session)).await {
        Ok(report) if report.unopened.is_empty() && report.behind.is_empty() => {
            Check::pass(NAME, format!("{pass}; none is under an earlier epoch"))
        }
        Ok(report) if report.unopened.is_empty() => Check::warn(
            NAME,
            format!("{pass}; {} backups are under an earlier epoch", report.behind.len()),
            "`keys` shows them; `rewrap` takes them from the earlier keys, and if somebody saw one of those, `reencrypt`",
        ),
        Ok(report) => Check::fail(
            NAME,
            format!("{} backups cannot be opened, the first: {}", report.unopened.len(), report.unopened[0].message),
            "`keys` shows them; look for the key slot or the copy of the store that opens them",
        ),
        Err(e) => Check::failed(NAME, &e),
    }
}
