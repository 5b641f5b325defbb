//! Further promises of a store, tried on the doctor's probe: its clock, uploads in pieces, versions, and room.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::in_time;
use crate::clock::Clock;
use crate::report::Check;
use crate::storage::Repository;

/// Clocks that differ by less are as good as the same: dates of stores are whole seconds, and answers take their time.
const NEAR: SignedDuration = SignedDuration::from_secs(60);
/// From here on a schedule follows the store's clock, and not far from here services refuse signed requests.
const FAR: SignedDuration = SignedDuration::from_mins(5);

/// Compares this host's clock with the one of `whose`, which showed `theirs` while this one went from `before` to now.
pub(crate) fn clocks(name: &str, whose: &str, theirs: Timestamp, before: Timestamp, clock: &dyn Clock) -> Check {
    let behind = theirs.duration_since(clock.now());
    let ahead = before.duration_since(theirs);
    let (off, word) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
    if off <= NEAR {
        return Check::pass(name, format!("this host's clock and {whose} agree"));
    }
    let message = format!("this host's clock is {} s {word} {whose}", off.as_secs());
    let next = "set this host's clock by NTP (chrony, systemd-timesyncd), or the other one";
    if off > FAR { Check::fail(name, message, next) } else { Check::warn(name, message, next) }
}

/// The date that the store gave to the probe, which was written after `before`.
pub(super) async fn clock(repository: &Repository, probe: &str, before: Timestamp, clock: &dyn Clock) -> Check {
    const NAME: &str = "store_clock";
    match in_time("reading a date", repository.meta(probe)).await {
        Ok(Some(meta)) => clocks(NAME, "the store's", meta.modified, before, clock),
        Ok(None) => Check::not_checked(NAME, "the probe is not there"),
        Err(e) => Check::failed(NAME, &e),
    }
}

/// An upload in pieces is whole when it was finished, and leaves nothing when it was given up.
pub(super) async fn multipart(repository: &Repository, probe: &str) -> Check {
    const NAME: &str = "store_multipart";
    const PIECE: &[u8] = b"one piece that is a whole part, the last one";
    let (whole, given_up) = (format!("{probe}.whole.tmp"), format!("{probe}.part.tmp"));
    let trying = async {
        let mut upload = repository.upload(&whole, PIECE.len() as u64)?;
        upload.write(PIECE).await?;
        upload.finish().await?;
        let stored = repository.get(&whole, 1 << 10).await?;
        repository.delete(&whole).await?;
        let mut upload = repository.upload(&given_up, PIECE.len() as u64)?;
        upload.write(PIECE).await?;
        upload.give_back().await?;
        Ok((stored.as_deref() == Some(PIECE), repository.size(&given_up).await?.is_none()))
    };
    match in_time("uploading in pieces", trying).await {
        Ok((true, true)) => {
            Check::pass(NAME, "uploads in pieces arrive whole, and leave nothing when they are given up")
        }
        Ok((false, _)) => {
            Check::fail(NAME, "an upload in pieces did not arrive as it was sent", "do not use this store")
        }
        Ok((true, false)) => Check::fail(
            NAME,
            "an upload that was given up is there all the same",
            "use a store whose uploads are visible only when they are finished",
        ),
        Err(e) => Check::failed(NAME, &e),
    }
}

/// Whether what somebody deletes can be brought back: `version` is that of the probe, which was deleted since then.
pub(super) async fn versions(repository: &Repository, probe: &str, version: Option<String>) -> Check {
    const NAME: &str = "store_versions";
    let none = || {
        Check::warn(
            NAME,
            "the bucket keeps no versions: whoever has these credentials can delete every backup for good",
            "turn versioning on, and Object Lock where nobody may delete; or let these credentials write and not delete",
        )
    };
    let Some(version) = version else { return none() };
    match in_time("reading a version", repository.has_version(probe, &version)).await {
        Ok(true) => {
            Check::pass(NAME, "the bucket keeps versions: what is deleted can be brought back while its rules say so")
        }
        Ok(false) => none(),
        Err(e) => Check::warn(
            NAME,
            format!("the bucket keeps versions; whether they outlast a deletion cannot be seen: {}", e.message()),
            "allow s3:GetObjectVersion to this host, or see that versioning is not suspended",
        ),
    }
}

/// Whether a folder has room for backups like the newest.
pub(super) fn disk(folder: &Path, newest_bytes: Option<u64>) -> Check {
    const NAME: &str = "disk";
    let free = match free_bytes(folder) {
        Ok(Some(free)) => free,
        Ok(None) => return Check::not_checked(NAME, "this system does not say how much is free"),
        Err(e) => return Check::fail(NAME, format!("{}: {e}", folder.display()), "check the folder and its disk"),
    };
    let mebibytes = |bytes: u64| bytes >> 20;
    let message = format!("{} MiB are free at {}", mebibytes(free), folder.display());
    match newest_bytes {
        Some(newest) if free < newest => Check::fail(
            NAME,
            format!("{message}; the newest backup took {} MiB", mebibytes(newest)),
            "free space, keep fewer backups, or use a larger disk",
        ),
        Some(newest) if free / 3 < newest => Check::warn(
            NAME,
            format!("{message}; the newest backup took {} MiB, so there is room for few more", mebibytes(newest)),
            "free space, keep fewer backups, or use a larger disk",
        ),
        _ => Check::pass(NAME, message),
    }
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> std::io::Result<Option<u64>> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> std::io::Result<Option<u64>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::report::CheckStatus;

    #[derive(Debug)]
    struct At(i64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0).unwrap()
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_with_its_direction() {
        let told = |theirs: i64| {
            let at = |s| Timestamp::from_second(s).unwrap();
            let check = clocks("c", "the store's", at(theirs), at(10_000), &At(10_002));
            (check.status, check.message)
        };
        assert_eq!(told(9_999).0, CheckStatus::Pass, "dates of whole seconds are a little early");
        assert_eq!(told(10_001).0, CheckStatus::Pass);
        assert_eq!(told(9_880), (CheckStatus::Warn, "this host's clock is 120 s ahead of the store's".to_owned()));
        assert_eq!(told(11_002), (CheckStatus::Fail, "this host's clock is 1000 s behind the store's".to_owned()));
    }

    #[test]
    fn a_disk_without_room_for_another_backup_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let status = |newest| disk(folder.path(), newest).status;
        assert_eq!([status(None), status(Some(1))], [CheckStatus::Pass, CheckStatus::Pass]);
        let free = free_bytes(folder.path()).unwrap().unwrap();
        assert_eq!([status(Some(free / 2)), status(Some(free * 2))], [CheckStatus::Warn, CheckStatus::Fail]);
        assert_eq!(disk(&folder.path().join("gone"), None).status, CheckStatus::Fail);
    }
}
