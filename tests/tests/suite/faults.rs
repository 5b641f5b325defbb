//! Every call to the store, failed once in every way: nothing is lost, no part of a backup is ever taken for one.

use std::future::IntoFuture;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lastgood::{Result, Settings, Vault};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use testkit::{Fault, FaultyStore, Verb};

const PASSPHRASE: &str = "gravel-onion-sixfold-tundra-maple-kiosk";
const OTHER: &str = "walnut-harbor-eleven-copper-violet-summit";

/// Long enough for a verb on a database of a few pages, short enough for hundreds of hangs.
const PATIENCE: Duration = Duration::from_millis(400);

struct World {
    folder: tempfile::TempDir,
    store: FaultyStore,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sql = "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) \
                   INSERT INTO t SELECT i, hex(randomblob(20)) FROM n;";
        testkit::tool(std::process::Command::new("sqlite3").arg(folder.path().join("t.db")).arg(sql));
        Self { folder, store: FaultyStore::new(Arc::new(InMemory::new())) }
    }

    async fn vault(&self, passphrase: &str) -> Result<Vault> {
        let store: Arc<dyn ObjectStore> = Arc::new(self.store.clone());
        let mut settings = Settings::default();
        settings.work_dir = Some(self.folder.path().to_owned());
        let database = format!("sqlite:{}", self.folder.path().join("t.db").display());
        Vault::builder()
            .database(database)
            .object_store(store)
            .settings(settings)
            .passphrase(passphrase)
            .work_factor(4)
            .open()
            .await
    }

    fn copy(&self) -> std::path::PathBuf {
        self.folder.path().join("copy.db")
    }

    /// Whatever happened: each backup that is listed is whole, and the next backup works.
    async fn must_be_sound(&self, what: &str, passphrases: &[&str], least: usize) {
        self.store.heal();
        let mut opened = None;
        for passphrase in passphrases {
            opened = self.vault(passphrase).await.ok().or(opened);
        }
        let vault = opened.unwrap_or_else(|| panic!("{what}: nothing opens the store"));
        let listed = match vault.list().await {
            Ok(listed) => listed,
            Err(e) if least == 0 && e.code().as_str() == "store_not_found" => Vec::new(),
            Err(e) => panic!("{what}: {e}"),
        };
        assert!(listed.len() >= least, "{what}: a backup was lost");
        for backup in &listed {
            vault
                .verify(&backup.id)
                .await
                .unwrap_or_else(|e| panic!("{what}: {} is listed and not whole: {e}", backup.id));
        }
        let next = vault.backup().await.unwrap_or_else(|e| panic!("{what}: no backup can be made afterwards: {e}"));
        vault.drill(&next.id).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    }
}

/// Runs `verb` once to count its calls, then fails each of them in each way, each time in a world of its own.
async fn exhaust<Doing: Future<Output = Result<()>>>(
    name: &str,
    before: usize,
    passphrases: &[&str],
    verb: impl Fn(Arc<World>) -> Doing,
) {
    let calls = {
        let world = prepared(before).await;
        world.store.heal();
        verb(Arc::clone(&world)).await.unwrap();
        world.store.calls().len()
    };
    assert!(calls > 2, "{name} made {calls} calls");
    for fault in Fault::ALL {
        for n in 1..=calls {
            let world = prepared(before).await;
            world.store.fail_call(n, fault);
            let result = tokio::time::timeout(PATIENCE, verb(Arc::clone(&world))).await;
            if !world.store.was_hit() {
                // Listings and retries may make a run one or two calls shorter than the first.
                assert!(n + 2 > calls, "{name}: call {n} of {calls} was never made");
                continue;
            }
            if fault == Fault::Partial && world.store.calls()[n - 1].verb == Verb::Put {
                // Stores write a small object whole or not at all: S3, Azure and GCS by contract, a folder by rename.
                continue;
            }
            let what = format!(
                "{name}, {fault:?} at call {n} of {calls}, ended {:?}",
                result.map(|r| r.map_err(|e| e.to_string()))
            );
            world.must_be_sound(&what, passphrases, before).await;
        }
    }
}

async fn prepared(backups: usize) -> Arc<World> {
    let world = World::new();
    for _ in 0..backups {
        world.vault(PASSPHRASE).await.unwrap().backup().await.unwrap();
    }
    Arc::new(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_backup_fails_anywhere_and_leaves_none_or_a_whole_one() {
    exhaust("the first backup", 0, &[PASSPHRASE], |world| async move {
        world.vault(PASSPHRASE).await?.backup().await.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_backup_fails_anywhere_and_harms_none_before_it() {
    exhaust("a second backup", 1, &[PASSPHRASE], |world| async move {
        world.vault(PASSPHRASE).await?.backup().await.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verifying_fails_anywhere_and_harms_nothing() {
    exhaust("verify", 1, &[PASSPHRASE], |world| async move {
        world.vault(PASSPHRASE).await?.verify("latest").await.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_fails_anywhere_and_leaves_no_half_database() {
    exhaust("restore", 1, &[PASSPHRASE], |world| async move {
        let url = format!("sqlite:{}", world.copy().display());
        let result = world.vault(PASSPHRASE).await?.restore("latest").target(url).into_future().await;
        assert_eq!(
            result.is_ok(),
            is_database(&world.copy()),
            "the target is there exactly when the restore succeeded"
        );
        result.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotating_the_key_fails_anywhere_and_one_of_the_keys_always_opens() {
    exhaust("rotate-key", 1, &[PASSPHRASE, OTHER], |world| async move {
        world.vault(PASSPHRASE).await?.rotate_key().to_passphrase(OTHER).work_factor(4).await.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_fails_anywhere_and_one_of_the_keys_always_opens() {
    exhaust("rotate-key --new-epoch", 1, &[PASSPHRASE, OTHER], |world| async move {
        world.vault(PASSPHRASE).await?.rotate_key().new_epoch().to_passphrase(OTHER).work_factor(4).await.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sealing_anew_fails_anywhere_and_no_backup_is_lost() {
    exhaust("reencrypt", 1, &[PASSPHRASE], |world| async move {
        let vault = world.vault(PASSPHRASE).await?;
        if vault.keys().await?.epoch == Some(1) {
            vault.rotate_key().new_epoch().work_factor(4).await?;
        }
        vault.reencrypt().await.map(drop)
    })
    .await;
}

fn is_database(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.len() > 0)
}
