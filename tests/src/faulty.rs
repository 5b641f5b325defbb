//! A store whose n-th call goes wrong in a way that real stores know.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// What goes wrong at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and does nothing.
    Error,
    /// It never answers; its caller has to give up.
    Hang,
    /// It does a part of its work, then fails: half an object written, half a body or listing received.
    Partial,
    /// It does its work, and the answer is lost.
    LostResponse,
    /// It is done twice, as a retry behind the caller's back would; the second answer counts.
    Duplicate,
    /// It fails, and so does every call after it: the process is as good as dead to the store.
    Cut,
}

impl Fault {
    /// Every fault there is.
    pub const ALL: [Self; 6] = [Self::Error, Self::Hang, Self::Partial, Self::LostResponse, Self::Duplicate, Self::Cut];
}

/// The kinds of calls a store serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the calls they are")]
pub enum Verb {
    Put,
    BeginUpload,
    PutPart,
    CompleteUpload,
    AbortUpload,
    Get,
    Head,
    List,
    Delete,
    Copy,
}

/// One call that reached the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What was asked for.
    pub verb: Verb,
    /// The object, or the prefix listed.
    pub path: String,
    /// Bytes sent.
    pub bytes: usize,
}

/// A store that records its calls and fails the one it was told to. Clones share everything.
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    plan: Option<(usize, Fault)>,
    calls: Vec<Call>,
    hit: bool,
}

impl FaultyStore {
    /// A store over `inner` that fails nothing yet.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// Forgets the calls so far; of those to come the `n`-th, counted from 1, goes wrong.
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn fail_call(&self, n: usize, fault: Fault) {
        assert!(n > 0, "calls are counted from 1");
        *self.state.lock().unwrap() = State { plan: Some((n, fault)), ..State::default() };
    }

    /// Forgets the calls so far, and fails nothing.
    pub fn heal(&self) {
        *self.state.lock().unwrap() = State::default();
    }

    /// The calls since the last [`FaultyStore::fail_call`] or [`FaultyStore::heal`].
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    /// Whether the call that was to fail was made.
    #[must_use]
    pub fn was_hit(&self) -> bool {
        self.state.lock().unwrap().hit
    }

    /// A fault test that never met its fault proves nothing.
    ///
    /// # Panics
    /// When the call that was to fail was not made.
    pub fn assert_hit(&self) {
        let state = self.state.lock().unwrap();
        assert!(state.hit, "{:?} was never reached in {} calls", state.plan, state.calls.len());
    }

    fn record(&self, verb: Verb, path: &str, bytes: usize) -> Option<Fault> {
        let mut state = self.state.lock().unwrap();
        state.calls.push(Call { verb, path: path.to_owned(), bytes });
        let n = state.calls.len();
        match state.plan {
            Some((at, fault)) if n == at || (n > at && fault == Fault::Cut) => {
                state.hit = true;
                Some(fault)
            }
            _ => None,
        }
    }

    /// Does `call` as the fault of this call wants it; `part` is what a partial call does.
    async fn with_fault<T, Doing: Future<Output = Result<T>>>(
        &self,
        fault: Option<Fault>,
        call: impl Fn() -> Doing,
        part: impl Future<Output = Result<()>>,
    ) -> Result<T> {
        match fault {
            None => call().await,
            Some(Fault::Error | Fault::Cut) => Err(broken()),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Partial) => part.await.and(Err(broken())),
            Some(Fault::LostResponse) => call().await.and(Err(broken())),
            Some(Fault::Duplicate) => {
                call().await?;
                call().await
            }
        }
    }
}

/// The error that a fault gives.
fn broken() -> Error {
    Error::Generic { store: "faulty", source: "a fault was injected here".into() }
}

fn half(payload: &PutPayload) -> PutPayload {
    let all: Vec<u8> = payload.iter().flatten().copied().collect();
    Bytes::copy_from_slice(&all[..all.len() / 2]).into()
}

