//! A store opens without this library, with recover.py.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lastgood::{BackupId, Credential, Key, Settings, SigningKey, Vault, VaultBuilder};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) const PASSPHRASE: &str = "gravel-onion-sixfold-tundra-maple-kiosk";

/// A database, a store beside it, and one backup of several volumes.
pub(crate) struct World {
    folder: TempDir,
    id: BackupId,
}

impl World {
    pub(crate) async fn new(key: impl FnOnce(VaultBuilder) -> VaultBuilder) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, noise BLOB);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
            INSERT INTO t SELECT i, randomblob(300) FROM n;";
        testkit::tool(Command::new("sqlite3").arg(folder.path().join("shop.db")).arg(sql));
        let url = format!("sqlite:{}", folder.path().join("shop.db").display());
        Self::of(folder, url, key).await
    }

    pub(crate) async fn of(
        folder: TempDir,
        url: String,
        key: impl FnOnce(VaultBuilder) -> VaultBuilder,
    ) -> Option<Self> {
        if !testkit::python().exists() || Command::new("age").arg("--version").output().is_err() {
            return testkit::missing("python with cryptography, or age");
        }
        let mut settings = Settings::default();
        settings.part_bytes = 1 << 20;
        settings.volume_bytes = 1 << 20;
        let store = folder.path().join("store").display().to_string();
        let builder = Vault::builder().database(url).name("shop").store(store).settings(settings);
        let vault = key(builder).open().await.unwrap();
        let id = vault.backup().await.unwrap().id;
        Some(Self { folder, id })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    pub(crate) fn manifest(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.backup().join("manifest.json")).unwrap()).unwrap()
    }

    /// The same world, about another backup in it.
    pub(crate) fn of_backup(self, id: BackupId) -> Self {
        Self { id, ..self }
    }

    pub(crate) fn backup(&self) -> PathBuf {
        self.path("store/shop").join(self.id.as_str())
    }

    /// Another SHA-256 of a volume, as somebody would write it who exchanged the volume.
    fn alter_header(&self) {
        let path = self.backup().join("manifest.json");
        let text = fs::read_to_string(&path).unwrap();
        let hash = self.manifest()["header"]["volumes"][0]["sha256"].as_str().unwrap().to_owned();
        fs::write(path, text.replace(&hash, &"0".repeat(64))).unwrap();
    }

    /// Runs recover.py at a terminal where somebody types this passphrase.
    fn recover(&self, out: &str, typed: &str, args: &[&str]) -> Output {
        let passphrase = self.write("typed", typed);
        Command::new(testkit::python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/interop/with_passphrase.py"))
            .arg(passphrase)
            .arg(testkit::python())
            .arg(self.path("store/recover.py"))
            .arg(format!("shop/{}", self.id))
            .arg(self.path(out))
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub(crate) fn must_recover(&self, typed: &str, args: &[&str]) {
        let done = self.recover("out", typed, args);
        assert!(done.status.success(), "{}", text(&done));
        self.must_be_the_database(&self.path("out"));
        fs::remove_dir_all(self.path("out")).unwrap();
    }

    /// Stops with this in its message, and leaves nothing that could be taken for a result.
    pub(crate) fn must_stop(&self, says: &str, typed: &str, args: &[&str]) {
        let done = self.recover("out", typed, args);
        assert!(!done.status.success() && text(&done).contains(says), "no `{says}` in: {}", text(&done));
        assert!(!text(&done).contains("Traceback"), "{}", text(&done));
        assert!(!self.path("out").exists());
        let _ = fs::remove_dir_all(self.path("out.partial"));
    }

    pub(crate) fn must_be_the_database(&self, dump: &Path) {
        testkit::tool(
            Command::new("find").arg(dump).args(["-name", "*.zst", "-exec", "unzstd", "-q", "--rm", "{}", "+"]),
        );
        let content = |db: PathBuf| {
            testkit::tool(Command::new("sqlite3").arg(db).arg("PRAGMA integrity_check; SELECT id, hex(noise) FROM t"))
        };
        assert!(content(dump.join("shop.db")) == content(self.path("shop.db")));
    }
}

fn text(done: &Output) -> String {
    String::from_utf8_lossy(&[&done.stdout[..], &done.stderr[..]].concat()).into_owned()
}

pub(crate) fn passphrase(builder: VaultBuilder) -> VaultBuilder {
    builder.passphrase(PASSPHRASE)
}

#[tokio::test]
async fn with_a_passphrase() {
    let Some(world) = World::new(passphrase).await else { return };
    assert!(world.manifest()["header"]["volumes"].as_array().unwrap().len() > 1, "several volumes were meant");
    world.must_recover(PASSPHRASE, &[]);
    world.must_stop("No key fits", "wrong", &[]);
    fs::create_dir(world.path("out")).unwrap();
    let done = world.recover("out", PASSPHRASE, &[]);
    assert!(!done.status.success() && text(&done).contains("exists already"));
}

#[tokio::test]
async fn with_a_raw_key() {
    let Some(world) = World::new(|b| b.credential(Credential::Raw(Key::new([5; 32])))).await else { return };
    let hex = world.write("hex", &"05".repeat(32));
    let base64 = world.write("base64", "raw:BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\n");
    world.must_recover("", &["--raw-key-file", &hex]);
    world.must_recover("", &["--raw-key-file", &base64]);
    let wrong = world.write("wrong", &"06".repeat(32));
    world.must_stop("No key fits", "", &["--raw-key-file", &wrong]);
    let short = world.write("short", "0505");
    world.must_stop("32 bytes", "", &["--raw-key-file", &short]);
}

#[tokio::test]
async fn with_an_identity_file() {
    let keygen = || {
        let text = testkit::tool(&mut Command::new("age-keygen"));
        let public = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
        (text, public)
    };
    let ((mine, my_public), (theirs, _)) = (keygen(), keygen());
    let key = |b: VaultBuilder| b.credential(Credential::Identities(mine.as_str().into())).recipients([my_public]);
    let Some(world) = World::new(key).await else { return };
    let (mine, theirs) = (world.write("mine", &mine), world.write("theirs", &theirs));
    world.must_recover("", &["--identity", &mine]);
    world.must_stop("No key fits", "", &["--identity", &theirs]);

    // What the slot holds opens the store too. Without the slots, the recipient still opens each backup's key.
    let slot = world.path("store/keys/1-main.age");
    let inside = testkit::tool(Command::new("age").args(["-d", "-i", &mine]).arg(&slot));
    let inside = world.write("inside", &inside);
    fs::remove_dir_all(world.path("store/keys")).unwrap();
    world.must_recover("", &["--identity", &inside]);
    world.must_stop("who wrote this backup", "", &["--identity", &mine]);
    world.must_recover("", &["--identity", &mine, "--accept-unknown"]);
}

#[tokio::test]
async fn without_encryption() {
    let Some(world) = World::new(VaultBuilder::unencrypted).await else { return };
    world.must_recover("", &[]);
    // In a store that has keys, a backup without encryption was put there by somebody else.
    fs::create_dir(world.path("store/keys")).unwrap();
    fs::write(world.path("store/keys/1-main.age"), "").unwrap();
    world.must_stop("who wrote this backup", "", &[]);
    fs::remove_dir_all(world.path("store/keys")).unwrap();
    world.alter_header();
    world.must_stop("manifest.json was altered", "", &[]);
}

#[tokio::test]
async fn parts_that_lie_in_another_backup() {
    let Some(world) = World::new(VaultBuilder::unencrypted).await else { return };
    let text = fs::read_to_string(world.backup().join("manifest.json")).unwrap();
    let (header, rest) = text.strip_prefix("{\"header\":").unwrap().split_once(",\"body\":").unwrap();
    let body = rest.split_once(",\"auth\":").unwrap().0;

    let (old, new) = (world.id.to_string(), "backup-20251121-020001");
    let header = header.replacen(&old, new, 1);
    let body = body.replace("\"at\":{", &format!("\"at\":{{\"backup\":\"{old}\","));
    let sha256 = |text: &str| Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let digest = sha256(&format!("lastgood/1 manifest\n{}\n{}\n", sha256(&header), sha256(&body)));
    let text =
        format!("{{\"header\":{header},\"body\":{body},\"auth\":{{\"scheme\":\"sha256\",\"digest\":\"{digest}\"}}}}\n");
    let world = World { id: new.parse().unwrap(), ..world };
    fs::create_dir(world.backup()).unwrap();
    fs::write(world.backup().join("manifest.json"), text).unwrap();
    world.must_recover("", &[]);
    fs::remove_file(world.path("store/shop").join(old).join("volume-0001.zip")).unwrap();
    world.must_stop("volume-0001.zip is missing", "", &[]);
}

#[tokio::test]
async fn what_a_host_with_recipients_only_signed() {
    let Some(world) = World::new(passphrase).await else { return };
    let store = world.path("store").display().to_string();
    let database = format!("sqlite:{}", world.path("shop.db").display());
    let vault = || Vault::builder().database(database.clone()).store(store.clone());
    let recipients = passphrase(vault()).open().await.unwrap().recipients().await.unwrap();
    let key = SigningKey::generate().unwrap();
    let (signer, stranger) = (key.signer().to_string(), SigningKey::generate().unwrap().signer().to_string());
    let host = vault().recipients(recipients.lines()).signing_key(key).open().await.unwrap();
    let world = World { id: host.backup().await.unwrap().id, ..world };

    world.must_recover(PASSPHRASE, &["--signer", &signer]);
    world.must_stop(&signer, PASSPHRASE, &[]);
    world.must_stop("who wrote this backup", PASSPHRASE, &["--signer", &stranger]);
    world.alter_header();
    world.must_stop("signature does not fit", PASSPHRASE, &["--signer", &signer]);
}

#[tokio::test]
async fn what_is_damaged_moved_or_forged_is_refused() {
    let Some(world) = World::new(passphrase).await else { return };
    let volume = world.backup().join("volume-0002.zip.enc");
    let whole = fs::read(&volume).unwrap();
    let mut flipped = whole.clone();
    flipped[20_000] ^= 1;
    fs::write(&volume, &flipped).unwrap();
    world.must_stop("volume-0002.zip.enc is damaged", PASSPHRASE, &[]);
    fs::remove_file(&volume).unwrap();
    world.must_stop("volume-0002.zip.enc is missing", PASSPHRASE, &[]);
    fs::write(&volume, &whole).unwrap();

    let manifest = world.backup().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    world.alter_header();
    world.must_stop("altered, or written by somebody", PASSPHRASE, &[]);
    // Whoever accepts that is still shown nothing that does not fit its key.
    let unsigned = fs::read_to_string(&manifest).unwrap().replace("hmac-sha256", "unknown");
    fs::write(&manifest, unsigned).unwrap();
    world.must_stop("manifest.json does not fit its key", PASSPHRASE, &["--accept-unknown"]);
    fs::write(&manifest, &text[..text.len() / 2]).unwrap();
    world.must_stop("manifest.json is damaged", PASSPHRASE, &[]);
    fs::write(&manifest, text.replacen("\"format\":1", "\"format\":2", 1)).unwrap();
    world.must_stop("newer lastgood", PASSPHRASE, &[]);
    fs::remove_file(&manifest).unwrap();
    world.must_stop("not a complete backup", PASSPHRASE, &[]);
    fs::write(&manifest, &text).unwrap();
    fs::remove_file(world.backup().join("key-0001.age")).unwrap();
    world.must_stop("key-0001.age is missing", PASSPHRASE, &[]);
}
