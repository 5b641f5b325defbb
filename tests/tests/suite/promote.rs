//! A restored database takes the place of the live one only when it was found to be what was backed up; the one that was
//! there is kept, and the printed commands lead back to it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lastgood::{CancellationToken, Code, Phase, Promoted, Vault};
use testkit::{PgVersion, Postgres, Setup, tool};

use crate::world::{SMALL, World, must_fail, sqlite_dump};

const ROWS: &str = "CREATE TABLE t AS SELECT i AS id, repeat(md5(i::text), 30) AS pad FROM generate_series(1, 20000) i;
    ALTER TABLE t ADD PRIMARY KEY (id)";

/// A live database that was backed up and then written to, so that the two can be told apart.
async fn live(server: &Postgres, name: &str) -> (World, Vault) {
    let world = World::new();
    clear(server, name);
    let url = server.create(name);
    server.psql(name, ROWS);
    let vault = world.vault(&url).await;
    vault.backup().await.unwrap();
    server.psql(name, "INSERT INTO t VALUES (0, 'written after the backup')");
    (world, vault)
}

/// The databases whose names begin so.
fn named(server: &Postgres, name: &str) -> Vec<String> {
    server.databases().into_iter().filter(|database| database.starts_with(name)).collect()
}

fn clear(server: &Postgres, name: &str) {
    named(server, name).iter().for_each(|database| server.drop(database));
}

/// Runs SQL as it was printed.
fn by_hand(server: &Postgres, world: &World, sql: &[String]) {
    let file = world.file("by-hand.sql", &sql.join("\n"));
    server.psql_file("postgres", Path::new(&file));
}

