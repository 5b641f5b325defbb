//! What the benches share: contenders that run side by side, and the table that compares them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench talks, and fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use testkit::peak_memory;

/// One way to back the database up, or to restore it.
#[derive(Debug)]
pub struct Contender {
    name: &'static str,
    /// A bash script; `$OUT` is an empty folder of its own, `$DB` the database's URL.
    script: String,
    seconds: Vec<f64>,
    stored_bytes: u64,
    peak_bytes: u64,
}

/// A contender that has not run yet.
#[must_use]
pub fn contender(name: &'static str, script: String) -> Contender {
    Contender { name, script, seconds: Vec::new(), stored_bytes: 0, peak_bytes: 0 }
}

/// Runs all of them in rounds, so that every contender meets the same noise. `before` takes away what an earlier one left.
///
/// # Panics
/// When a script fails.
pub fn measure(contenders: &mut [Contender], runs: usize, url: &str, before: impl Fn()) {
    for _ in 0..runs {
        for c in contenders.iter_mut() {
            before();
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
///
/// # Panics
/// When it fails.
pub fn bash(script: &str, out: &Path, url: &str) -> u64 {
    let finished = peak_memory(Command::new("bash").args(["-c", script]).env("OUT", out).env("DATABASE_URL", url));
    assert!(finished.status.success(), "{script}\n{}", finished.output);
    finished.peak_bytes
}

/// Prints medians, and their ratio to the first contender's.
pub fn print_table(title: &str, contenders: &[Contender]) {
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
///
/// # Panics
/// When it was not.
#[must_use]
pub fn release_binary() -> PathBuf {
    let path = std::env::current_exe().unwrap().with_file_name("lastgood");
    assert!(path.exists(), "build it first: cargo build --release -p lastgood --features cli");
    path
}
