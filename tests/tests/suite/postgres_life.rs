//! The whole life of a PostgreSQL database's backup, on Chinook, Sakila and a database of our own, on every server version.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lastgood::{Code, Settings};
use testkit::{PgVersion, Postgres};

use crate::world::{World, bare_command, must_fail, refusal};

/// What applications create, for clones that have no sample data beside them.
pub(crate) const SHOP: &str = r#"
    CREATE SCHEMA "Odd Name";
    CREATE TYPE status AS ENUM ('new', 'paid', 'it''s gone');
    CREATE DOMAIN email AS text CHECK (VALUE ~ '@');
    CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mail email NOT NULL UNIQUE, name text,
        since date DEFAULT CURRENT_DATE, photo bytea, tags text[], extra jsonb);
    CREATE TABLE orders (id bigint, placed date NOT NULL, customer bigint NOT NULL REFERENCES customer,
        state status NOT NULL DEFAULT 'new', total numeric(12, 2) CHECK (total >= 0),
        gross numeric GENERATED ALWAYS AS (total * 1.19) STORED, PRIMARY KEY (id, placed)) PARTITION BY RANGE (placed);
    CREATE TABLE orders_2024 PARTITION OF orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE orders_rest PARTITION OF orders DEFAULT;
    CREATE TABLE "Odd Name"."Tab	le" ("co""l" int, "select" text);
    CREATE INDEX ON orders (state) WHERE state <> 'paid';
    CREATE VIEW open_orders AS SELECT * FROM orders WHERE state = 'new';
    CREATE MATERIALIZED VIEW per_customer AS SELECT customer, count(*) AS n, sum(total) AS total FROM orders GROUP BY customer;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := coalesce(NEW.name, 'nobody'); RETURN NEW; END $$;
    CREATE TRIGGER touched BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION touch();
    ALTER TABLE customer ENABLE ROW LEVEL SECURITY;
    CREATE POLICY everyone ON customer USING (true);
    COMMENT ON TABLE customer IS 'people; "quoted", it''s';
    INSERT INTO customer (mail, name, photo, tags, extra)
        SELECT 'c' || i || '@example.org', CASE WHEN i % 5 = 0 THEN E'line\n\ttab \\ backslash Zoë 🦀' END,
            decode(md5(i::text), 'hex'), ARRAY['a', NULL, 'b"c'], jsonb_build_object('n', i, 'x', NULL)
        FROM generate_series(1, 500) i;
    INSERT INTO orders (id, placed, customer, total)
        SELECT i, date '2024-06-01' + i % 400, i % 500 + 1, i * 1.01 FROM generate_series(1, 5000) i;
    INSERT INTO "Odd Name"."Tab	le" VALUES (1, '\N'), (2, NULL), (3, '');
    REFRESH MATERIALIZED VIEW per_customer;
    SELECT lo_from_bytea(0, 'a large object');"#;

/// Makes a database with at least one of every kind of object that the server's version has.
pub(crate) fn everything(server: &Postgres, database: &str) {
    everything_of_15(server, database);
    if server.version() == PgVersion::V18 {
        server.psql_file(database, &fixtures().join("everything-18.sql"));
    }
}

