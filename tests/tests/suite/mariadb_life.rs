//! The whole life of a MariaDB database's backup: on a database with every kind of object, on Chinook and on Sakila.

use std::path::{Path, PathBuf};
use std::process::Command;

use lastgood::{Code, Settings};
use testkit::{MariaDb, tool};

use crate::postgres_life::same_schema;
use crate::stock_tools::recover;
use crate::world::{World, must_fail};

/// Makes a database with at least one of every kind of object and type.
pub(crate) fn everything(server: &MariaDb, database: &str) {
    // Functions that say nothing of what they read are let in only so while a binary log is written.
    server.sql("", "SET GLOBAL log_bin_trust_function_creators = 1");
    server.create(database);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mariadb/everything.sql");
    server.sql_file(database, &file);
}

/// Two tables of rows, and a routine that adds the same to both, one transaction after the other.
const BUSY: &str =
    "CREATE TABLE a (id INT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL, pad CHAR(200) DEFAULT REPEAT('x', 200));
    CREATE TABLE b LIKE a; INSERT INTO a (n) SELECT 0 FROM seq_1_to_3000; INSERT INTO b (n) SELECT 0 FROM seq_1_to_3000;
    DELIMITER //
    CREATE PROCEDURE work()
    BEGIN
        LOOP
            START TRANSACTION;
            UPDATE a SET n = n + 1 WHERE id % 10 = 0; INSERT INTO a (n) VALUES (1);
            UPDATE b SET n = n + 1 WHERE id % 10 = 0; INSERT INTO b (n) VALUES (1);
            COMMIT;
        END LOOP;
    END//
    DELIMITER ;";

/// Rows and sums of both tables.
const AGREE: &str =
    "SELECT (SELECT CONCAT(COUNT(*), ' ', SUM(n)) FROM a) = (SELECT CONCAT(COUNT(*), ' ', SUM(n)) FROM b)";

