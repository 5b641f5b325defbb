//! Every object name of a store, made here and nowhere else, from ids only.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

use crate::id::{BackupId, DatabaseName, EngineKind};
use crate::report::ProofKind;

/// The repository marker.
pub(crate) const MARKER: &str = "lastgood.json";
/// How to open the store without this library.
pub(crate) const RECOVERY_PAGE: &str = "RECOVERY.md";
/// The program that does it.
pub(crate) const RECOVERY_PROGRAM: &str = "recover.py";
/// The folder of the key slots.
pub(crate) const KEYS: &str = "keys";
/// The commit of a backup.
pub(crate) const MANIFEST: &str = "manifest.json";

/// A key slot: `keys/1-main.age`.
pub(crate) fn key_slot(epoch: u32, slot: &str) -> String {
    format!("{KEYS}/{epoch}-{slot}.age")
}

/// Says that a key slot is about to be removed: `keys/1-main.removal` of `keys/1-main.age`.
pub(crate) fn slot_removal(slot: &str) -> String {
    format!("{}.removal", slot.strip_suffix(".age").unwrap_or(slot))
}

/// What the doctor writes and deletes again to try a store: `probe-4f1c….tmp`. No folder, so it is never taken for a
/// database; and a store may be made beside one that was left.
pub(crate) fn probe(random: &str) -> String {
    format!("probe-{random}.tmp")
}

/// Whether an object is such a probe.
pub(crate) fn is_probe(name: &str) -> bool {
    name.starts_with("probe-") && name.ends_with(".tmp")
}

/// The folder of a backup: `shop/backup-20251121-020001`.
pub(crate) fn backup(database: &DatabaseName, id: &BackupId) -> String {
    format!("{database}/{id}")
}

/// An object of a backup: `shop/backup-20251121-020001/manifest.json`.
pub(crate) fn in_backup(database: &DatabaseName, id: &BackupId, object: &str) -> String {
    format!("{}/{object}", backup(database, id))
}

/// Holds a backup's name while it is being made.
pub(crate) fn reservation(database: &DatabaseName, id: &BackupId) -> String {
    format!("{database}/{CONTROL}/{id}.run")
}

/// The folder of what runs keep about themselves: reservations, marks, the lease, the schedule's records.
const CONTROL: &str = "control";

/// Says that a folder is no backup any more, whatever appears in it later.
pub(crate) fn void(database: &DatabaseName, id: &BackupId) -> String {
    format!("{database}/{CONTROL}/{id}.void")
}

/// Says that a backup is going to be deleted.
pub(crate) fn mark(database: &DatabaseName, id: &BackupId) -> String {
    format!("{database}/{CONTROL}/{id}.delete")
}

/// What an object of a database's folder, named relative to it, is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    InBackup(BackupId, String),
    Reservation(BackupId),
    Void(BackupId),
    Mark(BackupId),
    Other,
}

/// Understands the name of an object relative to its database's folder.
pub(crate) fn place(name: &str) -> Place {
    let Some((folder, object)) = name.split_once('/') else { return Place::Other };
    if folder != CONTROL {
        return folder.parse().map_or(Place::Other, |id| Place::InBackup(id, object.to_owned()));
    }
    let Some((id, kind)) = object.rsplit_once('.') else { return Place::Other };
    match (id.parse(), kind) {
        (Ok(id), "run") => Place::Reservation(id),
        (Ok(id), "void") => Place::Void(id),
        (Ok(id), "delete") => Place::Mark(id),
        _ => Place::Other,
    }
}

/// The folder of the lease of a database's runs.
pub(crate) fn lease(database: &DatabaseName) -> String {
    format!("{database}/{CONTROL}/lease")
}

/// The folder of the lease of those who seal a database's backups anew.
pub(crate) fn reencrypt_lease(database: &DatabaseName) -> String {
    format!("{database}/{CONTROL}/reencrypt")
}

/// Is written anew to learn the store's time.
pub(crate) fn clock(database: &DatabaseName) -> String {
    format!("{database}/{CONTROL}/clock.json")
}

/// The folder of the slots that runs have claimed.
pub(crate) fn slots(database: &DatabaseName) -> String {
    format!("{database}/{CONTROL}/slots")
}

/// The `n`-th claim of a slot of a job, counted from 1.
pub(crate) fn slot(database: &DatabaseName, job: &str, slot: Timestamp, n: u32) -> String {
    format!("{}/{job}-{}-{n}.json", slots(database), time(slot))
}

/// What a job did last.
pub(crate) fn job(database: &DatabaseName, job: &str) -> String {
    format!("{database}/{CONTROL}/jobs/{job}.json")
}

/// A hold on a backup: it is not deleted before this time.
pub(crate) fn hold(until: Timestamp) -> String {
    format!("hold-{}.json", time(until))
}

/// Until when a hold holds, if the name is one.
pub(crate) fn hold_until(name: &str) -> Option<Timestamp> {
    let text = name.strip_prefix("hold-")?.strip_suffix(".json")?;
    let at = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", text).ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%d-%H%M%S").to_string()
}

