//! Every flipped bit and every missing tail of a small backup's objects is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use lastgood::{Code, Settings, Vault};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::world::{PASSPHRASE, World};

/// A store in memory with one backup of a tiny database, and every object of it.
struct Stored {
    world: World,
    objects: BTreeMap<String, Vec<u8>>,
}

impl Stored {
    async fn new() -> Self {
        let world = World::new();
        world.make("tiny.db", "PRAGMA page_size = 512; CREATE TABLE t (a); INSERT INTO t VALUES ('one'), ('two');");
        let store = Arc::new(InMemory::new());
        let mut stored = Self { world, objects: BTreeMap::new() };
        stored.open(&store).await.unwrap().backup().await.unwrap();
        stored.objects = all(&store).await;
        stored
    }

    async fn open(&self, store: &Arc<InMemory>) -> lastgood::Result<Vault> {
        let mut settings = Settings::default();
        settings.work_dir = Some(self.world.path(""));
        Vault::builder()
            .database(self.world.sqlite("tiny.db"))
            .object_store(Arc::clone(store) as Arc<dyn ObjectStore>)
            .settings(settings)
            .passphrase(PASSPHRASE)
            .work_factor(4)
            .open()
            .await
    }

    /// The objects without which there is no backup; recovery's page and program are not read.
    fn sealed(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let read = |name: &&String| !name.starts_with("RECOVERY") && !name.starts_with("recover");
        self.objects.keys().filter(read).map(|name| (name.as_str(), &self.objects[name][..]))
    }

    /// The store with one object altered, or without it.
    async fn with(&self, name: &str, bytes: Option<&[u8]>) -> Arc<InMemory> {
        let store = Arc::new(InMemory::new());
        for (other, content) in &self.objects {
            let content = if other == name { bytes } else { Some(&content[..]) };
            if let Some(content) = content {
                store.put(&Path::from(other.as_str()), PutPayload::from(content.to_vec())).await.unwrap();
            }
        }
        store
    }

    /// What is wrong, as far as opening the store and checking the backup tell.
    async fn verdict(&self, store: &Arc<InMemory>) -> Result<(), Code> {
        let vault = self.open(store).await.map_err(|e| e.code())?;
        vault.verify("latest").await.map(drop).map_err(|e| e.code())
    }
}

async fn all(store: &InMemory) -> BTreeMap<String, Vec<u8>> {
    use futures::TryStreamExt;
    let names: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut objects = BTreeMap::new();
    for meta in names {
        let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
        objects.insert(meta.location.to_string(), bytes.to_vec());
    }
    objects
}

/// The codes that tell a caller that stored bytes are not what was written.
const REFUSALS: [Code; 8] = [
    Code::Damaged,
    Code::ObjectMissing,
    Code::WrongKey,
    Code::Unauthenticated,
    Code::NewerFormat,
    Code::NotAStore,
    Code::BackupNotFound,
    Code::KeyRequired,
];

