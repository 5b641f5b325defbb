//! The whole life of a backup through real S3 and Azure servers, and what is left when its process is killed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lastgood::{Code, ReadBack, Settings, Vault};
use testkit::{Azurite, SeaweedFs, run_and_kill, tool};

const PASSPHRASE: &str = "gravel-onion-sixfold-tundra-maple-kiosk";

/// A database of about 24 MB that does not compress: its volume goes up in several pieces.
fn large_database(folder: &Path) -> String {
    let sql = "CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 240) \
               INSERT INTO t SELECT i, randomblob(100000) FROM n;";
    tool(Command::new("sqlite3").arg(folder.join("large.db")).arg(sql));
    format!("sqlite:{}", folder.join("large.db").display())
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    (settings.upload_part_bytes, settings.volume_bytes, settings.read_back) = (5 << 20, 16 << 20, ReadBack::Content);
    settings
}

async fn life(url: &str, options: &[(&str, String)]) {
    let folder = tempfile::tempdir().unwrap();
    let database = large_database(folder.path());
    let builder = |url: &str| {
        let builder =
            Vault::builder().database(&database).store(url).passphrase(PASSPHRASE).work_factor(4).settings(settings());
        options.iter().fold(builder, |builder, (key, value)| builder.store_option(key.to_lowercase(), value))
    };
    let vault = builder(&format!("{url}/some/prefix")).open().await.unwrap();
    let report = vault.backup().tag("remote").await.unwrap();
    assert!(report.stored_bytes > 20 << 20, "the volumes are large enough to go up in pieces");
    vault.verify(&report.id).await.unwrap();
    vault.drill(&report.id).query("SELECT count(*) = 240 FROM t").await.unwrap();
    let target = folder.path().join("restored.db");
    vault.restore("latest").target(format!("sqlite:{}", target.display())).await.unwrap();
    let dump = |path: &Path| tool(Command::new("sqlite3").arg(path).arg(".dump"));
    assert_eq!(dump(&target), dump(&folder.path().join("large.db")));
    vault.rotate_key().to_passphrase("walnut-harbor-eleven-copper-violet-summit").work_factor(4).await.unwrap();

    // Another process of the same user sees the same store.
    let again = builder(&format!("{url}/some/prefix")).open().await;
    assert_eq!(again.unwrap_err().code(), Code::WrongKey, "the key was rotated");
    let elsewhere = builder(&format!("{url}/other")).open().await.unwrap();
    assert_eq!(elsewhere.list().await.unwrap_err().code(), Code::StoreNotFound);
    assert_eq!(elsewhere.backup().await.unwrap().database.as_str(), "large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_lives_in_s3() {
    let Some(server) = SeaweedFs::shared() else { return };
    life(&server.bucket("life"), &server.env()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_lives_in_azure() {
    let Some(server) = Azurite::shared() else { return };
    let mut options = server.env();
    for (name, _) in &mut options {
        // Option names are those of the client; the short variables are for the environment.
        *name = match *name {
            "AZURE_STORAGE_ACCOUNT" => "azure_storage_account_name",
            "AZURE_STORAGE_KEY" => "azure_storage_account_key",
            other => other,
        };
    }
    life(&server.container("life"), &options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_a_missing_bucket_are_told() {
    let Some(server) = SeaweedFs::shared() else { return };
    let open = async |url: String, options: &[(&str, String)]| {
        let builder = Vault::builder().database("sqlite:none.db").store(url).passphrase(PASSPHRASE).work_factor(4);
        let builder =
            options.iter().fold(builder, |builder, (key, value)| builder.store_option(key.to_lowercase(), value));
        match builder.open().await {
            Ok(vault) => vault.list().await.unwrap_err(),
            Err(e) => e,
        }
    };
    let mut wrong = server.env();
    wrong
        .iter_mut()
        .filter(|(name, _)| *name == "AWS_SECRET_ACCESS_KEY")
        .for_each(|(_, value)| *value = "hunter2hunter2".to_owned());
    let error = open(server.bucket("guarded"), &wrong).await;
    assert_eq!(error.code(), Code::StoreDenied, "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

/// The command line is killed at twenty moments of its run; whatever is listed afterwards is whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backup_leaves_only_whole_ones() {
    let folder = tempfile::tempdir().unwrap();
    let database = large_database(folder.path());
    let (store, key) = (folder.path().join("store"), folder.path().join("key"));
    std::fs::write(&key, PASSPHRASE).unwrap();
    let vault =
        Vault::builder().database(&database).store(store.display().to_string()).passphrase(PASSPHRASE).work_factor(4);
    let vault = vault.open().await.unwrap();
    let mut whole = BTreeSet::from([vault.backup().await.unwrap().id]);
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lastgood-under-test"));
        command.args(["backup", "--quiet", "--database", &database, "--store"]).arg(&store).arg("--key-file").arg(&key);
        command
    };
    let began = Instant::now();
    tool(&mut command());
    // A little more than a run takes, so that the commit is among the moments.
    let within = began.elapsed() + Duration::from_millis(100);
    for _ in 0..20 {
        run_and_kill(&mut command(), within);
        let listed: BTreeSet<_> = vault.list().await.unwrap().into_iter().map(|b| b.id).collect();
        assert!(listed.is_superset(&whole), "a backup was lost");
        for new in listed.difference(&whole) {
            vault.verify(new).await.unwrap();
        }
        whole = listed;
    }
    vault.drill("latest").await.unwrap();
    vault.backup().await.unwrap();
}
