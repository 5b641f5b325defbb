//! The calls that backups make to an object store, with every name below one prefix and every error in our terms.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{Error as StoreError, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::upload::Upload;
use crate::error::{Code, Error, Result};

/// A place in an object store. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    store: Arc<dyn ObjectStore>,
    root: Path,
}

/// What became of a create-only write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    /// It was written, by us.
    New,
    /// An object of that name is there already, with other bytes.
    Exists,
}

/// An object, as the store tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) bytes: u64,
    /// By the store's clock; some stores know whole seconds only.
    pub(crate) modified: Timestamp,
}

impl From<&object_store::ObjectMeta> for Meta {
    fn from(meta: &object_store::ObjectMeta) -> Self {
        let nanos = i32::try_from(meta.last_modified.timestamp_subsec_nanos()).unwrap_or(0);
        let modified = Timestamp::new(meta.last_modified.timestamp(), nanos).unwrap_or(Timestamp::MIN);
        Self { bytes: meta.size, modified }
    }
}

impl Repository {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, root: Path) -> Self {
        Self { store, root }
    }

    fn path(&self, name: &str) -> Result<Path> {
        let whole = if self.root.as_ref().is_empty() { name.to_owned() } else { format!("{}/{name}", self.root) };
        Path::parse(whole).map_err(|e| Error::new(Code::Internal, format!("`{name}` is not an object name: {e}")))
    }

    /// Reads a small object whole; `None` when it is not there.
    pub(crate) async fn get(&self, name: &str, max_bytes: u64) -> Result<Option<Bytes>> {
        let result = match self.store.get(&self.path(name)?).await {
            Ok(result) => result,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(store_error(e, name)),
        };
        if result.meta.size > max_bytes {
            return Err(Error::new(
                Code::Damaged,
                format!("{name} is {} bytes long, at most {max_bytes} are possible", result.meta.size),
            )
            .next("use another copy of the store"));
        }
        result.bytes().await.map(Some).map_err(|e| store_error(e, name))
    }

    /// Reads a range of an object.
    pub(crate) async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        let expected = range.end - range.start;
        let bytes = self.store.get_range(&self.path(name)?, range.clone()).await.map_err(|e| store_error(e, name))?;
        if bytes.len() as u64 == expected {
            return Ok(bytes);
        }
        Err(Error::new(Code::Damaged, format!("{name} is shorter than {} bytes", range.end))
            .next("use another copy of the store"))
    }

    /// The size of an object; `None` when it is not there.
    pub(crate) async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.meta(name).await?.map(|meta| meta.bytes))
    }

    /// Size and date of an object; `None` when it is not there.
    pub(crate) async fn meta(&self, name: &str) -> Result<Option<Meta>> {
        match self.store.head(&self.path(name)?).await {
            Ok(meta) => Ok(Some(Meta::from(&meta))),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(e) => Err(store_error(e, name)),
        }
    }

    /// The version of an object, where the store keeps versions.
    pub(crate) async fn version(&self, name: &str) -> Result<Option<String>> {
        let meta = self.store.head(&self.path(name)?).await.map_err(|e| store_error(e, name))?;
        // So stores name what they keep while versioning is suspended.
        Ok(meta.version.filter(|version| version != "null"))
    }

    /// Whether this version of an object can be read.
    pub(crate) async fn has_version(&self, name: &str, version: &str) -> Result<bool> {
        let options = GetOptions { version: Some(version.to_owned()), head: true, ..GetOptions::default() };
        match self.store.get_opts(&self.path(name)?, options).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(e) => Err(store_error(e, name)),
        }
    }

    /// The time by the store's clock: the date that it gives to the object `name`, which is written anew.
    pub(crate) async fn time(&self, name: &str) -> Result<Timestamp> {
        self.put(name, b"{}\n".to_vec()).await?;
        let meta = self.meta(name).await?;
        meta.map(|meta| meta.modified).ok_or_else(|| {
            Error::new(Code::StoreUnavailable, format!("{name} was written and is not there")).next("check the store")
        })
    }

    /// Writes an object that must not exist yet. `bytes` must be unlike those of any other writer.
    pub(crate) async fn create(&self, name: &str, bytes: Vec<u8>) -> Result<Created> {
        let path = self.path(name)?;
        let bytes = Bytes::from(bytes);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&path, bytes.clone().into(), options).await {
            Ok(_) => Ok(Created::New),
            // After a lost answer, a retry finds our own object: what lies there tells.
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                let ours =
                    self.get(name, bytes.len() as u64).await.is_ok_and(|found| found.is_some_and(|f| f == bytes));
                Ok(if ours { Created::New } else { Created::Exists })
            }
            Err(e) => match self.get(name, bytes.len() as u64).await {
                Ok(Some(found)) if found == bytes => Ok(Created::New),
                _ => Err(store_error(e, name)),
            },
        }
    }

    /// Writes a small object whether or not it exists.
    pub(crate) async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.store.put(&self.path(name)?, bytes.into()).await.map(drop).map_err(|e| store_error(e, name))
    }

    /// Deletes an object; one that is not there is no error.
    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        match self.store.delete(&self.path(name)?).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            // So stores say that a retention rule of theirs protects it.
            Err(e @ (StoreError::AlreadyExists { .. } | StoreError::Precondition { .. })) => {
                Err(Error::new(Code::StoreDenied, store_error(e, name).message())
                    .next("the store keeps it by a rule of its own; delete it when that allows"))
            }
            Err(e) => Err(store_error(e, name)),
        }
    }

    /// The objects below a folder, by name relative to it.
    pub(crate) async fn list(&self, folder: &str) -> Result<BTreeMap<String, Meta>> {
        let prefix = if folder.is_empty() { self.root.clone() } else { self.path(folder)? };
        let mut objects = BTreeMap::new();
        let mut listing = self.store.list((!prefix.as_ref().is_empty()).then_some(&prefix));
        while let Some(meta) = listing.try_next().await.map_err(|e| store_error(e, folder))? {
            if let Some(name) = relative(&prefix, &meta.location) {
                objects.insert(name, Meta::from(&meta));
            }
        }
        Ok(objects)
    }

    /// The objects below a folder with their sizes, by name relative to it.
    pub(crate) async fn sizes(&self, folder: &str) -> Result<BTreeMap<String, u64>> {
        Ok(self.list(folder).await?.into_iter().map(|(name, meta)| (name, meta.bytes)).collect())
    }

    /// The names of the folders right below the root.
    pub(crate) async fn folders(&self) -> Result<Vec<String>> {
        let prefix = (!self.root.as_ref().is_empty()).then_some(&self.root);
        let listing = self.store.list_with_delimiter(prefix).await.map_err(|e| store_error(e, "the store"))?;
        Ok(listing.common_prefixes.iter().filter_map(|p| relative(&self.root, p)).collect())
    }

    /// Begins a large object. It is not visible before [`Upload::finish`].
    pub(crate) fn upload(&self, name: &str, part_bytes: u64) -> Result<Upload> {
        Ok(Upload::new(Arc::clone(&self.store), self.path(name)?, name.to_owned(), part_bytes))
    }
}

