//! Golden stores of each released version: still read, verified and restored; and what was done to them is noticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lastgood::{Vault, VaultOptions};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::tool;

use crate::world::{bare_command, sqlite_dump};

/// What `store.json` beside a golden store tells.
#[derive(Deserialize)]
struct Golden {
    #[serde(skip)]
    folder: PathBuf,
    name: String,
    options: Value,
    backups: Vec<String>,
    rows: u64,
}

impl Golden {
    /// The options that open the store, or a copy of it.
    fn options(&self, store: &Path) -> Value {
        let mut options = self.options.clone();
        for (name, value) in options.as_object_mut().unwrap() {
            if name.ends_with("_file") {
                *value = self.folder.join(value.as_str().unwrap()).display().to_string().into();
            }
        }
        options["store"] = store.display().to_string().into();
        options["name"] = self.name.as_str().into();
        options
    }

    async fn open(&self, store: &Path) -> lastgood::Result<Vault> {
        let options: VaultOptions = serde_json::from_value(self.options(store)).unwrap();
        Vault::builder().options(options).open().await
    }

    /// A copy of the store, since proofs are written beside backups.
    fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        tool(Command::new("cp").arg("-r").arg(self.folder.join("store/.")).arg(copy.path()));
        copy
    }

    /// The database that all of them hold.
    fn expected(&self) -> String {
        sqlite_dump(&self.folder.join("../shop.db"))
    }
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Every golden store of every version.
fn all() -> Vec<Golden> {
    let folders = |path: &Path| {
        let mut found: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.is_dir());
        found.sort();
        found
    };
    let stores = folders(&vectors()).into_iter().flat_map(|version| folders(&version));
    let golden: Vec<_> = stores.map(|folder| read(&folder)).collect();
    assert!(golden.len() >= 2, "the golden stores are gone");
    golden
}

fn read(folder: &Path) -> Golden {
    let told = fs::read(folder.join("store.json")).unwrap();
    Golden { folder: folder.to_owned(), ..serde_json::from_slice(&told).unwrap() }
}

#[tokio::test]
async fn golden_stores_are_read_verified_drilled_and_restored() {
    for golden in all() {
        let store = golden.copy();
        let vault = golden.open(store.path()).await.unwrap();
        let listed: Vec<_> = vault.list().await.unwrap().into_iter().rev().map(|b| b.id.to_string()).collect();
        assert_eq!(listed, golden.backups);
        for id in &golden.backups {
            let scratch = tempfile::tempdir().unwrap();
            let copy = |name: &str| format!("sqlite:{}", scratch.path().join(name).display());
            let shown = vault.show(id).await.unwrap();
            assert_eq!(shown.summary.rows, golden.rows);
            vault.verify(id).await.unwrap();
            vault.drill(id).target(copy("drilled.db")).query("SELECT count(*) = 4 FROM person").await.unwrap();
            vault.restore(id).target(copy("restored.db")).await.unwrap();
            assert_eq!(sqlite_dump(&scratch.path().join("restored.db")), golden.expected(), "{id}");
        }
    }
}

#[tokio::test]
async fn golden_stores_take_a_new_epoch_and_are_read_under_it() {
    const NEW: &str = "lantern-pebble-orchard-nineteen-velvet-canoe";
    for golden in all() {
        let store = golden.copy();
        let vault = golden.open(store.path()).await.unwrap();
        vault.rotate_key().new_epoch().to_passphrase(NEW).work_factor(4).await.unwrap();
        assert_eq!(vault.rewrap().await.unwrap().rewrapped, golden.backups.len() as u64);
        let done = vault.reencrypt().await.unwrap();
        assert!(done.refused.is_empty() && done.reencrypted.len() == golden.backups.len(), "{done:?}");
        let path = store.path().display().to_string();
        let vault = Vault::builder().store(path).name(&golden.name).passphrase(NEW).open().await.unwrap();
        let report = vault.keys().await.unwrap();
        assert!(report.behind.is_empty() && report.unopened.is_empty(), "{report:?}");
        for copy in done.reencrypted {
            vault.verify(&copy.by).await.unwrap();
            let scratch = tempfile::tempdir().unwrap();
            let restored = scratch.path().join("restored.db");
            vault.restore(&copy.by).target(format!("sqlite:{}", restored.display())).await.unwrap();
            assert_eq!(sqlite_dump(&restored), golden.expected());
        }
    }
}

