//! The peak of memory that is promised, measured in S3 and for SQLite at a size that can be chosen.

use std::process::Command;

use testkit::{PgVersion, Postgres, SeaweedFs, peak_memory};

use crate::world::{PASSPHRASE, World, bare_command};

/// What a backup or a restore may hold at once.
const MOST: u64 = 100 << 20;

/// The size of the databases, in MB. A whole gigabyte: `LASTGOOD_MEMORY_MB=1000 cargo test -p lastgood-tests --test suite memory_promised:: -- --nocapture`.
fn megabytes() -> u32 {
    std::env::var("LASTGOOD_MEMORY_MB").map_or(150, |text| text.parse().unwrap())
}

#[test]
fn a_postgres_database_is_backed_up_to_s3_in_little_memory() {
    let (Some(server), Some(s3)) = (Postgres::shared(PgVersion::V15), SeaweedFs::shared()) else { return };
    measure(server, "memory_s3", megabytes(), |_| (s3.bucket("memory"), s3.env()));
}

#[test]
fn a_sqlite_database_is_backed_up_and_restored_in_little_memory() {
    let world = World::new();
    let rows = megabytes() * 10;
    let url = world.make(
        "large.db",
        &format!(
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 \
             FROM n WHERE i < {rows}) INSERT INTO t SELECT i, randomblob(100000) FROM n;"
        ),
    );
    let target = world.sqlite("restored.db");
    bounded("backup", world.command(&["backup", "--database", &url]));
    bounded("verify", world.command(&["verify", "latest", "--database", &url]));
    bounded("restore", world.command(&["restore", "latest", "--database", &url, "--target", &target]));
}

/// Makes a database of about so many megabytes, backs it up, verifies it and restores it.
fn measure(
    server: &Postgres,
    database: &str,
    megabytes: u32,
    store: impl Fn(&World) -> (String, Vec<(&'static str, String)>),
) {
    let restored = format!("{database}_restored");
    server.create(database);
    server.drop(&restored);
    // 1 kB a row in three tables of different shapes, none of which compresses away.
    server.psql(
        database,
        &format!(
            "CREATE TABLE narrow AS SELECT i AS id, md5(i::text) AS a, random() AS b FROM generate_series(1, {n} * 3) i;
             CREATE TABLE wide AS SELECT i AS id, (SELECT string_agg(md5((i * j)::text), ' ') FROM generate_series(1, 24) j) AS body
                 FROM generate_series(1, {n}) i;
             CREATE TABLE lumpy AS SELECT i AS id, (SELECT string_agg(md5((i * j)::text), '') FROM generate_series(1, 30000) j) AS body
                 FROM generate_series(1, {megabytes} / 30 + 1) i;
             ALTER TABLE narrow ADD PRIMARY KEY (id)",
            n = megabytes * 800
        ),
    );
    let world = World::new();
    let (store, environment) = store(&world);
    let key = world.file("key", PASSPHRASE);
    let run = |verb: &[&str]| {
        let mut command = bare_command();
        command.args(verb).args([
            "--quiet",
            "--database",
            &server.url(database),
            "--store",
            &store,
            "--key-file",
            &key,
        ]);
        command.envs(environment.iter().map(|(name, value)| (*name, value)));
        bounded(verb[0], command)
    };
    let backup = run(&["backup"]);
    let verify = run(&["verify", "latest"]);
    let restore = run(&["restore", "latest", "--target", &server.url(&restored)]);
    println!("{database}, {megabytes} MB: backup {backup}, verify {verify}, restore {restore} MiB");
    let count = "SELECT count(*), sum(length(body)) FROM wide";
    assert_eq!(server.psql(&restored, count), server.psql(database, count));
    server.drop(&restored);
    server.drop(database);
}

/// Runs the command and gives its peak in MiB, which is at most [`MOST`].
fn bounded(what: &str, mut command: Command) -> u64 {
    let finished = peak_memory(&mut command);
    assert!(finished.status.success(), "{what}: {}", finished.output);
    assert!(finished.peak_bytes > 1 << 20, "{what}: the peak was not seen");
    assert!(finished.peak_bytes <= MOST, "{what} held {} MiB", finished.peak_bytes >> 20);
    finished.peak_bytes >> 20
}
