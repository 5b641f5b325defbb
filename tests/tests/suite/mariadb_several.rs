//! Several databases of a MariaDB server in one backup: of one moment, with what they refer to in each other.

use std::process::Command;

use lastgood::{CancellationToken, CheckStatus, Code, Doctor, ExportFormat, Phase, Settings};
use testkit::{MariaDb, tool};

use crate::postgres_life::same_schema;
use crate::stock_tools::recover;
use crate::world::{World, must_fail};

/// What the first of two databases holds; `BLOG` stands for the other one's name, `SHOP` for its own.
const SHOP: &str = "
    CREATE SEQUENCE tick;
    CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL, author INT NOT NULL, pad CHAR(200) DEFAULT REPEAT('x', 200),
        FOREIGN KEY (author) REFERENCES BLOG.author (id));
    CREATE TABLE numbered (id BIGINT DEFAULT NEXTVAL(tick) PRIMARY KEY, other BIGINT DEFAULT NEXTVAL(BLOG.tick));
    INSERT INTO numbered VALUES (), ();
    INSERT INTO orders (n, author) SELECT 1, seq % 3 + 1 FROM seq_1_to_2000;
    CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
    CREATE VIEW by_author AS SELECT a.name, SUM(SHOP.twice(o.n)) AS n FROM orders o JOIN BLOG.author a ON a.id = o.author GROUP BY a.name;
    CREATE TRIGGER noted AFTER INSERT ON orders FOR EACH ROW UPDATE BLOG.total SET n = n + NEW.n;
    CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01' DO DELETE FROM numbered;
    DELIMITER //
    CREATE PROCEDURE work()
    BEGIN
        LOOP
            START TRANSACTION;
            INSERT INTO orders (n, author) VALUES (1, 1);
            UPDATE BLOG.author SET orders = orders + 1 WHERE id = 1;
            COMMIT;
        END LOOP;
    END//
    DELIMITER ;";

const BLOG: &str = "
    CREATE SEQUENCE tick START WITH 100;
    CREATE TABLE author (id INT PRIMARY KEY, name VARCHAR(30), orders INT NOT NULL DEFAULT 0);
    INSERT INTO author (id, name) VALUES (1, 'Ada'), (2, 'Bo'), (3, 'Cé');
    CREATE TABLE total (n INT NOT NULL); INSERT INTO total VALUES (2000);";

/// A view on the other database's view, which is on this one's table.
const VIEW: &str = "CREATE VIEW busiest AS SELECT name FROM SHOP.by_author ORDER BY n DESC LIMIT 1";

/// Whether orders, their total and their count at the author are of one moment.
const AGREE: &str = "SELECT (SELECT SUM(n) FROM SHOP.orders) = (SELECT n FROM BLOG.total)
    AND (SELECT COUNT(*) FROM SHOP.orders) = 2000 + (SELECT SUM(orders) FROM BLOG.author)";

fn named(sql: &str, shop: &str, blog: &str) -> String {
    sql.replace("SHOP", shop).replace("BLOG", blog)
}

/// Makes both databases.
fn shop_and_blog(server: &MariaDb, shop: &str, blog: &str) {
    server.sql("", "SET GLOBAL log_bin_trust_function_creators = 1");
    for database in [blog, shop] {
        server.create(database);
    }
    for (database, sql) in [(blog, BLOG), (shop, SHOP), (blog, VIEW)] {
        server.sql(database, &named(sql, shop, blog));
    }
}

/// A name that is no plain word, and as long as any can be.
const ODD: &str = "odd-1_a_name_as_long_as_the_server_lets_one_be_______________end";

/// Definitions and content of databases.
fn look(server: &MariaDb, databases: &[&str]) -> Vec<(String, Vec<String>)> {
    databases.iter().map(|database| (server.schema(database), server.content(database))).collect()
}

#[track_caller]
fn same(server: &MariaDb, databases: &[&str], expected: &[(String, Vec<String>)], what: &str) {
    for (database, (schema, content)) in databases.iter().zip(expected) {
        same_schema(&server.schema(database), schema, &format!("{what}: {database}"));
        assert_eq!(server.content(database), *content, "{what}: {database}");
    }
}

