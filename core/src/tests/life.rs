//! Back up, verify, drill, restore, export; and what happens when the store or the database fails in between.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::fake::{Fake, Files};
use crate::{Code, Codec, Error, ReadBack, Result, Settings, Vault, engine::Engine};

const PASSPHRASE: &str = "a passphrase for tests that nobody would ever use elsewhere";

/// Bytes that neither repeat nor compress too well.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn sample() -> Files {
    let sizes = [("toc.dat", 5_000), ("1.dat", 3_000_000), ("2.dat", 0), ("3.dat", 1), ("4.dat", 700_000)];
    sizes.iter().enumerate().map(|(i, (name, size))| ((*name).to_owned(), noise(*size, i as u32))).collect()
}

fn small() -> Files {
    [("toc.dat", 300), ("1.dat", 2_000)].iter().map(|(n, s)| ((*n).to_owned(), noise(*s, 7))).collect()
}

async fn vault(fake: &Fake, store: &Arc<InMemory>, settings: Settings, encrypted: bool) -> Result<Vault> {
    let store: Arc<dyn ObjectStore> = store.clone();
    let builder = Vault::builder().engine(Arc::new(fake.clone())).object_store(store).settings(settings).work_factor(4);
    if encrypted { builder.passphrase(PASSPHRASE) } else { builder.unencrypted() }.open().await
}

