//! Random changes of definitions while a backup runs: what is backed up is of one moment, or the backup says that it cannot be.
//!
//! `LASTGOOD_DDL_ROUNDS` says how many rounds there are, `LASTGOOD_DDL_SEED` which is the first.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lastgood::{Code, Settings};
use testkit::{PgVersion, Postgres};

use crate::random::Random;
use crate::world::World;

/// Rounds of a test run; `just soak` runs 500.
const ROUNDS: u64 = 30;

/// Transactions of one session. It is ended with the backup.
const TRANSACTIONS: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_definitions_never_mix_two_moments() {
    // A server of its own: its catalogs are under load.
    let Some(server) = Postgres::start(PgVersion::V15) else { return };
    server.create("restless");
    server.psql_file("restless", &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/postgres/restless.sql"));
    let rounds = number("LASTGOOD_DDL_ROUNDS").unwrap_or(ROUNDS);
    let first = number("LASTGOOD_DDL_SEED").unwrap_or_else(|| Random::fresh().next() % 1_000_000_000);
    let mut refused = 0;
    for seed in first..first + rounds {
        let repeat = format!(
            "seed {seed}; once more: LASTGOOD_DDL_SEED={seed} LASTGOOD_DDL_ROUNDS=20 cargo test -p lastgood-tests --test suite postgres_ddl::"
        );
        refused += u64::from(!round(&server, seed, &repeat).await);
    }
    println!("{rounds} rounds from seed {first}: {refused} backups refused because definitions changed");
    // Otherwise little was shown.
    assert!(refused < rounds, "all {rounds} backups were refused");
}

/// One backup of a database that sessions change. Returns whether there was one; that it is of one moment was then checked.
async fn round(server: &Postgres, seed: u64, repeat: &str) -> bool {
    server.psql("postgres", "DROP DATABASE IF EXISTS ddl WITH (FORCE)");
    server.psql("postgres", "CREATE DATABASE ddl TEMPLATE restless");
    let world = World::new();
    let mut random = Random::new(seed);
    let mut settings = Settings::default();
    (settings.jobs, settings.part_bytes) = (1 + random.below(4), 64 << 10);
    let vault = world.builder(&server.url("ddl")).settings(settings).open().await.unwrap();
    // Opened once before, so that the backup begins while the sessions are at it.
    let began = server.psql("ddl", "SELECT n FROM meta.version");
    let sessions = [
        Session::start(server, &world, "definitions", &definitions(&mut random)),
        Session::start(server, &world, "more-definitions", &definitions(&mut random)),
        Session::start(server, &world, "rows", &rows(&mut random)),
        Session::start(server, &world, "files", &files(&mut random)),
    ];
    testkit::wait_until("the sessions", || server.psql("ddl", "SELECT n FROM meta.version") != began);
    let result = vault.backup().await;
    drop(sessions);
    let backup = match result {
        Ok(backup) => backup,
        Err(e) if e.code() == Code::DatabaseChanged => return false,
        Err(e) => panic!("{e}\n{repeat}"),
    };
    let drilled = vault.drill(&backup.id).query("SELECT meta.wrong() IS NULL").await;
    if let Err(e) = drilled {
        server.drop("ddl_wrong");
        let wrong = match vault.restore(&backup.id).target(server.url("ddl_wrong")).await {
            Ok(_) => server.psql("ddl_wrong", "SELECT meta.wrong()"),
            Err(e) => e.to_string(),
        };
        panic!("{e}\n{wrong}\n{repeat}");
    }
    true
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|n| n.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// A session that runs a script to its end, errors or not.
struct Session(Child);

impl Session {
    fn start(server: &Postgres, world: &World, name: &str, script: &str) -> Self {
        let script = world.file(&format!("{name}.sql"), script);
        let mut command: Command = server.client("psql");
        command.args(["-Xq", "-d", "ddl", "-f", &script]);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have come to its end before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Transactions that change definitions, and the rows that go with them, and write down what came of it.
fn definitions(random: &mut Random) -> String {
    let mut script = String::new();
    // Milliseconds between two: some sessions hardly leave time to read the catalogs, some change something now and then.
    let pause = [10, 50, 250][random.below(3)];
    for _ in 0..TRANSACTIONS {
        script += "BEGIN;\n";
        // Some wait for the backup's locks, most give up and go on elsewhere.
        if random.below(20) > 0 {
            script += "SET LOCAL lock_timeout = '15ms';\n";
        }
        for _ in 0..=random.below(3) {
            script += &definition(random);
            script += ";\n";
        }
        script += "SELECT meta.stamp();\nCOMMIT;\n";
        writeln!(script, "SELECT pg_sleep(0.{:03});", random.below(pause)).unwrap();
    }
    script
}

#[allow(clippy::too_many_lines, reason = "a list")]
fn definition(random: &mut Random) -> String {
    let (k, j, r) = (1 + random.below(5), 1 + random.below(3), random.below(1_000_000));
    let (a, b) = (1 + random.below(5), 1 + random.below(5));
    let kind = ["int", "text", "numeric(12,3)", "timestamptz", "play.mood", "int[]"][random.below(6)];
    let whole = ["bigint", "int", "numeric"][random.below(3)];
    let label = ["low", "mid", "high", "renamed"];
    let (from, to) = (label[random.below(4)], label[random.below(4)]);
    let part = 1 + random.below(3);
    match random.below(40) {
        0 => format!("ALTER TABLE play.t{k} ADD COLUMN c{j} {kind}"),
        1 => format!("ALTER TABLE play.t{k} ADD COLUMN c{j} int NOT NULL DEFAULT {r}"),
        2 | 3 => format!("ALTER TABLE play.t{k} DROP COLUMN IF EXISTS c{j} CASCADE"),
        4 => format!("ALTER TABLE play.t{k} ALTER COLUMN w TYPE {whole} USING w::{whole} + {r}"),
        5 => format!("ALTER TABLE play.t{k} RENAME COLUMN body TO body_{r}"),
        6 | 7 => format!("ALTER TABLE play.t{a} RENAME TO t9; ALTER TABLE play.t{b} RENAME TO t{a}; ALTER TABLE play.t9 RENAME TO t{b}"),
        8 => format!("TRUNCATE play.t{k}"),
        9 => format!("TRUNCATE play.t{k}; INSERT INTO play.t{k} (id, n) SELECT i, {r} FROM generate_series(1, 200) i"),
        10 => format!("DROP TABLE IF EXISTS play.x{k} CASCADE"),
        11 | 12 => format!("CREATE TABLE play.x{k} AS SELECT i, {r} AS r FROM generate_series(1, 200) i"),
        13 => format!("DROP TABLE IF EXISTS play.x{k} CASCADE; CREATE TABLE play.x{k} (a int PRIMARY KEY, b play.mood DEFAULT 'low')"),
        14 | 15 => format!("ALTER TABLE play.parted DETACH PARTITION play.parted_{part}"),
        16 | 17 => format!("ALTER TABLE play.parted ATTACH PARTITION play.parted_{part} FOR VALUES IN ({part})"),
        18 => format!("CREATE OR REPLACE FUNCTION play.f1(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + {r}'"),
        19 => format!("CREATE OR REPLACE FUNCTION play.f2(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1 + {r}; END'"),
        20 => format!("CREATE OR REPLACE FUNCTION play.f1(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT {r}'; UPDATE play.t{k} SET w = {r} WHERE id = 1"),
        21 => format!("CREATE OR REPLACE VIEW play.v1 AS SELECT id, n FROM play.t{k} WHERE id > {r}"),
        22 => format!("DROP VIEW IF EXISTS play.v2; CREATE VIEW play.v2 AS SELECT id AS id_{j}, play.f1(w::int) AS n FROM play.t{k}"),
        23 => format!("ALTER VIEW play.v1 RENAME COLUMN n TO n{j}"),
        24 => format!("ALTER VIEW play.v1 RENAME COLUMN n{j} TO n"),
        25 => format!("ALTER TYPE play.mood ADD VALUE 'm{r}' {} 'mid'", ["BEFORE", "AFTER"][random.below(2)]),
        26 | 27 => format!("ALTER TYPE play.mood RENAME VALUE '{from}' TO '{to}'"),
        28 => format!("ALTER SEQUENCE play.s1 INCREMENT BY {} MAXVALUE {}", 1 + r % 100, 1000 + r),
        29 => format!("DROP SEQUENCE IF EXISTS play.s2; CREATE SEQUENCE play.s2 START {} CYCLE", 1 + r),
        30 => "ALTER SCHEMA play_a RENAME TO play_c; ALTER SCHEMA play_b RENAME TO play_a; ALTER SCHEMA play_c RENAME TO play_b".to_owned(),
        31 => format!("CREATE TRIGGER g{j} BEFORE INSERT ON play.t{k} FOR EACH ROW EXECUTE FUNCTION play.touch()"),
        32 => format!("DROP TRIGGER IF EXISTS g{j} ON play.t{k}"),
        33 => format!("ALTER TABLE play.t{k} DROP CONSTRAINT IF EXISTS less; ALTER TABLE play.t{k} ADD CONSTRAINT less CHECK (id < {})", 2_000_000 + r),
        34 => format!("DROP INDEX IF EXISTS play.i{k}; CREATE INDEX i{k} ON play.t{k} (n, id) WHERE id > {r}"),
        35 => format!("ALTER DOMAIN play.small DROP CONSTRAINT IF EXISTS less; ALTER DOMAIN play.small ADD CONSTRAINT less CHECK (VALUE < {})", 2_000_000 + r),
        36 => format!("DROP MATERIALIZED VIEW IF EXISTS play.m1; CREATE MATERIALIZED VIEW play.m1 AS SELECT count(*) AS n, {r} AS r FROM play.t{k} WITH {}DATA", ["", "NO "][random.below(2)]),
        37 => format!("ALTER TABLE play.t{k} SET SCHEMA play_a; ALTER TABLE play_a.t{k} SET SCHEMA play"),
        38 => format!("DROP POLICY IF EXISTS p{j} ON play.t{k}; CREATE POLICY p{j} ON play.t{k} USING (id > {r})"),
        _ => format!("UPDATE play.t{k} SET n = {r}, w = w + 1 WHERE id % {} = 0; DELETE FROM play.t{k} WHERE id = {}; INSERT INTO play.parted VALUES ({part}, '{r}')", j + 1, r % 300),
    }
}

/// Transactions that move money from table to table.
fn rows(random: &mut Random) -> String {
    let mut script = String::new();
    for _ in 0..TRANSACTIONS * 4 {
        let (from, to, id, n) = (1 + random.below(3), 1 + random.below(3), 1 + random.below(1000), random.below(100));
        writeln!(
            script,
            "BEGIN; UPDATE play.account_{from} SET n = n - {n} WHERE id = {id}; UPDATE play.account_{to} SET n = n + {n} WHERE id = {id}; \
             SELECT nextval('play.s1'); COMMIT;"
        )
        .unwrap();
    }
    script
}

/// Statements that rewrite tables and indexes and change nothing of what they hold.
fn files(random: &mut Random) -> String {
    let mut script = String::from("SET lock_timeout = '100ms';\n");
    for _ in 0..TRANSACTIONS {
        let k = 1 + random.below(5);
        let statement = match random.below(9) {
            0 => format!("VACUUM FULL play.t{k}"),
            1 => format!("CLUSTER play.t{k} USING t{k}_pkey"),
            2 => format!("CREATE INDEX CONCURRENTLY IF NOT EXISTS outside_{k} ON play.t{k} (w)"),
            3 => format!("DROP INDEX CONCURRENTLY IF EXISTS play.outside_{k}"),
            4 => "REFRESH MATERIALIZED VIEW play.m1".to_owned(),
            5 => format!("REINDEX TABLE CONCURRENTLY play.t{k}"),
            6 => "VACUUM ANALYZE".to_owned(),
            7 => format!("CREATE TEMPORARY TABLE temporary AS SELECT * FROM play.t{k}; DROP TABLE temporary"),
            _ => format!("ALTER TABLE play.t{k} ALTER COLUMN w SET STATISTICS {}", random.below(100)),
        };
        writeln!(script, "{statement};").unwrap();
    }
    script
}
