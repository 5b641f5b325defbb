//! What opens what, for people.

use std::fmt::Write as _;

use super::{Output, age, duration, table};
use crate::error::Result;
use crate::report::{
    AddKeyReport, KeyRefusal, KeySlot, KeysReport, ReencryptReport, RemoveKeyReport, RewrapReport, RotateKeyReport,
};

impl Output {
    pub(in crate::cli) fn keys(&self, r: &KeysReport) -> Result<()> {
        self.say(r, || {
            let mut rows = vec![["SLOT", "LOCKED WITH", "AGE", "HERE", "OPENS"].map(str::to_owned)];
            rows.extend(r.slots.iter().map(|slot| {
                let here = if slot.opens_here { "opens" } else { "-" };
                [slot.slot.clone(), lock(slot), age(slot.written_at), here.to_owned(), opens(slot)]
            }));
            let mut text = table(&rows);
            if r.epoch.is_none() {
                text += "what they open is told with a key\n";
                return text;
            }
            for epoch in &r.epochs {
                let _ = writeln!(
                    text,
                    "epoch {}: opens {} backups, {} were sealed under it ({})",
                    epoch.epoch, epoch.opens, epoch.sealed, epoch.public_key
                );
            }
            for recipient in r.recipients.iter().skip(1) {
                let _ = writeln!(text, "new backups open with {recipient} as well");
            }
            let old = |epoch: &u32| Some(*epoch) < r.epoch;
            let opened = r.behind.iter().filter(|b| b.opened_by.iter().any(old)).count();
            if opened > 0 {
                let _ = writeln!(text, "earlier epochs open {opened} backups; next: lastgood rewrap");
            }
            let sealed = r.behind.iter().filter(|b| old(&b.sealed_under)).count();
            if sealed > 0 {
                let _ = writeln!(
                    text,
                    "earlier epochs have known the data keys of {sealed} backups; if somebody saw one of those: lastgood reencrypt"
                );
            }
            text + &refused(&r.unopened)
        })
    }

    pub(in crate::cli) fn rotate_key(&self, r: &RotateKeyReport) -> Result<()> {
        self.say(r, || {
            let mut text = match &r.removed {
                Some(removed) => format!("{} was written, {removed} was removed\n", r.added),
                None => format!("{} was written\n", r.added),
            };
            for slot in &r.behind {
                let _ =
                    writeln!(text, "{slot} opens no backup of epoch {}: add its key again, then remove it", r.epoch);
            }
            text
        })
    }

    pub(in crate::cli) fn add_key(&self, r: &AddKeyReport) -> Result<()> {
        self.say(r, || match r.proven {
            true => format!("{} was written, and opens\n", r.slot),
            false => format!(
                "{} was written; whoever holds its key should try it: lastgood keys --identity-file …\n",
                r.slot
            ),
        })
    }

    pub(in crate::cli) fn remove_key(&self, r: &RemoveKeyReport) -> Result<()> {
        self.say(r, || format!("{} was removed; {} opens\n", r.slot, r.opens_with))
    }

    pub(in crate::cli) fn rewrap(&self, r: &RewrapReport) -> Result<()> {
        self.say(r, || {
            format!(
                "{} backups were wrapped to epoch {} in {}, {} were before\n{}",
                r.rewrapped,
                r.epoch,
                duration(r.duration_ms),
                r.unchanged,
                refused(&r.refused)
            )
        })
    }

    pub(in crate::cli) fn reencrypt(&self, r: &ReencryptReport) -> Result<()> {
        self.say(r, || {
            let mut text = String::new();
            for done in &r.reencrypted {
                let stays = if done.removed { "" } else { ", which stays" };
                let _ = writeln!(text, "{}/{} replaces {}{stays}", done.database, done.by, done.backup);
            }
            let _ = writeln!(
                text,
                "{} backups were sealed anew under epoch {} in {}, {} were under it",
                r.reencrypted.len(),
                r.epoch,
                duration(r.duration_ms),
                r.unchanged
            );
            if r.reencrypted.is_empty() && r.refused.is_empty() {
                text += "if somebody saw a key of this epoch, make a new one first: lastgood rotate-key --new-epoch\n";
            }
            text + &refused(&r.refused)
        })
    }
}

fn lock(slot: &KeySlot) -> String {
    let kind = slot.kind.as_str();
    match (slot.work_factor, &slot.provider) {
        (Some(log_n), _) => format!("{kind} (scrypt 2^{log_n})"),
        (_, Some(name)) => format!("{kind} {name}"),
        _ if slot.recipient_kinds.is_empty() => kind.to_owned(),
        _ => format!("{kind} ({})", slot.recipient_kinds.join(", ")),
    }
}

fn opens(slot: &KeySlot) -> String {
    let which = if slot.current { "everything".to_owned() } else { format!("up to epoch {} only", slot.epoch) };
    let count = slot.backups.map(|n| format!(": {n} backups")).unwrap_or_default();
    let removed = if slot.being_removed { ", being removed" } else { "" };
    format!("{which}{count}{removed}")
}

fn refused(refused: &[KeyRefusal]) -> String {
    refused.iter().fold(String::new(), |text, r| {
        text + &format!("warning[{}]: {}/{}: {}\n", r.code, r.database, r.backup, r.message)
    })
}
