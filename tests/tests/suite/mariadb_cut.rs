//! Work on MariaDB that is cut, cancelled or killed: a clear error, no half backup, and nothing half-restored to be seen.

use std::process::Stdio;
use std::sync::Arc;

use lastgood::{CancellationToken, Code, Phase, Progress, Settings, Vault};
use testkit::{MariaDb, Proxy};

use crate::world::{World, must_fail};

/// Cuts spread evenly over what passes in a whole run.
const CUTS: u64 = 30;

const SHOP: &str = "CREATE TABLE customer (id INT PRIMARY KEY, name VARCHAR(50));
    INSERT INTO customer SELECT seq, CONCAT('customer ', seq) FROM seq_1_to_100;
    CREATE TABLE sale (id INT PRIMARY KEY, customer INT, pad TEXT, FOREIGN KEY (customer) REFERENCES customer (id));
    INSERT INTO sale SELECT seq, seq % 100 + 1, REPEAT(MD5(seq), 10) FROM seq_1_to_1500;
    CREATE VIEW sales AS SELECT customer, COUNT(*) AS n FROM sale GROUP BY customer;
    CREATE TRIGGER named BEFORE INSERT ON customer FOR EACH ROW SET NEW.name = TRIM(NEW.name);";

async fn vault(world: &World, url: &str) -> Vault {
    let mut settings = Settings::default();
    // Several parts and both connections in use.
    settings.part_bytes = 64 << 10;
    world.builder(url).settings(settings).open().await.unwrap()
}

