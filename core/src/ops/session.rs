//! An open store: its marker, its keys, and the database in it that the vault is about.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::clock::Clock;
use crate::crypto::auth::Auth;
use crate::crypto::cobblestone::{Opener, Sealer};
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::format::manifest::{Body, MAX_BYTES, Stored, sha256_hex};
use crate::format::marker::Marker;
use crate::format::proof::Proof;
use crate::id::{BackupId, DatabaseName};
use crate::secret::Key;
use crate::settings::Settings;
use crate::storage::Repository;

use super::keys::{KeyOptions, Keys};

/// A key file larger than this is refused: an age file with very many recipients.
pub(super) const MAX_KEY_FILE_BYTES: u64 = 1 << 20;

/// Everything the verbs share.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) repository: Repository,
    pub(crate) marker: Marker,
    pub(crate) keys: Keys,
    pub(crate) database: DatabaseName,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
}

/// One backup, authenticated and opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) stored: Stored,
    pub(crate) body: Body,
    /// Absent in an unencrypted store.
    pub(crate) data_key: Option<Key>,
    /// SHA-256 of the manifest's bytes, in hex.
    pub(crate) manifest_sha256: String,
}

impl Session {
    /// The same store, about another database.
    pub(crate) fn of(&self, database: DatabaseName) -> Arc<Self> {
        let (repository, marker) = (self.repository.clone(), self.marker.clone());
        let (keys, settings, clock) = (self.keys.clone(), self.settings.clone(), Arc::clone(&self.clock));
        Arc::new(Self { repository, marker, keys, database, settings, clock })
    }

    /// The same with other keys.
    pub(crate) fn with_keys(&self, keys: Keys) -> Arc<Self> {
        let (repository, marker, database) = (self.repository.clone(), self.marker.clone(), self.database.clone());
        let (settings, clock) = (self.settings.clone(), Arc::clone(&self.clock));
        Arc::new(Self { repository, marker, keys, database, settings, clock })
    }

    /// The databases that the store holds backups of, each as a session of its own.
    pub(crate) async fn of_each_database(&self) -> Result<Vec<Arc<Self>>> {
        let folders = self.repository.folders().await?;
        Ok(folders.iter().filter_map(|folder| folder.parse().ok()).map(|name| self.of(name)).collect())
    }

    pub(crate) fn repository_id(&self) -> &str {
        self.marker.repository.as_str()
    }

    /// The ids of the database's committed backups, oldest first.
    pub(crate) async fn committed(&self) -> Result<Vec<BackupId>> {
        let committed = self.census().await?.into_iter().filter(|(_, entry)| entry.is_committed());
        let mut ids: Vec<_> = committed.map(|(id, _)| id).collect();
        ids.sort_by_key(BackupId::order);
        Ok(ids)
    }

    /// Finds a backup by `latest`, its id or the beginning of it.
    pub(crate) async fn resolve(&self, wanted: &str) -> Result<BackupId> {
        let ids = self.committed().await?;
        let not_found =
            |what: String| Error::new(Code::BackupNotFound, what).next("`list` shows the backups there are");
        if wanted == "latest" {
            return ids
                .last()
                .cloned()
                .ok_or_else(|| not_found(format!("there is no backup of {} yet", self.database)));
        }
        let short = format!("backup-{wanted}");
        // A whole id is that backup, or the one that says to be its copy: what else begins with it is another one (`…-2`).
        if let Some(id) = [wanted, &short].into_iter().find_map(|text| text.parse::<BackupId>().ok()) {
            if ids.contains(&id) {
                return Ok(id);
            }
            let copy = self.copy_of(&id, &ids).await?;
            return copy.ok_or_else(|| not_found(format!("there is no backup {id} of {}", self.database)));
        }
        let fits =
            |id: &&BackupId| !wanted.is_empty() && (id.as_str().starts_with(wanted) || id.as_str().starts_with(&short));
        match ids.iter().filter(fits).collect::<Vec<_>>()[..] {
            [] => Err(not_found(format!("there is no backup `{wanted}` of {}", self.database))),
            [id] => Ok(id.clone()),
            [ref first, .., ref last] => {
                Err(Error::new(Code::BackupAmbiguous, format!("`{wanted}` fits {first} and {last}, and maybe more"))
                    .next("give more of the id"))
            }
        }
    }

