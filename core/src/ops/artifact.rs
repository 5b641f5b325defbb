//! Dumps that scripts made: found in a store or a folder, verified, restored. They need no store of ours, and make none.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::flow::{Feed, Lane, aside};
use super::restore::{Loaded, Source, join_one, load_from};
use super::session::millis_since;
use super::unwrap::unwrap;
use super::verify::sha256_of;
use crate::engine::stock::{self, Ending, FileReader, Watched};
use crate::engine::{Engine, PartPlace, RestoreOptions, StoredFile, Target};
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::id::EngineKind;
use crate::progress::{Phase, Run};
use crate::report::{ArtifactSummary, RestoreReport, VerifyReport, Warning};
use crate::secret::Secret;
use crate::storage::Repository;

/// A table of contents, or what else is read whole, is not longer than this: 1 GiB.
const MAX_TOC_BYTES: u64 = 1 << 30;

/// A checksum file is not longer than this.
const MAX_SIDE_BYTES: u64 = 4 << 10;

/// Bytes of a directory's file that are handed on at once.
const PIECE: usize = 256 << 10;

/// A dump that scripts made, in some store or folder.
#[derive(Debug, Clone)]
pub(crate) struct Artifact {
    repository: Repository,
    name: String,
    kind: Kind,
    passphrase: Option<Secret>,
}

#[derive(Debug, Clone)]
enum Kind {
    /// One file of so many bytes.
    File(u64),
    /// A directory dump: its files with their sizes.
    Folder(BTreeMap<String, u64>),
}

/// The artifacts of a store, newest first by the time in their names.
pub(crate) async fn list(repository: &Repository) -> Result<Vec<ArtifactSummary>> {
    let objects = repository.sizes("").await?;
    let mut found: Vec<ArtifactSummary> = objects
        .iter()
        .filter_map(|(name, bytes)| {
            let (name, bytes) = match layout::artifact_folder(name) {
                Some(folder) => {
                    let inside =
                        objects.range(format!("{folder}/")..).take_while(|(n, _)| n.starts_with(&format!("{folder}/")));
                    (folder.to_owned(), inside.map(|(_, bytes)| bytes).sum())
                }
                None if layout::is_artifact(name) => (name.clone(), *bytes),
                None => return None,
            };
            Some(ArtifactSummary {
                started_at: layout::artifact_time(&name),
                encrypted: name.ends_with(".enc"),
                checksum: objects.contains_key(&layout::artifact_checksum(&name)),
                name,
                bytes,
            })
        })
        .collect();
    found.sort_by(|a, b| b.started_at.cmp(&a.started_at).then_with(|| a.name.cmp(&b.name)));
    Ok(found)
}

