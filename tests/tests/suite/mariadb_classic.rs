//! Scripts of mariadb-dump, made by the pipelines of old runbooks, and read by us; and scripts of ours, run by the stock client.

use std::path::{Path, PathBuf};
use std::process::Command;

use lastgood::{Code, ExportFormat, Vault};
use testkit::{MariaDb, tool};

use crate::world::{PASSPHRASE, World, answer, bare_command, must_fail};

/// Everything that a script can hold: programs with semicolons and comments in their bodies, values that look like SQL.
const SHOP: &str = r#"
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE item (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(60) COLLATE utf8mb4_bin, data BLOB, at TIMESTAMP NULL, KEY (name));
INSERT INTO item VALUES (0, 'it''s \\; -- `x` /* " */ 🦀', x'00FF5C270A0D1A', '2024-02-29 12:00:00'), (7, 'NULL', NULL, NULL), (8, '', '', '1970-01-02');
CREATE TABLE sale (id INT PRIMARY KEY, item INT, price DECIMAL(10,2), tax DECIMAL(10,2) AS (price * 0.2) STORED, FOREIGN KEY (item) REFERENCES item (id));
INSERT INTO sale (id, item, price) SELECT seq, IF(seq % 2, 7, 8), seq / 3 FROM seq_1_to_3000;
CREATE TABLE log (what VARCHAR(100)) ENGINE=MyISAM;
CREATE SEQUENCE numbers START WITH 100 INCREMENT BY 5;
CREATE VIEW zz AS SELECT item, SUM(price) AS s FROM sale GROUP BY item;
CREATE VIEW aa AS SELECT name, s FROM zz JOIN item ON item = id;
DELIMITER //
CREATE TRIGGER sold AFTER INSERT ON sale FOR EACH ROW BEGIN
  -- it's kept; with its comment
  INSERT INTO log VALUES (CONCAT('sold; ', NEW.id)); /* and; this */
END//
CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC NO SQL BEGIN RETURN n * 2; END//
CREATE PROCEDURE many(IN n INT) BEGIN DECLARE i INT DEFAULT 0; WHILE i < n DO SET i = i + 1; END WHILE; SELECT ';//', i; END//
SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'//
CREATE PROCEDURE "ansi"() BEGIN SELECT '\' AS "a;b"; END//
SET sql_mode = DEFAULT//
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01' DO BEGIN DELETE FROM log; END//
CREATE EVENT never ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM log//
DELIMITER ;
"#;

fn shop(server: &MariaDb, database: &str) {
    server.create(database);
    server.sql(database, SHOP);
}

/// Definitions and content of a database.
fn look(server: &MariaDb, database: &str) -> (String, Vec<String>) {
    (server.schema(database), server.content(database))
}

#[track_caller]
fn same(server: &MariaDb, database: &str, expected: &(String, Vec<String>), what: &str) {
    let (schema, content) = look(server, database);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for (got, wanted) in lines(&schema).iter().zip(&lines(&expected.0)) {
        assert_eq!(got, wanted, "{what}");
    }
    assert_eq!(lines(&schema).len(), lines(&expected.0).len(), "{what}");
    assert_eq!(content, expected.1, "{what}");
}

/// What an old script does every night, in the folder that is its store.
fn old_script(server: &MariaDb, options: &[&str], folder: &Path, name: &str) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let mut dump = server.client("mariadb-dump");
    dump.args(["--single-transaction", "--routines", "--events", "--triggers"]).args(options);
    let arguments: Vec<_> = dump.get_args().map(|a| a.to_str().unwrap().to_owned()).collect();
    let pack = if name.contains(".gz") { "gzip" } else { "cat" };
    let seal = if name.ends_with(".enc") { "openssl enc -aes-256-cbc -pbkdf2 -salt -pass env:KEY" } else { "cat" };
    let line =
        format!("set -euo pipefail; mariadb-dump \"$@\" | {pack} | {seal} > {name}; sha256sum {name} > {name}.sha256");
    let mut shell = Command::new("bash");
    shell.args(["-c", &line, "bash"]).args(arguments).current_dir(folder);
    tool(shell.env("KEY", PASSPHRASE).env("MYSQL_PWD", server.password()));
    folder.join(name)
}

