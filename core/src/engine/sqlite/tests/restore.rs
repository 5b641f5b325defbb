//! Restoring: what may be replaced, what is checked, what an interrupted restore leaves.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

const TABLE: &str = "CREATE TABLE t(x); INSERT INTO t VALUES (1), (2), (3)";

async fn small_dump(place: &Place) -> Dump {
    dump(&place.database("source.db", TABLE), &place.options()).await.unwrap()
}

#[test]
fn an_existing_database_is_kept_unless_told() {
    run(async {
        let place = Place::new();
        let dump = small_dump(&place).await;
        let old = place.database("old.db", "CREATE TABLE precious(x)");
        let before = fs::read(&old).unwrap();
        assert_eq!(code(restore(&dump, &old, false).await), Code::TargetNotEmpty);
        assert_eq!(fs::read(&old).unwrap(), before);
        restore(&dump, &old, true).await.unwrap();
        assert_eq!(integer(&old, "SELECT count(*) FROM t"), 3);
        assert_eq!(code(restore(&dump, place.data.path(), true).await), Code::UnsupportedDatabase);
        assert_eq!(code(restore(&dump, &place.path("no/folder/x.db"), true).await), Code::LocalFile);
    });
}

#[test]
fn an_empty_file_or_no_database_at_all_may_be_replaced() {
    run(async {
        let place = Place::new();
        let dump = small_dump(&place).await;
        let empty = place.path("empty.db");
        File::create(&empty).unwrap();
        restore(&dump, &empty, false).await.unwrap();
        let text = place.path("text.db");
        fs::write(&text, "not a database".repeat(1000)).unwrap();
        assert_eq!(code(restore(&dump, &text, false).await), Code::TargetNotEmpty);
        restore(&dump, &text, true).await.unwrap();
        assert_eq!(fs::read(&text).unwrap(), dump.bytes());
    });
}

#[test]
fn mode_owner_and_link_are_kept_and_new_files_are_private() {
    run(async {
        let place = Place::new();
        let dump = small_dump(&place).await;
        let fresh = place.path("fresh.db");
        restore(&dump, &fresh, false).await.unwrap();
        assert_eq!(fs::metadata(&fresh).unwrap().mode() & 0o777, 0o600);

        let old = place.database("old.db", TABLE);
        fs::set_permissions(&old, PermissionsExt::from_mode(0o640)).unwrap();
        let owned = std::os::unix::fs::chown(&old, Some(12345), Some(12345)).is_ok();
        let link = place.path("link.db");
        symlink("old.db", &link).unwrap();
        restore(&dump, &link, true).await.unwrap();
        let found = fs::metadata(&old).unwrap();
        assert_eq!(found.mode() & 0o777, 0o640);
        assert!(!owned || (found.uid(), found.gid()) == (12345, 12345));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&old).unwrap(), dump.bytes());
    });
}

#[test]
fn a_target_in_use_is_busy() {
    run(async {
        let place = Place::new();
        let dump = small_dump(&place).await;
        let old = place.database("old.db", &format!("PRAGMA journal_mode = WAL; {TABLE}"));
        let application = open(&old);
        assert_eq!(application.integer("SELECT count(*) FROM t").unwrap(), 3);
        assert_eq!(code(engine(&old).target(&restore_options(true)).await.map(|_| ())), Code::Busy);
        application.run("INSERT INTO t VALUES (4)").unwrap();
        drop(application);
        assert_eq!(integer(&old, "SELECT count(*) FROM t"), 4);
        restore(&dump, &old, true).await.unwrap();
        assert_eq!(integer(&old, "SELECT count(*) FROM t"), 3);
    });
}

#[test]
fn logs_of_the_old_database_do_not_reach_the_new_one() {
    run(async {
        let place = Place::new();
        let dump = small_dump(&place).await;
        let old = place.path("old.db");
        let other = open(&place.path("other.db"));
        other.run("PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES (9)").unwrap();
        fs::copy(place.path("other.db"), &old).unwrap();
        for suffix in ["-wal", "-shm"] {
            fs::copy(place.path(&format!("other.db{suffix}")), place.path(&format!("old.db{suffix}"))).unwrap();
        }
        fs::write(place.path("old.db-journal"), "stale").unwrap();
        restore(&dump, &old, true).await.unwrap();
        drop(other);
        assert_eq!(place.files(), ["old.db", "other.db", "source.db"]);
        assert_eq!(fs::read(&old).unwrap(), dump.bytes());

        // The same with nothing but a log in the way.
        let gone = place.path("gone.db");
        fs::write(place.path("gone.db-wal"), "stale").unwrap();
        restore(&dump, &gone, false).await.unwrap();
        assert_eq!(integer(&gone, "SELECT count(*) FROM t"), 3);
    });
}