impl Artifact {
    /// Finds an artifact by its name; none if nothing of that name is there.
    pub(crate) async fn find(repository: Repository, name: &str, passphrase: Option<Secret>) -> Result<Option<Self>> {
        let name = name.trim_end_matches('/').to_owned();
        let kind = match repository.size(&name).await {
            Ok(Some(bytes)) => Kind::File(bytes),
            // A folder is no object, which file systems tell in their own way.
            Ok(None) | Err(_) => {
                let files = repository.sizes(&name).await?;
                let names: Vec<String> = files.keys().cloned().collect();
                if stock::folder_heads(&names).is_none() {
                    return Ok(None);
                }
                Kind::Folder(files)
            }
        };
        Ok(Some(Self { repository, name, kind, passphrase }))
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its bytes as stored.
    fn bytes(&self) -> u64 {
        match &self.kind {
            Kind::File(bytes) => *bytes,
            Kind::Folder(files) => files.values().sum(),
        }
    }

    /// Compares the SHA-256 with the one that lies beside it, and tells it; none if none does.
    ///
    /// Before anything is decrypted: CBC proves nothing.
    async fn check_side(&self) -> Result<Option<String>> {
        let Kind::File(bytes) = self.kind else { return Ok(None) };
        let side = layout::artifact_checksum(&self.name);
        let Some(text) = self.repository.get(&side, MAX_SIDE_BYTES).await? else { return Ok(None) };
        let damaged = |what: &str| {
            Error::new(Code::Damaged, format!("{}: {what}", self.name))
                .next("use another copy of it, or another backup")
        };
        let expected = text.get(..64).and_then(|hex| std::str::from_utf8(hex).ok()).map(str::to_ascii_lowercase);
        let expected = expected
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .ok_or_else(|| damaged("the .sha256 beside it holds no SHA-256"))?;
        if sha256_of(&self.repository, &self.name, bytes).await? != expected {
            return Err(damaged("its SHA-256 is not the one beside it"));
        }
        Ok(Some(expected))
    }

    fn no_side(&self) -> Warning {
        let message = format!("{} has no .sha256 beside it: nothing shows that it is what was written", self.name);
        Warning::new("no_checksum", message)
    }

    /// Opens it far enough to know what is in it.
    async fn open(&self, lanes: usize, wanted: Option<EngineKind>, run: &Run) -> Result<Opened> {
        match &self.kind {
            Kind::File(bytes) => {
                let feed = Feed::new(&self.repository, &self.name, *bytes, run);
                let passphrase = self.passphrase.clone();
                let dump = aside(move || stock::open(unwrap(Box::new(feed), passphrase.as_ref())?, wanted)).await;
                let dump = dump.map_err(|e| e.at(&self.name))?;
                Ok(Opened {
                    engine: dump.engine,
                    created: dump.about.created,
                    format: dump.about.format,
                    schema: dump.schema,
                    data: dump.data,
                    ends: dump.ends,
                    lanes: vec![Lane::new(dump.files)],
                })
            }
            Kind::Folder(files) => {
                let names: Vec<String> = files.keys().cloned().collect();
                let mut heads = Vec::new();
                for name in stock::folder_heads(&names).unwrap_or_default() {
                    let bytes = self.repository.get(&format!("{}/{name}", self.name), MAX_TOC_BYTES).await?;
                    heads.push((name, bytes.unwrap_or_default()));
                }
                let folder = self.name.clone();
                let open = move || {
                    let heads = heads.into_iter().map(|(name, bytes)| expanded(name, bytes)).collect::<Result<_>>()?;
                    stock::open_folder(&folder, heads, &names)
                };
                let folder = aside(open).await.map_err(|e| e.at(&self.name))?;
                let (data, queue): (Vec<_>, VecDeque<_>) =
                    folder.data.into_iter().map(|(file, theirs)| (file.clone(), (file.name, theirs))).unzip();
                let queue = Arc::new(Mutex::new(queue));
                let lane = |_| {
                    Lane::new(Box::new(FolderFiles {
                        repository: self.repository.clone(),
                        folder: self.name.clone(),
                        sizes: files.clone(),
                        queue: Arc::clone(&queue),
                        current: None,
                        run: run.clone(),
                        runtime: tokio::runtime::Handle::current(),
                    }))
                };
                Ok(Opened {
                    engine: folder.engine,
                    created: folder.about.created,
                    format: folder.about.format,
                    schema: folder.schema,
                    data,
                    ends: folder.ends,
                    lanes: (0..lanes.max(1)).map(lane).collect(),
                })
            }
        }
    }
}

/// A file that is read whole, without the gzip around it.
fn expanded(name: String, bytes: Bytes) -> Result<(String, Bytes)> {
    if !name.ends_with(".gz") {
        return Ok((name, bytes));
    }
    let mut plain = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(&bytes[..]).take(MAX_TOC_BYTES);
    reader.read_to_end(&mut plain).map_err(|e| Error::of_reader(e, &name))?;
    Ok((name, plain.into()))
}

/// An artifact that is being read.
struct Opened {
    engine: EngineKind,
    created: Option<DateTime>,
    format: &'static str,
    schema: Vec<(String, Bytes)>,
    data: Vec<StoredFile>,
    ends: HashMap<String, Ending>,
    lanes: Vec<Lane>,
}

/// Reads an artifact to its end: its SHA-256 first, then what is in it.
pub(crate) async fn verify(artifact: &Artifact, run: &Run) -> Result<VerifyReport> {
    let began = Instant::now();
    run.begin(Phase::Verifying, Some(artifact.bytes()));
    let work = async {
        let side = artifact.check_side().await?;
        let mut opened = artifact.open(1, None, run).await?;
        let mut files = 0;
        let mut raw_bytes = opened.schema.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        for lane in &mut opened.lanes {
            while let Some(file) = lane.next_file().await.map_err(|e| e.at(&artifact.name))? {
                files += 1;
                let mut watched = opened.ends.get(&file).copied().map(Watched::new);
                let mut bytes = lane.bytes();
                while let Some(piece) = bytes.try_next().await.map_err(|e| e.at(&artifact.name))? {
                    raw_bytes += piece.len() as u64;
                    if let Some(watched) = &mut watched {
                        watched.push(&piece);
                    }
                }
                if watched.is_some_and(|watched| !watched.is_whole()) {
                    return Err(Error::new(Code::Damaged, format!("{}: {file} is cut off", artifact.name))
                        .next("use another copy of it, or another backup"));
                }
            }
        }
        Ok((side, files, raw_bytes))
    };
    let (side, parts, raw_bytes) = run.until_cancelled(work).await?;
    run.end();
    let checked = side.is_some() || matches!(artifact.kind, Kind::Folder(_));
    Ok(VerifyReport {
        id: artifact.name.clone(),
        stored_bytes: artifact.bytes(),
        raw_bytes,
        parts,
        warnings: if checked { Vec::new() } else { vec![artifact.no_side()] },
        duration_ms: millis_since(began),
    })
}

/// What is known of an artifact that was restored.
pub(super) struct Origin {
    /// When it was made, as its name tells, or else the dump itself.
    pub(super) at: Option<Timestamp>,
    /// Its SHA-256 in hex, where it was compared.
    pub(super) sha256: Option<String>,
    pub(super) format: &'static str,
}

/// Restores an artifact into a database.
pub(crate) async fn restore(
    artifact: &Artifact,
    engine: &dyn Engine,
    options: &RestoreOptions,
    run: &Run,
) -> Result<RestoreReport> {
    restore_with_origin(artifact, engine, options, run).await.map(|(report, _)| report)
}

pub(super) async fn restore_with_origin(
    artifact: &Artifact,
    engine: &dyn Engine,
    options: &RestoreOptions,
    run: &Run,
) -> Result<(RestoreReport, Origin)> {
    let began = Instant::now();
    run.begin(Phase::Preparing, None);
    let side = run.until_cancelled(artifact.check_side()).await?;
    let opened = run.until_cancelled(artifact.open(options.jobs, Some(engine.kind()), run)).await?;
    if opened.engine != engine.kind() {
        let what = format!("{} is of {}, the target is {}", artifact.name, opened.engine, engine.kind());
        return Err(Error::new(Code::UnsupportedDatabase, what).next(format!("give a {} target", opened.engine)));
    }
    let dumped = opened.created.and_then(|time| time.to_zoned(TimeZone::UTC).ok()).map(|time| time.timestamp());
    let origin =
        Origin { at: layout::artifact_time(&artifact.name).or(dumped), sha256: side.clone(), format: opened.format };
    let lanes = Lanes { lanes: opened.lanes, name: artifact.name.clone() };
    let loaded = load_from(lanes, engine, options, (opened.schema, opened.data), None, run).await?;
    let Loaded { created, promoted, mut warnings, .. } = loaded;
    if side.is_none() && matches!(artifact.kind, Kind::File(_)) {
        warnings.push(artifact.no_side());
    }
    let report = RestoreReport {
        id: artifact.name.clone(),
        target: engine.describe(),
        bytes: artifact.bytes(),
        duration_ms: millis_since(began),
        created,
        promoted,
        warnings,
    };
    Ok((report, origin))
}

/// Files that come in an order of their own.
struct Lanes {
    lanes: Vec<Lane>,
    name: String,
}

impl Source for Lanes {
    async fn load(
        self,
        target: &Arc<Box<dyn Target>>,
        _jobs: usize,
        _run: &Run,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        // Each lane has a share of the gate while it has anything to load. What comes last waits for all shares.
        let gate = Arc::new(RwLock::new(()));
        let mut lanes = Vec::new();
        for lane in self.lanes {
            lanes.push((lane, Arc::clone(&gate).read_owned().await));
        }
        for (mut lane, share) in lanes {
            let (target, name, gate) = (Arc::clone(target), self.name.clone(), Arc::clone(&gate));
            let mut share = Some(share);
            tasks.spawn(
                async move {
                    while let Some(file) = lane.next_file().await.map_err(|e| e.at(&name))? {
                        if !target.wants(&file) {
                            continue;
                        }
                        let _alone = match target.comes_last(&file) {
                            true => {
                                drop(share.take());
                                Some(gate.write().await)
                            }
                            false => None,
                        };
                        let bytes = lane.bytes().map_err(|e| e.at(&name)).boxed();
                        target.load(PartPlace { file: &file, offset: 0, bytes: None }, bytes).await?;
                    }
                    Ok(())
                }
                .in_current_span(),
            );
        }
        while !tasks.is_empty() {
            join_one(tasks).await?;
        }
        Ok(())
    }
}

/// The files of a directory dump that one thread reads; several share the queue.
struct FolderFiles {
    repository: Repository,
    folder: String,
    sizes: BTreeMap<String, u64>,
    /// What a target calls each file, and what it is called in the folder.
    queue: Arc<Mutex<VecDeque<(String, String)>>>,
    current: Option<(String, Box<dyn Read + Send>)>,
    run: Run,
    runtime: tokio::runtime::Handle,
}

impl FolderFiles {
    fn open(&self, file: &str) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.sizes.get(file).copied().unwrap_or(0);
        let _runtime = self.runtime.enter();
        let feed = Feed::new(&self.repository, &format!("{}/{file}", self.folder), bytes, &self.run);
        // By name: a large object may itself be a compressed file.
        Ok(match file.rsplit('.').next() {
            // Of an empty large object pg_dump writes no frame.
            Some("zst" | "lz4") if bytes == 0 => Box::new(io::empty()),
            Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(feed)),
            Some("lz4") => Box::new(lz4_flex::frame::FrameDecoder::new(feed)),
            Some("zst") => Box::new(zstd::stream::read::Decoder::new(feed)?),
            _ => Box::new(feed),
        })
    }
}

impl FileReader for FolderFiles {
    fn next_file(&mut self) -> Result<Option<String>> {
        while !self.read()?.is_empty() {}
        let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((name, theirs)) = next else { return Ok(None) };
        let input = self.open(&theirs).map_err(|e| Error::of_reader(e, &theirs))?;
        self.current = Some((theirs, input));
        Ok(Some(name))
    }

    fn read(&mut self) -> Result<Bytes> {
        let Some((theirs, input)) = &mut self.current else { return Ok(Bytes::new()) };
        let mut piece = Vec::with_capacity(PIECE);
        let read = input.take(PIECE as u64).read_to_end(&mut piece);
        read.map_err(|e| Error::of_reader(e, theirs))?;
        if piece.is_empty() {
            self.current = None;
        }
        Ok(piece.into())
    }
}
