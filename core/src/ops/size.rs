//! Sizes that fall or grow out of line: half of a table's rows gone is often found in the backup's size first.

use futures::{StreamExt, stream};

use super::session::Session;
use crate::id::BackupId;
use crate::report::Warning;

/// Earlier backups that are compared with.
const RECENT: usize = 7;
/// Fewer earlier backups say nothing about what is usual.
const LEAST: usize = 3;
/// Below this, twice the size is no news: 1 MiB.
const SMALL: u64 = 1 << 20;

/// Compares a new backup's raw bytes with those of the newest committed ones, given oldest first.
///
/// What cannot be read is passed over: tonight's backup matters more than the comparison.
pub(super) async fn out_of_line(session: &Session, committed: &[BackupId], bytes: u64) -> Option<Warning> {
    let size_of =
        |id: BackupId| async move { session.manifest(&id).await.ok().map(|(stored, _)| stored.header.source_bytes) };
    let recent: Vec<BackupId> = committed.iter().rev().take(RECENT).cloned().collect();
    let sizes: Vec<_> = stream::iter(recent).map(size_of).buffered(RECENT).collect().await;
    judge(bytes, sizes.into_iter().flatten().collect())
}

fn judge(bytes: u64, mut recent: Vec<u64>) -> Option<Warning> {
    recent.sort_unstable();
    let usual = *recent.get(recent.len() / 2).filter(|_| recent.len() >= LEAST)?;
    let of = |what: &str| format!("the dump has {bytes} bytes, {what} of the {usual} that are usual");
    if bytes < usual / 2 {
        return Some(Warning::new("size_fell", of("less than half")));
    }
    (bytes > usual.saturating_mul(2).max(SMALL)).then(|| Warning::new("size_grew", of("more than twice")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn half_and_twice_of_the_usual_are_told() {
        let code = |bytes, recent: &[u64]| judge(bytes, recent.to_vec()).map(|w| w.code);
        let usual = [9 << 20, 10 << 20, 10 << 20, 200 << 20];
        assert_eq!(code(10 << 20, &usual), None);
        assert_eq!(code(4 << 20, &usual).as_deref(), Some("size_fell"));
        assert_eq!(code(21 << 20, &usual).as_deref(), Some("size_grew"));
        assert_eq!(code(4 << 20, &usual[..2]), None, "too few to compare with");
        assert_eq!(code(3000, &[1000, 1000, 1000]), None, "small databases jump");
        assert_eq!(code(300, &[1000, 1000, 1000]).as_deref(), Some("size_fell"));
    }
}
