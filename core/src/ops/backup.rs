//! Makes one backup: a snapshot, read in parallel, sealed, stored, read back, and committed by its manifest.

use std::sync::Arc;
use std::time::Instant;

use super::pending::Pending;
use super::pipeline::{Event, Pipeline, codec_of};
use super::session::{Session, millis_since};
use super::size;
use super::slot::Slot;
use super::volumes::{VolumeOptions, Volumes};
use crate::engine::{Engine, Selection, SnapshotOptions, SnapshotSummary};
use crate::error::{Code, Error, Result};
use crate::format::manifest::{Body, Encryption, File, Header, Part, Previous, Stored, VERSION, Volume, sha256_hex};
use crate::id::BackupId;
use crate::progress::{Phase, Run};
use crate::report::{BackupReport, ConsistencyPoint};
use crate::secret::Key;

/// What kind of backup is made.
#[derive(Debug, Default)]
pub(crate) struct BackupOrder<'a> {
    pub(crate) tags: Vec<String>,
    pub(crate) globals: bool,
    pub(crate) select: Selection,
    /// Of a database that an artifact was restored into: the backup's name and point are the artifact's.
    pub(crate) origin: Option<ConsistencyPoint>,
    /// The slot of the schedule that it is for.
    pub(crate) slot: Option<&'a Slot>,
}

pub(crate) async fn backup(
    session: &Arc<Session>,
    engine: &dyn Engine,
    order: BackupOrder<'_>,
    run: &Run,
) -> Result<BackupReport> {
    let started = order.origin.as_ref().map_or_else(|| session.clock.now(), |origin| origin.at);
    run.begin(Phase::Preparing, None);
    let pending = Pending::reserve(session, started, None).await?;
    tracing::Span::current().record("backup_id", pending.id.as_str());
    let BackupOrder { tags, globals, select, origin, slot } = order;
    Backup { session, engine, pending, started, tags, globals, select, origin, slot }.run(run).await
}

struct Backup<'a> {
    session: &'a Arc<Session>,
    engine: &'a dyn Engine,
    pending: Pending<'a>,
    started: jiff::Timestamp,
    tags: Vec<String>,
    globals: bool,
    select: Selection,
    /// The artifact that it is an import of.
    origin: Option<ConsistencyPoint>,
    slot: Option<&'a Slot>,
}

/// What was read and stored.
struct Dumped {
    server_version: String,
    summary: SnapshotSummary,
    files: Vec<File>,
    volumes: Vec<(Volume, Vec<u8>)>,
}

