//! Tells what opens what: slots, epochs, and the backups under each.

use std::sync::Arc;

use super::key_slots::{aside, slot_id, slots};
use super::keys::{Keys, MAX_SLOT_BYTES};
use super::rewrap::{Examined, examined, refusal};
use super::session::Session;
use crate::crypto::keyring::open_slot;
use crate::crypto::{Credential, LockedWith, locked_with};
use crate::error::{Code, Error, Result};
use crate::report::{BackupKey, KeyEpoch, KeySlot, KeySlotKind, KeysReport};

pub(crate) async fn keys(session: &Arc<Session>) -> Result<KeysReport> {
    if !session.marker.encrypted {
        return Err(Error::new(Code::KeyRequired, "the store is not encrypted: nothing in it needs a key"));
    }
    let credentials = match &session.keys {
        Keys::Open(open) => open.options.credentials.clone(),
        _ => Vec::new(),
    };
    let mut report = KeysReport {
        epoch: None,
        recipients: Vec::new(),
        slots: key_slots(session, &credentials).await?,
        epochs: Vec::new(),
        behind: Vec::new(),
        unopened: Vec::new(),
    };
    let Keys::Open(open) = &session.keys else { return Ok(report) };
    let epoch = open.repository.epoch();
    report.epoch = Some(epoch);
    report.recipients = open.recipients().to_string().lines().map(str::to_owned).collect();
    let of = |epoch| {
        let public_key = open.repository.recipients_of(epoch).to_string();
        KeyEpoch { epoch, public_key, opens: 0, sealed: 0 }
    };
    report.epochs = open.repository.epochs().into_iter().map(of).collect();
    let mut openings = Vec::new();
    for session in session.of_each_database().await? {
        backups(&session, epoch, &mut report, &mut openings).await?;
    }
    for slot in &mut report.slots {
        // A slot holds its epoch and those before it.
        let opens = |by: &&Vec<u32>| by.iter().any(|epoch| *epoch <= slot.epoch);
        slot.backups = Some(openings.iter().filter(opens).count() as u64);
    }
    Ok(report)
}

async fn backups(
    session: &Arc<Session>,
    newest: u32,
    report: &mut KeysReport,
    openings: &mut Vec<Vec<u32>>,
) -> Result<()> {
    for found in examined(session).await? {
        let Examined { id, entry: _, files, sealed_under } = found;
        // The highest file counts; what others are left, somebody could still use.
        let counts = files.last().map(|file| file.epochs.clone()).unwrap_or_default();
        let sealed_under = match sealed_under {
            Ok(_) if counts.is_empty() => {
                let e = Error::new(Code::WrongKey, format!("{id} has no key file that this store's identity opens"));
                report.unopened.push(refusal(session, &id, &e));
                continue;
            }
            Ok(epoch) => epoch,
            Err(e) => {
                report.unopened.push(refusal(session, &id, &e));
                continue;
            }
        };
        let mut opened_by: Vec<u32> = files.iter().flat_map(|file| file.epochs.clone()).collect();
        opened_by.sort_unstable_by_key(|epoch| std::cmp::Reverse(*epoch));
        opened_by.dedup();
        for epoch in &mut report.epochs {
            epoch.opens += u64::from(opened_by.contains(&epoch.epoch));
            epoch.sealed += u64::from(sealed_under == epoch.epoch);
        }
        openings.push(counts);
        if opened_by != [newest] || sealed_under != newest {
            let (database, backup) = (session.database.clone(), id);
            report.behind.push(BackupKey { database, backup, opened_by, sealed_under });
        }
    }
    Ok(())
}

async fn key_slots(session: &Session, credentials: &[Credential]) -> Result<Vec<KeySlot>> {
    let there = slots(&session.repository).await?;
    let newest = there.iter().map(|slot| slot.epoch).max();
    let mut told = Vec::new();
    for slot in there {
        let Some(sealed) = session.repository.get(&slot.object, MAX_SLOT_BYTES).await? else { continue };
        let mut row = KeySlot {
            slot: slot_id(&slot.object),
            epoch: slot.epoch,
            kind: KeySlotKind::Unknown,
            work_factor: None,
            recipient_kinds: Vec::new(),
            provider: None,
            written_at: slot.written_at,
            opens_here: false,
            current: Some(slot.epoch) == newest,
            being_removed: slot.being_removed,
            backups: None,
        };
        match locked_with(&sealed) {
            LockedWith::Passphrase(log_n) => (row.kind, row.work_factor) = (KeySlotKind::Passphrase, Some(log_n)),
            LockedWith::Recipients(kinds) => (row.kind, row.recipient_kinds) = (KeySlotKind::Recipients, kinds),
            LockedWith::Provider(name) => (row.kind, row.provider) = (KeySlotKind::Provider, Some(name)),
            LockedWith::Unknown => {}
        }
        let credentials = credentials.to_vec();
        row.opens_here = aside(move || Ok(credentials.iter().any(|c| open_slot(&sealed, c).is_ok()))).await?;
        told.push(row);
    }
    Ok(told)
}