#[tokio::test(flavor = "multi_thread")]
async fn every_flipped_bit_is_refused() {
    let stored = Arc::new(Stored::new().await);
    let mut jobs = Vec::new();
    for (name, bytes) in stored.sealed() {
        for at in 0..bytes.len() {
            jobs.push((name.to_owned(), at));
        }
    }
    println!("{} bytes in {} objects", jobs.len(), stored.sealed().count());
    let missed = across_cores(jobs, {
        let stored = Arc::clone(&stored);
        move |(name, at)| {
            let stored = Arc::clone(&stored);
            async move {
                let mut missed = Vec::new();
                for bit in 0..8 {
                    let mut bytes = stored.objects[&name].clone();
                    bytes[at] ^= 1 << bit;
                    match stored.verdict(&stored.with(&name, Some(&bytes)).await).await {
                        Err(code) if REFUSALS.contains(&code) => {}
                        other => missed.push(format!("{name}, bit {bit} of byte {at}: {other:?}")),
                    }
                }
                missed
            }
        }
    })
    .await;
    assert!(missed.is_empty(), "{} flips passed:\n{}", missed.len(), missed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_truncation_is_refused() {
    let stored = Arc::new(Stored::new().await);
    let mut jobs = Vec::new();
    for (name, bytes) in stored.sealed() {
        jobs.push((name.to_owned(), None));
        for length in 0..bytes.len() {
            jobs.push((name.to_owned(), Some(length)));
        }
    }
    let missed = across_cores(jobs, {
        let stored = Arc::clone(&stored);
        move |(name, length)| {
            let stored = Arc::clone(&stored);
            async move {
                let bytes = length.map(|length| &stored.objects[&name][..length]);
                match stored.verdict(&stored.with(&name, bytes).await).await {
                    Err(code) if REFUSALS.contains(&code) => Vec::new(),
                    other => vec![format!("{name} cut to {length:?} bytes: {other:?}")],
                }
            }
        }
    })
    .await;
    assert!(missed.is_empty(), "{} truncations passed:\n{}", missed.len(), missed.join("\n"));
}

#[tokio::test]
async fn bytes_added_or_doubled_are_refused() {
    let stored = Stored::new().await;
    for (name, bytes) in stored.sealed() {
        for longer in [[bytes, b"\n"].concat(), [bytes, bytes].concat(), [bytes, &[0; 4096]].concat()] {
            let verdict = stored.verdict(&stored.with(name, Some(&longer)).await).await;
            assert!(verdict.is_err_and(|code| REFUSALS.contains(&code)), "{name} with more bytes: {verdict:?}");
        }
    }
}

#[tokio::test]
async fn a_restore_of_a_damaged_backup_leaves_no_target() {
    let stored = Stored::new().await;
    let volume = stored.objects.keys().find(|name| name.ends_with(".zip.enc")).unwrap();
    let target = stored.world.path("restored.db");
    for at in (0..stored.objects[volume].len()).step_by(7) {
        let mut bytes = stored.objects[volume].clone();
        bytes[at] ^= 0x10;
        let vault = stored.open(&stored.with(volume, Some(&bytes)).await).await.unwrap();
        let result = vault.restore("latest").target(format!("sqlite:{}", target.display())).await;
        // A restore reads the parts and not the archive's own directory around them.
        match result {
            Ok(_) => {
                let content = crate::world::sqlite_dump(&target);
                assert_eq!(content, crate::world::sqlite_dump(&stored.world.path("tiny.db")), "byte {at}");
                std::fs::remove_file(&target).unwrap();
            }
            Err(error) => {
                assert_eq!(error.code(), Code::Damaged, "byte {at}: {error}");
                assert!(!target.exists(), "byte {at}");
            }
        }
    }
    let left: Vec<_> = std::fs::read_dir(stored.world.path("")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["tiny.db"], "temporary files were left");
}

#[tokio::test]
async fn volumes_and_keys_of_two_backups_cannot_be_swapped() {
    let world = World::new();
    let url = world.make("a.db", "CREATE TABLE t (a); INSERT INTO t VALUES ('old');");
    let vault = world.vault(&url).await;
    let one = vault.backup().await.unwrap().id;
    let two = vault.backup().await.unwrap().id;
    let path = |id: &lastgood::BackupId, object: &str| world.store().join("a").join(id.as_str()).join(object);
    for objects in [
        &["volume-0001.zip.enc"][..],
        &["key-0001.age"],
        &["manifest.json"],
        &["volume-0001.zip.enc", "volume-0001.zip.enc.sha256"],
        &["volume-0001.zip.enc", "volume-0001.zip.enc.sha256", "key-0001.age"],
        &["volume-0001.zip.enc", "volume-0001.zip.enc.sha256", "key-0001.age", "manifest.json"],
    ] {
        let swap = || {
            for object in objects {
                let (a, b) = (std::fs::read(path(&one, object)).unwrap(), std::fs::read(path(&two, object)).unwrap());
                std::fs::write(path(&one, object), b).unwrap();
                std::fs::write(path(&two, object), a).unwrap();
            }
        };
        swap();
        for id in [&one, &two] {
            // Opened anew: nothing of before may be remembered.
            let result = world.vault(&url).await.verify(id).await;
            assert!(result.is_err(), "{objects:?} of the other backup were taken for those of {id}");
        }
        swap();
        world.vault(&url).await.verify(&one).await.unwrap();
    }
}

/// Runs `check` on every job, on all cores, and gathers what it reports.
async fn across_cores<Job: Send + 'static, Doing: Future<Output = Vec<String>> + Send + 'static>(
    jobs: Vec<Job>,
    check: impl Fn(Job) -> Doing,
) -> Vec<String> {
    use futures::StreamExt;
    let tasks = futures::stream::iter(jobs).map(|job| tokio::spawn(check(job)));
    tasks.buffer_unordered(4).map(|done| done.unwrap()).concat().await
}
