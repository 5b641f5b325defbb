//! PostgreSQL: a schema of many tables, read by `lastgood` and by `pg_dump -s` in one run.
//!
//! `cargo build --release -p lastgood --features cli && cargo run --release -p benches --bin postgres-schema -- [TABLES] [RUNS]`
//!
//! Each of the TABLES (5000) has two indexes, an identity, a default, a check and a comment, and no rows. A backup also reads
//! these tables, which `pg_dump -s` does not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

use std::process::Command;

use benches::{contender, measure, print_table, release_binary};
use testkit::{PgVersion, Postgres, Setup, sample_data, tool};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let tables: u32 = arguments.next().map_or(5000, |s| s.parse().expect("TABLES is a number"));
    let runs: usize = arguments.next().map_or(3, |s| s.parse().expect("RUNS is a number"));
    let data = sample_data().expect("the bench needs the recipe beside the clone");
    // pg_dump keeps a lock on every sequence as well: the default of 64 is too small for it.
    let setup = Setup::default().set("max_locks_per_transaction=256");
    let server = Postgres::start_with(PgVersion::V15, &setup).expect("PostgreSQL 15 is not installed");
    let bin = server.tool("pg_dump");
    let bin = bin.parent().unwrap().display();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    let mut recipe = Command::new("bash");
    recipe.arg(data.join("bench/pg_schema.sh")).args(["bench", &tables.to_string()]).env("PATH", path);
    recipe.env("PGHOST", "127.0.0.1").env("PGPORT", server.port().to_string()).env("PGUSER", "postgres");
    tool(recipe.env("PGPASSWORD", server.password()));

    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    // Not a passphrase, which is made slow to try.
    std::fs::write(&key, format!("raw:{}", "5a".repeat(32))).unwrap();
    let lastgood = release_binary();
    let schema_only = tool(Command::new(&lastgood).args(["backup", "--help"])).contains("--schema-only");
    let (lastgood, key) = (lastgood.display(), key.display());
    let backup = format!("exec {lastgood} -q backup --store $OUT/store --key-file {key}");
    let mut contenders = vec![
        contender("lastgood backup", backup.clone()),
        contender("pg_dump -s", format!("exec {bin}/pg_dump -s -f $OUT/dump $DATABASE_URL")),
        contender("pg_dump -Fc", format!("exec {bin}/pg_dump -Fc -f $OUT/dump $DATABASE_URL")),
        contender("pg_dump -Fd -j2", format!("exec {bin}/pg_dump -Fd -j2 -f $OUT/dump $DATABASE_URL")),
    ];
    if schema_only {
        contenders.insert(0, contender("lastgood backup --schema-only", backup + " --schema-only"));
    }
    measure(&mut contenders, runs, &server.url("bench"), || server.drop("bench_copy"));
    print_table(&format!("{tables} tables, medians of {runs}"), &contenders);
}