impl Backup<'_> {
    async fn run(self, run: &Run) -> Result<BackupReport> {
        let began = Instant::now();
        let (dumped, data_key) = match self.store(run).await {
            Ok(stored) => stored,
            Err(e) => {
                self.pending.clean_up().await;
                return Err(e);
            }
        };
        // From here on nothing is cleaned up: a manifest whose answer was lost may be there, or may still arrive.
        let report = self.commit(dumped, data_key.as_ref(), began).await?;
        self.pending.release().await;
        Ok(report)
    }

    /// Stores everything but the manifest, and reads it back.
    async fn store(&self, run: &Run) -> Result<(Dumped, Option<Key>)> {
        let data_key = self.pending.new_data_key().await?;
        let dumped = self.dump(data_key.as_ref(), run).await?;
        self.check_strict(&dumped.summary)?;
        run.begin(Phase::Committing, None);
        run.until_cancelled(self.pending.read_back(&dumped.volumes)).await?;
        self.pending.still_ours().await?;
        if let Some(slot) = self.slot {
            slot.claim(self.session, Some(&self.pending.id)).await?;
        }
        Ok((dumped, data_key))
    }

    async fn dump(&self, data_key: Option<&Key>, run: &Run) -> Result<Dumped> {
        let settings = &self.session.settings;
        let options = SnapshotOptions {
            jobs: settings.jobs,
            part_bytes: settings.part_bytes,
            codec: settings.codec,
            work_dir: settings.work_dir.clone(),
            globals: self.globals,
            // No secret lies in a store for all to read.
            role_passwords: data_key.is_some(),
            select: self.select.clone(),
        };
        let snapshot = Arc::new(run.until_cancelled(self.engine.snapshot(&options)).await?);
        run.begin(Phase::Dumping, Some(snapshot.files().iter().flat_map(|f| &f.parts).sum()));
        let server_version = snapshot.server_version().to_owned();
        let mut volumes = Volumes::new(VolumeOptions {
            repository: &self.session.repository,
            repository_id: self.session.repository_id(),
            database: &self.session.database,
            backup: &self.pending.id,
            data_key,
            volume_bytes: settings.volume_bytes,
            upload_part_bytes: settings.upload_part_bytes,
        });
        let mut pipeline = Pipeline::new(snapshot, settings, run.clone());
        match run.until_cancelled(self.pump(&mut pipeline, &mut volumes)).await {
            Ok((files, volumes)) => {
                run.end();
                let summary = run.until_cancelled(pipeline.finish()?.finish()).await?;
                Ok(Dumped { server_version, summary, files, volumes })
            }
            Err(e) => {
                drop(pipeline);
                volumes.abort().await;
                Err(e)
            }
        }
    }

    /// Moves every part from the pipeline into the volumes.
    async fn pump(
        &self,
        pipeline: &mut Pipeline,
        volumes: &mut Volumes<'_>,
    ) -> Result<(Vec<File>, Vec<(Volume, Vec<u8>)>)> {
        let mut files: Vec<File> = Vec::new();
        while let Some(next) = pipeline.next_part().await? {
            if next.part == 0
                && let Some(planned) = pipeline.file(next.file)
            {
                let codec = codec_of(planned, self.session.settings.codec);
                volumes.start_file(&planned.name, codec.suffix());
                files.push(File {
                    name: planned.name.clone(),
                    role: planned.role,
                    codec,
                    parts: Vec::with_capacity(planned.parts.len()),
                });
            }
            let mut at = volumes.start_part().await?;
            let part = loop {
                match pipeline.next_event().await? {
                    Event::Piece(bytes) => {
                        at.length += bytes.len() as u64;
                        volumes.write(&bytes).await?;
                    }
                    Event::End { bytes, blake3 } => break Part { bytes, blake3, at },
                }
            };
            if let Some(file) = files.last_mut() {
                file.parts.push(part);
            }
        }
        Ok((files, volumes.finish().await?))
    }

    fn check_strict(&self, summary: &SnapshotSummary) -> Result<()> {
        let unsupported: Vec<_> =
            summary.warnings.iter().filter(|w| w.code == Code::UnsupportedObject.as_str()).collect();
        match unsupported.first() {
            Some(first) if self.session.settings.strict => {
                let more = unsupported.len() - 1;
                let message =
                    if more == 0 { first.message.clone() } else { format!("{} (and {more} more)", first.message) };
                Err(Error::new(Code::UnsupportedObject, message)
                    .next("back up without `strict` to keep everything else"))
            }
            _ => Ok(()),
        }
    }

    async fn commit(&self, dumped: Dumped, data_key: Option<&Key>, began: Instant) -> Result<BackupReport> {
        let Dumped { server_version, mut summary, files, volumes } = dumped;
        let session = self.session;
        let committed = session.committed().await?;
        let (sequence, previous) = self.previous(&committed).await?;
        let source_bytes = files.iter().map(File::bytes).sum();
        if self.origin.is_none() {
            summary.warnings.extend(size::out_of_line(session, &committed, source_bytes).await);
        }
        let volumes: Vec<_> = volumes.into_iter().map(|(volume, _)| volume).collect();
        let finished = session.clock.now();
        let header = Header {
            format: VERSION,
            requires: Vec::new(),
            repository: session.marker.repository.clone(),
            id: self.pending.id.clone(),
            database: session.database.clone(),
            engine: self.engine.kind(),
            server_version,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started,
            finished_at: finished,
            point: self.origin.clone().unwrap_or(summary.point),
            base: None,
            sequence,
            previous,
            source_bytes,
            stored_bytes: volumes.iter().map(|v| v.bytes).sum(),
            tables: summary.tables.len() as u64,
            rows: summary.tables.iter().map(|t| t.rows).sum(),
            warnings: summary.warnings.len() as u64,
            partial: !self.select.is_everything(),
            tags: self.tags.clone(),
            codec: session.settings.codec,
            volumes,
            replaces: None,
            encryption: session.keys.epoch().map(|epoch| Encryption { scheme: "cobblestone-256".to_owned(), epoch }),
        };
        let selection = Some(&self.select).filter(|s| !s.is_everything()).cloned();
        let body = Body { files, tables: summary.tables, warnings: summary.warnings, selection };
        self.pending.commit(&header, &body, data_key).await?;
        tracing::info!(backup_id = %self.pending.id, source_bytes = header.source_bytes, stored_bytes = header.stored_bytes, "backup committed");
        Ok(BackupReport {
            id: header.id,
            database: header.database,
            started_at: header.started_at,
            finished_at: header.finished_at,
            duration_ms: millis_since(began),
            source_bytes: header.source_bytes,
            stored_bytes: header.stored_bytes,
            tables: header.tables,
            rows: header.rows,
            warnings: body.warnings,
        })
    }

    /// The database's newest manifest before this one, and this one's number. Imports stand outside of the chain.
    async fn previous(&self, committed: &[BackupId]) -> Result<(u64, Option<Previous>)> {
        if self.origin.is_some() {
            return Ok((0, None));
        }
        for id in committed.iter().rev() {
            let bytes = self.session.manifest_bytes(id).await?;
            // A damaged predecessor must not stop tonight's backup; verification tells of it.
            let sequence = Stored::decode(&bytes).map_or(committed.len() as u64, |stored| stored.header.sequence);
            if sequence > 0 {
                return Ok((sequence + 1, Some(Previous { id: id.clone(), sha256: sha256_hex(&bytes) })));
            }
        }
        Ok((1, None))
    }
}