#[test]
fn golden_stores_are_restored_by_the_command_line() {
    for golden in all() {
        let (store, scratch) = (golden.copy(), tempfile::tempdir().unwrap());
        let restored = scratch.path().join("restored.db");
        let mut command = bare_command();
        command.args(["restore", "latest", "--name", &golden.name, "--target"]).arg(&restored);
        command.arg("--store").arg(store.path());
        let options = golden.options(store.path());
        for (option, flag) in [("key_file", "--key-file"), ("identity_file", "--identity-file")] {
            if let Some(path) = options[option].as_str() {
                command.args([flag, path]);
            }
        }
        if let Some(signers) = options["trusted_signers"].as_array() {
            command.env("BACKUP_TRUSTED_SIGNERS", signers[0].as_str().unwrap());
        }
        tool(&mut command);
        assert_eq!(sqlite_dump(&restored), golden.expected());
    }
}

/// One thing done to a golden store, and the code of the error that tells of it. `damaged.json` lists them for every
/// language.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Damage {
    name: String,
    store: String,
    object: String,
    code: String,
    /// Which of the store's backups is verified.
    #[serde(default)]
    backup: usize,
    /// The lowest bit of this byte is flipped.
    flip: Option<usize>,
    /// So many bytes are taken from the end.
    truncate: Option<usize>,
    /// Only so many bytes are left.
    keep: Option<usize>,
    #[serde(default)]
    remove: bool,
    /// One text gives way to another.
    replace: Option<(String, String)>,
    /// The object's content is that of this one, which lies in the store or beside it.
    from: Option<String>,
}

impl Damage {
    fn apply(&self, golden: &Golden, store: &Path) {
        let name = |text: &str| {
            let places = golden.backups.iter().enumerate();
            places.fold(text.to_owned(), |text, (i, id)| text.replace(&format!("{{{i}}}"), id))
        };
        let path = store.join(name(&self.object));
        if self.remove {
            return fs::remove_file(path).unwrap();
        }
        let mut bytes = fs::read(&path).unwrap();
        let before = bytes.clone();
        if let Some(at) = self.flip {
            bytes[at] ^= 1;
        }
        if let Some(count) = self.truncate {
            bytes.truncate(bytes.len() - count);
        }
        if let Some(count) = self.keep {
            bytes.truncate(count);
        }
        if let Some((old, new)) = &self.replace {
            bytes = String::from_utf8(bytes).unwrap().replace(old, new).into_bytes();
        }
        if let Some(other) = &self.from {
            bytes = fs::read(golden.folder.join("store").join(name(other))).unwrap();
        }
        assert_ne!(bytes, before, "{} did nothing", self.name);
        fs::write(path, bytes).unwrap();
    }
}

#[tokio::test]
async fn damaged_golden_stores_are_refused_by_name() {
    let damages: Vec<Damage> = serde_json::from_slice(&fs::read(vectors().join("damaged.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for damage in damages {
        let golden = read(&vectors().join("0.1.0").join(&damage.store));
        let store = golden.copy();
        damage.apply(&golden, store.path());
        let verdict = async { golden.open(store.path()).await?.verify(&golden.backups[damage.backup]).await };
        let told = match verdict.await {
            Ok(report) => json!(report).to_string(),
            Err(e) => e.code().to_string(),
        };
        if told != damage.code {
            wrong.push(format!("{}: {told} instead of {}", damage.name, damage.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