fn small_parts() -> Settings {
    let mut settings = Settings::default();
    (settings.jobs, settings.part_bytes) = (3, 64 << 10);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn all_databases_of_a_server_come_back_as_of_one_moment() {
    // A server of its own, for all of its databases are backed up.
    let Some(server) = MariaDb::start() else { return };
    shop_and_blog(&server, "shop", "blog");
    server.create(ODD);
    server.sql(ODD, "CREATE TABLE `a.b` (id INT PRIMARY KEY); INSERT INTO `a.b` VALUES (1), (2)");
    let mut writer = server.client("mariadb").args(["shop", "-e", "CALL work()"]).spawn().unwrap();
    testkit::wait_until("the writer", || server.sql("", "SELECT orders FROM blog.author WHERE id = 1").trim() != "0");
    let world = World::new();
    let all = server.url("");
    let vault = world.builder(&all).settings(small_parts()).open().await.unwrap();
    let busy = vault.backup().await.unwrap();
    server.end_sessions("shop");
    writer.wait().unwrap();
    assert_eq!(busy.warnings, []);
    let (id, before) = (busy.id, server.databases());

    // A drill asks its own databases, whatever the live ones hold by now.
    server.sql("", "DELETE FROM shop.orders");
    let agree = named(AGREE, "shop", "blog");
    let drilled = vault.drill(&id).query(&agree).query("SELECT COUNT(*) > 2000 FROM shop.orders").await.unwrap();
    assert_eq!((drilled.tables, drilled.rows), (busy.tables, busy.rows));
    let told: Vec<&str> = drilled.warnings.iter().map(|w| w.message.as_str()).collect();
    assert!(drilled.warnings.iter().all(|w| w.code == "other_database"), "{told:?}");
    assert!(told.len() == 1 && told[0].contains("blog") && told[0].contains("trigger noted of shop"), "{told:?}");
    server.create("crm");
    server.sql("crm", "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)");
    must_fail(vault.drill(&id).query("SELECT COUNT(*) FROM crm.t").await, Code::DrillMismatch, "database crm");
    server.drop("crm");
    assert_eq!(server.databases(), before);

    // Under other names they refer to each other, and to none of the live ones.
    let refused = vault.restore(&id).target(&all).map_schema("shop", "shop_2").map_schema("blog", "blog_2").await;
    must_fail(refused, Code::TargetNotEmpty, "odd-1_a_name_as_long_as_the_server_lets_one_be");
    assert_eq!(server.databases(), before);
    let restore = vault.restore(&id).target(&all).schema("shop").schema("blog");
    let report = restore.map_schema("shop", "shop_2").map_schema("blog", "blog_2").await.unwrap();
    assert!(report.warnings.iter().any(|w| w.code == "other_database"), "{:?}", report.warnings);
    assert_eq!(server.sql("", &named(AGREE, "shop_2", "blog_2")).trim(), "1");
    let definitions = server.sql(
        "",
        "SHOW CREATE TABLE shop_2.orders; SHOW CREATE TABLE shop_2.numbered; \
        SHOW CREATE VIEW shop_2.by_author; SHOW CREATE VIEW blog_2.busiest",
    );
    assert!(definitions.contains("REFERENCES `blog_2`.`author`") && definitions.contains("nextval(`blog_2`.`tick`)"));
    assert!(!definitions.contains("`shop`.") && !definitions.contains("`blog`."), "{definitions}");
    server.sql("", "INSERT INTO shop_2.numbered VALUES (); SELECT * FROM blog_2.busiest");
    server.drop("shop_2");
    server.drop("blog_2");

    must_fail(vault.restore(&id).target(&all).promote().await, Code::InvalidOption, "only one can take the place");

    // One of them, whatever it is to be called.
    vault.restore(&id).target(server.url("alone")).schema("odd-*").await.unwrap();
    assert_eq!(server.content("alone"), server.content(ODD));
    server.drop("alone");

    // All of them, with the accounts that may do something in one of them.
    server.sql("", "CREATE USER editor@'%'; GRANT SELECT ON blog.* TO editor@'%'; CREATE USER idle@'%'");
    let quiet = vault.backup().globals().await.unwrap();
    let names = ["blog", ODD, "shop"];
    let looks = look(&server, &names);
    names.iter().for_each(|name| server.drop(name));
    server.sql("", "DROP USER editor@'%'; DROP USER idle@'%'");
    let report = vault.restore(&quiet.id).target(&all).globals().await.unwrap();
    assert_eq!((report.created, report.warnings), (vec!["account editor@%".to_owned()], vec![]));
    same(&server, &names, &looks, "under their own names");
    assert_eq!(server.databases(), names);
    assert!(server.sql("", "SHOW GRANTS FOR editor@'%'").contains("ON `blog`.*"));
    // Sequences go on behind what they gave.
    server.sql("", "INSERT INTO shop.numbered VALUES (); INSERT INTO shop.orders (n, author) VALUES (1, 1)");

    let mut required = Doctor::default();
    required.tables = vec!["shop.orders".to_owned()];
    let report = world.builder(&all).doctor_for(required).await;
    let failed: Vec<_> =
        report.checks.iter().filter(|c| c.status == CheckStatus::Fail && c.name != "last_proof").collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(report.checks.iter().any(|c| c.message.contains("3 databases (blog, odd-1_")), "{report:#?}");
    let stats = vault.database_stats().await.unwrap();
    assert!(stats.largest_tables.iter().any(|table| table.name == "shop.orders"), "{:?}", stats.largest_tables);
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_tools_load_several_databases() {
    let Some(server) = MariaDb::shared() else { return };
    let names = ["several_blog", "several_shop"];
    shop_and_blog(server, names[1], names[0]);
    // A client that goes by the alphabet finds sequences of the table's own database only.
    server.sql(names[1], "ALTER TABLE numbered DROP COLUMN other");
    let world = World::new();
    let vault = world.builder(&server.url("")).settings(small_parts()).open().await.unwrap();
    let id = vault.backup().schema("several_*").await.unwrap().id;
    let looks = look(server, &names);
    let gone = || names.iter().for_each(|name| server.drop(name));
    let out = world.path("out");
    recover(&world, &format!("mysql/{id}"), &out);
    tool(Command::new("find").arg(&out).args(["-name", "*.zst", "-exec", "unzstd", "-q", "--rm", "{}", "+"]));

    gone();
    tool(server.mydumper("myloader").args(["-t", "2", "-d"]).arg(&out));
    same(server, &names, &looks, "myloader");

    gone();
    let page = std::fs::read_to_string(world.store().join("RECOVERY.md")).unwrap();
    let from = page.find("cd dump && cat *-schema-create.sql").unwrap();
    let lines = &page[from..from + page[from..].find("\n\n").unwrap()];
    let mut client = server.client("mariadb");
    let words: Vec<String> = client.get_args().map(|arg| format!("'{}'", arg.to_str().unwrap())).collect();
    let script =
        format!("mariadb() {{ command mariadb {} \"$@\"; }}; {}", words.join(" "), lines.replace("cd dump", "cd out"));
    let password: Vec<_> =
        client.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    client = Command::new("sh");
    tool(client.args(["-ec", &script]).envs(password).current_dir(out.parent().unwrap()));
    same(server, &names, &looks, "the mariadb client");

    gone();
    let old = world.path("old");
    vault.export(&id).folder(&old).format(ExportFormat::Classic).plain().await.unwrap();
    tool(Command::new("sh").args(["-ec", "gunzip *.gz"]).current_dir(&old));
    server.sql_file("", &old.join(format!("{id}.sql")));
    same(server, &names, &looks, "the classic script");
    gone();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_and_what_fails_leaves_nothing() {
    let Some(server) = MariaDb::shared() else { return };
    shop_and_blog(server, "refused_shop", "refused_blog");
    let world = World::new();
    let all = server.url("");
    let vault = world.builder(&all).settings(small_parts()).open().await.unwrap();
    must_fail(vault.backup().schema("refused_none").await, Code::NothingSelected, "refused_none");
    let whole = vault.backup().schema("refused_*").await.unwrap();
    let left = || server.databases().into_iter().filter(|name| name.contains("refused")).collect::<Vec<_>>();
    let before = left();
    assert_eq!(before, ["refused_blog", "refused_shop"]);

    let into_one = vault.restore(&whole.id).target(server.url("refused_one")).await;
    must_fail(into_one, Code::InvalidOption, "holds 2 databases (refused_blog, refused_shop)");
    let mapped = |from: &str, to: &str| vault.restore(&whole.id).target(&all).map_schema(from, to);
    must_fail(mapped("refused_shop", "Refused_Blog").await, Code::InvalidOption, "would both become");
    must_fail(mapped("refused_shop", "mysql").await, Code::InvalidOption, "belongs to the server");
    must_fail(mapped("elsewhere", "x").await, Code::InvalidOption, "elsewhere");
    // One of them is in the way of both.
    must_fail(mapped("refused_shop", "refused_new").await, Code::TargetNotEmpty, "refused_blog is not empty");
    assert_eq!(left(), before);

    // Half of it is there already when it fails, in both databases.
    let looks = look(server, &["refused_blog", "refused_shop"]);
    server.drop("refused_blog");
    server.drop("refused_shop");
    server.create("refused_shop");
    for phase in [Phase::Loading, Phase::Finishing] {
        let token = CancellationToken::new();
        let cancel = token.clone();
        let cancelled = vault.restore(&whole.id).target(&all).cancel(token).on_progress(move |p| {
            if p.phase == phase {
                cancel.cancel();
            }
        });
        assert_eq!(cancelled.await.unwrap_err().code(), Code::Cancelled, "{phase:?}");
        assert_eq!(left(), ["refused_shop"], "{phase:?}");
        assert!(server.content("refused_shop").is_empty(), "{phase:?}");
    }
    vault.restore(&whole.id).target(&all).await.unwrap();
    same(server, &["refused_blog", "refused_shop"], &looks, "after failures");
    server.sql("", "DELETE FROM refused_shop.orders; DROP VIEW refused_blog.busiest");
    vault.restore(&whole.id).target(&all).clean().await.unwrap();
    same(server, &["refused_blog", "refused_shop"], &looks, "in place of what was there");

    // A part beside what is there, in the database that it is of.
    let part = vault.backup().table("refused_blog.aut*").await.unwrap();
    assert_eq!(part.tables, 1);
    server.sql("", "SET foreign_key_checks = 0; DROP TABLE refused_blog.author");
    vault.restore(&part.id).target(&all).table("author").await.unwrap();
    same(server, &["refused_blog", "refused_shop"], &looks, "a part");
    must_fail(vault.restore(&part.id).target(&all).table("author").await, Code::TargetNotEmpty, "table author already");
    server.drop("refused_blog");
    server.drop("refused_shop");
}
