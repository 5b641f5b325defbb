//! Restores one backup into a database: everything is checked first, then loaded in parallel, then made visible.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::parts::PartReader;
use super::promote::{Promotion, promote};
use super::session::{Opened, Session, millis_since};
use crate::engine::{Engine, FileRole, PartPlace, RestoreOptions, StoredFile, Target};
use crate::error::{Code, Error, Result};
use crate::format::manifest::File;
use crate::progress::{Phase, Run};
use crate::report::{Promoted, RestoreReport, Warning};

/// Schema files larger than this are refused before they are read: 1 GiB.
const MAX_SCHEMA_BYTES: u64 = 1 << 30;

pub(crate) async fn restore(
    session: &Arc<Session>,
    backup: Arc<Opened>,
    engine: &dyn Engine,
    options: &RestoreOptions,
    promotion: Option<&Promotion>,
    run: &Run,
) -> Result<RestoreReport> {
    let began = Instant::now();
    let id = backup.stored.header.id.to_string();
    let Loaded { bytes, created, promoted, warnings } = load(session, backup, engine, options, promotion, run).await?;
    Ok(RestoreReport {
        id,
        target: engine.describe(),
        bytes,
        duration_ms: millis_since(began),
        created,
        promoted,
        warnings,
    })
}

/// A dump that is where it belongs, for all to see.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Raw bytes of the files that the target took.
    pub(super) bytes: u64,
    pub(super) created: Vec<String>,
    pub(super) promoted: Option<Promoted>,
    pub(super) warnings: Vec<Warning>,
}

/// Loads a backup's dump into the engine's database, or beside it for as long as it is being checked.
pub(super) async fn load(
    session: &Arc<Session>,
    backup: Arc<Opened>,
    engine: &dyn Engine,
    options: &RestoreOptions,
    promotion: Option<&Promotion>,
    run: &Run,
) -> Result<Loaded> {
    run.begin(Phase::Preparing, None);
    let header = &backup.stored.header;
    if header.engine != engine.kind() {
        return Err(Error::new(
            Code::UnsupportedDatabase,
            format!("{} is of {}, the target is {}", header.id, header.engine, engine.kind()),
        )
        .next(format!("give a {} target", header.engine)));
    }
    if let (Some(selection), Some(_)) = (&backup.body.selection, promotion) {
        let message = format!("{} holds a part of its database: {selection}", header.id);
        return Err(Error::new(Code::InvalidOption, message)
            .next("restore it beside the live database, without `promote`, or promote a whole backup"));
    }
    let reader = Arc::new(PartReader::new(Arc::clone(session), Arc::clone(&backup)));
    let (schema, data): (Vec<&File>, Vec<&File>) = backup.body.files.iter().partition(|f| f.role == FileRole::Schema);
    let mut files = Vec::new();
    for file in schema {
        files.push((file.name.clone(), run.until_cancelled(reader.read_file(file, MAX_SCHEMA_BYTES)).await?));
    }
    let stored: Vec<_> = data.iter().map(|f| StoredFile { name: f.name.clone(), bytes: Some(f.bytes()) }).collect();

    let partial = backup.body.selection.as_ref().map(|selection| {
        let message = format!("{} holds a part of its database: {selection}", header.id);
        Warning::new("partial_backup", message)
    });
    let checked = promotion.map(|promotion| (promotion, Arc::clone(&backup)));
    let parts = Parts { reader, backup };
    let mut loaded = load_from(parts, engine, options, (files, stored), checked, run).await?;
    if let Some(warning) = partial {
        loaded.warnings.insert(0, warning);
    }
    Ok(loaded)
}

