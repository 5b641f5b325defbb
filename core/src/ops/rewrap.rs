//! Wraps the data keys of old backups to the newest epoch: one small object each, whatever their sizes.
//!
//! A new key file is written beside the old ones, read back, and only then are the old ones removed: the highest number
//! counts, and each number is made once. Whatever is cut short anywhere goes on when it is called again.

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};

use super::census::Entry;
use super::session::{MAX_KEY_FILE_BYTES, Session, millis_since};
use crate::crypto::keyring::wrap_data_key;
use crate::crypto::locked_with;
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::id::BackupId;
use crate::report::{KeyRefusal, RewrapReport};
use crate::storage::Created;

/// Backups looked at or rewrapped at the same time.
const AT_ONCE: usize = 16;

/// A backup's data key, as it is wrapped in one object.
#[derive(Debug)]
pub(super) struct KeyFile {
    pub(super) number: u32,
    pub(super) bytes: Vec<u8>,
    /// The epochs that open it, the newest first.
    pub(super) epochs: Vec<u32>,
}

/// A backup's key files; the last one counts.
pub(super) async fn key_files(session: &Session, id: &BackupId, entry: &Entry) -> Result<Vec<KeyFile>> {
    let keys = &session.keys.opened()?.repository;
    let mut numbers: Vec<_> = entry.objects.keys().filter_map(|name| layout::key_file_number(name)).collect();
    numbers.sort_unstable();
    let mut files = Vec::new();
    for number in numbers {
        let name = layout::in_backup(&session.database, id, &layout::key_file(number));
        if let Some(bytes) = session.repository.get(&name, MAX_KEY_FILE_BYTES).await? {
            files.push(KeyFile { number, epochs: keys.epochs_opening(&bytes), bytes: bytes.into() });
        }
    }
    Ok(files)
}

/// What could not be done to a backup, for the report.
pub(super) fn refusal(session: &Session, id: &BackupId, e: &Error) -> KeyRefusal {
    tracing::warn!(database = %session.database, backup_id = %id, error = %e, "a backup's key stays as it was");
    KeyRefusal {
        database: session.database.clone(),
        backup: id.clone(),
        code: e.code().to_string(),
        message: e.to_string(),
    }
}

pub(crate) async fn rewrap(session: &Arc<Session>, all: bool) -> Result<RewrapReport> {
    let began = Instant::now();
    let epoch = session.keys.opened()?.repository.epoch();
    let mut report = RewrapReport { epoch, rewrapped: 0, unchanged: 0, refused: Vec::new(), duration_ms: 0 };
    for session in session.of_each_database().await? {
        let committed = session.census().await?.into_iter().filter(|(_, entry)| entry.is_committed());
        let one = |(id, entry): (BackupId, Entry)| {
            let session = Arc::clone(&session);
            async move { rewrap_one(&session, &id, &entry, all).await.map_err(|e| (id.clone(), e)) }
        };
        let mut done = stream::iter(committed.map(one)).buffer_unordered(AT_ONCE);
        while let Some(result) = done.next().await {
            match result {
                Ok(true) => report.rewrapped += 1,
                Ok(false) => report.unchanged += 1,
                Err((_, e)) if e.is_retryable() => return Err(e),
                Err((id, e)) => report.refused.push(refusal(&session, &id, &e)),
            }
        }
    }
    report.duration_ms = millis_since(began);
    Ok(report)
}

/// Whether it had to be done.
async fn rewrap_one(session: &Arc<Session>, id: &BackupId, entry: &Entry, all: bool) -> Result<bool> {
    let open = session.keys.opened()?;
    let files = key_files(session, id, entry).await?;
    let missing =
        || Error::new(Code::ObjectMissing, format!("{id} has no key file")).next("use another copy of the store");
    let highest = files.last().ok_or_else(missing)?;
    // That this key opens the backup is certain before another key file is removed: anybody can wrap something to a public key.
    let key = session.open_backup(id).await?.data_key.clone().ok_or_else(missing)?;
    let wrapped = wrap_data_key(&key, open.recipients())?;
    let as_it_should =
        highest.epochs == [open.repository.epoch()] && locked_with(&highest.bytes) == locked_with(&wrapped);
    let name = |number| layout::in_backup(&session.database, id, &layout::key_file(number));
    let mut number = highest.number;
    if !as_it_should || all {
        number += 1;
        if session.repository.create(&name(number), wrapped.clone()).await? == Created::Exists {
            return Err(
                Error::new(Code::Busy, format!("{} was written by another host", name(number))).next("run again")
            );
        }
        // Whoever deletes the backup writes a void first and looks into the folder afterwards: one sees the other.
        if session.repository.size(&layout::void(&session.database, id)).await?.is_some() {
            session.repository.delete(&name(number)).await?;
            return Ok(false);
        }
        let stored = session.repository.get(&name(number), MAX_KEY_FILE_BYTES).await?;
        if stored.as_deref() != Some(&wrapped[..]) {
            return Err(Error::new(Code::StoreUnavailable, format!("{} is not what was written", name(number)))
                .next("check the store, then run again"));
        }
    }
    let old: Vec<_> = files.iter().map(|file| file.number).filter(|old| *old < number).collect();
    for old in &old {
        session.repository.delete(&name(*old)).await?;
    }
    Ok(!old.is_empty() || number > highest.number)
}

/// What the key files and the manifest of a backup tell.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) id: BackupId,
    pub(super) entry: Entry,
    /// The last one counts.
    pub(super) files: Vec<KeyFile>,
    /// The epoch that has known the data key from the beginning; 0 where that cannot be told. Or why the manifest is not believed.
    pub(super) sealed_under: Result<u32>,
}

/// Every committed backup of a database, in the order of their names.
pub(super) async fn examined(session: &Arc<Session>) -> Result<Vec<Examined>> {
    let committed = session.census().await?.into_iter().filter(|(_, entry)| entry.is_committed());
    let read = |(id, entry): (BackupId, Entry)| async move {
        let files = key_files(session, &id, &entry).await?;
        let sealed_under = match sealed_under(session, &id, &files).await {
            Err(e) if e.is_retryable() => return Err(e),
            told => told,
        };
        Ok(Examined { id, entry, files, sealed_under })
    };
    stream::iter(committed.map(read)).buffered(AT_ONCE).try_collect().await
}

async fn sealed_under(session: &Session, id: &BackupId, files: &[KeyFile]) -> Result<u32> {
    let (stored, _) = session.manifest(id).await?;
    session.authenticate(id, &stored)?;
    let told = stored.header.encryption.as_ref().map_or(0, |encryption| encryption.epoch);
    // A host with recipients only takes the epoch from the names of the slots, whatever its recipients are.
    let wrapped = match (session.author_epoch(&stored)?, files) {
        (Some(epoch), _) => Some(epoch),
        (None, [only]) => only.epochs.last().copied(),
        (None, _) => None,
    };
    Ok(wrapped.map_or(0, |wrapped| wrapped.min(told)))
}
