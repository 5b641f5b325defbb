//! How much memory a backup, a drill and a restore take: a bounded amount, whatever the size of the database.

use std::path::Path;
use std::process::Command;

use testkit::{DatabaseServer, MariaDb, MariaDbSetup, PgVersion, Postgres, each_server, peak_memory};

const MIB: u64 = 1 << 20;

/// What each may take besides its largest row, in a build without optimizations.
const BOUND: u64 = 100 * MIB;

/// By so much the peaks of two equal runs may differ: the allocator's arenas depend on which thread did what.
const NOISE: u64 = 16 * MIB;

/// Rows of about a thousand bytes that hardly compress.
const ROWS: [&str; 2] = [
    "CREATE UNLOGGED TABLE t (id int, v text); \
     INSERT INTO t SELECT i, (SELECT string_agg(encode(sha512(convert_to(i || '.' || k, 'UTF8')), 'base64'), '') \
     FROM generate_series(1, 11) k) FROM generate_series(1, 100000) i",
    "CREATE TABLE t (id INT PRIMARY KEY, v MEDIUMTEXT); \
     INSERT INTO t SELECT i.seq, (SELECT GROUP_CONCAT(TO_BASE64(UNHEX(SHA2(CONCAT(i.seq, '.', k.seq), 512))) SEPARATOR '') \
     FROM seq_1_to_11 k) FROM seq_1_to_100000 i",
];

/// The peaks of a backup, of its drill and of its restore by the command line, in bytes.
fn peaks(server: &dyn DatabaseServer, folder: &Path, source: &str, jobs: &str) -> [(&'static str, u64); 3] {
    let key = folder.join("key");
    // Not a passphrase: stretching one takes 64 MiB for a moment, behind which all else could hide.
    std::fs::write(&key, format!("raw:{}", "5a".repeat(32))).unwrap();
    let target = format!("{source}_restored");
    server.drop(&target);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastgood-under-test"));
        command.args(arguments).args(["--jobs", jobs, "--name", source, "--store"]).arg(folder.join("store"));
        command.arg("--key-file").arg(&key);
        let finished = peak_memory(&mut command);
        assert!(finished.status.success(), "{}", finished.output);
        finished.peak_bytes
    };
    let backup = run(&["backup", "--quiet", "--database", &server.url(source)]);
    let drill = run(&["drill", "latest", "--quiet", "--database", &server.url(source)]);
    let restore = run(&["restore", "latest", "--quiet", "--target", &server.url(&target)]);
    let size = "SELECT count(*), sum(length(v)) FROM t";
    assert_eq!(server.run(&target, size), server.run(source, size));
    server.drop(&target);
    [("backup", backup), ("drill", drill), ("restore", restore)]
}

#[test]
fn memory_does_not_grow_with_the_database() {
    for (server, rows) in each_server(ROWS[0], ROWS[1]) {
        let folder = tempfile::tempdir().unwrap();
        server.create("memory");
        server.run("memory", rows);
        let small = peaks(server, folder.path(), "memory", "2");
        server.run("memory", "INSERT INTO t SELECT id + 100000, reverse(v) FROM t");
        let large = peaks(server, folder.path(), "memory", "2");
        server.drop("memory");
        println!("{}: {small:?}, twice as large {large:?}", server.what());
        for ((what, small), (_, large)) in small.into_iter().zip(large) {
            assert!(small > MIB && large <= BOUND, "{what}: {large} bytes");
            assert!(large <= small + NOISE, "{what}: {small} bytes, and {large} for twice as much");
        }
    }
}

/// The size of a huge row.
const ROW: u64 = 64 * MIB;

/// What the verbs take for a database of huge rows that are read and written at the same time: so many times one of them.
fn huge_rows_are_bounded(server: &dyn DatabaseServer, database: &str, times: u64) {
    let folder = tempfile::tempdir().unwrap();
    for (what, peak) in peaks(server, folder.path(), database, "4") {
        println!("{}, {what}: {peak}", server.what());
        assert!(peak <= BOUND + times * ROW, "{}, {what}: {peak} bytes", server.what());
    }
}

#[test]
fn huge_rows_take_at_most_three_times_the_size_of_one() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    server.create("memory_row");
    // Stored as it is: the server would take longest to compress it.
    server.psql("memory_row", "CREATE UNLOGGED TABLE t (id int, v text); ALTER TABLE t ALTER v SET STORAGE EXTERNAL");
    let hash = "encode(sha512(convert_to(i::text, 'UTF8')), 'hex')";
    server.psql(
        "memory_row",
        &format!("INSERT INTO t SELECT 1, string_agg({hash}, '') FROM generate_series(1, {}) i", ROW / 128),
    );
    // More of them, in parts that are read at the same time; the last takes little room where it lies.
    server.psql(
        "memory_row",
        "CREATE UNLOGGED TABLE a AS TABLE t; CREATE UNLOGGED TABLE b AS TABLE t; CREATE UNLOGGED TABLE c AS TABLE t",
    );
    server.psql("memory_row", &format!("CREATE UNLOGGED TABLE d AS SELECT repeat('small', {} / 5) AS v", ROW));
    huge_rows_are_bounded(server, "memory_row", 3);
    server.drop("memory_row");
}

#[test]
fn huge_rows_of_mariadb_take_at_most_three_times_the_size_of_one() {
    // A server of its own: others let no packet pass that is so large.
    let setup = MariaDbSetup::default().set("max-allowed-packet=1G").set("innodb-log-file-size=1G");
    let Some(server) = MariaDb::start_with(&setup) else { return };
    server.create("memory_row");
    // Any bytes: some of them are written down as two.
    server.sql(
        "memory_row",
        &format!(
            "CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB);
             INSERT INTO t SELECT 1, REPEAT(UNHEX(SHA2('any', 512)), {ROW} / 64);
             -- In several files, which go in by statements as far as rows are small.
             CREATE TABLE n (id INT AUTO_INCREMENT PRIMARY KEY, v LONGBLOB);
             INSERT INTO n SELECT seq, REPEAT('small', 20000) FROM seq_1_to_200;
             INSERT INTO n SELECT 100000 + id, v FROM t;
             INSERT INTO n SELECT 200000 + seq, REPEAT('small', 20000) FROM seq_1_to_100;
             ANALYZE TABLE n;
             CREATE TABLE a AS SELECT * FROM t; CREATE TABLE b AS SELECT * FROM t;
             CREATE TABLE d (v LONGTEXT COMPRESSED); INSERT INTO d SELECT REPEAT('small', {ROW} / 5);
             INSERT INTO d SELECT REPEAT('less', 10) FROM seq_1_to_1000"
        ),
    );
    huge_rows_are_bounded(&server, "memory_row", 3);
    // A row has to be restored as one statement.
    server.sql("mysql", "SET GLOBAL local_infile = 0");
    huge_rows_are_bounded(&server, "memory_row", 6);
    server.drop("memory_row");
}
