//! A folder with a store in it, the vault over it, and the command line: what most suites begin with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lastgood::{Code, Result, Vault, VaultBuilder};
use serde_json::Value;
use tempfile::TempDir;
use testkit::tool;

pub(crate) const PASSPHRASE: &str = "canary-passphrase gravel onion sixfold tundra maple kiosk";

/// The database that small tests use: two tables, every kind of value, a view and an index.
pub(crate) const SMALL: &str = "
    CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL, photo BLOB, weight REAL);
    INSERT INTO person VALUES (1, 'Zoë', x'00ff00', 61.5), (2, 'O''Hara', NULL, -1e300), (3, '', x'', 0);
    CREATE TABLE visit (person INTEGER REFERENCES person, at TEXT, PRIMARY KEY (person, at)) WITHOUT ROWID;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
        INSERT INTO visit SELECT i % 3 + 1, 'day ' || i FROM n;
    CREATE VIEW visits AS SELECT name, count(*) AS n FROM person JOIN visit ON person = id GROUP BY name;
    CREATE INDEX visit_at ON visit (at);";

pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A path in the world's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The URL of a SQLite file in the world's folder.
    pub(crate) fn sqlite(&self, name: &str) -> String {
        format!("sqlite:{}", self.path(name).display())
    }

    /// Makes a SQLite file by this SQL and returns its URL.
    pub(crate) fn make(&self, name: &str, sql: &str) -> String {
        tool(Command::new("sqlite3").arg("-bail").arg(self.path(name)).arg(sql));
        self.sqlite(name)
    }

    /// The store's folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// A vault of this database and the world's store, which [`PASSPHRASE`] opens at little cost.
    pub(crate) fn builder(&self, database: &str) -> VaultBuilder {
        Vault::builder()
            .database(database)
            .store(self.store().display().to_string())
            .passphrase(PASSPHRASE)
            .work_factor(4)
    }

    pub(crate) async fn vault(&self, database: &str) -> Vault {
        self.builder(database).open().await.unwrap()
    }

    /// A file with this text, for options that take secrets from files.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    /// The command line over the world's store, in an environment without settings; the key is in a file.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let key = self.file("key", PASSPHRASE);
        let mut command = bare_command();
        command.args(arguments).arg("--store").arg(self.store()).args(["--key-file", &key]);
        command.current_dir(self.folder.path());
        command
    }

    /// Runs the command line and returns its answer in JSON.
    pub(crate) fn run(&self, arguments: &[&str]) -> Value {
        answer(&mut self.command(arguments))
    }

    /// Every file of the store with its content, to see what a failure left of it.
    pub(crate) fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.store())
    }
}

/// The command line in an environment without settings.
pub(crate) fn bare_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastgood-under-test"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/nonexistent");
    command
}

/// Runs a command line with `--json` and returns its answer.
pub(crate) fn answer(command: &mut Command) -> Value {
    let text = tool(command.arg("--json"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The exit code of a failed command line and the error that it told in JSON.
pub(crate) fn refusal(command: &mut Command) -> (i32, Value) {
    let output: Output = command.arg("--json").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok()?.get("error").cloned());
    let told = told.unwrap_or_else(|| panic!("no error in JSON: {}{text}", String::from_utf8_lossy(&output.stdout)));
    (output.status.code().unwrap(), told)
}

/// Every file below a folder with its content.
pub(crate) fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    found
}

/// What stock sqlite3 writes of a whole database: schema and rows.
pub(crate) fn sqlite_dump(database: &Path) -> String {
    tool(Command::new("sqlite3").arg(database).arg(".dump"))
}

/// The result is an error of this code, which names `thing` and says what to do next.
#[track_caller]
pub(crate) fn must_fail<T: std::fmt::Debug>(result: Result<T>, code: Code, thing: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(thing), "`{thing}` is not in: {error}");
    assert!(error.next_step().is_some(), "no next step in: {error}");
}
