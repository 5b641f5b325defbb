//! Holds: a backup that must not be deleted before a date, whatever the rules say.

use std::sync::Arc;

use jiff::Timestamp;

use super::session::Session;
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::id::{BackupId, random_hex};
use crate::report::HoldReport;

/// Holds a backup, and takes back a mark for deletion.
pub(crate) async fn hold(session: &Arc<Session>, id: &BackupId, until: Timestamp, reason: &str) -> Result<HoldReport> {
    if until <= session.clock.now() {
        return Err(Error::new(Code::InvalidOption, format!("{until} is over")).next("give a date to come"));
    }
    let object = layout::in_backup(&session.database, id, &layout::hold(until));
    let record = serde_json::json!({ "until": until, "reason": reason, "placed_at": session.clock.now(), "nonce": random_hex::<8>()? });
    // One that is there already holds as well.
    session.repository.create(&object, format!("{record}\n").into_bytes()).await?;
    // A deletion writes its void first and looks for holds afterwards; a hold does it the other way round. So one of
    // the two sees the other.
    if session.repository.size(&layout::void(&session.database, id)).await?.is_some() {
        session.repository.delete(&object).await?;
        let manifest = layout::in_backup(&session.database, id, layout::MANIFEST);
        // The deletion may have seen the hold and let the backup be, or is about to take it away.
        return Err(match session.repository.size(&manifest).await? {
            Some(_) => Error::new(Code::Busy, format!("{id} is not held: a prune is deleting it at this moment"))
                .next("try again; if it is gone by then, hold another one"),
            None => Error::new(Code::BackupNotFound, format!("{id} was deleted by a prune"))
                .next("`list` shows the backups there are"),
        });
    }
    session.repository.delete(&layout::mark(&session.database, id)).await?;
    let held_until = held_until(session, id).await?;
    Ok(HoldReport { id: id.clone(), held_until })
}

/// Takes back every hold on a backup: from now on the rules decide.
pub(crate) async fn release(session: &Arc<Session>, id: &BackupId) -> Result<HoldReport> {
    for name in session.repository.list(&layout::backup(&session.database, id)).await?.into_keys() {
        if layout::hold_until(&name).is_some() {
            session.repository.delete(&layout::in_backup(&session.database, id, &name)).await?;
        }
    }
    Ok(HoldReport { id: id.clone(), held_until: None })
}

async fn held_until(session: &Session, id: &BackupId) -> Result<Option<Timestamp>> {
    let objects = session.repository.list(&layout::backup(&session.database, id)).await?;
    Ok(objects.keys().filter_map(|name| layout::hold_until(name)).max())
}
