//! Keeping the file that gives way to a restored one.
//!
//! The old file gets a second name first, and then the restored one is renamed over the first: at every moment the
//! database is there under its name, either the old one or the restored one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::temp::{beside, folder_of, remove_if_there};
use crate::engine::Suffix;
use crate::error::{Code, Error, Result};
use crate::report::{Promoted, Warning};

/// The longest name that file systems keep, less the longest suffix that SQLite appends.
const NAME_BYTES: usize = 255 - "-journal".len();

const SIDE_FILES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The path of the old file: `shop.db` becomes `shop_before_20251121_020001.db`.
pub(super) fn kept_path(path: &Path, suffix: &Suffix) -> PathBuf {
    renamed(path, |stem, room| suffix.before(stem, room))
}

/// Another name in the same folder, with the same extension.
fn renamed(path: &Path, name: impl FnOnce(&str, usize) -> String) -> PathBuf {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    let extension = match path.extension() {
        Some(extension) => format!(".{}", text(Some(extension))),
        None => String::new(),
    };
    let stem = name(&text(path.file_stem()), NAME_BYTES.saturating_sub(extension.len()));
    folder_of(path).join(stem + &extension)
}

/// Gives the file that is at `path`, and what SQLite keeps beside it, a second name.
///
/// Side files are there only if the database is damaged: opening it would have folded them in.
pub(super) fn keep(path: &Path, kept: &Path) -> Result<()> {
    let link = |from: &Path, to: &Path| {
        fs::hard_link(from, to).map_err(|e| {
            let message = format!("{} could not be kept as {}: {e}", from.display(), to.display());
            Error::new(Code::LocalFile, message)
                .next("restore to another path, and rename the files when nobody uses them")
                .because(e)
        })
    };
    let all = || {
        for suffix in SIDE_FILES {
            let from = beside(path, suffix);
            if from.exists() {
                link(&from, &beside(kept, suffix))?;
            }
        }
        link(path, kept)
    };
    all().inspect_err(|_| {
        for suffix in SIDE_FILES {
            // The error that is told is the first one.
            let _ = remove_if_there(&beside(kept, suffix));
        }
    })
}

/// Takes away the second name of the live file that a promotion left which was killed between its two steps. Two
/// names of one SQLite database are dangerous: each has its own log.
pub(super) fn sweep(path: &Path) {
    let Ok(live) = fs::metadata(path) else { return };
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let prefix = stem + "_before_";
    if live.nlink() < 2 {
        return;
    }
    for entry in fs::read_dir(folder_of(path)).into_iter().flatten().flatten() {
        let same = entry.metadata().is_ok_and(|found| (found.dev(), found.ino()) == (live.dev(), live.ino()));
        if same && entry.file_name().to_string_lossy().starts_with(&prefix) {
            tracing::debug!(path = %entry.path().display(), "removing a name that a killed promotion left");
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What became of the old file, and how to go back to it.
pub(super) fn promoted(path: &Path, kept: &Path) -> Promoted {
    let kept_name = kept.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let aside = renamed(path, |_, _| kept_name.replacen("_before_", "_restored_", 1));
    let live = quoted(path);
    Promoted {
        kept: Some(kept.display().to_string()),
        go_back: vec![
            // Together with the log, if there is one: SQLite would play it into the old file.
            format!("for s in '' -wal -shm -journal; do [ ! -e {live}$s ] || mv {live}$s {}$s; done", quoted(&aside)),
            format!("mv {} {live}", quoted(kept)),
        ],
        drop_kept: vec![format!("rm {}", quoted(kept))],
    }
}

/// Connections are to a file, not to its name, and SQLite does not tell of those that are idle.
pub(super) fn still_open(path: &Path, kept: &Path) -> Warning {
    let message =
        format!("whoever had {} open goes on with {}: restart the application", path.display(), kept.display());
    Warning::new("reopen", message)
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_old_file_is_named_after_the_live_one() {
        let suffix = Suffix(jiff::Timestamp::from_second(1_763_690_401).unwrap());
        assert_eq!(kept_path(Path::new("/a/shop.db"), &suffix), Path::new("/a/shop_before_20251121_020001.db"));
        assert_eq!(kept_path(Path::new("shop"), &suffix), Path::new("./shop_before_20251121_020001"));
        let long = format!("/a/{}.sqlite3", "x".repeat(240));
        let name = kept_path(Path::new(&long), &suffix).file_name().unwrap().len();
        assert_eq!(name, NAME_BYTES);
        let promoted = promoted(Path::new("/a/it's.db"), &kept_path(Path::new("/a/it's.db"), &suffix));
        assert_eq!(promoted.go_back[1], "mv '/a/it'\\''s_before_20251121_020001.db' '/a/it'\\''s.db'");
        assert!(promoted.go_back[0].contains("mv '/a/it'\\''s.db'$s '/a/it'\\''s_restored_20251121_020001.db'$s"));
    }

    #[test]
    fn a_second_name_that_a_killed_promotion_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("shop.db"), "live").unwrap();
        fs::write(path("shop_before_20240101_000000.db"), "kept").unwrap();
        keep(&path("shop.db"), &path("shop_before_20251121_020001.db")).unwrap();
        fs::hard_link(path("shop.db"), path("another.db")).unwrap();
        sweep(&path("shop.db"));
        assert!(!path("shop_before_20251121_020001.db").exists());
        assert!(path("shop_before_20240101_000000.db").exists() && path("another.db").exists());
    }

    #[test]
    fn a_name_that_is_taken_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["shop.db", "shop.db-wal", "kept.db"] {
            fs::write(path(name), name).unwrap();
        }
        let e = keep(&path("shop.db"), &path("kept.db")).unwrap_err();
        assert_eq!(e.code(), Code::LocalFile, "{e}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