/// Says that an operation failed when it last ran.
pub(crate) fn failing(database: &DatabaseName, operation: &str) -> String {
    format!("{database}/control/failing-{operation}.json")
}

/// The `n`-th volume of a backup, counted from 1.
pub(crate) fn volume(n: u32, sealed: bool) -> String {
    format!("volume-{n:04}.zip{}", if sealed { ".enc" } else { "" })
}

/// The `sha256sum` file beside a volume.
pub(crate) fn checksum_file(volume: &str) -> String {
    format!("{volume}.sha256")
}

/// What the `sha256sum` file holds.
pub(crate) fn checksum_line(volume: &str, sha256: &str) -> String {
    format!("{sha256}  {volume}\n")
}

/// The `n`-th wrapping of a backup's data key, counted from 1; the highest counts.
pub(crate) fn key_file(n: u32) -> String {
    format!("key-{n:04}.age")
}

/// The number of a key file, if the name is one.
pub(crate) fn key_file_number(name: &str) -> Option<u32> {
    name.strip_prefix("key-")?.strip_suffix(".age")?.parse().ok()
}

/// A proof of a backup; `-2`, `-3` … when two end in the same second.
pub(crate) fn proof(at: Timestamp, kind: ProofKind, attempt: u32) -> String {
    let time = time(at);
    let tail = if attempt < 2 { String::new() } else { format!("-{attempt}") };
    format!("proof-{time}-{}{tail}.json", kind.as_str())
}

/// When the check of a proof ended, and its kind, from its name.
pub(crate) fn proof_parts(name: &str) -> Option<(Timestamp, ProofKind)> {
    let rest = name.strip_prefix("proof-")?.strip_suffix(".json")?;
    let (time, kind) = rest.split_at_checked(15)?;
    let at = civil::DateTime::strptime("%Y%m%d-%H%M%S", time).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let is = |wanted: &ProofKind| kind[1..].split('-').next() == Some(wanted.as_str());
    let kind = kind.starts_with('-').then(|| [ProofKind::Verify, ProofKind::Drill].into_iter().find(is))??;
    Some((at, kind))
}

/// Whether an object of a backup is a proof.
pub(crate) fn is_proof(name: &str) -> bool {
    name.starts_with("proof-") && name.ends_with(".json")
}

/// A dump's file in a volume: its name, the codec's suffix, and from the second piece on `.002`, `.003` …
pub(crate) fn entry(file: &str, suffix: &str, piece: u32) -> String {
    if piece < 2 { format!("{file}{suffix}") } else { format!("{file}{suffix}.{piece:03}") }
}

/// Whether an object is a dump that scripts made: `backup-20240101-020000.dump.gz.enc`, `shop.sql.zst`, `shop.dump`.
pub(crate) fn is_artifact(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let file = file.strip_suffix(".enc").unwrap_or(file);
    let file = [".gz", ".zst", ".lz4"].iter().find_map(|suffix| file.strip_suffix(suffix)).unwrap_or(file);
    [".dump", ".sql", ".tar", ".backup", ".pgdump", ".archive"]
        .iter()
        .any(|suffix| file.len() > suffix.len() && file.ends_with(suffix))
}

/// The folder of a directory dump, if the object is its table of contents.
pub(crate) fn artifact_folder(name: &str) -> Option<&str> {
    name.strip_suffix("/toc.dat").filter(|folder| !folder.is_empty())
}

/// The file that holds an artifact's SHA-256.
pub(crate) fn artifact_checksum(name: &str) -> String {
    format!("{name}.sha256")
}

/// An artifact's name, made as scripts make it.
pub(crate) fn artifact(id: &BackupId, engine: EngineKind, sealed: bool) -> String {
    let kind = if engine == EngineKind::Mysql { "sql" } else { "dump" };
    format!("{id}.{kind}.gz{}", if sealed { ".enc" } else { "" })
}

/// The time that an artifact's name tells: `backup-20240101-020000.dump.gz`.
pub(crate) fn artifact_time(name: &str) -> Option<Timestamp> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let id: BackupId = file.split('.').next()?.parse().ok()?;
    Some(id.started_at())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_told_from_the_objects_of_a_store() {
        for name in ["backup-20240101-020000.dump.gz", "old/backup-20240101-020000.dump.gz.enc", "a.sql", "a.tar.zst"] {
            assert!(is_artifact(name), "{name}");
        }
        for name in [
            MARKER,
            RECOVERY_PAGE,
            RECOVERY_PROGRAM,
            "keys/1-main.age",
            "shop/backup-20240101-020000/volume-0001.zip.enc",
            "shop/backup-20240101-020000/volume-0001.zip",
            "shop/backup-20240101-020000/manifest.json",
            "backup-20240101-020000.dump.gz.sha256",
            ".dump",
            "photo.gz",
        ] {
            assert!(!is_artifact(name), "{name}");
        }
        let time = artifact_time("old/backup-20240101-020000.dump.gz.enc");
        assert_eq!(time, "2024-01-01T02:00:00Z".parse().ok());
        assert_eq!(artifact_time("shop.dump"), None);
    }
}