fn through(server: &MariaDb, proxy: &Proxy, database: &str) -> String {
    server.url(database).replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_fails_clearly_and_leaves_no_half() {
    let Some(server) = MariaDb::start() else { return };
    let url = server.create("small");
    server.sql("small", SHOP);
    let content = server.content("small");
    let proxy = Proxy::to(server.port());
    let world = World::new();

    let cut = vault(&world, &through(&server, &proxy, "small")).await;
    proxy.heal();
    cut.backup().await.unwrap();
    let (whole, mut backups) = (proxy.passed(), 1);
    for i in 0..CUTS {
        let at = whole * i / CUTS;
        proxy.cut_after(at, i % 2 == 0);
        let result = cut.backup().await;
        assert!(proxy.has_cut(), "{at} of {whole} bytes: nothing was cut");
        match result {
            // All that the dump needs had come before.
            Ok(_) => backups += 1,
            Err(e) => assert_eq!(e.code(), Code::DatabaseUnavailable, "{at} of {whole} bytes: {e}"),
        }
        assert_eq!(cut.list().await.unwrap().len(), backups, "{at} of {whole} bytes");
    }
    proxy.heal();

    let vault = vault(&world, &url).await;
    let target = through(&server, &proxy, "target");
    let restore = || vault.restore("latest").target(&target);
    proxy.heal();
    restore().await.unwrap();
    let whole = proxy.passed();
    server.drop("target");
    for i in 0..CUTS {
        let at = whole * i / CUTS;
        let for_good = i % 2 == 0;
        proxy.cut_after(at, for_good);
        let result = restore().await;
        assert!(proxy.has_cut(), "{at} of {whole} bytes: nothing was cut");
        if let Err(e) = &result {
            assert_eq!(e.code(), Code::DatabaseUnavailable, "{at} of {whole} bytes: {e}");
            // With the server back in reach, nothing stays.
            assert!(for_good || server.databases() == ["small"], "{at} of {whole} bytes: {:?}", server.databases());
        }
        for left in server.databases().iter().filter(|name| *name != "small") {
            assert!(left == "target" || left.starts_with("target_restoring_"), "{left}");
            if left == "target" {
                // All tables come at once. Before them the database is empty.
                let there = server.content("target");
                assert!(there == content || result.is_err() && there.is_empty(), "{at} of {whole} bytes: {there:?}");
            }
            server.drop(left);
        }
    }
    proxy.heal();
    restore().await.unwrap();
    assert_eq!(server.content("target"), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_cancelled_or_killed_shows_nothing() {
    let Some(server) = MariaDb::start().map(Arc::new) else { return };
    let world = World::new();
    let url = server.create("half");
    server.sql("half", "CREATE TABLE t (id INT PRIMARY KEY, pad TEXT); INSERT INTO t SELECT seq, REPEAT(MD5(seq), 30) FROM seq_1_to_20000");
    let vault = vault(&world, &url).await;
    vault.backup().await.unwrap();
    let target = server.url("restored");
    let restore = || vault.restore("latest").target(&target);
    for phase in [Phase::Preparing, Phase::Loading, Phase::Finishing] {
        let reached = move |p: &Progress| p.phase == phase && (phase != Phase::Loading || p.bytes_done > 0);
        let token = CancellationToken::new();
        let cancel = token.clone();
        let cancelled = restore().cancel(token).on_progress(move |p| {
            if reached(&p) {
                cancel.cancel();
            }
        });
        assert_eq!(cancelled.await.unwrap_err().code(), Code::Cancelled, "{phase:?}");
        assert_eq!(server.databases(), ["half"], "{phase:?}");
    }
    let there = Arc::clone(&server);
    let killed = restore().on_progress(move |p| {
        if p.phase == Phase::Loading && p.bytes_done > 0 {
            let sessions = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB LIKE 'restored%'";
            for id in there.sql("", sessions).lines() {
                // It may have ended by itself.
                drop(there.client("mariadb").args(["-e", &format!("KILL {id}")]).output());
            }
        }
    });
    must_fail(killed.await, Code::DatabaseUnavailable, "");
    assert_eq!(server.databases(), ["half"]);

    // A client that is killed takes nothing back, and has shown nothing.
    let mut client = world.command(&["restore", "latest", "--database", &url, "--target", &target, "--quiet"]);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = || server.databases().iter().any(|name| name.starts_with("restored_restoring_"));
    testkit::wait_until("the restore to begin", begun);
    client.kill().unwrap();
    assert!(!client.wait().unwrap().success());
    assert!(!server.exists("restored"), "the restore was over before it was killed");
    restore().await.unwrap();
    assert_eq!(server.content("restored"), server.content("half"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_promotion_leaves_the_old_tables_or_the_restored_ones_and_no_mixture() {
    let Some(server) = MariaDb::start() else { return };
    let world = World::new();
    let url = server.create("live");
    // Two tables that agree with each other at any moment.
    server.sql("live", "CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a SELECT seq FROM seq_1_to_5000; CREATE TABLE b (id INT PRIMARY KEY, pad TEXT); INSERT INTO b SELECT seq, REPEAT(MD5(seq), 30) FROM seq_1_to_5000");
    vault(&world, &url).await.backup().await.unwrap();
    server.sql("live", "INSERT INTO a VALUES (0); INSERT INTO b VALUES (0, 'written after the backup')");
    let mut command = world.command(&["restore", "latest", "--promote", "--target", &url, "--database", &url]);
    let command = command.arg("--quiet");
    let began = std::time::Instant::now();
    assert!(command.status().unwrap().success());
    let whole = began.elapsed();
    let rows = |database: &str| server.sql(database, "SELECT COUNT(*) FROM a; SELECT COUNT(*) FROM b");
    let (restored, written) = ("5000\n5000", "5001\n5001");
    let mut survived = 0;
    for _ in 0..8 {
        let (moment, running) = testkit::run_and_kill(command, whole);
        survived += usize::from(running);
        // The server may still be at what the killed client asked for.
        testkit::wait_until("its sessions to end", || {
            server.sql("", "SELECT 1 FROM information_schema.PROCESSLIST WHERE DB LIKE 'live%'").is_empty()
        });
        assert!([restored, written].contains(&rows("live").trim()), "killed after {moment:?}");
        // What was there before is under its own name, or has not left yet.
        for kept in server.databases().iter().filter(|name| name.starts_with("live_before_")) {
            let empty = server.sql(kept, "SHOW TABLES").is_empty();
            assert!(empty || [restored, written].contains(&rows(kept).trim()), "{kept}, killed after {moment:?}");
        }
    }
    assert!(survived > 0, "none was killed");
}