fn small_parts(jobs: usize) -> Settings {
    let mut settings = Settings::default();
    (settings.jobs, settings.part_bytes) = (jobs, 64 << 10);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_object_and_type_comes_back_the_same() {
    let Some(server) = MariaDb::shared() else { return };
    everything(server, "life_everything");
    lives(server, "life_everything", &["not_transactional"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chinook_and_sakila_come_back_the_same() {
    let (Some(server), Some(data)) = (MariaDb::shared(), testkit::sample_data()) else { return };
    testkit::load_chinook_mariadb(server, "life_chinook", &data);
    lives(server, "life_chinook", &[]).await;
    testkit::load_sakila_mariadb(server, "life_sakila", &data);
    lives(server, "life_sakila", &[]).await;
}

/// Back up, verify, drill, restore; the restored database is the same by stock tools' measure.
async fn lives(server: &MariaDb, database: &str, warnings: &[&str]) {
    let world = World::new();
    let restored = format!("{database}_restored");
    server.drop(&restored);
    let (schema, content) = (server.schema(database), server.content(database));
    // Small parts, so that these small tables are read in several.
    let vault = world.builder(&server.url(database)).settings(small_parts(3)).open().await.unwrap();
    let backup = vault.backup().tag("nightly").await.unwrap();
    let codes: Vec<&str> = backup.warnings.iter().map(|w| w.code.as_str()).collect();
    assert_eq!(codes, warnings, "{database}");
    vault.verify(&backup.id).await.unwrap();
    let drilled = vault.drill(&backup.id).query("SELECT true").await.unwrap();
    assert_eq!((drilled.rows, drilled.tables), (backup.rows, backup.tables), "{database}");

    let report = vault.restore(&backup.id).target(server.url(&restored)).await.unwrap();
    assert!(!report.target.contains(server.password()), "{database}: {}", report.target);
    assert_eq!(server.content(&restored), content, "{database}");
    // Numbers are drawn from its own sequences.
    let expected = schema.replace(&format!("`{database}`."), &format!("`{restored}`."));
    same_schema(&server.schema(&restored), &expected, database);
    assert_eq!(server.content(database), content, "{database}: the source was changed");
    same_schema(&server.schema(database), &schema, &format!("{database}: the source was changed"));
    let events = "SELECT EVENT_NAME, STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY 1";
    assert_eq!(server.sql(&restored, events), server.sql(database, events), "{database}");
    server.drop(&restored);
    server.drop(database);
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_tools_load_what_recover_py_unpacks() {
    let Some(server) = MariaDb::shared() else { return };
    everything(server, "stock_everything");
    let world = World::new();
    let vault = world.builder(&server.url("stock_everything")).settings(small_parts(2)).open().await.unwrap();
    let id = vault.backup().await.unwrap().id;
    let folder = world.store().join("stock_everything").join(id.as_str());
    tool(Command::new("sh").args(["-c", "sha256sum -c *.sha256"]).current_dir(&folder));
    let out = world.path("out");
    recover(&world, &format!("stock_everything/{id}"), &out);
    tool(Command::new("find").arg(&out).args(["-name", "*.zst", "-exec", "unzstd", "-q", "--rm", "{}", "+"]));
    let (schema, content) = (server.schema("stock_everything"), server.content("stock_everything"));

    server.drop("stock_myloader");
    tool(server.mydumper("myloader").args(["-t", "2", "-B", "stock_myloader", "-d"]).arg(&out));
    let named = |database: &str| schema.replace("`stock_everything`.", &format!("`{database}`."));
    same_schema(&server.schema("stock_myloader"), &named("stock_myloader"), "myloader");
    assert_eq!(server.content("stock_myloader"), content);

    server.create("stock_client");
    for file in in_order(&out) {
        server.sql_file("stock_client", &file);
    }
    same_schema(&server.schema("stock_client"), &named("stock_client"), "the mariadb client");
    assert_eq!(server.content("stock_client"), content);
    for database in ["stock_myloader", "stock_client", "stock_everything"] {
        server.drop(database);
    }
}

/// The files of a dump in the order in which `cat` gives them to a client: tables, rows, routines and events, views, triggers.
fn in_order(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "sql"));
    let rank = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_str().unwrap();
        match name {
            name if name.ends_with("-schema-create.sql") => 9,
            name if name.ends_with("-schema-post.sql") => 2,
            name if name.ends_with("-schema-view.sql") => 3,
            name if name.ends_with("-schema-triggers.sql") => 4,
            name if name.ends_with("-schema.sql") => 0,
            _ => 1,
        }
    };
    files.retain(|file| rank(file) != 9);
    files.sort_by_key(|file| (rank(file), file.clone()));
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_database_in_use_shows_one_moment_whatever_the_account_may_do() {
    let Some(server) = MariaDb::shared() else { return };
    server.create("life_busy");
    server.sql("life_busy", BUSY);
    let mut writer = server.client("mariadb").args(["life_busy", "-e", "CALL work()"]).spawn().unwrap();
    testkit::wait_until("the writer", || server.sql("life_busy", "SELECT MAX(n) FROM a").trim() != "0");
    for (account, grants, warning) in [
        ("busy_all", "RELOAD ON *.*; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON life_busy.*", None),
        ("busy_lock", "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON life_busy.*", None),
        ("busy_none", "SELECT, SHOW VIEW, TRIGGER, EVENT ON life_busy.*", Some("one_connection")),
    ] {
        let sql: String = grants.split("; GRANT ").map(|grant| format!("GRANT {grant} TO {account}@'%';")).collect();
        server.sql("", &format!("CREATE OR REPLACE USER {account}@'%' IDENTIFIED BY 'secret-of-it'; {sql}"));
        let world = World::new();
        let url = server.url_of(account, "secret-of-it", "life_busy");
        let vault = world.builder(&url).settings(small_parts(4)).open().await.unwrap();
        for _ in 0..2 {
            let report = vault.backup().await.unwrap();
            let told = |code: &str| report.warnings.iter().any(|w| w.code == code);
            assert_eq!(warning.is_some_and(told), warning.is_some(), "{account}: {:?}", report.warnings);
            // What the account may not read is named.
            assert!(told("hidden_objects"), "{account}: {:?}", report.warnings);
            server.drop("life_busy_restored");
            vault.restore(&report.id).target(server.url("life_busy_restored")).await.unwrap();
            assert_eq!(server.sql("life_busy_restored", AGREE).trim(), "1", "{account}");
            let shown = vault.show(&report.id).await.unwrap();
            assert_eq!(shown.point.kind, "binlog", "{:?}", shown.point);
            assert!(shown.point.position.contains("gtid "), "{:?}", shown.point);
        }
        server.sql("", &format!("DROP USER {account}@'%'"));
    }
    server.end_sessions("life_busy");
    writer.wait().unwrap();
    server.drop("life_busy_restored");
    server.drop("life_busy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_leaves_no_scratch_database_whether_it_succeeds_or_not() {
    // A server of its own: other tests' drills come and go on the shared one.
    let Some(server) = MariaDb::start() else { return };
    server.create("shop");
    server.sql("shop", "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    let world = World::new();
    let vault = world.vault(&server.url("shop")).await;
    vault.backup().await.unwrap();
    vault.drill("latest").query("SELECT COUNT(*) = 2 FROM t").await.unwrap();
    assert_eq!(server.databases(), ["shop"]);
    let failed = vault.drill("latest").query("SELECT COUNT(*) = 3 FROM t").await;
    must_fail(failed, Code::DrillMismatch, "= 3");
    assert_eq!(server.databases(), ["shop"]);

    // Rows can go in by statements alone.
    server.sql("", "SET GLOBAL local_infile = 0");
    let drilled = vault.drill("latest").await.unwrap();
    assert!(drilled.warnings.iter().any(|w| w.code == "no_local_infile"), "{:?}", drilled.warnings);
    assert_eq!(server.databases(), ["shop"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_not_restored_over() {
    let Some(server) = MariaDb::shared() else { return };
    server.create("life_there");
    server.sql("life_there", "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)");
    let world = World::new();
    let vault = world.vault(&server.url("life_there")).await;
    vault.backup().await.unwrap();
    let refused = vault.restore("latest").target(server.url("life_there")).await;
    must_fail(refused, Code::TargetNotEmpty, "holds t");
    // An empty one is filled, and keeps what it is.
    server.create("life_empty");
    server.sql("", "ALTER DATABASE life_empty CHARACTER SET latin1");
    vault.restore("latest").target(server.url("life_empty")).await.unwrap();
    assert_eq!(server.content("life_empty"), server.content("life_there"));
    assert!(server.sql("", "SHOW CREATE DATABASE life_empty").contains("latin1"));
    server.drop("life_empty");
    server.drop("life_there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_database_is_backed_up_and_restored() {
    let Some(server) = MariaDb::shared() else { return };
    everything(server, "part_source");
    let world = World::new();
    let vault = world.vault(&server.url("part_source")).await;
    vault.backup().await.unwrap();
    let of = |database: &str, tables: &[&str]| -> Vec<String> {
        let wanted = |line: &String| tables.contains(&line.split('\t').next().unwrap());
        server.content(database).into_iter().filter(wanted).collect()
    };

    // One table, beside what is there.
    server.create("part_target");
    server.sql("part_target", "CREATE TABLE mine (id INT PRIMARY KEY); INSERT INTO mine VALUES (1)");
    vault.restore("latest").target(server.url("part_target")).table("orders").table("CUSTOMER").await.unwrap();
    assert_eq!(of("part_target", &["orders", "customer"]), of("part_source", &["orders", "customer"]));
    assert_eq!(server.content("part_target").len(), 3);
    assert_eq!(
        server
            .sql("part_target", "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()")
            .trim(),
        "3"
    );
    let refused = vault.restore("latest").target(server.url("part_target")).table("orders").await;
    must_fail(refused, Code::TargetNotEmpty, "table orders already");
    server.sql("part_target", "DELETE FROM orders WHERE id > 10");
    vault.restore("latest").target(server.url("part_target")).table("orders").clean().await.unwrap();
    assert_eq!(of("part_target", &["orders"]), of("part_source", &["orders"]));
    server.sql("part_target", "DELETE FROM orders");
    vault.restore("latest").target(server.url("part_target")).table("orders").data_only().await.unwrap();
    assert_eq!(of("part_target", &["orders"]), of("part_source", &["orders"]));
    let refused = vault.restore("latest").target(server.url("part_target")).table("orders").data_only().await;
    must_fail(refused, Code::TargetNotEmpty, "orders");
    let refused = vault.restore("latest").target(server.url("part_target")).table("ordres").await;
    must_fail(refused, Code::NothingSelected, "orders");

    // A backup of a part, which names what it is without.
    let part = vault.backup().exclude_table("texts").exclude_data("orders").await.unwrap();
    server.drop("part_target");
    let report = vault.restore(&part.id).target(server.url("part_target")).await.unwrap();
    assert!(report.warnings.iter().any(|w| w.code == "partial_backup"), "{:?}", report.warnings);
    assert!(of("part_target", &["texts"]).is_empty());
    assert_eq!(server.sql("part_target", "SELECT COUNT(*) FROM orders").trim(), "0");
    assert_eq!(of("part_target", &["bytes"]), of("part_source", &["bytes"]));
    server.drop("part_target");
    server.drop("part_source");
}

#[tokio::test(flavor = "multi_thread")]
async fn definers_are_kept_mapped_or_dropped() {
    let Some(server) = MariaDb::shared() else { return };
    server.create("definers");
    server.sql("", "CREATE OR REPLACE USER definer_old@'%'; CREATE OR REPLACE USER definer_new@'%'");
    server.sql(
        "definers",
        "CREATE DEFINER=definer_old@'%' VIEW v AS SELECT 1 AS a; CREATE DEFINER=definer_old@'%' PROCEDURE p() SELECT 1;
         CREATE DEFINER=definer_old@'%' EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01' DO SELECT 1",
    );
    let world = World::new();
    let vault = world.vault(&server.url("definers")).await;
    vault.backup().await.unwrap();
    let definers = || {
        let sql = "SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE() \
            UNION SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() \
            UNION SELECT CONCAT(DEFINER, IF(STATUS = 'ENABLED', '', STATUS)) FROM information_schema.EVENTS \
            WHERE EVENT_SCHEMA = DATABASE()";
        server.sql("definers_restored", sql).trim().to_owned()
    };
    let restore = || {
        server.drop("definers_restored");
        vault.restore("latest").target(server.url("definers_restored"))
    };
    restore().await.unwrap();
    assert_eq!(definers(), "definer_old@%");
    restore().map_owner("definer_old", "definer_new").await.unwrap();
    assert_eq!(definers(), "definer_new@%");
    restore().no_owner().await.unwrap();
    assert_eq!(definers(), "root@%");
    server.drop("definers_restored");
    server.drop("definers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_takes_the_place_of_the_live_one() {
    let Some(server) = MariaDb::shared() else { return };
    everything(server, "promoted");
    let world = World::new();
    let vault = world.vault(&server.url("promoted")).await;
    vault.backup().await.unwrap();
    let (schema, content) = (server.schema("promoted"), server.content("promoted"));
    server.sql("promoted", "DELETE FROM orders; CREATE TABLE newer (id INT PRIMARY KEY); DROP VIEW `0 before`; CREATE PROCEDURE newer() SELECT 1");
    let (later_schema, later) = (server.schema("promoted"), server.content("promoted"));
    let report = vault.restore("latest").target(server.url("promoted")).promote().await.unwrap();
    let kept = report.promoted.unwrap().kept.unwrap();
    assert!(kept.starts_with("promoted_before_"), "{kept}");
    assert_eq!(server.content("promoted"), content);
    same_schema(&server.schema("promoted"), &schema, "promoted");
    assert_eq!(server.content(&kept), later);
    // Its events sleep: they are the live database's now.
    same_schema(
        &server.schema(&kept).replace(" DISABLE ", " ENABLE ").replace(&format!("`{kept}`."), "`promoted`."),
        &later_schema.replace(" DISABLE ", " ENABLE "),
        "kept",
    );
    assert!(!server.databases().iter().any(|name| name.starts_with("promoted_restoring")));
    server.drop(&kept);
    server.drop("promoted");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_what_they_may_do_come_along_when_asked_for() {
    // A server of its own: accounts are the server's.
    let Some(server) = MariaDb::start() else { return };
    server.create("my_shop");
    server.sql(
        "my_shop",
        "CREATE TABLE t (id INT PRIMARY KEY); CREATE ROLE clerk; GRANT SELECT, INSERT ON `my\\_shop`.* TO clerk;
         CREATE USER app@'10.%' IDENTIFIED BY 'their own secret'; GRANT clerk TO app@'10.%'; SET DEFAULT ROLE clerk FOR app@'10.%';
         GRANT UPDATE (id) ON my_shop.t TO app@'10.%' WITH GRANT OPTION; GRANT SELECT ON mysql.* TO app@'10.%';
         CREATE USER nothing_to_do@'%' IDENTIFIED BY 'x'",
    );
    let shown = || server.sql("", "SHOW CREATE USER app@'10.%'; SHOW GRANTS FOR app@'10.%'; SHOW GRANTS FOR clerk");
    let before = shown();
    let world = World::new();
    let vault = world.vault(&server.url("my_shop")).await;
    let backup = vault.backup().globals().await.unwrap();
    assert_eq!(backup.warnings, []);
    server.sql("", "DROP DATABASE my_shop; DROP USER app@'10.%'; DROP ROLE clerk");
    let report = vault.restore(&backup.id).target(server.url("my_shop")).globals().await.unwrap();
    assert_eq!(report.created, ["account clerk", "account app@10.%"], "{:?}", report.warnings);
    // What they may do elsewhere is not this database's.
    assert_eq!(shown(), before.replace("GRANT SELECT ON `mysql`.* TO `app`@`10.%`\n", ""));
    assert_eq!(server.sql("", "SELECT COUNT(*) FROM mysql.user WHERE User = 'nothing_to_do'").trim(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_beside_a_backup_wait_for_it_or_fail_it() {
    let Some(server) = MariaDb::shared() else { return };
    server.create("life_ddl");
    server.sql("life_ddl", BUSY);
    let migration = "DELIMITER //
        CREATE PROCEDURE migrate() BEGIN LOOP
            ALTER TABLE a ADD COLUMN later INT DEFAULT 7; ALTER TABLE b ADD COLUMN later INT DEFAULT 7;
            ALTER TABLE a DROP COLUMN later; ALTER TABLE b DROP COLUMN later;
            CREATE TABLE extra (id INT PRIMARY KEY); DROP TABLE extra;
        END LOOP; END//";
    server.sql("life_ddl", migration);
    let mut migrating = server.client("mariadb").args(["life_ddl", "-e", "CALL migrate()"]).spawn().unwrap();
    let world = World::new();
    let vault = world.builder(&server.url("life_ddl")).settings(small_parts(4)).open().await.unwrap();
    let mut made = 0;
    for _ in 0..5 {
        match vault.backup().await {
            Ok(report) => {
                made += 1;
                server.drop("life_ddl_restored");
                vault.restore(&report.id).target(server.url("life_ddl_restored")).await.unwrap();
                assert_eq!(server.sql("life_ddl_restored", AGREE).trim(), "1");
            }
            Err(e) => assert_eq!(e.code(), Code::DatabaseChanged, "{e}"),
        }
    }
    server.end_sessions("life_ddl");
    migrating.wait().unwrap();
    println!("{made} of 5 backups were made beside the migrations");
    // Nothing of ours is in anybody's way afterwards.
    server.sql("life_ddl", "SET lock_wait_timeout = 60; ALTER TABLE a ADD COLUMN at_last INT");
    vault.backup().await.unwrap();
    server.drop("life_ddl_restored");
    server.drop("life_ddl");
}
