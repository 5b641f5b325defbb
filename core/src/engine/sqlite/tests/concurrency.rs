//! Writers at work during a snapshot, snapshots that nobody waits for, connections that hold a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::*;

const ACCOUNTS: &str = "
    CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER, filler BLOB);
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
        INSERT INTO accounts SELECT i, 100, zeroblob(3000) FROM n;
";

/// Moves money between accounts, and never changes how much there is, until told to stop.
fn writer(path: &Path) -> (Arc<AtomicBool>, Arc<AtomicU64>, std::thread::JoinHandle<()>) {
    let (stop, moved) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (path, told, count) = (path.to_owned(), Arc::clone(&stop), Arc::clone(&moved));
    let thread = std::thread::spawn(move || {
        let connection = open(&path);
        connection.run("PRAGMA synchronous = OFF").unwrap();
        let mut i = 0_u64;
        while !told.load(Ordering::Relaxed) {
            let (from, to) = (i * 7919 % 1000, i * 104_729 % 1000);
            let sql = format!(
                "BEGIN IMMEDIATE; UPDATE accounts SET balance = balance - 1 WHERE id = {from};
                 UPDATE accounts SET balance = balance + 1 WHERE id = {to}; COMMIT"
            );
            connection.run(&sql).unwrap();
            i += 1;
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    (stop, moved, thread)
}

fn snapshots_under_load(journal: &'static str) {
    run(async move {
        let place = Place::new();
        let source = place.database("bank.db", &format!("PRAGMA journal_mode = {journal}; {ACCOUNTS}"));
        let (stop, moved, thread) = writer(&source);
        for _ in 0..10 {
            // Each snapshot lies between writes: wait for one, by its count and not by the clock.
            let before = moved.load(Ordering::Relaxed);
            while moved.load(Ordering::Relaxed) == before {
                tokio::task::yield_now().await;
            }
            let dump = dump(&source, &place.options()).await.unwrap();
            assert_eq!(dump.rows("accounts"), 1000);
            let copy = place.path("copy.db");
            restore(&dump, &copy, true).await.unwrap();
            assert_eq!(integer(&copy, "SELECT sum(balance) FROM accounts"), 100_000);
        }
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        assert!(place.left_behind().is_empty());
    });
}

#[test]
fn a_snapshot_shows_one_moment_while_others_write_in_wal_mode() {
    snapshots_under_load("WAL");
}

#[test]
fn a_snapshot_shows_one_moment_while_others_write_with_a_rollback_journal() {
    snapshots_under_load("DELETE");
}

#[test]
fn rows_still_in_the_log_are_in_the_snapshot() {
    run(async {
        let place = Place::new();
        let source = place.path("log.db");
        let writer = open(&source);
        writer.run("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(x); INSERT INTO t VALUES (1), (2)").unwrap();
        let (dump, _) = round_trip(&place, &source).await;
        assert_eq!(dump.rows("t"), 2);
        assert!(super::super::temp::beside(&source, "-wal").exists());
        drop(writer);
    });
}

#[test]
fn a_dropped_snapshot_leaves_nothing_behind() {
    run(async {
        let place = Place::new();
        let source = place.database("bank.db", ACCOUNTS);
        // Stopped at many moments: in the copying, between copy and plan, in the counting.
        for steps in 0..40 {
            let snapshot = tokio::time::timeout(Duration::from_micros(steps * 150), async {
                engine(&source).snapshot(&place.options()).await
            });
            drop(snapshot.await);
            // The thread at work notices within milliseconds; how long that takes is not the point here.
            while !place.left_behind().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(place.files(), ["bank.db"]);
    });
}

#[test]
fn an_open_snapshot_has_no_file_that_a_kill_could_leave() {
    run(async {
        let place = Place::new();
        let source = place.database("bank.db", ACCOUNTS);
        let snapshot = engine(&source).snapshot(&place.options()).await.unwrap();
        assert!(place.left_behind().is_empty());
        // What a kill during the copying leaves, the next snapshot removes.
        fs::write(place.work.path().join("lastgood-snapshot-killed.tmp"), "x").unwrap();
        dump(&source, &place.options()).await.unwrap();
        assert!(place.left_behind().is_empty());
        assert!(read_part(snapshot.as_ref(), 0).await.unwrap().starts_with(b"SQLite format 3\0"));
    });
}

#[test]
fn an_open_snapshot_keeps_no_lock_on_the_source() {
    run(async {
        let place = Place::new();
        let source = place.database("bank.db", ACCOUNTS);
        let snapshot = engine(&source).snapshot(&place.options()).await.unwrap();
        open(&source).run("BEGIN EXCLUSIVE; DELETE FROM accounts; COMMIT").unwrap();
        assert_eq!(snapshot.finish().await.unwrap().tables[0].rows, 1000);
    });
}

#[test]
fn waiting_for_a_lock_can_be_given_up() {
    run(async {
        let place = Place::new();
        let source = place.database("bank.db", ACCOUNTS);
        let holder = open(&source);
        holder.run("BEGIN EXCLUSIVE").unwrap();
        let database = engine(&source);
        let options = place.options();
        let given_up = tokio::time::timeout(Duration::from_millis(20), database.snapshot(&options)).await;
        assert!(given_up.is_err());
        holder.run("COMMIT").unwrap();
        assert_eq!(dump(&source, &place.options()).await.unwrap().rows("accounts"), 1000);
    });
}
