//! Changes what opens the store: small objects in `keys/`, however many backups there are.

use std::sync::Arc;

use super::key_slots::{Slot, Unlocked, add, aside, find, proof, remove, seal, slot_id, slots};
use super::keys::{Keys, MAX_SLOT_BYTES, OpenKeys};
use super::session::Session;
use crate::crypto::Credential;
use crate::crypto::keyring::{SlotKey, open_slot};
use crate::error::{Code, Error, Result};
use crate::report::{AddKeyReport, RemoveKeyReport, RotateKeyReport};

/// A key that is to open the store.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) lock: SlotKey,
    /// What opens it, where that is at hand: of recipients only the public halves need be.
    pub(crate) credential: Option<Credential>,
}

/// Adds a slot beside those there are.
pub(crate) async fn add_key(session: &Arc<Session>, to: NewKey, name: Option<&str>) -> Result<AddKeyReport> {
    let open = session.keys.opened()?;
    let keys = &open.repository;
    let mut credentials = open.options.credentials.clone();
    credentials.extend(to.credential);
    let sealed = seal(keys, to.lock).await?;
    let proven = proof(&sealed, keys, &credentials).await?.is_some();
    let slot = add(&session.repository, sealed, keys.epoch(), keys.epoch(), name).await?;
    Ok(AddKeyReport { slot: slot.id(), proven })
}

/// Removes a slot; never the last that opens every backup, as far as this host can try.
pub(crate) async fn remove_key(session: &Arc<Session>, wanted: &str) -> Result<RemoveKeyReport> {
    let open = session.keys.opened()?;
    let there = slots(&session.repository).await?;
    let slot = find(&there, wanted)?;
    let stays = remove(&session.repository, slot, &open.options.credentials).await?;
    Ok(RemoveKeyReport { slot: slot.id(), opens_with: stays.id() })
}

/// Adds a slot for `to`, of a new epoch if that is wanted, and removes the one that was opened. Gives the keys that the store
/// is used with from then on. Cut short, it goes on when it is called again with the same key.
pub(crate) async fn rotate(session: &Arc<Session>, to: NewKey, new_epoch: bool) -> Result<(RotateKeyReport, Keys)> {
    let open = session.keys.opened()?;
    let (repository, was) = (&session.repository, &open.repository);
    let mut options = (*open.options).clone();
    if let Some(credential) = &to.credential {
        options.credentials.insert(0, credential.clone());
        options.pending = None;
    }
    let retired = retired(session, &to, open).await?;
    let (unlocked, added) = match cut_short(session, &to, retired.as_ref(), new_epoch).await? {
        Some(found) => found,
        None => {
            let keys = if new_epoch { was.next_epoch()? } else { was.clone() };
            let sealed = seal(&keys, to.lock).await?;
            // Before anything is written: the old slot must not go for one that nobody here can open.
            let with = proof(&sealed, &keys, &options.credentials).await?.ok_or_else(|| {
                Error::new(Code::KeySlot, "no key given here opens what would be sealed to these recipients").next(
                    "give their identity file as well; or add the recipients as another key, and let their holder remove the old slot",
                )
            })?;
            let slot = add(repository, sealed, keys.epoch(), was.epoch(), None).await?;
            (Unlocked { keys, slot: slot.object.clone(), with }, slot)
        }
    };
    let removed = match retired.filter(|slot| slot.object != added.object) {
        Some(slot) => {
            remove(repository, &slot, &options.credentials).await?;
            Some(slot.id())
        }
        None => None,
    };
    let (left, epoch) = (slots(repository).await?, unlocked.keys.epoch());
    let behind = left.iter().filter(|slot| slot.epoch < epoch).map(Slot::id).collect();
    let report = RotateKeyReport { added: slot_id(&added.object), removed, epoch, behind };
    let names = left.into_iter().map(|slot| slot.object).collect();
    let keys = OpenKeys::new(unlocked, names, Arc::new(options))?;
    Ok((report, Keys::Open(Box::new(keys))))
}

/// The slot that is to go: of the first key given that is not the new one; where there is none such, the one that was opened.
async fn retired(session: &Session, to: &NewKey, open: &OpenKeys) -> Result<Option<Slot>> {
    let there = slots(&session.repository).await?;
    let old = open.options.credentials.iter().find(|c| !to.credential.as_ref().is_some_and(|new| c.is_same(new)));
    if let Some(old) = old.filter(|old| !old.is_same(&open.with)) {
        for slot in &there {
            let Some(sealed) = session.repository.get(&slot.object, MAX_SLOT_BYTES).await? else { continue };
            let old = old.clone();
            if aside(move || Ok(open_slot(&sealed, &old).is_ok())).await? {
                return Ok(Some(slot.clone()));
            }
        }
    }
    Ok(there.into_iter().find(|slot| slot.object == open.slot))
}

/// The slot that an earlier attempt left: of the newest epoch, opened by the new key; and where a new epoch is wanted, later than
/// the one that the old key opens.
async fn cut_short(
    session: &Session,
    to: &NewKey,
    retired: Option<&Slot>,
    new_epoch: bool,
) -> Result<Option<(Unlocked, Slot)>> {
    let (Some(credential), Some(retired)) = (&to.credential, retired) else { return Ok(None) };
    let known = &session.keys.opened()?.repository;
    let there = slots(&session.repository).await?;
    let newest = there.iter().map(|slot| slot.epoch).max().unwrap_or(0);
    if new_epoch && newest <= retired.epoch {
        return Ok(None);
    }
    for slot in
        there.into_iter().filter(|slot| slot.epoch == newest && slot.object != retired.object && !slot.being_removed)
    {
        let Some(sealed) = session.repository.get(&slot.object, MAX_SLOT_BYTES).await? else { continue };
        let (with, credential) = (credential.clone(), credential.clone());
        let opened = aside(move || Ok(open_slot(&sealed, &credential).ok())).await?;
        if let Some(keys) = opened.filter(|keys| keys.includes(known)) {
            return Ok(Some((Unlocked { keys, slot: slot.object.clone(), with }, slot)));
        }
    }
    Ok(None)
}
