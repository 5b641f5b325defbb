//! Makes the golden stores of this version, `tests/vectors/<version>`: see the README there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lastgood::{Credential, SigningKey, Vault, VaultBuilder};
use serde_json::{Value, json};
use testkit::tool;

const PASSPHRASE: &str = "golden-store passphrase, printed here on purpose";

/// Every kind of value, a view, an index, a trigger, and noise enough for a second chunk of 16 KiB.
const SHOP: &str = "
    PRAGMA page_size = 1024;
    CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL, photo BLOB, weight REAL);
    INSERT INTO person VALUES (1, 'Zoë', x'00ff00', 61.5), (2, 'O''Hara', NULL, -1e300), (3, '', x'', 0),
        (9223372036854775807, '🌍 ' || char(10) || char(9) || '\"', zeroblob(100), 0.1);
    CREATE TABLE visit (person INTEGER REFERENCES person, at TEXT, PRIMARY KEY (person, at)) WITHOUT ROWID;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
        INSERT INTO visit SELECT i % 3 + 1, 'day ' || i FROM n;
    CREATE VIEW visits AS SELECT name, count(*) AS n FROM person JOIN visit ON person = id GROUP BY name;
    CREATE INDEX visit_at ON visit (at);
    CREATE TRIGGER no_negative BEFORE INSERT ON person WHEN new.weight < -1e301 BEGIN SELECT raise(ABORT, 'no'); END;
    CREATE TABLE noise AS SELECT randomblob(16400) AS bytes;";

/// Rows in all of its tables.
const ROWS: u64 = 155;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(env!("CARGO_PKG_VERSION"));
    assert!(!root.exists(), "{} is there: golden stores are never made anew", root.display());
    fs::create_dir_all(&root).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let shop = scratch.path().join("shop.db");
    tool(Command::new("sqlite3").arg("-bail").arg(&shop).arg(SHOP));
    fs::copy(&shop, root.join("shop.db")).unwrap();

    let database = format!("sqlite:{}", shop.display());
    with_a_passphrase(&root.join("passphrase"), &database).await;
    with_recipients(&root.join("recipients"), &database).await;
}

async fn with_a_passphrase(folder: &Path, database: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("key"), format!("{PASSPHRASE}\n")).unwrap();
    let vault = vault(folder, database).passphrase(PASSPHRASE).work_factor(4).open().await.unwrap();
    let first = vault.backup().tag("golden").await.unwrap();
    vault.verify(&first.id).await.unwrap();
    vault.drill(&first.id).await.unwrap();
    describe(folder, &json!({ "key_file": "key" }), &[first.id.as_str()]);
}

/// One backup by the holder of an identity, one by a host that holds recipients alone and signs what it writes.
async fn with_recipients(folder: &Path, database: &str) {
    fs::create_dir_all(folder).unwrap();
    let identity = tool(&mut Command::new("age-keygen"));
    let public = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
    fs::write(folder.join("identity"), &identity).unwrap();
    let credential = Credential::Identities(identity.as_str().into());
    let mine = vault(folder, database).credential(credential).recipients([public]).open().await.unwrap();
    let first = mine.backup().await.unwrap();

    let key = SigningKey::generate().unwrap();
    let signer = key.signer().to_string();
    let recipients = mine.recipients().await.unwrap();
    let host = vault(folder, database).recipients(recipients.lines()).signing_key(key).open().await.unwrap();
    let second = host.backup().tag("signed").await.unwrap();
    let options = json!({ "identity_file": "identity", "trusted_signers": [signer] });
    describe(folder, &options, &[first.id.as_str(), second.id.as_str()]);
}

fn vault(folder: &Path, database: &str) -> VaultBuilder {
    Vault::builder().database(database).store(folder.join("store").display().to_string())
}

/// What a reader needs: the options that open the store (files beside this one), and the backups, oldest first.
fn describe(folder: &Path, options: &Value, backups: &[&str]) {
    let text = json!({ "name": "shop", "options": options, "backups": backups, "rows": ROWS });
    fs::write(folder.join("store.json"), format!("{text:#}\n")).unwrap();
    println!("{}: {} bytes", folder.display(), size(&folder.to_path_buf()));
}

fn size(path: &PathBuf) -> u64 {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| size(&entry.unwrap().path())).sum(),
        Err(_) => fs::metadata(path).unwrap().len(),
    }
}
