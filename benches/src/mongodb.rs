//! Backing a MongoDB collection up, beside PyMongo that only reads it: `mongodb [DOCUMENTS]`, a million unless told.
//!
//! The difference of the two is what is ours: hashing, compressing, sealing and storing. On SecantusDB, or on the
//! deployment that `MONGODB_TEST_URL` names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench talks, and fails by panicking"
)]

use std::time::Instant;

use benches::{bash, release_binary};
use testkit::{Mongodb, python};

const KEY: &str = "canary-passphrase gravel onion sixfold tundra maple kiosk";
const RUNS: usize = 3;

fn main() {
    let documents = std::env::args().nth(1).unwrap_or_else(|| "1000000".to_owned());
    let server = Mongodb::shared().expect("SecantusDB; `bash tests/run` installs it");
    let database = server.database("bench");
    println!("{}", database.python("bench.py", &["fill", &documents]));
    let lastgood = release_binary().display().to_string();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/mongodb/bench.py");
    let server_url = server.url("");
    // SecantusDB reads a whole collection for each part of it.
    let parts = if server.is_mongod() { "" } else { "--part-bytes 1073741824" };
    let contenders = [
        (
            "PyMongo, reading raw batches",
            format!("{} -B {program} '{server_url}' {} read", python().display(), database.name),
        ),
        ("lastgood backup", format!("BACKUP_ENCRYPTION_KEY='{KEY}' {lastgood} backup --store $OUT {parts} --json")),
    ];
    println!("{:40} {:>8} {:>12} {:>9}", "", "seconds", "of CPU, own", "peak MiB");
    for _ in 0..RUNS {
        for (name, script) in &contenders {
            let out = tempfile::tempdir().unwrap();
            let (began, cpu) = (Instant::now(), cpu_of_children());
            let peak = bash(script, out.path(), &database.url());
            let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_of_children() - cpu);
            println!("{name:40} {seconds:8.2} {cpu:12.2} {:9}", peak >> 20);
        }
    }
}

/// Seconds of CPU that programs took that were started here and have ended.
fn cpu_of_children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the program's name: cutime and cstime of proc(5), in ticks of which a second has a hundred.
    let (_, numbers) = stat.rsplit_once(')').unwrap();
    let ticks = numbers.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}