fn relative(prefix: &Path, location: &Path) -> Option<String> {
    let rest = location.as_ref().strip_prefix(prefix.as_ref())?;
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    (!rest.is_empty()).then(|| rest.to_owned())
}

/// Says a store's error in our terms. `name` is the object it is about.
pub(crate) fn store_error(e: StoreError, name: &str) -> Error {
    let full = std::iter::successors(e.source(), |&e| e.source())
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == std::io::ErrorKind::StorageFull);
    let text = without_queries(&e.to_string());
    let at = |text: String| if name.is_empty() { text } else { format!("{name}: {text}") };
    if full {
        return Error::new(Code::DiskFull, at("the store's disk is full".to_owned()))
            .next("free space there and run again");
    }
    // Listings tell of it in the words of the service only.
    let no_bucket = ["NoSuchBucket", "ContainerNotFound"].iter().any(|word| text.contains(word));
    let (code, next) = match &e {
        _ if no_bucket => (Code::StoreNotFound, "check the bucket's or container's name, or make it"),
        StoreError::NotFound { .. } => {
            (Code::ObjectMissing, "check that the bucket or folder exists and is the one that was written to")
        }
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            (Code::StoreDenied, "check the store's credentials and what they are allowed to do")
        }
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => {
            (Code::StoreDenied, "the store lacks a feature that safe backups need; choose another")
        }
        _ if name.is_empty() => (Code::InvalidUrl, "check the store's URL"),
        _ => (Code::StoreUnavailable, "check the network and the store, then run again"),
    };
    Error::new(code, at(text)).next(next)
}

/// Cuts the query off every URL in a text: it may hold a signature.
fn without_queries(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| c.is_whitespace() || matches!(c, '"' | ')' | '\'')) {
        match word.split_once('?') {
            Some((url, query)) if url.contains("://") => {
                clean.push_str(url);
                clean.extend(query.chars().last().filter(|c| !c.is_alphanumeric()));
            }
            _ => clean.push_str(word),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn repository() -> Repository {
        Repository::new(Arc::new(InMemory::new()), Path::from("a/b"))
    }

    #[tokio::test]
    async fn create_tells_our_own_object_from_another() {
        let repo = repository();
        assert_eq!(repo.create("x", b"one".to_vec()).await.unwrap(), Created::New);
        assert_eq!(repo.create("x", b"one".to_vec()).await.unwrap(), Created::New, "a retry after a lost answer");
        assert_eq!(repo.create("x", b"two".to_vec()).await.unwrap(), Created::Exists);
        assert_eq!(repo.get("x", 10).await.unwrap().unwrap(), "one");
    }

    #[tokio::test]
    async fn names_are_relative_to_the_root() {
        let repo = repository();
        repo.put("db/backup/manifest.json", vec![1]).await.unwrap();
        assert_eq!(repo.folders().await.unwrap(), ["db"]);
        let listed = repo.list("db").await.unwrap();
        assert_eq!(
            listed.iter().map(|(n, m)| (n.as_str(), m.bytes)).collect::<Vec<_>>(),
            [("backup/manifest.json", 1)]
        );
        assert_eq!(repo.get("none", 1).await.unwrap(), None);
        assert_eq!(repo.get("db/backup/manifest.json", 0).await.unwrap_err().code(), Code::Damaged);
    }

    #[test]
    fn signatures_are_cut_from_error_texts() {
        let text = "error sending request for url (https://x.blob/c/o?sv=1&sig=hunter2) (why?)";
        assert_eq!(without_queries(text), "error sending request for url (https://x.blob/c/o) (why?)");
    }
}