    /// The backup among `ids` that was sealed anew from `id`, by the word of somebody who held the identity.
    async fn copy_of(&self, id: &BackupId, ids: &[BackupId]) -> Result<Option<BackupId>> {
        if !matches!(self.keys, Keys::Open(_)) {
            return Ok(None);
        }
        let says_so = async |copy: &BackupId| {
            let (stored, _) = self.manifest(copy).await?;
            self.authenticate(copy, &stored)?;
            Ok(stored.header.replaces.as_ref() == Some(id) && self.author_epoch(&stored)?.is_some())
        };
        // One that is damaged, or that somebody planted, hides no other.
        let mut broken = Ok(None);
        for copy in ids.iter().filter(|copy| copy.as_str().starts_with(id.as_str())) {
            match says_so(copy).await {
                Ok(true) => return Ok(Some(copy.clone())),
                Ok(false) => {}
                Err(e) => broken = Err(e),
            }
        }
        broken
    }

    pub(crate) async fn manifest_bytes(&self, id: &BackupId) -> Result<Bytes> {
        let name = layout::in_backup(&self.database, id, layout::MANIFEST);
        self.repository.get(&name, MAX_BYTES).await?.ok_or_else(|| {
            Error::new(Code::BackupNotFound, format!("there is no backup {id} of {}", self.database))
                .next("`list` shows the backups there are")
        })
    }

    /// The manifest with a header that fits its place. Nothing in it is authenticated yet.
    pub(crate) async fn manifest(&self, id: &BackupId) -> Result<(Stored, Bytes)> {
        let bytes = self.manifest_bytes(id).await?;
        let stored = Stored::decode(&bytes).map_err(|e| e.at(id))?;
        let header = &stored.header;
        if header.id != *id || header.database != self.database || header.repository != self.marker.repository {
            return Err(Error::new(
                Code::Damaged,
                format!(
                    "the manifest of {id} belongs to {}/{} of store {}",
                    header.database,
                    header.id,
                    header.repository.as_str()
                ),
            )
            .next("put the backup back in its own place"));
        }
        Ok((stored, bytes))
    }

    /// Opens a backup: authenticates its manifest, unwraps its key, opens the body.
    pub(crate) async fn open_backup(&self, id: &BackupId) -> Result<Arc<Opened>> {
        tracing::Span::current().record("backup_id", id.as_str());
        let (stored, bytes) = self.manifest(id).await?;
        let encrypted = stored.header.encryption.is_some();
        if encrypted != self.marker.encrypted {
            let (is, store) = if encrypted { ("encrypted", "not") } else { ("not encrypted", "encrypted") };
            return Err(Error::new(Code::Damaged, format!("{id} is {is}, its store is {store}"))
                .next("use another copy of the store"));
        }
        self.authenticate(id, &stored)?;
        let data_key = if encrypted { Some(self.data_key(id).await?) } else { None };
        let body = stored.body(|sealed| match &data_key {
            Some(key) => self.open_body(key, id, &stored.header_sha256(), sealed),
            None => Err(Error::new(Code::KeyRequired, format!("{id} is encrypted"))),
        })?;
        Ok(Arc::new(Opened { stored, body, data_key, manifest_sha256: sha256_hex(&bytes) }))
    }

    /// Checks that somebody who is believed wrote this manifest.
    pub(crate) fn authenticate(&self, id: &BackupId, stored: &Stored) -> Result<()> {
        let auth: Auth = parse_auth(stored.auth.get()).map_err(|e| e.at(id))?;
        self.keys.check(&auth, &stored.signed()).map_err(|e| e.at(id))
    }

    /// The epoch of the repository's identity that authenticates this manifest, which has been authenticated; none where a
    /// host that holds recipients only signed it.
    pub(super) fn author_epoch(&self, stored: &Stored) -> Result<Option<u32>> {
        Ok(match parse_auth(stored.auth.get())? {
            Auth::HmacSha256 { epoch, .. } => Some(epoch),
            _ => None,
        })
    }