#[test]
fn damaged_bytes_never_become_the_database() {
    run(async {
        let place = Place::new();
        let sql = "CREATE TABLE t(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                   INSERT INTO t SELECT hex(randomblob(50)) FROM n";
        let source = place.database("source.db", sql);
        let mut dump = dump(&source, &place.options()).await.unwrap();
        let old = place.database("old.db", TABLE);
        let before = fs::read(&old).unwrap();
        dump.parts[1][4096..4200].fill(0x55);
        let e = restore(&dump, &old, true).await.err().unwrap();
        assert_eq!(e.code(), Code::Damaged, "{e}");
        assert!(e.to_string().contains("left as it was"), "{e}");
        dump.parts.truncate(2);
        assert_eq!(code(restore(&dump, &old, true).await), Code::Damaged);
        dump.parts = vec![b"no database at all".repeat(1000)];
        assert_eq!(code(restore(&dump, &old, true).await), Code::Damaged);
        assert_eq!(fs::read(&old).unwrap(), before);
        assert_eq!(place.files(), ["old.db", "source.db"]);
    });
}

#[test]
fn orphaned_rows_are_told_and_kept() {
    run(async {
        let place = Place::new();
        let source = place.database(
            "t.db",
            "PRAGMA foreign_keys = OFF; CREATE TABLE parent(id INTEGER PRIMARY KEY);
             CREATE TABLE child(p REFERENCES parent); INSERT INTO child VALUES (1), (2);
             CREATE TABLE odd(p REFERENCES nowhere(x)); INSERT INTO odd VALUES (1)",
        );
        let (dump, warnings) = round_trip(&place, &source).await;
        assert_eq!(dump.rows("child"), 2);
        let texts: Vec<String> = warnings.iter().map(|w| format!("{}: {}", w.code, w.message)).collect();
        assert!(texts.iter().any(|t| t.starts_with("orphaned_rows: 2 rows of child")), "{texts:?}");
    });
}

#[test]
fn an_abandoned_restore_leaves_nothing() {
    run(async {
        let place = Place::new();
        let dump = small_dump(&place).await;
        let path = place.path("new.db");
        let bytes = dump.bytes().len() as u64;
        let stored = [StoredFile { name: dump.name.clone(), bytes: Some(bytes) }];

        let mut aborted = engine(&path).target(&restore_options(false)).await.unwrap();
        aborted.prepare(Vec::new(), &stored).await.unwrap();
        assert_eq!(place.files().len(), 2);
        aborted.abort().await.unwrap();
        let mut dropped = engine(&path).target(&restore_options(false)).await.unwrap();
        dropped.prepare(Vec::new(), &stored).await.unwrap();
        drop(dropped);
        // What a killed restore leaves, the next one removes.
        fs::write(place.path(".new.db.lastgood-killed.tmp"), "x").unwrap();
        let mut unfinished = engine(&path).target(&restore_options(false)).await.unwrap();
        unfinished.prepare(Vec::new(), &stored).await.unwrap();
        assert_eq!(code(unfinished.finish().await), Code::Internal);
        assert_eq!(place.files(), ["source.db"]);
    });
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    run(async {
        let place = Place::new();
        let mut target = engine(&place.path("new.db")).target(&restore_options(false)).await.unwrap();
        let early = PartPlace { file: "a.db", offset: 0, bytes: Some(1) };
        let piece = |n: usize| stream::iter([Ok(Bytes::from(vec![0; n]))]).boxed();
        assert_eq!(code(target.load(early, piece(1)).await), Code::Internal);
        let two = ["a.db", "b.db"].map(|name| StoredFile { name: name.to_owned(), bytes: Some(100) });
        assert_eq!(code(target.prepare(Vec::new(), &two).await), Code::UnsupportedDatabase);
        assert_eq!(
            code(target.prepare(vec![("toc.dat".to_owned(), Bytes::new())], &two[..1]).await),
            Code::UnsupportedDatabase
        );
        target.prepare(Vec::new(), &two[..1]).await.unwrap();
        for (file, offset, bytes, given) in [
            ("b.db", 0, 10, 10),
            ("a.db", 95, 10, 10),
            ("a.db", u64::MAX, 10, 10),
            ("a.db", 0, 10, 9),
            ("a.db", 0, 10, 11),
        ] {
            assert_eq!(
                code(target.load(PartPlace { file, offset, bytes: Some(bytes) }, piece(given)).await),
                Code::Internal
            );
        }
        target.abort().await.unwrap();
        assert!(place.files().is_empty());
    });
}
