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

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use testkit::{PgVersion, Postgres, peak_memory, sample_data};

/// One way to back the database up, or to restore it.
struct Contender {
    name: &'static str,
    /// A bash script; `$OUT` is an empty folder of its own, `$DB` the database's URL.
    script: String,
    seconds: Vec<f64>,
    stored_bytes: u64,
    peak_bytes: u64,
}

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
    measure(&mut backups, runs, &url, &server);
    print_table(&format!("backup, scale {scale}, medians of {runs}"), &backups);

    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    bash(
        &format!(
            "{lastgood} -q backup --store $OUT/store --key-file {key} && {bin}/pg_dump -Fd -j2 -f $OUT/dump $DATABASE_URL"
        ),
        &kept,
        &url,
    );
    let kept = kept.display();
    let copy = server.url("bench_copy");
    let mut restores = vec![
        contender(
            "lastgood",
            format!("exec {lastgood} -q restore latest --store {kept}/store --key-file {key} --target {copy}"),
        ),
        contender(
            "pg_restore -j2",
            format!(
                "{bin}/createdb --maintenance-db=$DATABASE_URL bench_copy && {bin}/pg_restore -j2 -d {copy} {kept}/dump"
            ),
        ),
    ];
    measure(&mut restores, runs, &url, &server);
    print_table(&format!("restore, scale {scale}, medians of {runs}"), &restores);
}

fn contender(name: &'static str, script: String) -> Contender {
    Contender { name, script, seconds: Vec::new(), stored_bytes: 0, peak_bytes: 0 }
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

/// Rounds, so that every contender meets the same noise.
fn measure(contenders: &mut [Contender], runs: usize, url: &str, server: &Postgres) {
    for _ in 0..runs {
        for c in contenders.iter_mut() {
            server.drop("bench_copy");
            let out = tempfile::tempdir().unwrap();
            let began = Instant::now();
            let peak = bash(&c.script, out.path(), url);
            c.seconds.push(began.elapsed().as_secs_f64());
            c.peak_bytes = c.peak_bytes.max(peak);
            c.stored_bytes = folder_bytes(out.path());
        }
    }
}

/// Runs a script and gives the peak memory of its first process, in bytes: of a pipeline, that is the shell.
fn bash(script: &str, out: &Path, url: &str) -> u64 {
    let finished = peak_memory(Command::new("bash").args(["-c", script]).env("OUT", out).env("DATABASE_URL", url));
    assert!(finished.status.success(), "{script}\n{}", finished.output);
    finished.peak_bytes
}

fn print_table(title: &str, contenders: &[Contender]) {
    println!("\n{title}\n{:50} {:>8} {:>6} {:>12} {:>9}", "", "seconds", "ratio", "bytes", "peak MiB");
    let median = |c: &Contender| {
        let mut sorted = c.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    let ours = median(&contenders[0]);
    for c in contenders {
        println!(
            "{:50} {:8.2} {:6.2} {:12} {:9}",
            c.name,
            median(c),
            median(c) / ours,
            c.stored_bytes,
            c.peak_bytes >> 20
        );
    }
}

fn folder_bytes(folder: &Path) -> u64 {
    let size = |entry: std::fs::DirEntry| {
        let meta = entry.metadata().unwrap();
        if meta.is_dir() { folder_bytes(&entry.path()) } else { meta.len() }
    };
    std::fs::read_dir(folder).unwrap().map(|entry| size(entry.unwrap())).sum()
}

/// The command that was built beside this bench.
fn release_binary() -> PathBuf {
    let path = std::env::current_exe().unwrap().with_file_name("lastgood");
    assert!(path.exists(), "build it first: cargo build --release -p lastgood --features cli");
    path
}