    /// The backup that this one, which has been authenticated, takes the place of.
    ///
    /// Only the newest epoch's word counts: neither a signer's nor that of somebody with an earlier identity makes a backup go.
    pub(super) fn replaced(&self, stored: &Stored) -> Result<Option<BackupId>> {
        let counts = self.author_epoch(stored)?.is_some_and(|epoch| Some(epoch) == self.keys.epoch());
        Ok(stored.header.replaces.clone().filter(|_| counts))
    }

    /// The backup's data key, from its newest key file.
    async fn data_key(&self, id: &BackupId) -> Result<Key> {
        let folder = layout::backup(&self.database, id);
        let newest = self.repository.list(&folder).await?.into_keys().filter_map(|n| layout::key_file_number(&n)).max();
        let missing =
            || Error::new(Code::ObjectMissing, format!("{id} has no key file")).next("use another copy of the store");
        let name = layout::in_backup(&self.database, id, &layout::key_file(newest.ok_or_else(missing)?));
        let wrapped = self.repository.get(&name, MAX_KEY_FILE_BYTES).await?.ok_or_else(missing)?;
        self.keys.unwrap_data_key(&wrapped).map_err(|e| damage(e).at(name))
    }

    pub(crate) fn seal_body(&self, key: &Key, id: &BackupId, header_sha256: &str, plain: &[u8]) -> Result<Vec<u8>> {
        let mut sealer = Sealer::new(key, &self.body_context(id, header_sha256))?;
        let mut sealed = Vec::new();
        sealer.update(plain, &mut sealed)?;
        sealer.finish(&mut sealed)?;
        Ok(sealed)
    }

    fn open_body(&self, key: &Key, id: &BackupId, header_sha256: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let mut opener = Opener::new(key, &self.body_context(id, header_sha256));
        let mut plain = Vec::new();
        opener
            .update(sealed, &mut plain)
            .and_then(|()| opener.finish(&mut plain))
            .map_err(|e| damage(e).at(layout::MANIFEST).at(id))?;
        Ok(plain)
    }

    /// The body is bound to the header that stands before it.
    fn body_context(&self, id: &BackupId, header_sha256: &str) -> Vec<u8> {
        crate::crypto::context(&[
            crate::crypto::FORMAT,
            self.repository_id(),
            id.as_str(),
            layout::MANIFEST,
            header_sha256,
        ])
    }

    /// Keeps a proof beside the backup.
    pub(crate) async fn keep_proof(&self, proof: &Proof) -> Result<()> {
        let bytes = proof.encode(|signed| self.keys.sign(signed))?;
        for attempt in 1..100 {
            let name = layout::proof(proof.summary.at, proof.summary.kind, attempt);
            let name = layout::in_backup(&self.database, &proof.backup, &name);
            if self.repository.create(&name, bytes.clone()).await? == crate::storage::Created::New {
                return Ok(());
            }
        }
        Err(Error::new(Code::Busy, format!("{} has too many proofs of this second", proof.backup)).next("try again"))
    }

    /// Reads a proof and checks who wrote it.
    pub(crate) async fn proof(&self, id: &BackupId, name: &str) -> Result<Proof> {
        let (proof, auth, signed) = self.proof_as_stored(id, name).await?;
        self.keys.check(&auth, &signed).map_err(|e| e.at(name).at(id))?;
        Ok(proof)
    }

    /// Reads a proof; gives it with its authentication, unchecked, and the bytes that it covers.
    pub(crate) async fn proof_as_stored(&self, id: &BackupId, name: &str) -> Result<(Proof, Auth, Vec<u8>)> {
        let missing = || Error::new(Code::ObjectMissing, format!("{id}/{name} is gone"));
        let bytes = self
            .repository
            .get(&layout::in_backup(&self.database, id, name), MAX_KEY_FILE_BYTES)
            .await?
            .ok_or_else(missing)?;
        let (proof, auth, signed) = Proof::decode(&bytes).map_err(|e| e.at(name).at(id))?;
        if proof.backup != *id {
            return Err(Error::new(Code::Damaged, format!("{id}/{name} is a proof of {}", proof.backup)));
        }
        Ok((proof, parse_auth(auth.get())?, signed))
    }
}