async fn restore_into(vault: &Vault, fake: &Fake, name: &str) -> Result<()> {
    let target = fake.other(name);
    let session = vault.session().await?;
    let id = session.resolve("latest").await?;
    let options = crate::engine::RestoreOptions { jobs: 3, ..Default::default() };
    let backup = session.open_backup(&id).await?;
    crate::ops::restore::restore(&session, backup, &target as &dyn Engine, &options, &crate::progress::Run::default())
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_comes_back_with_every_codec_and_any_number_of_workers_and_volumes() {
    for (codec, jobs, part, encrypted) in [
        (Codec::Zstd, 1, 100_000, true),
        (Codec::Gzip, 4, 77_777, true),
        (Codec::None, 3, 1 << 20, true),
        (Codec::Zstd, 8, 5_000, false),
    ] {
        let (fake, store) = (Fake::new(sample(), part), Arc::new(InMemory::new()));
        let mut settings = Settings::default();
        (settings.codec, settings.jobs, settings.volume_bytes, settings.read_back) =
            (codec, jobs, 1 << 20, ReadBack::Content);
        let vault = vault(&fake, &store, settings, encrypted).await.unwrap();
        let report = vault.backup().tag("t").await.unwrap();
        assert_eq!(report.source_bytes, sample().values().map(|v| v.len() as u64).sum::<u64>());
        let verified = vault.verify("latest").await.unwrap();
        assert_eq!(verified.stored_bytes, report.stored_bytes);
        let drilled = vault.drill(&report.id).query("true").await.unwrap();
        assert_eq!((drilled.tables, drilled.queries), (5, 1));
        assert_eq!(fake.databases(), ["home"], "the scratch database is gone");
        restore_into(&vault, &fake, "copy").await.unwrap();
        assert_eq!(fake.other("copy").files(), Some(sample()), "{codec:?}");
        let listed = vault.list().await.unwrap();
        assert!(listed[0].verified_at.is_some() && listed[0].drilled_at.is_some() && !listed[0].failing);

        let folder = tempfile::tempdir().unwrap();
        vault.export("latest").folder(folder.path().join("out")).await.unwrap();
        for (name, bytes) in sample() {
            assert_eq!(std::fs::read(folder.path().join("out").join(name)).unwrap(), bytes);
        }
    }
}

#[tokio::test]
async fn a_drill_that_finds_a_difference_is_red_and_says_which() {
    let (fake, store) = (Fake::new(small(), 1000), Arc::new(InMemory::new()));
    let vault = vault(&fake, &store, Settings::default(), true).await.unwrap();
    vault.backup().await.unwrap();
    let error = vault.drill("latest").query("false").await.unwrap_err();
    assert_eq!(error.code(), Code::DrillMismatch);
    assert!(vault.list().await.unwrap()[0].failing);
    assert_eq!(vault.show("latest").await.unwrap().proofs.len(), 1);
}

#[tokio::test]
async fn a_failing_database_leaves_no_backup() {
    let (mut fake, store) = (Fake::new(small(), 1000), Arc::new(InMemory::new()));
    fake.broken_file = Some("1.dat".to_owned());
    let vault = vault(&fake, &store, Settings::default(), true).await.unwrap();
    assert_eq!(vault.backup().await.unwrap_err().code(), Code::DatabaseUnavailable);
    assert!(vault.list().await.unwrap().is_empty());
    let home = Path::from("home");
    let left: Vec<_> = futures::TryStreamExt::try_collect::<Vec<_>>(store.list(Some(&home))).await.unwrap();
    assert!(left.is_empty(), "a failed run takes back what it stored: {left:?}");
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_key_are_told_apart() {
    let (fake, store) = (Fake::new(small(), 1000), Arc::new(InMemory::new()));
    vault(&fake, &store, Settings::default(), true).await.unwrap().backup().await.unwrap();
    let open = |builder: crate::VaultBuilder| {
        let store: Arc<dyn ObjectStore> = store.clone();
        builder.engine(Arc::new(fake.clone())).object_store(store).open()
    };
    let wrong =
        open(Vault::builder().passphrase("another passphrase for tests that opens nothing here")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::WrongKey);
    let locked = open(Vault::builder()).await.unwrap();
    assert_eq!(locked.list().await.unwrap().len(), 1, "a list needs no key");
    assert_eq!(locked.verify("latest").await.unwrap_err().code(), Code::KeyRequired);
    assert_eq!(locked.backup().await.unwrap_err().code(), Code::KeyRequired);
    let plain = open(Vault::builder().unencrypted()).await.unwrap();
    assert_eq!(plain.backup().await.unwrap_err().code(), Code::KeyRequired, "no plaintext into an encrypted store");
}

#[tokio::test]
async fn a_new_passphrase_opens_everything_and_the_old_one_nothing() {
    let (fake, store) = (Fake::new(small(), 1000), Arc::new(InMemory::new()));
    let old = vault(&fake, &store, Settings::default(), true).await.unwrap();
    old.backup().await.unwrap();
    let new = "quite another passphrase for tests, as long as it has to be";
    let report = old.rotate_key().to_passphrase(new).work_factor(4).await.unwrap();
    assert!(report.removed.is_some());
    let shared: Arc<dyn ObjectStore> = store.clone();
    let vault =
        Vault::builder().engine(Arc::new(fake.clone())).object_store(shared).passphrase(new).open().await.unwrap();
    vault.verify("latest").await.unwrap();
    let shared: Arc<dyn ObjectStore> = store.clone();
    let error = Vault::builder().object_store(shared).passphrase(PASSPHRASE).open().await.unwrap_err();
    assert_eq!(error.code(), Code::WrongKey);
}

#[tokio::test]
async fn objects_of_another_backup_do_not_pass() {
    let (fake, store) = (Fake::new(small(), 1000), Arc::new(InMemory::new()));
    let vault = vault(&fake, &store, Settings::default(), true).await.unwrap();
    let (a, b) = (vault.backup().await.unwrap().id, vault.backup().await.unwrap().id);
    assert_ne!(a, b);
    for name in ["volume-0001.zip.enc", "manifest.json", "key-0001.age"] {
        let (from, to) = (Path::from(format!("home/{a}/{name}")), Path::from(format!("home/{b}/{name}")));
        let kept = store.get(&to).await.unwrap().bytes().await.unwrap();
        store.copy(&from, &to).await.unwrap();
        assert!(vault.verify(&b).await.is_err(), "{name}");
        store.put(&to, kept.into()).await.unwrap();
    }
    vault.verify(&b).await.unwrap();
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_left_alone() {
    let (fake, store) = (Fake::new(small(), 1000), Arc::new(InMemory::new()));
    store.put(&Path::from("holiday.jpg"), "x".into()).await.unwrap();
    let shared: Arc<dyn ObjectStore> = store.clone();
    let error: Error = vault(&fake, &store, Settings::default(), true).await.unwrap_err();
    assert_eq!(error.code(), Code::NotAStore);
    assert_eq!(futures::TryStreamExt::try_collect::<Vec<_>>(shared.list(None)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let (fake, store) = (Fake::new(small(), 1000), Arc::new(InMemory::new()));
    let vault = vault(&fake, &store, Settings::default(), false).await.unwrap();
    let id = vault.backup().await.unwrap().id;
    let path = Path::from(format!("home/{id}/manifest.json"));
    let text = String::from_utf8(store.get(&path).await.unwrap().bytes().await.unwrap().to_vec()).unwrap();
    store.put(&path, text.replacen("\"format\":1", "\"format\":2", 1).into()).await.unwrap();
    let error = vault.list().await.unwrap_err();
    assert_eq!(error.code(), Code::NewerFormat);
    assert!(error.to_string().contains("format 2"), "{error}");
}

#[tokio::test]
async fn a_host_with_recipients_only_backs_up_and_opens_nothing() {
    let (fake, store) = (Fake::new(small(), 1000), Arc::new(InMemory::new()));
    let owner = vault(&fake, &store, Settings::default(), true).await.unwrap();
    owner.backup().await.unwrap();
    let signing_key = crate::SigningKey::generate().unwrap();
    let signer = signing_key.signer();
    let shared = || -> Arc<dyn ObjectStore> { store.clone() };
    let host = Vault::builder().engine(Arc::new(fake.clone())).object_store(shared()).name("host");
    let host = host.recipients([owner.recipients().await.unwrap()]).signing_key(signing_key).open().await.unwrap();
    let id = host.backup().await.unwrap().id;
    assert_eq!(host.verify(&id).await.unwrap_err().code(), Code::KeyRequired);

    let reader =
        || Vault::builder().engine(Arc::new(fake.clone())).object_store(shared()).name("host").passphrase(PASSPHRASE);
    let distrustful = reader().open().await.unwrap();
    assert_eq!(distrustful.verify(&id).await.unwrap_err().code(), Code::Unauthenticated);
    reader().trust_signer(signer).open().await.unwrap().drill(&id).await.unwrap();
}

#[tokio::test]
async fn one_damaged_manifest_does_not_hide_the_other_backups() {
    let (fake, store) = (Fake::new(small(), 1000), Arc::new(InMemory::new()));
    let vault = vault(&fake, &store, Settings::default(), true).await.unwrap();
    let (good, bad) = (vault.backup().await.unwrap().id, vault.backup().await.unwrap().id);
    store.put(&Path::from(format!("home/{bad}/manifest.json")), "{".into()).await.unwrap();
    let listed: Vec<_> = vault.list().await.unwrap().into_iter().map(|b| b.id).collect();
    assert_eq!(listed, [good]);
    assert_eq!(
        vault.verify("latest").await.unwrap_err().code(),
        Code::Damaged,
        "the newest is not passed over in silence"
    );
    vault.backup().await.unwrap();
}