/// What data comes from.
pub(super) trait Source: Send {
    /// Loads all data files that the target was prepared for, up to `jobs` at the same time, in `tasks`.
    fn load(
        self,
        target: &Arc<Box<dyn Target>>,
        jobs: usize,
        run: &Run,
        tasks: &mut JoinSet<Result<()>>,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// Loads a dump of these files: all checks first, then the data, then what makes it visible. Takes back what failed.
pub(super) async fn load_from(
    source: impl Source,
    engine: &dyn Engine,
    options: &RestoreOptions,
    (schema, stored): (Vec<(String, Bytes)>, Vec<StoredFile>),
    promotion: Option<(&Promotion, Arc<Opened>)>,
    run: &Run,
) -> Result<Loaded> {
    let mut bytes = schema.iter().map(|(_, content)| content.len() as u64).sum();
    let mut target = run.until_cancelled(engine.target(options)).await?;
    let mut result = run.until_cancelled(target.prepare(schema, &stored)).await;
    if result.is_ok() {
        let wanted: Option<u64> = stored.iter().filter(|f| target.wants(&f.name)).map(|f| f.bytes).sum();
        bytes += wanted.unwrap_or(0);
        run.begin(Phase::Loading, wanted);
        let (shared, mut tasks) = (Arc::new(target), JoinSet::new());
        result = run.until_cancelled(source.load(&shared, options.jobs, run, &mut tasks)).await;
        tasks.shutdown().await;
        // Every task has ended, so this is the only reference left.
        target = Arc::into_inner(shared).ok_or_else(|| Error::new(Code::Internal, "the target is still in use"))?;
    }
    let finished = match result {
        Ok(()) => {
            run.end();
            run.begin(Phase::Finishing, None);
            match promotion {
                None => run.until_cancelled(target.finish()).await.map(|warnings| (None, warnings)),
                Some((promotion, backup)) => {
                    let result = promote(&mut *target, &backup, promotion, options.jobs, run).await;
                    result.map(|(promoted, warnings)| (Some(promoted), warnings))
                }
            }
            .map(|(promoted, warnings)| (promoted, target.created(), warnings))
        }
        Err(e) => Err(e),
    };
    if finished.is_err()
        && let Err(e) = target.abort().await
    {
        tracing::warn!(error = %e, "a failed restore could not be taken back");
    }
    let (promoted, created, warnings) = finished?;
    Ok(Loaded { bytes, created, promoted, warnings })
}

/// The parts of a backup.
struct Parts {
    reader: Arc<PartReader>,
    backup: Arc<Opened>,
}

impl Source for Parts {
    async fn load(
        self,
        target: &Arc<Box<dyn Target>>,
        jobs: usize,
        run: &Run,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let Self { reader, backup } = self;
        let wanted = |f: &File| f.role == FileRole::Data && target.wants(&f.name);
        let mut files: Vec<_> = backup.body.files.iter().enumerate().filter(|(_, f)| wanted(f)).collect();
        // A stable sort: all others stay in the order in which they are stored.
        files.sort_by_key(|(_, f)| target.comes_last(&f.name));
        for (file, record) in files {
            let at_once = if target.comes_last(&record.name) { 1 } else { jobs };
            let mut offset = 0;
            for (part, bytes) in record.parts.iter().map(|p| p.bytes).enumerate() {
                while tasks.len() >= at_once {
                    join_one(tasks).await?;
                }
                let (reader, backup, target, run) =
                    (Arc::clone(&reader), Arc::clone(&backup), Arc::clone(target), run.clone());
                tasks.spawn(
                    async move {
                        let file = &backup.body.files[file];
                        let place = PartPlace { file: &file.name, offset, bytes: Some(bytes) };
                        let raw = reader
                            .read(file, &file.parts[part])
                            .inspect_ok(|raw| run.advance(raw.len() as u64))
                            .boxed();
                        target.load(place, raw).await
                    }
                    .in_current_span(),
                );
                offset += bytes;
            }
        }
        while !tasks.is_empty() {
            join_one(tasks).await?;
        }
        Ok(())
    }
}

/// Waits for one of the tasks.
pub(super) async fn join_one(tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    match tasks.join_next().await {
        None => Ok(()),
        Some(Ok(result)) => result,
        Some(Err(e)) => Err(Error::new(Code::Internal, format!("a loading task failed: {e}"))),
    }
}
