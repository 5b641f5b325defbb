//! Around MariaDB's engine: who may connect and how that is protected, what the doctor finds, what statistics tell.

use std::path::Path;

use lastgood::{Check, CheckStatus, Code, Doctor, DoctorReport};
use testkit::{Authority, MariaDb, MariaDbSetup, MySql8, Sha2};

use crate::world::{World, must_fail};

const SMALL: &str = "CREATE TABLE item (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50), KEY by_name (name));
    INSERT INTO item (name) SELECT CONCAT('item ', seq) FROM seq_1_to_1000;
    CREATE VIEW items AS SELECT COUNT(*) AS n FROM item;
    CREATE TABLE log (what VARCHAR(100)) ENGINE=MyISAM;
    CREATE TRIGGER named BEFORE INSERT ON item FOR EACH ROW SET NEW.name = TRIM(NEW.name);
    CREATE PROCEDURE nothing() SELECT 1;
    CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01' DO DELETE FROM log;";

async fn examine(world: &World, url: &str) -> DoctorReport {
    world.builder(url).doctor().await
}

/// The check ended so, and what it says names the thing.
#[track_caller]
fn found(report: &DoctorReport, name: &str, status: CheckStatus, thing: &str) {
    let check: &Check =
        report.checks.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no {name}: {report:#?}"));
    assert_eq!(check.status, status, "{check:?}");
    let said = format!("{} {}", check.message, check.next.as_deref().unwrap_or_default());
    assert!(said.contains(thing), "`{thing}` is not in: {said}");
    assert!(status == CheckStatus::Pass || check.next.is_some(), "{check:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_nothing_wrong_with_an_account_that_may_do_everything() {
    let Some(server) = MariaDb::shared() else { return };
    let world = World::new();
    let url = server.create("around_whole");
    server.sql("around_whole", SMALL);
    server.sql("around_whole", "DROP TABLE log; DROP EVENT nightly");
    let before = (server.schema("around_whole"), server.content("around_whole"));
    let vault = world.vault(&url).await;
    vault.backup().await.unwrap();
    vault.drill("latest").await.unwrap();
    let report = vault.doctor().await.unwrap();
    for (name, thing) in [
        ("database", "MariaDB"),
        ("tls", "TLS"),
        ("replica", "primary"),
        ("connections", "free"),
        ("packets", "16 MB"),
        ("local_infile", "fast"),
        ("privileges", "everything"),
        ("consistency", "BACKUP STAGE"),
        ("not_transactional", "one moment"),
        ("objects", "1 tables"),
        ("database_clock", "agree"),
    ] {
        found(&report, name, CheckStatus::Pass, thing);
    }
    found(&report, "authentication", CheckStatus::Warn, "mysql_native_password");
    for (table, index, status, thing) in [
        ("item", "item.by_name", CheckStatus::Pass, "all 2"),
        ("around_whole.items", "by_names", CheckStatus::Fail, "not there: index by_names"),
    ] {
        let mut required = Doctor::default();
        (required.tables, required.indexes) = (vec![table.to_owned()], vec![index.to_owned()]);
        found(&world.builder(&url).doctor_for(required).await, "required", status, thing);
    }
    assert_eq!((server.schema("around_whole"), server.content("around_whole")), before);
    server.drop("around_whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_privileges_give_a_backup_that_says_what_it_cannot_see() {
    let Some(server) = MariaDb::shared() else { return };
    let world = World::new();
    server.create("around_least");
    server.sql("around_least", SMALL);
    server.sql(
        "",
        "CREATE OR REPLACE USER least IDENTIFIED BY 'pw';
         GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON around_least.* TO least;
         CREATE OR REPLACE USER reader IDENTIFIED BY 'pw'; GRANT SELECT ON around_least.* TO reader;
         CREATE OR REPLACE USER nobody IDENTIFIED BY 'pw'; GRANT INSERT ON around_least.log TO nobody;
         CREATE OR REPLACE ROLE backups; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON around_least.* TO backups;
         CREATE OR REPLACE USER member IDENTIFIED BY 'pw'; GRANT backups TO member; SET DEFAULT ROLE backups FOR member;",
    );
    let url = |user: &str| server.url_of(user, "pw", "around_least");
    let report = examine(&world, &url("least")).await;
    found(&report, "privileges", CheckStatus::Warn, "routines of others");
    found(&report, "consistency", CheckStatus::Pass, "LOCK TABLES");
    found(&report, "not_transactional", CheckStatus::Warn, "log (MyISAM)");
    let report = examine(&world, &url("reader")).await;
    found(&report, "privileges", CheckStatus::Warn, "GRANT SHOW VIEW, TRIGGER, EVENT ON `around_least`.*");
    found(&report, "consistency", CheckStatus::Warn, "one connection");
    let report = examine(&world, &url("member")).await;
    found(&report, "privileges", CheckStatus::Warn, "may not see routines of others");
    let report = examine(&world, &url("nobody")).await;
    found(&report, "privileges", CheckStatus::Fail, "no table");
    found(&report, "objects", CheckStatus::Warn, "log: a backup fails");

    for (user, unseen) in [("least", "routines of others"), ("reader", "triggers, events")] {
        let world = World::new();
        let backup = world.vault(&url(user)).await.backup().await.unwrap();
        let told = backup.warnings.iter().find(|w| w.code == "hidden_objects");
        assert!(told.is_some_and(|w| w.message.contains(unseen)), "{user}: {:?}", backup.warnings);
    }
    server.sql("", "GRANT SELECT ON mysql.proc TO least");
    let report = examine(&world, &url("least")).await;
    found(&report, "privileges", CheckStatus::Pass, "everything");
    let backup = world.vault(&url("least")).await.backup().await.unwrap();
    assert!(!backup.warnings.iter().any(|w| w.code == "hidden_objects"), "{:?}", backup.warnings);
    server.sql("", "DROP USER least, reader, nobody, member; DROP ROLE backups");
    server.drop("around_least");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_as_protected_as_asked() {
    let authority = Authority::new();
    let certificate = authority.issue("db.test", "IP:127.0.0.1,DNS:localhost", 30);
    let Some(server) = MariaDb::start_with(&MariaDbSetup::default().tls(&certificate)) else { return };
    let client = authority.issue("app", "", 30);
    let stranger = Authority::new();
    server.create("tls");
    server.sql(
        "tls",
        "CREATE TABLE t (a INT); CREATE USER safe IDENTIFIED BY 'pw' REQUIRE SSL; CREATE USER app IDENTIFIED BY 'pw' REQUIRE X509;
         GRANT ALL ON tls.* TO safe, app",
    );
    let path = |path: &Path| path.display().to_string();
    let (root, other) = (path(&authority.root()), path(&stranger.root()));
    let url = |user: &str, query: &str| format!("{}?{query}", server.url_of(user, "pw", "tls"));
    let mine = format!("ssl-cert={}&ssl-key={}", path(&client.certificate), path(&client.key));
    let world = World::new();
    // In order: the mode, whether it connects, and what the doctor or the error says.
    for (user, query, expected) in [
        ("safe", String::new(), Ok("TLS")),
        ("safe", "ssl-mode=required".to_owned(), Ok("TLS")),
        ("safe", format!("ssl-mode=verify-ca&ssl-ca={root}"), Ok("TLS")),
        ("safe", format!("ssl-mode=verify-identity&ssl-ca={root}"), Ok("TLS")),
        ("safe", "ssl-mode=disabled".to_owned(), Err((Code::DatabaseDenied, "safe"))),
        ("safe", format!("ssl-mode=verify-ca&ssl-ca={other}"), Err((Code::TlsFailed, "authority"))),
        ("safe", "ssl-mode=verify-ca".to_owned(), Err((Code::TlsFailed, "authority"))),
        ("app", format!("ssl-mode=required&{mine}"), Ok("TLS")),
        ("app", "ssl-mode=required".to_owned(), Err((Code::DatabaseDenied, "app"))),
        ("safe", "ssl-ca=/nonexistent/ca.pem".to_owned(), Err((Code::LocalFile, "/nonexistent/ca.pem"))),
    ] {
        let report = examine(&world, &url(user, &query)).await;
        match expected {
            Ok(said) => found(&report, "tls", CheckStatus::Pass, said),
            Err((code, said)) => {
                let vault = world.builder(&url(user, &query)).open().await.unwrap();
                let e = vault.database_stats().await.unwrap_err();
                assert_eq!(e.code(), code, "{query}: {e}");
                let text = format!("{e} {}", e.next_step().unwrap_or_default());
                assert!(text.contains(said), "{query}: {text}");
                assert!(!text.contains("pw@"), "{text}");
            }
        }
    }
    // A name that is not in the certificate.
    let elsewhere = authority.issue("else.test", "DNS:else.test", 30);
    let Some(server) = MariaDb::start_with(&MariaDbSetup::default().tls(&elsewhere)) else { return };
    server.create("tls");
    let url = format!("{}?ssl-mode=verify-identity&ssl-ca={root}", server.url("tls"));
    let vault = world.builder(&url).open().await.unwrap();
    must_fail(vault.database_stats().await, Code::TlsFailed, "name");
    let url = url.replace("verify-identity", "verify-ca");
    world.builder(&url).open().await.unwrap().database_stats().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_used_in_the_clear_unless_tls_is_asked_for() {
    let Some(server) = MariaDb::start_with(&MariaDbSetup::default().without_tls()) else { return };
    server.create("clear");
    let world = World::new();
    let open = async |query: &str| world.builder(&format!("{}{query}", server.url("clear"))).open().await.unwrap();
    open("").await.database_stats().await.unwrap();
    for mode in ["required", "verify-ca", "verify-identity"] {
        let vault = open(&format!("?ssl-mode={mode}")).await;
        must_fail(vault.database_stats().await, Code::TlsFailed, "does not support TLS");
    }
    // Over its socket there is nothing to protect, and nothing else is different.
    server.sql("clear", SMALL);
    let url = format!("{}?socket={}", server.url("clear"), server.socket().display());
    let vault = world.vault(&url).await;
    vault.backup().await.unwrap();
    vault.drill("latest").await.unwrap();
    let report = vault.doctor().await.unwrap();
    found(&report, "tls", CheckStatus::Pass, "stays on this host");
    must_fail(
        world.builder(&url.replace("/socket", "/nosocket")).open().await.unwrap().database_stats().await,
        Code::DatabaseUnavailable,
        "nosocket",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_authenticate_by_every_kind_of_password() {
    let setup = MariaDbSetup::default().set("plugin-load-add=auth_ed25519");
    let Some(server) = MariaDb::start_with(&setup) else { return };
    server.create("auth");
    server.sql("auth", "CREATE TABLE t (a INT)");
    let world = World::new();
    for (user, by) in [
        ("native", "IDENTIFIED VIA mysql_native_password USING PASSWORD('p4ss')"),
        ("ed", "IDENTIFIED VIA ed25519 USING PASSWORD('p4ss')"),
        ("either", "IDENTIFIED VIA ed25519 USING PASSWORD('p4ss') OR mysql_native_password USING PASSWORD('old')"),
    ] {
        server.sql(
            "",
            &format!("CREATE USER {user} {by}; GRANT ALL ON auth.* TO {user}; GRANT SELECT ON mysql.* TO {user}"),
        );
        let report = examine(&world, &server.url_of(user, "p4ss", "auth")).await;
        let status = if user != "ed" { CheckStatus::Warn } else { CheckStatus::Pass };
        found(&report, "authentication", status, user);
        let wrong = world.builder(&server.url_of(user, "wrong", "auth")).open().await.unwrap();
        must_fail(wrong.database_stats().await, Code::DatabaseDenied, user);
    }
    server
        .sql("", "CREATE USER locked IDENTIFIED BY 'p4ss' ACCOUNT LOCK; CREATE USER open; GRANT ALL ON auth.* TO open");
    let locked = world.builder(&server.url_of("locked", "p4ss", "auth")).open().await.unwrap();
    must_fail(locked.database_stats().await, Code::DatabaseDenied, "locked");
    let no_password = server.url("auth").replace(&format!("root:{}", server.password()), "open");
    world.builder(&no_password).open().await.unwrap().database_stats().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_tell_what_the_server_knows_and_the_account_may_see() {
    let setup =
        MariaDbSetup::default().set("performance_schema=ON").set("performance_schema_consumer_statements_digest=ON");
    let setup = setup
        .set("performance_schema_instrument=statement/%=ON")
        .set("performance-schema-instrument=wait/io/table/%=ON");
    let Some(server) = MariaDb::start_with(&setup) else { return };
    let world = World::new();
    let url = server.create("stats");
    server.sql("stats", SMALL);
    server.sql("stats", "SELECT COUNT(*) FROM item WHERE id > 4711; ANALYZE TABLE item, log");
    let stats = world.vault(&url).await.database_stats().await.unwrap();
    assert_eq!(stats.engine.to_string(), "mysql");
    assert!(stats.version.contains("MariaDB"), "{stats:?}");
    assert!(stats.size_bytes.is_some_and(|n| n > 0), "{stats:?}");
    let connections = stats.connections.as_ref().unwrap();
    assert!(connections.used >= 1 && connections.allowed > connections.used, "{stats:?}");
    assert_eq!(stats.largest_tables[0].name, "item");
    assert_eq!(stats.largest_tables[0].rows, 1000);
    assert!(stats.slow_queries.iter().any(|q| q.query.contains("FROM `item` WHERE ") && q.calls == 1), "{stats:?}");
    assert!(stats.unused_indexes.iter().any(|i| i.name == "by_name" && i.table == "item"), "{stats:?}");
    assert_eq!((stats.deadlocks, stats.waiting_locks, stats.replication_lag_seconds), (Some(0), Some(0), None));
    assert!(stats.cache_hit_ratio.is_some_and(|r| (0.0..=1.0).contains(&r)), "{stats:?}");
    assert!(stats.longest_transaction_seconds.is_some(), "{stats:?}");
    let health = world.vault(&url).await.health().await.unwrap();
    assert_eq!(health.database.as_deref(), Some("connected"), "{health:?}");
    let metrics = world.vault(&url).await.metrics().await.unwrap();
    assert!(metrics.contains("lastgood_db_"), "{metrics}");

    // An account that may see little gets the rest.
    server.sql("", "CREATE USER little IDENTIFIED BY 'pw'; GRANT SELECT ON stats.* TO little");
    let stats = world.vault(&server.url_of("little", "pw", "stats")).await.database_stats().await.unwrap();
    assert!(stats.connections.is_some() && stats.longest_transaction_seconds.is_none(), "{stats:?}");
    assert!(stats.slow_queries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_read_only_and_says_how_far_it_is() {
    let Some(primary) = MariaDb::start() else { return };
    let Some(replica) = MariaDb::start_with(&MariaDbSetup::default().set("server-id=2").set("read-only=ON").set(
        // Its accounts stay its own.
        "replicate-wild-do-table=repl.%",
    )) else {
        return;
    };
    let world = World::new();
    primary.create("repl");
    primary.sql("repl", "CREATE TABLE item (id INT PRIMARY KEY); INSERT INTO item SELECT seq FROM seq_1_to_100");
    primary.sql("", "CREATE USER copy IDENTIFIED BY 'pw'; GRANT REPLICATION SLAVE ON *.* TO copy");
    replica.sql(
        "",
        &format!(
            "SET GLOBAL gtid_slave_pos = ''; RESET MASTER; CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='copy', \
             MASTER_PASSWORD='pw', MASTER_LOG_FILE='{}', MASTER_LOG_POS={}; START SLAVE",
            primary.port(),
            primary.sql("", "SHOW BINARY LOGS").split('\t').next().unwrap(),
            4
        ),
    );
    testkit::wait_until("the replica", || {
        replica.exists("repl")
            && replica.sql("repl", "SHOW TABLES").contains("item")
            && replica.sql("repl", "SELECT COUNT(*) FROM item").trim() == "100"
    });
    replica.sql(
        "",
        "CREATE USER app IDENTIFIED BY 'pw'; GRANT ALL ON *.* TO app; REVOKE SUPER, READ_ONLY ADMIN ON *.* FROM app",
    );
    let url = replica.url_of("app", "pw", "repl");
    let report = examine(&world, &url).await;
    found(&report, "replica", CheckStatus::Pass, "a replica, read-only");
    let vault = world.vault(&url).await;
    assert_eq!(vault.database_stats().await.unwrap().replication_lag_seconds, Some(0.0));
    let stats = world.builder(&primary.url("repl")).open().await.unwrap().database_stats().await.unwrap();
    assert_eq!(stats.replicas.len(), 1, "{stats:?}");
    let backup = vault.backup().await.unwrap();
    let refused = vault.restore(&backup.id).target(replica.url_of("app", "pw", "repl_restored")).await;
    must_fail(refused, Code::DatabaseDenied, "read-only");
    vault.restore(&backup.id).target(primary.url("repl_restored")).await.unwrap();
    assert_eq!(primary.content("repl_restored"), primary.content("repl"));
    // The password is wrong from now on, so replication stands still.
    replica.sql("", "STOP SLAVE");
    let report = examine(&world, &url).await;
    found(&report, "replica", CheckStatus::Warn, "stands still");
}

/// What a replica of MySQL 8.0 answers.
fn mysql8(how: Sha2) -> MySql8 {
    let one = |name: &'static str, value: &'static str| (vec![name], vec![vec![Some(value)]]);
    MySql8::start(
        how,
        "p4ss",
        vec![
            ("SELECT @@max_allowed_packet", (vec!["@@max_allowed_packet"], vec![vec![Some("67108864")]])),
            ("SELECT VERSION()", one("VERSION()", "8.0.36")),
            ("SELECT CURRENT_USER()", one("CURRENT_USER()", "app@%")),
            ("SELECT plugin FROM mysql.user", one("plugin", "caching_sha2_password")),
            (
                "SHOW GRANTS FOR CURRENT_USER() USING `backups`@`%`",
                (
                    vec!["Grants for app@%"],
                    vec![
                        vec![Some("GRANT USAGE ON *.* TO `app`@`%`")],
                        vec![Some("GRANT FLUSH_TABLES,SHOW_ROUTINE ON *.* TO `app`@`%`")],
                        vec![Some("GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON `shop`.* TO `app`@`%`")],
                        vec![Some("GRANT `backups`@`%` TO `app`@`%`")],
                    ],
                ),
            ),
            (
                "SHOW GRANTS",
                (
                    vec!["Grants for app@%"],
                    vec![vec![Some("GRANT USAGE ON *.* TO `app`@`%`")], vec![Some("GRANT `backups`@`%` TO `app`@`%`")]],
                ),
            ),
            ("SELECT @@GLOBAL.read_only", one("@@GLOBAL.read_only", "1")),
            (
                "SHOW REPLICA STATUS",
                (
                    vec!["Replica_IO_State", "Seconds_Behind_Source", "Channel_Name"],
                    vec![
                        vec![Some("Waiting for source to send event"), Some("3"), Some("a")],
                        vec![Some("Waiting for source to send event"), Some("12"), Some("b")],
                    ],
                ),
            ),
            ("SHOW GLOBAL STATUS", (vec!["Variable_name", "Value"], vec![vec![Some("Threads_connected"), Some("5")]])),
            (
                "SHOW GLOBAL VARIABLES",
                (
                    vec!["Variable_name", "Value"],
                    vec![vec![Some("max_connections"), Some("151")], vec![Some("max_execution_time"), Some("30000")]],
                ),
            ),
            ("SELECT `COUNT` FROM information_schema.INNODB_METRICS", one("COUNT", "4")),
        ],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_8_lets_in_by_caching_sha2_password_and_answers_in_its_own_words() {
    let world = World::new();
    for how in [Sha2::Fast, Sha2::Full] {
        let server = mysql8(how);
        let stats = world.builder(&server.url("p4ss", "shop")).open().await.unwrap().database_stats().await.unwrap();
        assert_eq!(
            (stats.version.as_str(), stats.deadlocks, stats.replication_lag_seconds),
            ("8.0.36", Some(4), Some(12.0))
        );
        let wrong = world.builder(&server.url("wrong", "shop")).open().await.unwrap();
        must_fail(wrong.database_stats().await, Code::DatabaseDenied, "app");
        let required =
            world.builder(&format!("{}?ssl-mode=required", server.url("p4ss", "shop"))).open().await.unwrap();
        must_fail(required.database_stats().await, Code::TlsFailed, "does not support TLS");
        assert!(
            server.statements().iter().any(|sql| sql.contains("max_execution_time = 0")),
            "{:?}",
            server.statements()
        );
        assert!(!server.statements().iter().any(|sql| sql.contains("max_statement_time")), "{:?}", server.statements());
    }
    let server = mysql8(Sha2::Fast);
    let report = examine(&world, &server.url("p4ss", "shop")).await;
    found(&report, "database", CheckStatus::Pass, "MySQL 8.0.36");
    found(&report, "authentication", CheckStatus::Pass, "caching_sha2_password");
    found(&report, "privileges", CheckStatus::Pass, "everything");
    found(&report, "consistency", CheckStatus::Pass, "FLUSH TABLES WITH READ LOCK");
    found(&report, "replica", CheckStatus::Pass, "a replica, read-only, 12 s behind");
    found(&report, "timeouts", CheckStatus::Pass, "max_execution_time = 30000");
}