fn rows(server: &Postgres, name: &str) -> String {
    server.psql(name, "SELECT count(*) FROM t").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_database_gives_way_while_clients_come_and_go_and_comes_back_by_hand() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        let (world, vault) = live(server, "promo_live").await;
        // One client that stays, and one that connects again and again, as a pool does that was thrown out.
        let mut staying = server
            .client("psql")
            .args(["-Xq", "-d", "promo_live", "-c", "SELECT pg_sleep(600)"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stop, connected) = (AtomicBool::new(false), AtomicUsize::new(0));
        let promoted = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let mut client = server.client("psql");
                        client.args(["-XqAt", "-d", "promo_live", "-c", "SELECT count(*) FROM t"]);
                        let output = client.stderr(Stdio::null()).output().unwrap();
                        let seen = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                        // Never a database that is half there.
                        assert!(["", "20000", "20001"].contains(&seen.as_str()), "{seen}");
                        connected.fetch_add(usize::from(!seen.is_empty()), Ordering::Relaxed);
                    }
                });
            }
            testkit::wait_until("a client", || connected.load(Ordering::Relaxed) > 0);
            let restore = vault.restore("latest").target(server.url("promo_live")).promote();
            let report = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current()
                    .block_on(async { restore.query("SELECT count(*) = 20000 FROM t").await })
            });
            stop.store(true, Ordering::Relaxed);
            report.unwrap().promoted.unwrap()
        });
        assert!(!staying.wait().unwrap().success(), "the session was ended by the swap");
        let kept = promoted.kept.clone().unwrap();
        assert!(kept.starts_with("promo_live_before_20"), "{kept}");
        assert_eq!((rows(server, "promo_live"), rows(server, &kept)), ("20000".to_owned(), "20001".to_owned()));
        assert_eq!(named(server, "promo_live"), ["promo_live", &kept]);

        by_hand(server, &world, &promoted.go_back);
        assert_eq!(rows(server, "promo_live"), "20001");
        let aside = kept.replace("_before_", "_restored_");
        assert_eq!(named(server, "promo_live"), ["promo_live", &aside]);

        let again = vault.restore("latest").target(server.url("promo_live")).promote().await.unwrap().promoted.unwrap();
        by_hand(server, &world, &again.drop_kept);
        assert_eq!(named(server, "promo_live"), ["promo_live", &aside]);
        assert_eq!(rows(server, "promo_live"), "20000");
        clear(server, "promo_live");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_a_check_or_is_cancelled_leaves_the_live_database_alone() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        let (_world, vault) = live(server, "promo_fails").await;
        let oid = || server.psql("postgres", "SELECT oid FROM pg_database WHERE datname = 'promo_fails'");
        let before = oid();
        let alone = |what: &str| {
            assert_eq!(named(server, "promo_fails"), ["promo_fails"], "{what}");
            assert_eq!((rows(server, "promo_fails"), oid()), ("20001".to_owned(), before.clone()), "{what}");
        };
        let promote = || vault.restore("latest").target(server.url("promo_fails")).promote();
        must_fail(promote().query("SELECT count(*) = 20001 FROM t").await, Code::DrillMismatch, "20001");
        alone("a query that says no");

        for phase in [Phase::Preparing, Phase::Loading, Phase::Finishing, Phase::Comparing] {
            let token = CancellationToken::new();
            let cancel = token.clone();
            let cancelled = promote().cancel(token).on_progress(move |p| {
                if p.phase == phase {
                    cancel.cancel();
                }
            });
            assert_eq!(cancelled.await.unwrap_err().code(), Code::Cancelled, "{phase:?}");
            alone(&format!("{phase:?}"));

            if phase != Phase::Preparing {
                let cut = promote().on_progress(move |p| {
                    if p.phase == phase {
                        let sessions = "FROM pg_stat_activity WHERE application_name = 'lastgood' AND starts_with(datname, 'promo_fails')";
                        server.psql("postgres", &format!("SELECT pg_terminate_backend(pid) {sessions}"));
                    }
                });
                // Where nothing is connected at that moment, nothing is cut.
                match cut.await {
                    Err(e) => assert_eq!(e.code(), Code::DatabaseUnavailable, "{phase:?}: {e}"),
                    Ok(report) => {
                        let promoted = report.promoted.unwrap();
                        assert_ne!(phase, Phase::Loading, "{promoted:?}");
                        server.drop("promo_fails");
                        server.psql(
                            "postgres",
                            &format!("ALTER DATABASE \"{}\" RENAME TO promo_fails", promoted.kept.unwrap()),
                        );
                    }
                }
                alone(&format!("{phase:?}, cut"));
            }
        }
        // The last moment to turn back is after the comparison, before the swap.
        let (token, compared) = (CancellationToken::new(), AtomicBool::new(false));
        let cancel = token.clone();
        let cancelled = promote().cancel(token).on_progress(move |p| match p.phase {
            Phase::Comparing => compared.store(true, Ordering::Relaxed),
            Phase::Finishing if compared.load(Ordering::Relaxed) => cancel.cancel(),
            _ => {}
        });
        assert_eq!(cancelled.await.unwrap_err().code(), Code::Cancelled);
        alone("the last moment");
        clear(server, "promo_fails");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_promotion_leaves_the_old_database_or_the_restored_one_and_no_other() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let (world, _vault) = live(server, "promo_killed").await;
    let url = server.url("promo_killed");
    let command = || world.command(&["restore", "latest", "--promote", "--target", &url, "--name", "promo_killed"]);
    let began = std::time::Instant::now();
    tool(&mut command());
    let whole = began.elapsed();
    let mut survived = 0;
    for _ in 0..12 {
        let (moment, running) = testkit::run_and_kill(&mut command(), whole);
        survived += usize::from(running);
        // The server may still be at what the killed client asked for.
        testkit::wait_until("its sessions to end", || {
            server
                .psql(
                    "postgres",
                    "SELECT 1 FROM pg_stat_activity WHERE application_name = 'lastgood' AND datname ~ 'promo_killed'",
                )
                .is_empty()
        });
        assert!(["20000", "20001"].contains(&rows(server, "promo_killed").as_str()), "killed after {moment:?}");
        // What was being restored is left under a name that says so; what was there before is under its own.
        let kept = named(server, "promo_killed_before_");
        assert!(kept.iter().all(|name| ["20000", "20001"].contains(&rows(server, name).as_str())));
    }
    assert!(survived > 0, "none was killed");
    clear(server, "promo_killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_others_depend_on_is_not_promoted() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let (_world, vault) = live(server, "promo_bound").await;
    let promote = || vault.restore("latest").target(server.url("promo_bound")).promote();
    server.psql(
        "promo_bound",
        "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1 dbname=nowhere' PUBLICATION p
         WITH (connect = false, slot_name = 'feed'); ALTER SUBSCRIPTION feed ENABLE",
    );
    must_fail(promote().await, Code::TargetInUse, "feed");
    server.psql("promo_bound", "ALTER SUBSCRIPTION feed DISABLE");
    let kept = promote().await.unwrap().promoted.unwrap().kept.unwrap();
    server.psql(&kept, "ALTER SUBSCRIPTION feed SET (slot_name = NONE); DROP SUBSCRIPTION feed");

    server.psql("postgres", "DROP ROLE IF EXISTS promo_modest; CREATE ROLE promo_modest LOGIN PASSWORD 'modest'");
    let modest =
        server.url("promo_bound").replace("postgres:", "promo_modest:").replacen("promo_modest:", "postgres:", 1);
    let modest = modest.replace(server.password(), "modest");
    let promote = || vault.restore("latest").target(modest.clone()).no_owner().promote();
    must_fail(promote().await, Code::DatabaseDenied, "CREATEDB");
    server.psql("postgres", "ALTER ROLE promo_modest CREATEDB");
    must_fail(promote().await, Code::DatabaseDenied, "belongs to postgres");
    server.psql("postgres", "ALTER DATABASE promo_bound OWNER TO promo_modest");
    server.psql("promo_bound", "ALTER SCHEMA public OWNER TO promo_modest; ALTER TABLE t OWNER TO promo_modest");
    let mut session = server
        .client("psql")
        .args(["-Xq", "-d", "promo_bound", "-c", "SELECT pg_sleep(600)"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    testkit::wait_until("the session", || {
        server.psql("postgres", "SELECT 1 FROM pg_stat_activity WHERE datname = 'promo_bound'").trim() == "1"
    });
    must_fail(promote().await, Code::DatabaseDenied, "sessions of `postgres`");
    server.psql(
        "postgres",
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = 'promo_bound'",
    );
    session.wait().unwrap();
    promote().await.unwrap();
    clear(server, "promo_bound");
    server.psql("postgres", "DROP ROLE promo_modest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_a_replication_slot_or_a_prepared_transaction_is_not_promoted() {
    let setup = Setup::default().set("wal_level=logical").set("max_prepared_transactions=2");
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::start_with(version, &setup) else { continue };
        let (_world, vault) = live(&server, "promo").await;
        let promote = || vault.restore("latest").target(server.url("promo")).promote();
        server.psql("promo", "SELECT pg_create_logical_replication_slot('feed', 'test_decoding')");
        must_fail(promote().await, Code::TargetInUse, "replication slot `feed`");
        server.psql("promo", "SELECT pg_drop_replication_slot('feed')");
        server.psql("promo", "BEGIN; INSERT INTO t VALUES (-1); PREPARE TRANSACTION 'half done'");
        must_fail(promote().await, Code::TargetInUse, "prepared transaction `half done`");
        server.psql("promo", "COMMIT PREPARED 'half done'");
        assert_eq!(named(&server, "promo"), ["promo"]);

        // One that admits nobody gives way.
        server.psql("postgres", "ALTER DATABASE promo ALLOW_CONNECTIONS false");
        let kept = promote().await.unwrap().promoted.unwrap().kept.unwrap();
        server.psql("postgres", &format!("ALTER DATABASE {kept} ALLOW_CONNECTIONS true"));
        assert_eq!((rows(&server, "promo"), rows(&server, &kept)), ("20000".to_owned(), "20002".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_is_promoted_into_its_place() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let (_world, vault) = live(server, "promo_gone").await;
    server.drop("promo_gone");
    let report = vault.restore("latest").target(server.url("promo_gone")).promote().await.unwrap();
    assert_eq!(report.promoted, Some(Promoted::default()));
    assert_eq!(rows(server, "promo_gone"), "20000");
    clear(server, "promo_gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_promoted_database_has_otherwise_is_told() {
    let Some(server) = Postgres::shared(PgVersion::V18) else { return };
    let (_world, vault) = live(server, "promo_differs").await;
    let alter =
        "ALTER DATABASE promo_differs CONNECTION LIMIT 7; ALTER DATABASE promo_differs SET my.secret = 'canary'";
    server.psql("postgres", alter);
    let report = vault.restore("latest").target(server.url("promo_differs")).promote().await.unwrap();
    let told: Vec<_> = report.warnings.iter().filter(|w| w.code == "promoted_differs").collect();
    assert!(told[0].message.ends_with("connection limit, settings"), "{told:?}");
    assert!(!format!("{report:?}").contains("canary"));
    clear(server, "promo_differs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_file_gives_way_and_comes_back_by_hand() {
    let world = World::new();
    let url = world.make("it's small.db", SMALL);
    let vault = world.vault(&url).await;
    vault.backup().await.unwrap();
    let (path, backed_up) = (world.path("it's small.db"), sqlite_dump(&world.path("it's small.db")));
    world.make("it's small.db", "INSERT INTO person (id, name) VALUES (4, 'later')");
    let live = sqlite_dump(&path);
    let files = || std::fs::read_dir(world.path("")).unwrap().count();
    let before = files();

    let promote = || vault.restore("latest").target(&*url).promote();
    must_fail(promote().query("SELECT count(*) = 4 FROM person").await, Code::DrillMismatch, "= 4");
    assert_eq!((sqlite_dump(&path), files()), (live.clone(), before));

    let promoted = promote().query("SELECT count(*) = 3 FROM person").await.unwrap().promoted.unwrap();
    let kept = promoted.kept.unwrap();
    assert_eq!((sqlite_dump(&path), sqlite_dump(Path::new(&kept))), (backed_up.clone(), live.clone()));
    assert_eq!(files(), before + 1);
    tool(Command::new("sh").args(["-ec", &promoted.go_back.join("\n")]));
    assert_eq!(sqlite_dump(&path), live);

    let promoted = promote().await.unwrap().promoted.unwrap();
    tool(Command::new("sh").args(["-ec", &promoted.drop_kept.join("\n")]));
    assert_eq!(sqlite_dump(&path), backed_up);
    assert_eq!(files(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_file_in_use_does_not_give_way_and_a_damaged_one_does() {
    let world = World::new();
    let url = world.make("live.db", &format!("PRAGMA journal_mode = WAL; {SMALL}"));
    let vault = world.vault(&url).await;
    vault.backup().await.unwrap();
    let promote = || vault.restore("latest").target(&*url).promote();
    let mut client = Command::new("sqlite3");
    client.arg(world.path("live.db")).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut client = client.spawn().unwrap();
    std::io::Write::write_all(client.stdin.as_mut().unwrap(), b"INSERT INTO person (name) VALUES ('x');\n").unwrap();
    testkit::wait_until("the client", || world.path("live.db-wal").exists());
    must_fail(promote().await, Code::Busy, "live.db");
    drop(client.stdin.take());
    client.wait().unwrap();

    let junk = "damaged beyond repair".repeat(1000);
    std::fs::write(world.path("live.db"), &junk).unwrap();
    let kept = promote().await.unwrap().promoted.unwrap().kept.unwrap();
    assert!(sqlite_dump(&world.path("live.db")).contains("O''Hara"));
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), junk);
}

#[test]
fn the_command_line_tells_how_to_go_back() {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    world.run(&["backup", "--database", &url]);
    let told = tool(&mut world.command(&["restore", "latest", "--name", "small", "--target", &url, "--promote"]));
    assert!(told.contains("kept as") && told.contains("to go back to it:\n  for s in"), "{told}");
    let refused = world.command(&["restore", "latest", "--target", &url, "--promote", "--overwrite"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}
