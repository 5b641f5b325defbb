//! What calling the library through Node and Python costs, against calling it in Rust. `benches/overhead` builds and
//! starts it: `overhead [ROUNDS] [DATABASE_URL...]`.
//!
//! Each contender is a process that opened its vault, made its first backup, and then does what a line tells it and
//! answers the seconds that the awaited call took. All have the same database, the same settings, a store of their own,
//! a callback for progress that does nothing, and a command of their own language for live SQLite files. They take turns,
//! another one first in each round, so that a noisy minute hits all of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench talks, and fails by panicking"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use lastgood::{Settings, Vault};

const VERBS: [&str; 2] = ["backup", "verify"];
const PASSPHRASE: &str = "a bench needs no secret, so this one is printed here";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [worker, database, store] = &arguments[..]
        && worker == "worker"
    {
        return tokio::runtime::Runtime::new().unwrap().block_on(work(database, store));
    }
    let (rounds, databases) = match arguments.split_first() {
        Some((first, rest)) if first.parse::<usize>().is_ok() => (first.parse().unwrap(), rest),
        _ => (11, &arguments[..]),
    };
    let folder = tempfile::tempdir().unwrap();
    let mut databases = databases.to_vec();
    if databases.is_empty() {
        databases.push(shop(&folder.path().join("shop.db"), 100 << 20));
    }
    for (place, database) in databases.iter().enumerate() {
        compare(database, rounds, &folder.path().join(place.to_string()));
    }
}

/// One contender, while it runs.
struct Contender {
    name: &'static str,
    child: Child,
    tell: ChildStdin,
    answers: BufReader<ChildStdout>,
    seconds: [Vec<f64>; VERBS.len()],
}

impl Contender {
    fn start(name: &'static str, command: &mut Command, database: &str, store: &Path) -> Self {
        command.arg(database).arg(store).env("BACKUP_ENCRYPTION_KEY", PASSPHRASE);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (tell, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut contender = Self { name, child, tell, answers, seconds: Default::default() };
        // To warm up, and to have something to verify.
        for verb in VERBS {
            contender.ask(verb);
        }
        contender
    }

    fn ask(&mut self, verb: &str) -> f64 {
        writeln!(self.tell, "{verb}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().parse().unwrap_or_else(|e| panic!("{} answered {line:?} to {verb}: {e}", self.name))
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn compare(database: &str, rounds: usize, folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = std::env::var_os("LASTGOOD_BENCH_PYTHON").expect("start it by benches/overhead");
    let mut contenders = [
        ("Rust", Command::new(std::env::current_exe().unwrap()), vec!["worker".into()]),
        ("Node", Command::new("node"), vec![root.join("bindings-node/bench.mjs")]),
        ("Python", Command::new(python), vec![root.join("bindings-python/bench.py")]),
    ]
    .map(|(name, mut command, arguments)| {
        Contender::start(name, command.args(arguments), database, &folder.join(name))
    });
    for round in 0..rounds {
        for (place, verb) in VERBS.iter().enumerate() {
            for turn in 0..contenders.len() {
                let contender = &mut contenders[(round + turn) % 3];
                let seconds = contender.ask(verb);
                contender.seconds[place].push(seconds);
            }
        }
    }
    println!(
        "\n{}, {rounds} rounds\n",
        database.split('?').next().unwrap_or_default().rsplit('@').next().unwrap_or_default()
    );
    println!("{:8} {:8} {:>10} {:>8} {:>10} {:>8}", "", "", "least ms", "", "median ms", "");
    for (place, verb) in VERBS.iter().enumerate() {
        let figures = contenders.each_mut().map(|c| {
            c.seconds[place].sort_by(f64::total_cmp);
            (c.name, 1e3 * c.seconds[place][0], 1e3 * c.seconds[place][rounds / 2])
        });
        let (_, least_of_rust, median_of_rust) = figures[0];
        for (name, least, median) in figures {
            let more = |ours: f64, of_rust: f64| format!("{:+.1} %", 100.0 * (ours / of_rust - 1.0));
            println!(
                "{verb:8} {name:8} {least:10.1} {:>8} {median:10.1} {:>8}",
                more(least, least_of_rust),
                more(median, median_of_rust)
            );
        }
    }
}

/// The contender in Rust.
async fn work(database: &str, store: &str) {
    let mut settings = Settings::default();
    let command = std::env::current_exe().unwrap().with_file_name("lastgood");
    settings.command = vec![command.to_str().unwrap().to_owned()];
    let vault = Vault::builder().database(database).store(store).env().settings(settings).open().await.unwrap();
    for line in std::io::stdin().lines() {
        let began = Instant::now();
        match line.unwrap().as_str() {
            "backup" => drop(vault.backup().on_progress(|_| {}).await.unwrap()),
            "verify" => drop(vault.verify("latest").on_progress(|_| {}).await.unwrap()),
            other => panic!("there is no bench of {other}"),
        }
        println!("{}", began.elapsed().as_secs_f64());
    }
}

/// A SQLite file of about so many bytes, with texts that compress as such texts do. Gives its URL.
fn shop(path: &Path, bytes: u64) -> String {
    let rows = bytes / 420;
    let sql = format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
         CREATE TABLE word (id INTEGER PRIMARY KEY, word TEXT);
         INSERT INTO word SELECT value, substr(lower(hex(randomblob(5))), 1, 3 + value % 6) FROM generate_series(0, 2047);
         CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, note TEXT, digest BLOB);
         INSERT INTO orders SELECT value, lower(hex(randomblob(6))),
             (SELECT group_concat(word, ' ') FROM word WHERE id BETWEEN v.value * 7919 % 1980 AND v.value * 7919 % 1980 + 50),
             randomblob(32) FROM generate_series(1, {rows}) v;
         PRAGMA wal_checkpoint(TRUNCATE);"
    );
    assert!(Command::new("sqlite3").arg(path).arg(sql).stdout(Stdio::null()).status().unwrap().success());
    format!("sqlite:{}", path.display())
}