/// The first half of a stream's items, then an error.
fn cut_short<T: Send + 'static>(items: BoxStream<'static, Result<T>>) -> BoxStream<'static, Result<T>> {
    stream::once(async move {
        let mut items: Vec<T> = items.try_collect().await?;
        items.truncate(items.len() / 2);
        Ok::<_, Error>(stream::iter(items.into_iter().map(Ok)).chain(stream::once(async { Err(broken()) })))
    })
    .try_flatten()
    .boxed()
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.record(Verb::Put, path.as_ref(), payload.content_length());
        let put = || self.inner.put_opts(path, payload.clone(), options.clone());
        let part = async { self.inner.put_opts(path, half(&payload), options.clone()).await.map(drop) };
        self.with_fault(fault, put, part).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let fault = self.record(Verb::BeginUpload, path.as_ref(), 0);
        let begin = || self.inner.put_multipart_opts(path, options.clone());
        let inner = self.with_fault(fault, begin, async { begin().await.map(drop) }).await?;
        Ok(Box::new(FaultyUpload { store: self.clone(), path: path.clone(), inner }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let verb = if options.head { Verb::Head } else { Verb::Get };
        let fault = self.record(verb, path.as_ref(), 0);
        if fault == Some(Fault::Partial) && verb == Verb::Get {
            let whole = self.inner.get_opts(path, options).await?;
            let (meta, range, attributes) = (whole.meta.clone(), whole.range.clone(), whole.attributes.clone());
            let extensions = whole.extensions.clone();
            let bytes = whole.bytes().await?;
            let halves = [bytes.slice(..bytes.len() / 2), bytes.slice(bytes.len() / 2..)];
            let payload = GetResultPayload::Stream(cut_short(stream::iter(halves.map(Ok)).boxed()));
            return Ok(GetResult { payload, meta, range, attributes, extensions });
        }
        let get = || self.inner.get_opts(path, options.clone());
        self.with_fault(fault, get, async { Ok(()) }).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |path: Path| {
            let store = store.clone();
            async move {
                let fault = store.record(Verb::Delete, path.as_ref(), 0);
                let delete = || async {
                    match store.inner.delete(&path).await {
                        // Deleting what is gone is no error to real stores.
                        Err(Error::NotFound { .. }) => Ok(()),
                        other => other,
                    }
                };
                store.with_fault(fault, delete, async { Ok(()) }).await?;
                Ok(path)
            }
        };
        paths.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let fault = self.record(Verb::List, prefix.map_or("", |p| p.as_ref()), 0);
        let items = self.inner.list(prefix);
        match fault {
            None => items,
            Some(Fault::Hang) => stream::pending().boxed(),
            Some(Fault::Partial) => cut_short(items),
            Some(Fault::Duplicate) => items.chain(self.inner.list(prefix)).boxed(),
            Some(Fault::Error | Fault::Cut | Fault::LostResponse) => stream::once(async { Err(broken()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let fault = self.record(Verb::List, prefix.map_or("", |p| p.as_ref()), 0);
        self.with_fault(fault, || self.inner.list_with_delimiter(prefix), async { Ok(()) }).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let fault = self.record(Verb::Copy, from.as_ref(), 0);
        self.with_fault(fault, || self.inner.copy_opts(from, to, options.clone()), async { Ok(()) }).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    store: FaultyStore,
    path: Path,
    inner: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.store.record(Verb::PutPart, self.path.as_ref(), data.content_length()) {
            None => self.inner.put_part(data),
            Some(Fault::Error | Fault::Cut) => async { Err(broken()) }.boxed(),
            Some(Fault::Hang) => std::future::pending().boxed(),
            Some(Fault::Partial) => {
                let part = self.inner.put_part(half(&data));
                async { part.await.and(Err(broken())) }.boxed()
            }
            Some(Fault::LostResponse) => {
                let part = self.inner.put_part(data);
                async { part.await.and(Err(broken())) }.boxed()
            }
            // Sent twice under one number, which the trait cannot say; the second overwrites the first, as stores do.
            Some(Fault::Duplicate) => self.inner.put_part(data),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match self.store.record(Verb::CompleteUpload, self.path.as_ref(), 0) {
            None => self.inner.complete().await,
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::LostResponse) => self.inner.complete().await.and(Err(broken())),
            // The second completion finds that the upload is no longer there.
            Some(Fault::Duplicate) => self.inner.complete().await.and(Err(broken())),
            Some(Fault::Error | Fault::Cut | Fault::Partial) => Err(broken()),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        match self.store.record(Verb::AbortUpload, self.path.as_ref(), 0) {
            None | Some(Fault::Duplicate) => self.inner.abort().await,
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::LostResponse) => self.inner.abort().await.and(Err(broken())),
            Some(Fault::Error | Fault::Cut | Fault::Partial) => Err(broken()),
        }
    }
}
