//! Sources that cannot be backed up, and what is said about them.

use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::Command;

use super::*;

const TABLE: &str = "
    CREATE TABLE t(id INTEGER PRIMARY KEY, x BLOB, n INTEGER);
    CREATE INDEX t_n ON t(n);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
        INSERT INTO t SELECT i, randomblob(200), i FROM n;
";

async fn dump_code(place: &Place, path: &Path) -> Code {
    let code = code(dump(path, &place.options()).await);
    assert!(place.left_behind().is_empty(), "{:?}", place.left_behind());
    code
}

#[test]
fn files_that_are_no_database_are_refused() {
    run(async {
        let place = Place::new();
        let text = place.path("text.db");
        fs::write(&text, "just a text, long enough to have a header of a hundred bytes ".repeat(100)).unwrap();
        assert_eq!(dump_code(&place, &text).await, Code::UnsupportedDatabase);
        assert_eq!(code(engine(&text).probe().await), Code::UnsupportedDatabase);
        let short = place.path("short.db");
        fs::write(&short, "short").unwrap();
        assert_eq!(dump_code(&place, &short).await, Code::UnsupportedDatabase);
        // SQLCipher encrypts the header, too.
        let encrypted = place.path("encrypted.db");
        let noise: Vec<u8> = (0..8192_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        fs::write(&encrypted, noise).unwrap();
        let e = dump(&encrypted, &place.options()).await.err().unwrap();
        assert!(e.to_string().contains("encrypted"), "{e}");
        assert_eq!(dump_code(&place, place.data.path()).await, Code::UnsupportedDatabase);
        assert_eq!(dump_code(&place, &place.path("missing.db")).await, Code::DatabaseNotFound);
        assert_eq!(dump_code(&place, &place.path("no/folder/x.db")).await, Code::DatabaseNotFound);
        assert!(!place.path("missing.db").exists());
        let mut options = place.options();
        options.work_dir = Some(place.path("no/folder"));
        assert_eq!(code(dump(&place.database("t.db", TABLE), &options).await), Code::LocalFile);
    });
}

#[test]
fn a_truncated_database_is_damaged() {
    run(async {
        let place = Place::new();
        let source = place.database("t.db", TABLE);
        let whole = fs::read(&source).unwrap();
        for keep in [whole.len() - 1, whole.len() - 4096, whole.len() / 2, 4096, 4095, 100] {
            fs::write(&source, &whole[..keep]).unwrap();
            let code = dump_code(&place, &source).await;
            assert!(matches!(code, Code::Damaged | Code::UnsupportedDatabase), "{keep}: {code}");
        }
    });
}

#[test]
fn a_damaged_page_fails_the_snapshot() {
    run(async {
        let place = Place::new();
        let source = place.database("t.db", TABLE);
        let pages = fs::metadata(&source).unwrap().len() / 4096;
        for page in [1, 2, pages / 2, pages - 1] {
            let path = place.path("broken.db");
            fs::copy(&source, &path).unwrap();
            File::options().write(true).open(&path).unwrap().write_all_at(&[0xa5; 600], page * 4096).unwrap();
            assert_eq!(dump_code(&place, &path).await, Code::Damaged, "page {page} of {pages}");
        }
    });
}

#[test]
fn an_index_that_disagrees_is_a_warning_at_the_restore() {
    run(async {
        let place = Place::new();
        let source = place.database("t.db", TABLE);
        // The index is taken out of the schema, a row is written behind its back, and the index is put back.
        open(&source)
            .run(
                "CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 't_n';
                 PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 't_n'; PRAGMA writable_schema = RESET",
            )
            .unwrap();
        open(&source)
            .run(
                "INSERT INTO t(n) VALUES (-1); PRAGMA writable_schema = ON;
                 INSERT INTO sqlite_schema SELECT * FROM kept; PRAGMA writable_schema = RESET",
            )
            .unwrap();
        let (_, warnings) = round_trip(&place, &source).await;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].code, "damaged_index");
        assert!(warnings[0].message.contains("t_n") && warnings[0].message.contains("REINDEX"));
    });
}

#[test]
fn values_older_than_a_rule_are_a_warning() {
    run(async {
        let place = Place::new();
        let source = place.database(
            "t.db",
            "CREATE TABLE t(x INTEGER); INSERT INTO t VALUES (NULL), (1); PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE TABLE t(x INTEGER NOT NULL CHECK (x > 5))' WHERE name = 't'",
        );
        let (dump, warnings) = round_trip(&place, &source).await;
        assert_eq!(dump.summary.warnings, warnings);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].code, "invalid_value");
    });
}