/// Makes a database with at least one of every kind of object that all versions have.
pub(crate) fn everything_of_15(server: &Postgres, database: &str) {
    // The fixtures make roles where they are missing, which two tests must not do at the same time.
    static ROLES: Mutex<()> = Mutex::new(());
    let _one = ROLES.lock().unwrap_or_else(PoisonError::into_inner);
    server.create(database);
    server.psql_file(database, &fixtures().join("everything.sql"));
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/postgres")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_object_comes_back_the_same_from_15_and_18() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        everything(server, "life_everything");
        lives(server, "life_everything").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chinook_and_sakila_come_back_the_same_from_15_and_18() {
    let Some(data) = testkit::sample_data() else { return };
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        testkit::load_chinook(server, "life_chinook", &data);
        lives(server, "life_chinook").await;
        testkit::load_sakila(server, "life_sakila", &data);
        lives(server, "life_sakila").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_comes_back_the_same_from_every_version() {
    for version in PgVersion::ALL {
        let Some(server) = Postgres::shared(version) else { continue };
        server.create("life_shop");
        server.psql("life_shop", SHOP);
        lives(server, "life_shop").await;
    }
}

/// Back up, list, show, verify, drill, restore; the restored database is the same by stock tools' measure.
async fn lives(server: &Postgres, database: &str) {
    let what = format!("{database} of {:?}", server.version());
    let world = World::new();
    let restored = format!("{database}_restored");
    server.drop(&restored);
    let (schema, content) = (server.pg_dump_schema(database), server.content(database));

    let mut settings = Settings::default();
    // Small parts, so that these small tables are read in several.
    settings.part_bytes = 64 << 10;
    let vault = world.builder(&server.url(database)).settings(settings).open().await.unwrap();
    let backup = vault.backup().tag("nightly").await.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(backup.warnings, [], "{what}");
    vault.verify(&backup.id).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let drilled = vault.drill(&backup.id).query("SELECT true").await.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!((drilled.rows, drilled.tables), (backup.rows, backup.tables), "{what}");

    let report =
        vault.restore(&backup.id).target(server.url(&restored)).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(!report.target.contains(server.password()), "{what}: {}", report.target);
    assert_eq!(server.content(&restored), content, "{what}");
    same_schema(&server.pg_dump_schema(&restored), &schema, &what);
    assert_eq!(server.pg_dump_schema(database), schema, "{what}: the source was changed");
    assert_eq!(server.content(database), content, "{what}: the source was changed");
    let large_objects = "SELECT oid, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1";
    assert_eq!(server.psql(&restored, large_objects), server.psql(database, large_objects), "{what}");
    server.drop(&restored);
    server.drop(database);
}

/// Compares two `pg_dump -s`, and shows the first difference rather than all of both.
pub(crate) fn same_schema(restored: &str, original: &str, what: &str) {
    let difference = restored.lines().zip(original.lines()).position(|(a, b)| a != b);
    let around = |text: &str, at: usize| text.lines().skip(at.saturating_sub(3)).take(8).collect::<Vec<_>>().join("\n");
    if let Some(at) = difference {
        panic!(
            "{what}: pg_dump -s differs at line {at}:\n{}\n--- instead of\n{}",
            around(restored, at),
            around(original, at)
        );
    }
    assert_eq!(restored.lines().count(), original.lines().count(), "{what}: pg_dump -s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_15_restores_into_18() {
    let (Some(old), Some(new)) = (Postgres::shared(PgVersion::V15), Postgres::shared(PgVersion::V18)) else { return };
    let world = World::new();
    old.create("life_upgrade");
    old.psql("life_upgrade", SHOP);
    let vault = world.vault(&old.url("life_upgrade")).await;
    vault.backup().await.unwrap();
    new.drop("life_upgraded");
    vault.restore("latest").target(new.url("life_upgraded")).await.unwrap();
    assert_eq!(new.content("life_upgraded"), old.content("life_upgrade"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_database_in_use_shows_one_moment() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    server.create("life_busy");
    server.psql(
        "life_busy",
        "CREATE TABLE a (n int); CREATE TABLE b (n int); INSERT INTO a SELECT 0 FROM generate_series(1, 1000);
         INSERT INTO b SELECT 0 FROM generate_series(1, 1000);
         CREATE PROCEDURE work() LANGUAGE plpgsql AS $$ BEGIN LOOP
             UPDATE a SET n = n + 1; UPDATE b SET n = n + 1; COMMIT; END LOOP; END $$",
    );
    let mut writer = server.client("psql").args(["-Xq", "-d", "life_busy", "-c", "CALL work()"]).spawn().unwrap();
    let counter = || server.psql("life_busy", "SELECT max(n) FROM a").trim().parse::<u64>().unwrap();
    testkit::wait_until("the writer", || counter() > 0);
    let world = World::new();
    let mut settings = Settings::default();
    (settings.jobs, settings.part_bytes) = (4, 64 << 10);
    let vault = world.builder(&server.url("life_busy")).settings(settings).open().await.unwrap();
    for _ in 0..3 {
        vault.backup().await.unwrap();
        server.drop("life_busy_restored");
        vault.restore("latest").target(server.url("life_busy_restored")).await.unwrap();
        let seen =
            "SELECT count(*), (SELECT count(DISTINCT n) FROM (SELECT n FROM a UNION ALL SELECT n FROM b) t) FROM a";
        assert_eq!(server.psql("life_busy_restored", seen).trim(), "1000|1");
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    server.drop("life_busy_restored");
    server.drop("life_busy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_leaves_no_scratch_database_whether_it_succeeds_or_not() {
    // A server of its own: other tests' drills come and go on the shared ones.
    let Some(server) = Postgres::start(PgVersion::V15) else { return };
    server.create("shop");
    server.psql("shop", SHOP);
    let world = World::new();
    let vault = world.vault(&server.url("shop")).await;
    vault.backup().await.unwrap();
    vault.drill("latest").query("SELECT count(*) = 500 FROM customer").await.unwrap();
    assert_eq!(server.databases(), ["shop"]);
    let failed = vault.drill("latest").query("SELECT count(*) = 501 FROM customer").await;
    must_fail(failed, Code::DrillMismatch, "501");
    assert_eq!(server.databases(), ["shop"]);
    assert!(vault.list().await.unwrap()[0].failing);
}

#[test]
fn the_password_is_in_no_message_and_no_log() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let world = World::new();
    let key = world.file("key", crate::world::PASSPHRASE);
    let url = server.url("life_nowhere");
    for url in [url.replace(server.password(), "hunter2hunter2"), url] {
        let command = || {
            let mut command = bare_command();
            command.args(["backup", "--verbose", "--store"]).arg(world.store()).args(["--key-file", &key]);
            command.env("DATABASE_URL", &url).env("RUST_LOG", "trace");
            command
        };
        refusal(&mut command());
        let output = command().output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains("error["), "{said}");
        assert!(!said.contains("hunter2") && !said.contains(server.password()), "{said}");
    }
}
