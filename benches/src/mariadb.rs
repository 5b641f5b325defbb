//! MariaDB: `lastgood` beside the shell pipelines and mydumper, in one run.
//!
//! `cargo build --release -p lastgood --features cli && cargo run --release -p benches --bin mariadb -- [SCALE] [RUNS]`
//!
//! SCALE 0.3 is about 220 MB of SQL (the recipe of the sample data); RUNS 3 gives medians of three. Each contender runs
//! once in each round, so that a noisy minute hits all of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench talks, and fails by panicking"
)]

use std::process::Command;

use benches::{bash, contender, measure, print_table, release_binary};
use testkit::{MariaDb, MariaDbSetup, sample_data};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let scale: f64 = arguments.next().map_or(0.3, |s| s.parse().expect("SCALE is a number"));
    let runs: usize = arguments.next().map_or(3, |s| s.parse().expect("RUNS is a number"));
    let data = sample_data().expect("the bench needs the recipe beside the clone");
    let setup = MariaDbSetup::default().set("innodb-buffer-pool-size=1G").set("innodb-log-file-size=1G");
    let server = MariaDb::start_with(&setup).expect("MariaDB is not installed");
    let folder = tempfile::tempdir().unwrap();
    let socket = server.socket();
    let (socket, password) = (socket.display(), server.password().to_owned());
    let options = folder.path().join("my.cnf");
    std::fs::write(&options, format!("[client]\nuser=root\npassword={password}\nsocket={socket}\n")).unwrap();
    let options = options.display();
    let status = Command::new("bash")
        .arg(data.join("bench/maria_load.sh"))
        .arg(scale.to_string())
        .env("MYSQL", format!("mariadb --defaults-file={options}"))
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the recipe failed");

    let key = folder.path().join("key");
    std::fs::write(&key, "a benchmark's passphrase, longer than thirty-two characters").unwrap();
    let lastgood = release_binary();
    let (lastgood, key) = (lastgood.display(), key.display());
    let url_of = |database: &str| format!("mysql://root:{password}@localhost/{database}?socket={socket}");
    let url = url_of("bench");
    let dump = format!("mariadb-dump --defaults-file={options} --single-transaction --quick bench");
    let login = format!("--socket {socket} -u root -p {password}");
    // As on every night but the first: the store is there.
    let begun = folder.path().join("begun");
    let begun = begun.display();
    let ours = format!(
        "cp -r {begun} $OUT/store && exec {lastgood} -q backup --database $DATABASE_URL --store $OUT/store --key-file {key}"
    );
    let first = format!("{lastgood} -q backup --schema-only --database $DATABASE_URL --store {begun} --key-file {key}");
    bash(&first, folder.path(), &url);
    let clean = || server.drop("bench_copy");

    let mut backups = vec![
        contender("lastgood (zstd, AES-256-GCM, SHA-256, hashes)", ours.clone()),
        contender("lastgood --jobs 1", format!("{ours} --jobs 1")),
        contender("mariadb-dump | zstd -1", format!("set -o pipefail; {dump} | zstd -q -1 > $OUT/dump")),
        contender("mariadb-dump | gzip", format!("set -o pipefail; {dump} | gzip > $OUT/dump")),
        contender("mydumper -t2 -c -r 100000", format!("mydumper {login} -B bench -t 2 -c -r 100000 -o $OUT/dump")),
        contender("mariadb-dump alone", format!("{dump} > /dev/null")),
    ];
    measure(&mut backups, runs, &url, clean);
    print_table(&format!("backup, scale {scale}, medians of {runs}"), &backups);

    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    let backup = ours.replace("exec ", "");
    let all = format!(
        "{backup} && {lastgood} -q export latest $OUT/exported --store $OUT/store --key-file {key} && {dump} > $OUT/dump.sql && \
         mydumper {login} -B bench -t 2 -r 100000 -o $OUT/mydumper"
    );
    bash(&all, &kept, &url);
    let kept = kept.display();
    let copy = url_of("bench_copy");
    let client = format!("mariadb --defaults-file={options}");
    let mut restores = vec![
        contender(
            "lastgood",
            format!(
                "exec {lastgood} -q restore latest --store {kept}/store --key-file {key} --name bench --target '{copy}'"
            ),
        ),
        contender(
            "myloader -t2 of mydumper's chunks",
            format!("myloader {login} -t 2 -B bench_copy -d {kept}/mydumper"),
        ),
        contender(
            "myloader -t2 of what lastgood exported",
            format!("myloader {login} -t 2 -B bench_copy -d {kept}/exported"),
        ),
        contender(
            "mariadb < dump.sql",
            format!("{client} -e 'CREATE DATABASE bench_copy' && {client} bench_copy < {kept}/dump.sql"),
        ),
    ];
    measure(&mut restores, runs, &url, clean);
    print_table(&format!("restore, scale {scale}, medians of {runs}"), &restores);
}