#[test]
fn a_crashed_transaction_is_rolled_back_before_the_copy() {
    run(async {
        let place = Place::new();
        let source = place.database("t.db", TABLE);
        // A process that dies in the middle of a transaction leaves its file and its journal like this.
        let writer = open(&source);
        writer.run("PRAGMA cache_size = 2; BEGIN; UPDATE t SET n = 0, x = randomblob(200)").unwrap();
        let crashed = place.path("crashed.db");
        fs::copy(&source, &crashed).unwrap();
        fs::copy(place.path("t.db-journal"), place.path("crashed.db-journal")).unwrap();
        drop(writer);
        let dump = dump(&crashed, &place.options()).await.unwrap();
        restore(&dump, &place.path("copy.db"), false).await.unwrap();
        assert_eq!(integer(&place.path("copy.db"), "SELECT count(*) FROM t WHERE n = 0"), 0);
    });
}

#[test]
fn a_crashed_log_is_read_and_left_as_it_is() {
    run(async {
        let place = Place::new();
        let source = place.path("t.db");
        let writer = open(&source);
        writer.run("PRAGMA journal_mode = WAL; CREATE TABLE t(x)").unwrap();
        writer.run("PRAGMA wal_checkpoint; INSERT INTO t VALUES (1)").unwrap();
        let crashed = place.path("crashed.db");
        fs::copy(&source, &crashed).unwrap();
        fs::copy(place.path("t.db-wal"), place.path("crashed.db-wal")).unwrap();
        let before = (fs::read(&crashed).unwrap(), fs::read(place.path("crashed.db-wal")).unwrap());
        assert_eq!(dump(&crashed, &place.options()).await.unwrap().rows("t"), 1);
        assert_eq!((fs::read(&crashed).unwrap(), fs::read(place.path("crashed.db-wal")).unwrap()), before);
    });
}

/// A small file system of its own, which only root can have; `None` where that is not allowed.
struct Mount(TempDir);

impl Mount {
    fn new(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={bytes},mode=0700");
        let mounted = mount(&["-t", "tmpfs", "-o", &options, "lastgood-test", folder.path().to_str()?]);
        mounted.then_some(Self(folder))
    }
}

fn mount(args: &[&str]) -> bool {
    Command::new("mount").args(args).output().is_ok_and(|output| output.status.success())
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_named() {
    run(async {
        let Some(small) = Mount::new(256 << 10) else {
            eprintln!("skipped: no file system can be mounted here (needs root)");
            return;
        };
        let place = Place::new();
        let source = place.database("t.db", TABLE);
        let mut options = place.options();
        options.work_dir = Some(small.0.path().to_owned());
        let e = dump(&source, &options).await.err().unwrap();
        assert_eq!(e.code(), Code::DiskFull, "{e}");
        assert!(e.message().contains(small.0.path().to_str().unwrap()), "{e}");

        let dump = dump(&source, &place.options()).await.unwrap();
        let e = restore(&dump, &small.0.path().join("copy.db"), false).await.err().unwrap();
        assert_eq!(e.code(), Code::DiskFull, "{e}");
        assert!(e.message().contains(small.0.path().to_str().unwrap()), "{e}");
        assert!(names(small.0.path()).is_empty());
    });
}

#[test]
fn a_database_in_a_read_only_folder_is_read() {
    run(async {
        for journal in ["DELETE", "WAL"] {
            // Permissions do not bind root, a read-only file system does.
            let (mount, place) = (Mount::new(16 << 20), Place::new());
            let folder = mount.as_ref().map_or(place.data.path(), |mount| mount.0.path());
            let source = folder.join("t.db");
            open(&source).run(&format!("PRAGMA journal_mode = {journal}; {TABLE}")).unwrap();
            let freeze = |mode: u32, option: &str| match mount {
                Some(_) => assert!(super::failures::mount(&["-o", option, folder.to_str().unwrap()])),
                None => fs::set_permissions(folder, PermissionsExt::from_mode(mode)).unwrap(),
            };
            freeze(0o500, "remount,ro");
            let dump = dump(&source, &place.options()).await.unwrap();
            assert_eq!(dump.rows("t"), 2000, "{journal}");
            assert_eq!(names(folder), ["t.db"]);
            let target = engine(&folder.join("new.db")).target(&restore_options(false)).await;
            assert_eq!(code(target.map(|_| ())), Code::LocalFile);
            freeze(0o700, "remount,rw");
        }
    });
}
