//! Changes what opens the store: one small object is written and one removed, however many backups there are.

use std::sync::Arc;

use super::keys::{MAX_SLOT_BYTES, add_slot, unlock_any};
use super::session::Session;
use crate::crypto::Credential;
use crate::crypto::keyring::SlotKey;
use crate::error::{Code, Error, Result};
use crate::report::RotateKeyReport;

/// Adds a slot locked with `to`, and removes the one that was opened unless `keep_old` is set. `proof` opens the new slot, where it is at
/// hand: the old slot goes only when the new one is known to open.
pub(crate) async fn rotate(
    session: &Arc<Session>,
    to: SlotKey,
    proof: Option<Credential>,
    keep_old: bool,
) -> Result<RotateKeyReport> {
    let keys = session.keys.opened()?;
    let repository = &session.repository;
    let added = add_slot(repository, &keys.repository, to).await?;
    let stored = repository.get(&added, MAX_SLOT_BYTES).await?.ok_or_else(|| {
        Error::new(Code::StoreUnavailable, format!("{added} was written and is not there"))
            .next("check the store, then rotate again")
    })?;
    if let Some(credential) = proof {
        let (again, _) =
            unlock_any(vec![(added.clone(), stored.to_vec())], vec![credential]).await.map_err(|e| e.at(&added))?;
        if again.key_id() != keys.repository.key_id() {
            return Err(Error::new(Code::Damaged, format!("{added} holds another identity"))
                .next("check the store, then rotate again"));
        }
    }
    if keep_old || keys.slot.is_empty() {
        return Ok(RotateKeyReport { added, removed: None });
    }
    repository.delete(&keys.slot).await?;
    Ok(RotateKeyReport { added, removed: Some(keys.slot.clone()) })
}