async fn old_store(folder: &Path) -> Vault {
    Vault::builder().store(folder.display().to_string()).passphrase(PASSPHRASE).open().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_of_every_kind_are_listed_verified_and_restored_the_same() {
    let Some(server) = MariaDb::shared() else { return };
    let world = World::new();
    shop(server, "script_shop");
    let expected = look(server, "script_shop");
    let folder = world.path("old");
    let kinds: [(&str, &[&str]); 6] = [
        ("backup-20240101-020000.sql", &["script_shop"]),
        ("backup-20240102-020000.sql.gz", &["--hex-blob", "--databases", "script_shop"]),
        (
            "backup-20240103-020000.sql.gz.enc",
            &["--skip-extended-insert", "--complete-insert", "--no-autocommit", "script_shop"],
        ),
        (
            "backup-20240104-020000.sql.gz",
            &["--skip-opt", "--create-options", "--quick", "--replace", "--flush-logs", "script_shop"],
        ),
        ("backup-20240105-020000.sql", &["--add-drop-database", "--add-drop-trigger", "--databases", "script_shop"]),
        (
            "backup-20240106-020000.sql.gz",
            &["--compact", "--skip-tz-utc", "--master-data=1", "--tz-utc", "script_shop"],
        ),
    ];
    for (name, options) in kinds {
        old_script(server, options, &folder, name);
    }
    let vault = old_store(&folder).await;
    let mut listed: Vec<String> = vault.artifacts().await.unwrap().into_iter().map(|a| a.name).collect();
    listed.reverse();
    assert_eq!(listed, kinds.map(|(name, _)| name));
    for (name, options) in kinds {
        let verified = vault.verify(name).await.unwrap();
        assert!(verified.warnings.is_empty(), "{options:?}: {verified:?}");
        server.drop("script_restored");
        let restored = vault.restore(name).target(server.url("script_restored")).await;
        let restored = restored.unwrap_or_else(|e| panic!("{options:?}: {e}"));
        let told: Vec<&str> = restored.warnings.iter().map(|w| w.code.as_str()).collect();
        let replication: &[&str] = if options.contains(&"--master-data=1") { &["replication_left_out"] } else { &[] };
        assert_eq!(told, replication, "{options:?}");
        same(server, "script_restored", &expected, &format!("{options:?}"));
    }
    assert!(server.sql("", "SHOW DATABASES").lines().all(|name| !name.contains("_restoring_")));
    server.drop("script_restored");
    server.drop("script_shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn sakila_and_chinook_come_back_from_their_scripts() {
    let (Some(server), Some(data)) = (MariaDb::shared(), testkit::sample_data()) else { return };
    let world = World::new();
    testkit::load_sakila_mariadb(server, "script_sakila", &data);
    let expected = look(server, "script_sakila");
    let file = old_script(server, &["script_sakila"], &world.path("old"), "sakila.sql.gz");
    let vault = old_store(&world.path("old")).await;
    server.drop("script_restored_sakila");
    vault.restore(file.display().to_string()).target(server.url("script_restored_sakila")).await.unwrap();
    same(server, "script_restored_sakila", &expected, "sakila");
    // The scripts as they are published, which were written by hand, with CRLF.
    testkit::load_chinook_mariadb(server, "script_chinook", &data);
    let chinook = data.join("chinook/chinook-mysql.sql");
    server.drop("script_restored_chinook");
    vault.restore(chinook.display().to_string()).target(server.url("script_restored_chinook")).await.unwrap();
    assert_eq!(server.content("script_restored_chinook"), server.content("script_chinook"));
    for name in ["script_sakila", "script_restored_sakila", "script_chinook", "script_restored_chinook"] {
        server.drop(name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_database_is_taken_out_of_a_script_of_several() {
    let Some(server) = MariaDb::shared() else { return };
    let world = World::new();
    for name in ["script_one", "script_two"] {
        server.create(name);
        server.sql(name, &format!("CREATE TABLE {name} (a INT); INSERT INTO {name} VALUES (1), (2)"));
    }
    let expected = look(server, "script_two");
    let options = ["--databases", "script_one", "script_two", "mysql"];
    let file = old_script(server, &options, &world.path("old"), "all.sql").display().to_string();
    let vault = old_store(&world.path("old")).await;
    let target = server.url("script_taken");
    server.drop("script_taken");
    must_fail(vault.restore(&file).target(&target).await, Code::InvalidOption, "script_one and script_two");
    assert!(!server.exists("script_taken"));
    must_fail(
        vault.restore(&file).target(&target).from_database("script_three").await,
        Code::DatabaseNotFound,
        "script_three",
    );
    vault.restore(&file).target(&target).from_database("script_two").await.unwrap();
    same(server, "script_taken", &expected, "script_two");
    for name in ["script_one", "script_two", "script_taken"] {
        server.drop(name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_must_not_do_is_refused_and_nothing_is_left() {
    let Some(server) = MariaDb::shared() else { return };
    let world = World::new();
    let target = server.url("script_refused");
    server.drop("script_refused");
    for (script, what) in [
        ("SELECT 1;\n\\! touch /tmp/x\n", "line 2"),
        ("CREATE TABLE `t` (a INT);\nsource /etc/passwd\n", "line 2"),
        ("CREATE TABLE `t` (a TEXT);\nLOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t;", "line 2"),
        ("CREATE TABLE `t` (a INT);\nSELECT 'x' INTO OUTFILE '/tmp/x';", "line 2"),
        ("CREATE TABLE `t` (a INT);\nSHUTDOWN;", "line 2"),
    ] {
        let file = world.file("bad.sql", script);
        let refused = bare_command().args(["restore", &file, "--target", &target]).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(what), "{script}: {said}");
        assert!(!server.exists("script_refused"), "{script}");
    }
    // What the server refuses names its line, and is taken back.
    let file = world.file("wrong.sql", "CREATE TABLE `t` (a INT);\n\nINSERT INTO t VALUES ('x', 'y');\n");
    let vault = old_store(&world.path("old")).await;
    must_fail(vault.restore(&file).target(&target).await, Code::DatabaseError, "line 3");
    must_fail(vault.restore(&file).target(&target).table("t").await, Code::InvalidOption, "whole");
    assert!(!server.exists("script_refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn definers_are_left_out_on_request_and_users_always() {
    let Some(server) = MariaDb::shared() else { return };
    let world = World::new();
    shop(server, "script_owned");
    server.sql("script_owned", "CREATE DEFINER=`gone`@`nowhere` VIEW foreign_view AS SELECT 1 AS one");
    let file = old_script(server, &["script_owned"], &world.path("old"), "owned.sql");
    // A script is no text: binary values stand in it as they are.
    let script = std::fs::read(&file).unwrap();
    let users = b"CREATE USER x IDENTIFIED BY 'y';\nGRANT SELECT ON *.* TO x;\nSET GLOBAL max_connections = 1;\n";
    std::fs::write(&file, [&users[..], &script].concat()).unwrap();
    std::fs::remove_file(file.with_extension("sql.sha256")).unwrap();
    let vault = old_store(&world.path("old")).await;
    server.drop("script_ownerless");
    let restored =
        vault.restore(file.display().to_string()).target(server.url("script_ownerless")).no_owner().await.unwrap();
    assert!(
        restored.warnings.iter().any(|w| w.code == "globals_left_out" && w.message.starts_with('3')),
        "{restored:?}"
    );
    let schema = server.schema("script_ownerless");
    assert!(!schema.contains("`gone`@`nowhere`"), "{schema}");
    assert_eq!(server.sql("", "SELECT COUNT(*) FROM mysql.user WHERE User = 'x'").trim(), "0");
    server.drop("script_ownerless");
    server.drop("script_owned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_becomes_a_backup_and_a_backup_a_script() {
    let Some(server) = MariaDb::shared() else { return };
    let world = World::new();
    shop(server, "script_import");
    let expected = look(server, "script_import");
    let file = old_script(server, &["script_import"], &world.path("old"), "backup-20240101-020000.sql.gz.enc");
    let vault = world.builder(&server.url("script_import")).open().await.unwrap();
    let imported = vault.import(file.display().to_string()).await.unwrap();
    assert_eq!(imported.id.to_string(), "backup-20240101-020000");
    vault.drill("latest").await.unwrap();

    let out = world.path("out");
    vault.export("latest").folder(&out).format(ExportFormat::Classic).await.unwrap();
    let name = "backup-20240101-020000.sql.gz.enc";
    // What the runbook says for the day of need.
    server.create("script_by_hand");
    let line = format!(
        "set -euo pipefail; sha256sum -c {name}.sha256; openssl enc -d -aes-256-cbc -pbkdf2 -pass env:KEY -in {name} | gunzip > plain.sql"
    );
    tool(Command::new("bash").args(["-c", &line]).current_dir(&out).env("KEY", PASSPHRASE));
    server.sql_file("script_by_hand", &out.join("plain.sql"));
    same(server, "script_by_hand", &expected, "by the stock client");
    server.drop("script_by_us");
    let exported = out.join(name).display().to_string();
    vault.restore(&exported).target(server.url("script_by_us")).await.unwrap();
    same(server, "script_by_us", &expected, "by us");
    for name in ["script_import", "script_by_hand", "script_by_us"] {
        server.drop(name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_restores_a_script_without_any_store() {
    let Some(server) = MariaDb::shared() else { return };
    let world = World::new();
    server.create("script_cli");
    server.sql("script_cli", "CREATE TABLE t (a INT); INSERT INTO t VALUES (1)");
    let file = old_script(server, &["script_cli"], &world.path("old"), "x.sql").display().to_string();
    server.drop("script_cli_restored");
    let report = answer(bare_command().args(["restore", &file, "--target", &server.url("script_cli_restored")]));
    assert_eq!(report["warnings"].as_array().map(Vec::len), Some(0), "{report}");
    assert_eq!(server.content("script_cli_restored"), server.content("script_cli"));
    server.drop("script_cli_restored");
    server.drop("script_cli");
}