/// The context of a volume's sealing: where it belongs.
pub(super) fn context(repository: &str, id: &BackupId, object: &str) -> Vec<u8> {
    crate::crypto::context(&[crate::crypto::FORMAT, repository, id.as_str(), object])
}

/// The caller's key opened the store, so an object that does not open was altered, or is another backup's.
pub(super) fn damage(e: Error) -> Error {
    if e.code() != Code::WrongKey {
        return e;
    }
    Error::new(Code::Damaged, e.message()).next("use another copy of the store, or restore another backup").because(e)
}

/// Reads an authentication; one that is not written as we write it was altered.
fn parse_auth(json: &str) -> Result<Auth> {
    let damaged =
        || Error::new(Code::Damaged, "the authentication cannot be read").next("use another copy of the store");
    let auth: Auth = serde_json::from_str(json).map_err(|e| damaged().because(e))?;
    if crate::format::manifest::to_json(&auth)? == json { Ok(auth) } else { Err(damaged()) }
}

/// Milliseconds since an instant.
pub(super) fn millis_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Opens the store's marker and keys; makes them when there is no store yet and `create` is set.
pub(crate) async fn open_store(repository: &Repository, options: &KeyOptions, create: bool) -> Result<(Marker, Keys)> {
    const MAX_MARKER_BYTES: u64 = 4 << 10;
    let mut marker = repository.get(layout::MARKER, MAX_MARKER_BYTES).await?;
    if marker.is_none() {
        let names: Vec<String> = repository.list("").await?.into_keys().collect();
        let folders: Vec<&str> = names.iter().filter_map(|name| layout::artifact_folder(name)).collect();
        let foreign = names.iter().find(|name| !(ours_before_the_marker(name) || is_old(name, &folders)));
        match foreign {
            Some(name) => {
                return Err(Error::new(Code::NotAStore, format!("it holds {name} and no {}", layout::MARKER))
                    .next("give the URL of a lastgood store, or an empty folder or prefix for a new one"));
            }
            None if !create => {
                let next = match names.is_empty() {
                    true => "check the URL; the first `backup` makes it",
                    false => {
                        "`artifacts` lists the dumps of old scripts that lie here; the first `backup` makes a store"
                    }
                };
                return Err(Error::new(Code::StoreNotFound, "there is no store here yet").next(next));
            }
            None => {}
        }
        make_store(repository, options).await?;
        marker = repository.get(layout::MARKER, MAX_MARKER_BYTES).await?;
    }
    let marker = Marker::decode(
        &marker.ok_or_else(|| Error::new(Code::StoreUnavailable, "the store did not keep its marker"))?,
    )?;
    let keys = Keys::open(repository, marker.encrypted, options).await?;
    Ok((marker, keys))
}

/// What a host that died, or another one at this moment, leaves while it makes a store.
fn ours_before_the_marker(name: &str) -> bool {
    name == layout::RECOVERY_PAGE
        || name == layout::RECOVERY_PROGRAM
        || name.starts_with(&format!("{}/", layout::KEYS))
        || layout::is_probe(name)
}

/// Artifacts that scripts made may lie where a store is: it was their place before.
fn is_old(name: &str, folders: &[&str]) -> bool {
    let name = name.strip_suffix(".sha256").unwrap_or(name);
    let in_folder = |folder: &&str| name.strip_prefix(*folder).is_some_and(|rest| rest.starts_with('/'));
    layout::is_artifact(name) || folders.iter().any(in_folder)
}

/// The marker comes last, and everything is create-only: hosts that do this at the same time end with one store.
async fn make_store(repository: &Repository, options: &KeyOptions) -> Result<()> {
    if !options.unencrypted {
        Keys::create(repository, options).await?;
    }
    repository.put(layout::RECOVERY_PAGE, include_bytes!("../storage/RECOVERY.md").to_vec()).await?;
    repository.put(layout::RECOVERY_PROGRAM, include_bytes!("../storage/recover.py").to_vec()).await?;
    repository.create(layout::MARKER, Marker::new(!options.unencrypted)?.encode()?).await?;
    Ok(())
}
