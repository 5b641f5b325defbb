//! PostgreSQL: `lastgood` beside the shell pipelines that it replaces, in one run.
//!
//! `cargo build --release -p lastgood --features cli && cargo run --release -p benches --bin postgres -- [SCALE] [RUNS]`
//!
//! SCALE 0.333 is a plain dump of 470 MB (the recipe of the sample data); RUNS 3 gives medians of three. Each contender
//! runs once in each round, so that a noisy minute hits all of them. The table gives seconds, the ratio to `lastgood`, bytes stored and peak memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench talks, and fails by panicking"
)]

use std::path::Path;
use std::process::Command;

use benches::{bash, contender, measure, print_table, release_binary};
use testkit::{PgVersion, Postgres, sample_data};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let scale: f64 = arguments.next().map_or(0.333, |s| s.parse().expect("SCALE is a number"));
    let runs: usize = arguments.next().map_or(3, |s| s.parse().expect("RUNS is a number"));
    let data = sample_data().expect("the bench needs the recipe beside the clone");
    let server = Postgres::start(PgVersion::V15).expect("PostgreSQL 15 is not installed");
    let loader = data.join("bench/pg_load.sh");
    load(&server, &loader, scale);

    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "a benchmark's passphrase, longer than thirty-two characters").unwrap();
    let lastgood = release_binary();
    let (lastgood, key) = (lastgood.display(), key.display());
    let bin = server.tool("pg_dump");
    let bin = bin.parent().unwrap().display();
    let url = server.url("bench");

    let mut backups = vec![
        contender(
            "lastgood (zstd, AES-256-GCM, SHA-256, hashes)",
            format!("exec {lastgood} -q backup --store $OUT/store --key-file {key}"),
        ),
        contender(
            "lastgood --jobs 1",
            format!("exec {lastgood} -q backup --jobs 1 --store $OUT/store --key-file {key}"),
        ),
        contender("pg_dump -Fc", format!("{bin}/pg_dump -Fc -f $OUT/dump $DATABASE_URL")),
        contender("pg_dump -Fd -j2", format!("{bin}/pg_dump -Fd -j2 -f $OUT/dump $DATABASE_URL")),
        contender(
            "pg_dump | gzip | openssl enc | tee >(sha256sum)",
            format!(
                "set -o pipefail; {bin}/pg_dump $DATABASE_URL | gzip | openssl enc -aes-256-cbc -pbkdf2 -pass file:{key} \
                 | tee >(sha256sum > $OUT/sum) > $OUT/dump"
            ),
        ),
    ];
    measure(&mut backups, runs, &url, || server.drop("bench_copy"));
    print_table(&format!("backup, scale {scale}, medians of {runs}"), &backups);

    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    bash(
        &format!(
            "{lastgood} -q backup --store $OUT/store --key-file {key} && {bin}/pg_dump -Fd -j2 -f $OUT/dump $DATABASE_URL && \
             {lastgood} -q export latest $OUT/exported --store $OUT/store --key-file {key}"
        ),
        &kept,
        &url,
    );
    let kept = kept.display();
    let copy = server.url("bench_copy");
    let create = format!("{bin}/createdb --maintenance-db=$DATABASE_URL bench_copy");
    let mut restores = vec![
        contender(
            "lastgood",
            format!("exec {lastgood} -q restore latest --store {kept}/store --key-file {key} --target {copy}"),
        ),
        contender("pg_restore -j2", format!("{create} && {bin}/pg_restore -j2 -d {copy} {kept}/dump")),
        // What the restores above leave to their user.
        contender(
            "pg_restore -j2, then ANALYZE on 2 connections",
            format!("{create} && {bin}/pg_restore -j2 -d {copy} {kept}/dump && {bin}/vacuumdb -q -Z -j2 -d {copy}"),
        ),
        contender(
            "pg_restore -j2 of what lastgood exported",
            format!("{create} && {bin}/pg_restore -j2 -d {copy} {kept}/exported"),
        ),
    ];
    measure(&mut restores, runs, &url, || server.drop("bench_copy"));
    print_table(&format!("restore, scale {scale}, medians of {runs}"), &restores);
}

fn load(server: &Postgres, loader: &Path, scale: f64) {
    let bin = server.tool("psql");
    let path = format!("{}:{}", bin.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let status = Command::new("bash")
        .arg(loader)
        .args(["bench", &scale.to_string()])
        .env("PATH", path)
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", server.port().to_string())
        .env("PGUSER", "postgres")
        .env("PGPASSWORD", server.password())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the recipe failed");
}
