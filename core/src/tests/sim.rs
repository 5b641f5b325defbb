//! A store and clocks in virtual time, for tests under tokio's paused clock: every date is virtual, every call can be
//! late, fail, lose its answer or hang, and a replica can be suspended as a whole.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::Clock;

/// Virtual time, with an error of its own.
#[derive(Debug, Clone)]
pub(super) struct SimClock {
    began: Timestamp,
    at: Instant,
    off: SignedDuration,
}

impl SimClock {
    pub(super) fn new(began: &str) -> Self {
        Self { began: began.parse().unwrap(), at: Instant::now(), off: SignedDuration::ZERO }
    }

    /// A clock that differs from this one.
    pub(super) fn off_by(&self, off: SignedDuration) -> Self {
        Self { off: self.off + off, ..self.clone() }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.began + SignedDuration::try_from(self.at.elapsed()).unwrap() + self.off
    }
}

/// A small generator: the same seed gives the same run.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % n
    }
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    Nothing,
    /// Of a thousand calls so many, by chance.
    Chance(Dice, u64),
    /// The call of this number, counted from 1.
    At(usize, Fault),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It does nothing and fails.
    Error,
    /// It does its work, and the answer is lost.
    Lost,
    /// It fails, and so does every one after it: the process was killed.
    Cut,
    /// A listing ends early and says nothing of it.
    Short,
    /// It never answers.
    Hang,
    /// The replica is suspended before it, until somebody wakes it.
    Sleep,
}

/// One replica's way to the store.
#[derive(Debug, Clone)]
pub(super) struct SimStore {
    inner: Arc<InMemory>,
    dates: Arc<Mutex<HashMap<Path, Timestamp>>>,
    clock: SimClock,
    trouble: Arc<Mutex<Trouble>>,
    calls: Arc<Mutex<usize>>,
    suspended: Arc<watch::Sender<bool>>,
    /// Objects whose name contains this cannot be deleted.
    locked: Arc<Mutex<Option<String>>>,
}

impl SimStore {
    pub(super) fn new(clock: &SimClock) -> Self {
        Self {
            inner: Arc::new(InMemory::new()),
            dates: Arc::default(),
            clock: clock.clone(),
            trouble: Arc::new(Mutex::new(Trouble::Nothing)),
            calls: Arc::default(),
            suspended: Arc::new(watch::channel(false).0),
            locked: Arc::default(),
        }
    }

    /// Another replica's way to the same store.
    pub(super) fn another(&self) -> Self {
        Self {
            trouble: Arc::new(Mutex::new(Trouble::Nothing)),
            calls: Arc::default(),
            suspended: Arc::new(watch::channel(false).0),
            ..self.clone()
        }
    }

    /// From now on this goes wrong; calls are counted anew.
    pub(super) fn trouble(&self, trouble: Trouble) {
        *self.calls.lock().unwrap() = 0;
        *self.trouble.lock().unwrap() = trouble;
    }

    pub(super) fn calls(&self) -> usize {
        *self.calls.lock().unwrap()
    }

    pub(super) fn is_suspended(&self) -> bool {
        *self.suspended.borrow()
    }

    pub(super) fn suspend(&self, suspended: bool) {
        self.suspended.send_replace(suspended);
    }

    pub(super) fn lock_objects(&self, part: Option<&str>) {
        *self.locked.lock().unwrap() = part.map(str::to_owned);
    }

    /// Every object's name.
    pub(super) async fn names(&self) -> Vec<String> {
        let found: Vec<_> = self.inner.list(None).try_collect().await.unwrap();
        found.into_iter().map(|meta| meta.location.to_string()).collect()
    }

    pub(super) async fn text(&self, name: &str) -> String {
        let bytes = self.inner.get(&Path::from(name)).await.unwrap().bytes().await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    async fn awake(&self) {
        let mut suspended = self.suspended.subscribe();
        suspended.wait_for(|suspended| !suspended).await.unwrap();
    }

    async fn next_fault(&self) -> Option<Fault> {
        self.awake().await;
        let n = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        let (fault, wait) = match &mut *self.trouble.lock().unwrap() {
            Trouble::Nothing => (None, 0),
            Trouble::At(at, fault) if n == *at || (n > *at && *fault == Fault::Cut) => (Some(*fault), 0),
            Trouble::At(..) => (None, 0),
            Trouble::Chance(dice, permille) => {
                let hit = dice.below(1000) < *permille;
                let fault = [Fault::Error, Fault::Lost, Fault::Short, Fault::Hang][dice.below(4) as usize];
                (hit.then_some(fault), dice.below(200))
            }
        };
        if fault == Some(Fault::Sleep) {
            self.suspend(true);
            self.awake().await;
            return None;
        }
        if wait > 0 {
            sleep(Duration::from_millis(wait * wait / 4)).await;
        }
        fault
    }

    async fn with_fault<T, F: Future<Output = Result<T>>>(&self, call: impl FnOnce() -> F) -> Result<T> {
        let fault = self.next_fault().await;
        let result = match fault {
            Some(Fault::Error | Fault::Cut) => Err(broken()),
            Some(Fault::Hang) => {
                sleep(Duration::from_secs(600)).await;
                Err(broken())
            }
            Some(Fault::Lost) => call().await.and(Err(broken())),
            Some(Fault::Short | Fault::Sleep) | None => call().await,
        };
        // An answer reaches nobody who sleeps.
        self.awake().await;
        result
    }

    fn date(&self, path: &Path) {
        self.dates.lock().unwrap().insert(path.clone(), self.clock.now());
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        if let Some(at) = self.dates.lock().unwrap().get(&meta.location) {
            // Whole seconds, as S3 tells them.
            meta.last_modified = chrono::DateTime::from_timestamp(at.as_second(), 0).unwrap();
        }
        meta
    }
}

fn broken() -> Error {
    Error::Generic { store: "simulated", source: "a fault was injected here".into() }
}

impl fmt::Display for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimStore")
    }
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.with_fault(|| async {
            let result = self.inner.put_opts(path, payload, options).await?;
            self.date(path);
            Ok(result)
        })
        .await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.date(path);
        self.with_fault(|| self.inner.put_multipart_opts(path, options)).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = self.with_fault(|| self.inner.get_opts(path, options)).await?;
        result.meta = self.dated(result.meta);
        Ok(result)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |path: Path| {
            let store = store.clone();
            async move {
                if store.locked.lock().unwrap().as_ref().is_some_and(|part| path.as_ref().contains(part)) {
                    let source = "the object is locked".into();
                    return Err(Error::PermissionDenied { path: path.to_string(), source });
                }
                let doing = || async {
                    match store.inner.delete(&path).await {
                        Err(Error::NotFound { .. }) => Ok(()),
                        other => other,
                    }
                };
                store.with_fault(doing).await?;
                Ok(path)
            }
        };
        paths.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        stream::once(async move {
            let fault = store.next_fault().await;
            let mut found: Vec<ObjectMeta> = store.inner.list(prefix.as_ref()).try_collect().await?;
            found.sort_by(|a, b| a.location.cmp(&b.location));
            match fault {
                Some(Fault::Short) => found.truncate(found.len() / 2),
                Some(Fault::Hang) => sleep(Duration::from_secs(600)).await,
                _ => {}
            }
            store.awake().await;
            match fault {
                None | Some(Fault::Short) => {
                    Ok(stream::iter(found.into_iter().map(|meta| Ok(store.dated(meta))).collect::<Vec<_>>()))
                }
                Some(_) => Err(broken()),
            }
        })
        .try_flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.with_fault(|| self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.with_fault(|| self.inner.copy_opts(from, to, options)).await
    }
}
